"""A grid of graphs and seeds: their runs side by side, all of it in SQLite."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

import netgraph as ng
from prune_adapters.database import check_own, opened

__all__ = [
    "Cell",
    "Result",
    "ResultsFileError",
    "Store",
    "Trained",
    "name_of",
    "run_grid",
    "run_together",
]

APPLICATION = 0x50415448
"""Marks an SQLite file as one of ours."""
TABLES = (
    """CREATE TABLE IF NOT EXISTS results (
    setting TEXT NOT NULL, graph TEXT NOT NULL, seed INTEGER NOT NULL,
    accuracy REAL NOT NULL, kept INTEGER NOT NULL, density REAL NOT NULL, effective REAL NOT NULL,
    PRIMARY KEY (setting, graph, seed))""",
    """CREATE TABLE IF NOT EXISTS graphs (
    family TEXT NOT NULL, place INTEGER NOT NULL, nodes INTEGER NOT NULL, edges TEXT NOT NULL,
    PRIMARY KEY (family, place))""",
)


class ResultsFileError(ValueError):
    """The file of results is damaged, or something else."""


@dataclass(frozen=True)
class Trained:
    """What one run reached: accuracy, weights kept by the masks, density and effective density of the network."""

    accuracy: float
    kept: int
    density: float
    effective: float


@dataclass(frozen=True)
class Result:
    """A run: which graph with which seed, and what it reached."""

    graph: str
    seed: int
    trained: Trained


Train = Callable[[ng.NodeGraph, int], Trained]
Cell = tuple[str, ng.NodeGraph, int]


def name_of(graph: ng.NodeGraph) -> str:
    """Return a name that only the same edges between the same nodes have."""
    return hashlib.sha256(np.packbits(graph.adjacency()).tobytes()).hexdigest()[:16]


class Store:
    """Results in an SQLite file, each written in a transaction of its own: a run that is killed loses none.

    Raises ResultsFileError if the file is there and is none of ours, or damaged; it is left as it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as database, database:
            check_own(database, APPLICATION)
            for table in TABLES:
                database.execute(table)
            database.execute(f"PRAGMA application_id = {APPLICATION}")

    def add(self, setting: str, *results: Result) -> None:
        """Write results, all of them or none; one that is there already stays."""
        rows = [(setting, r.graph, r.seed, *astuple(r.trained)) for r in results]
        with self._open() as database, database:
            database.executemany("INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def graphs(self, family: str, make: Callable[[], list[ng.NodeGraph]]) -> list[ng.NodeGraph]:
        """Return the graphs of a family, made and written if they are not there: every machine has the same."""
        query = "SELECT nodes, edges FROM graphs WHERE family = ? ORDER BY place"
        with self._open() as database:
            rows = database.execute(query, (family,)).fetchall()
        if rows:
            return [ng.NodeGraph.from_edges(nodes, json.loads(edges)) for nodes, edges in rows]
        made = make()
        rows = [(family, place, g.n_nodes, json.dumps(g.edges().tolist())) for place, g in enumerate(made)]
        with self._open() as database, database:
            database.executemany("INSERT OR IGNORE INTO graphs VALUES (?, ?, ?, ?)", rows)
        return made

    def results(self, setting: str) -> list[Result]:
        """Return all results of a setting."""
        query = (
            "SELECT graph, seed, accuracy, kept, density, effective FROM results WHERE setting = ? ORDER BY graph, seed"
        )
        with self._open() as database:
            return [Result(graph, seed, Trained(*rest)) for graph, seed, *rest in database.execute(query, (setting,))]

    def _open(self) -> AbstractContextManager[sqlite3.Connection]:
        return opened(
            self.path,
            error=ResultsFileError,
            what="file of results",
            remedy="move it away or name another with --results",
        )


def run_grid(
    store: Store,
    setting: dict[str, object],
    train: Train,
    graphs: Iterable[ng.NodeGraph],
    seeds: Iterable[int],
    *,
    jobs: int = 1,
    backend: str = "loky",
    told: Callable[[int, int], None] = lambda done, total: None,
) -> list[Result]:
    """Return the results of all graphs and seeds; those in the store are not trained again.

    Graphs are the inner loop, so that a grid that was stopped has as many seeds of each. `told` is given how many of
    how many runs are there, after each.
    """
    key = json.dumps(setting, sort_keys=True)
    wanted, cells = _missing(store, key, graphs, seeds)
    told(len(wanted) - len(cells), len(wanted))
    for done, result in enumerate(_computed(train, cells, jobs, backend), len(wanted) - len(cells) + 1):
        store.add(key, result)
        told(done, len(wanted))
    return [result for result in store.results(key) if (result.graph, result.seed) in wanted]


def run_together(
    store: Store,
    setting: dict[str, object],
    train: Callable[[Sequence[Cell]], list[Trained]],
    graphs: Iterable[ng.NodeGraph],
    seeds: Iterable[int],
    *,
    size: int,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> list[Result]:
    """Return what `run_grid` returns; `train` is given `size` runs at a time, whose results are written together."""
    key = json.dumps(setting, sort_keys=True)
    wanted, cells = _missing(store, key, graphs, seeds)
    told(len(wanted) - len(cells), len(wanted))
    for start in range(0, len(cells), size):
        part = cells[start : start + size]
        trained = zip(part, train(part), strict=True)
        store.add(key, *(Result(name, seed, own) for (name, _, seed), own in trained))
        told(len(wanted) - len(cells) + start + len(part), len(wanted))
    return [result for result in store.results(key) if (result.graph, result.seed) in wanted]


def _missing(
    store: Store, key: str, graphs: Iterable[ng.NodeGraph], seeds: Iterable[int]
) -> tuple[set[tuple[str, int]], list[Cell]]:
    """Return what is wanted, and of that the runs whose results are not there; graphs are the inner loop."""
    every = list(graphs)
    wanted = {(name_of(graph), seed): graph for seed in seeds for graph in every}
    there = {(result.graph, result.seed) for result in store.results(key)}
    return set(wanted), [(name, graph, seed) for (name, seed), graph in wanted.items() if (name, seed) not in there]


def _computed(train: Train, cells: list[Cell], jobs: int, backend: str) -> Iterable[Result]:
    """Yield results as they come, from worker processes where joblib is installed."""
    if jobs == 1 or not cells:
        return (_run(train, cell) for cell in cells)
    try:
        from joblib import Parallel, delayed, parallel_config
    except ImportError:
        print("joblib is not installed: one run after the other")
        return (_run(train, cell) for cell in cells)
    if backend == "dask":
        from distributed import Client

        Client()  # joblib finds it; DASK_SCHEDULER_ADDRESS names a cluster that is there already
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with parallel_config(backend, n_jobs=jobs):  # which registers dask, and Parallel(backend=) does not
        parallel = Parallel(return_as="generator_unordered")
    return parallel(delayed(_run)(train, cell) for cell in cells)


def _run(train: Train, cell: Cell) -> Result:
    name, graph, seed = cell
    return Result(name, seed, train(graph, seed))
