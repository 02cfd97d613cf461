"""The log of searches: every candidate with what it reached, in one SQLite file, so that a stopped search goes on."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple

from prune_adapters.database import check_own, opened
from prune_adapters.errors import SearchLogError
from prune_adapters.graph_pruning.search.candidate import Evaluation
from prune_adapters.graph_pruning.space.widths import Counts

__all__ = ["LoggedCandidate", "SearchLog"]

APPLICATION = 0x4E475052
"""Marks an SQLite file as one of ours."""
TABLES = (
    "CREATE TABLE IF NOT EXISTS searches (search TEXT PRIMARY KEY, description TEXT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS candidates (
    search TEXT NOT NULL, place INTEGER NOT NULL, counts TEXT NOT NULL,
    loss REAL NOT NULL, accuracy REAL NOT NULL, cost REAL NOT NULL,
    PRIMARY KEY (search, place))""",
)


class LoggedCandidate(NamedTuple):
    """A candidate as the log has it.

    Parameters
    ----------
    counts : tuple of int
    evaluation : Evaluation
    cost : float
        In the unit of the search's budget.
    """

    counts: Counts
    evaluation: Evaluation
    cost: float


class SearchLog:
    """Candidates of searches in an SQLite file, each written in a transaction of its own.

    A search is known by its description (algorithm, settings, seed, widths, budget): any number of them share a file.

    Parameters
    ----------
    path : path-like
        Made if it is not there.

    Raises
    ------
    SearchLogError
        The file is there and is none of ours, or damaged; it is left as it is.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = SearchLog(folder + "/search.db")
    ...     search = log.begin({"algorithm": "random", "seed": 0})
    ...     log.add(search, [(0, LoggedCandidate((3, 1), Evaluation(0.7, 0.5), 120.0))])
    ...     log.candidates(search)
    {0: LoggedCandidate(counts=(3, 1), evaluation=Evaluation(loss=0.7, accuracy=0.5), cost=120.0)}
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        with self._open() as database, database:
            check_own(database, APPLICATION)
            for table in TABLES:
                database.execute(table)
            database.execute(f"PRAGMA application_id = {APPLICATION}")

    def begin(self, description: Mapping[str, object]) -> str:
        """Return the name under which a search is logged; the same description has the same name.

        Parameters
        ----------
        description : mapping of str to object
            Anything that JSON can hold.
        """
        text = json.dumps(description, sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        with self._open() as database, database:
            database.execute("INSERT OR IGNORE INTO searches VALUES (?, ?)", (name, text))
        return name

    def searches(self) -> dict[str, dict[str, object]]:
        """Return the description of every search, by its name, in the order in which they began."""
        with self._open() as database:
            rows = database.execute("SELECT search, description FROM searches ORDER BY rowid").fetchall()
        return {name: json.loads(text) for name, text in rows}

    def add(self, search: str, candidates: Iterable[tuple[int, LoggedCandidate]]) -> None:
        """Write candidates with their places in the history, all of them or none; one that is there already stays.

        Parameters
        ----------
        search : str
        candidates : iterable of (int, LoggedCandidate)
        """
        rows = [(search, place, json.dumps(c.counts), *c.evaluation, c.cost) for place, c in candidates]
        with self._open() as database, database:
            database.executemany("INSERT OR IGNORE INTO candidates VALUES (?, ?, ?, ?, ?, ?)", rows)

    def candidates(self, search: str) -> dict[int, LoggedCandidate]:
        """Return what is logged of a search, by place in its history; a search that was stopped may have gaps.

        Parameters
        ----------
        search : str
        """
        query = "SELECT place, counts, loss, accuracy, cost FROM candidates WHERE search = ? ORDER BY place"
        with self._open() as database:
            rows = database.execute(query, (search,)).fetchall()
        return {
            place: LoggedCandidate(tuple(json.loads(counts)), Evaluation(loss, accuracy), cost)
            for place, counts, loss, accuracy, cost in rows
        }

    def _open(self) -> AbstractContextManager[sqlite3.Connection]:
        return opened(
            self.path, error=SearchLogError, what="log of a search", remedy="move it away or name another with log="
        )
