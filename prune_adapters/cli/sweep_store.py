"""A sweep in one SQLite file: what is wanted, the graphs, and every result as soon as it is there."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prune_adapters.cli.errors import CommandError
from prune_adapters.database import opened

if TYPE_CHECKING:
    import netgraph as ng

__all__ = ["Entry", "Setting", "SweepStore"]

APPLICATION = 0x4E475357
"""Marks an SQLite file as one of a sweep."""
TABLES = (
    "CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE graphs (place INTEGER PRIMARY KEY, nodes INTEGER NOT NULL, edges TEXT NOT NULL, "
    "path_length REAL NOT NULL, spectral_gap REAL NOT NULL)",
    "CREATE TABLE results (place INTEGER NOT NULL, seed INTEGER NOT NULL, accuracy REAL NOT NULL, "
    "PRIMARY KEY (place, seed))",
)


@dataclass(frozen=True)
class Setting:
    """What a sweep is about: with other settings it would be another one.

    Parameters
    ----------
    task : str
        "digits", or the name of a training function.
    model, input : str or None
        Of a training function.
    nodes, degree, graphs, steps, seed : int
        Of the graphs.
    epochs : int
        Of digits.
    """

    task: str = "digits"
    model: str | None = None
    input: str | None = None
    nodes: int = 64
    degree: int = 4
    graphs: int = 8
    steps: int = 50_000
    seed: int = 0
    epochs: int = 15


@dataclass(frozen=True)
class Entry:
    """A graph of a sweep and what was reached with it.

    Parameters
    ----------
    place : int
        From the longest paths to the shortest, from 0 on.
    path_length, spectral_gap : float
    accuracies : dict of int to float
        By seed; those that are there.
    """

    place: int
    path_length: float
    spectral_gap: float
    accuracies: dict[int, float]


class SweepStore:
    """The file of a sweep; a run that is killed loses no result.

    Parameters
    ----------
    path : Path
        There already, or made by `start`.

    Raises
    ------
    CommandError
        The file is there and is none of ours; it is left as it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists():
            with self._open() as database:
                self._check(database)

    def start(self, setting: Setting, graphs: "Sequence[ng.NodeGraph]") -> None:
        """Write what is wanted and the graphs, with their path lengths and gaps, all of it or nothing."""
        rows = [(place, *_row(graph)) for place, graph in enumerate(graphs)]
        with self._open() as database, database:
            database.execute("BEGIN IMMEDIATE")
            for table in TABLES:
                database.execute(table)
            values = [(name, json.dumps(value)) for name, value in asdict(setting).items()]
            database.executemany("INSERT INTO setting VALUES (?, ?)", values)
            database.executemany("INSERT INTO graphs VALUES (?, ?, ?, ?, ?)", rows)
            database.execute(f"PRAGMA application_id = {APPLICATION}")

    @property
    def setting(self) -> Setting:
        """What was asked for when the sweep began."""
        with self._open() as database:
            rows = database.execute("SELECT name, value FROM setting WHERE name <> 'seeds'").fetchall()
        return Setting(**{name: json.loads(value) for name, value in rows})

    @property
    def seeds(self) -> int:
        """How many trainings with each graph were asked for last; 0 if none yet."""
        with self._open() as database:
            row = database.execute("SELECT value FROM setting WHERE name = 'seeds'").fetchone()
        return json.loads(row[0]) if row else 0

    def want(self, seeds: int) -> None:
        """Write how many trainings with each graph are asked for."""
        with self._open() as database, database:
            database.execute("INSERT OR REPLACE INTO setting VALUES ('seeds', ?)", (json.dumps(seeds),))

    def graph(self, place: int) -> "ng.NodeGraph":
        """Return a graph by its place."""
        import netgraph as ng

        with self._open() as database:
            query = "SELECT nodes, edges FROM graphs WHERE place = ?"
            nodes, edges = database.execute(query, (place,)).fetchone()
        return ng.NodeGraph.from_edges(nodes, json.loads(edges))

    def entries(self) -> list[Entry]:
        """Return all graphs with their results."""
        with self._open() as database:
            graphs = database.execute("SELECT place, path_length, spectral_gap FROM graphs ORDER BY place").fetchall()
            results = database.execute("SELECT place, seed, accuracy FROM results ORDER BY seed").fetchall()
        own: dict[int, dict[int, float]] = {place: {} for place, _, _ in graphs}
        for place, seed, accuracy in results:
            own[place][seed] = accuracy
        return [Entry(place, length, gap, own[place]) for place, length, gap in graphs]

    def add(self, place: int, seed: int, accuracy: float) -> None:
        """Write a result."""
        with self._open() as database, database:
            database.execute("INSERT OR REPLACE INTO results VALUES (?, ?, ?)", (place, seed, accuracy))

    def _open(self) -> AbstractContextManager[sqlite3.Connection]:
        return opened(self.path, error=CommandError, what="file of a sweep", remedy="name another file")

    def _check(self, database: sqlite3.Connection) -> None:
        (application,) = database.execute("PRAGMA application_id").fetchone()
        if application != APPLICATION:
            raise CommandError(f"{self.path}: no file of a sweep; name another file")


def _row(graph: "ng.NodeGraph") -> tuple[int, str, float, float]:
    import netgraph as ng

    length, gap = ng.average_shortest_path_length(graph), ng.spectrum.normalised_gap(graph)
    return graph.n_nodes, json.dumps(graph.edges().tolist()), length, gap
