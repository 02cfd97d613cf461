"""TCMP against magnitude pruning, at equal effective size: accuracy on skeleton sequences over five folds.

    python examples/reproduce_tcmp.py --quick
    python examples/reproduce_tcmp.py --data FOLDER
    python examples/reproduce_tcmp.py --data FOLDER --networks gcn --sparsity 0.98 0.99 --methods TCMP --seeds 3

FOLDER (or NETGRAPH_DATA) holds SBU Kinect Interaction as sbu_chunks.npz; digits serve without it. Each row gives direct
and effective size, the mean accuracy over folds and seeds, the standard deviation over seeds of the mean over the
folds, and the difference to gradual magnitude pruning that trims to the effective size, with its standard error over
the seeds, which both share. Results go to out/tcmp.sqlite one by one: a run that was stopped goes on from there.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rich
from rich import box
from rich.table import Table

from path_length_grid import Result, ResultsFileError, Store
from skeleton_tasks import METHODS, NETWORKS, Run, train

SPARSITIES = (0.9, 0.95, 0.98, 0.99, 0.995)
BASELINE = "gradual, effective"
HEADS = ("sparsity %", "method", "direct %", "effective %", "accuracy %", "spread", "over gradual")
FOLDS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Cell:
    """A row of the table: a network and a method at a sparsity."""

    network: str
    method: str
    sparsity: float
    epochs: int
    data: str

    @property
    def key(self) -> str:
        """The setting under which the store keeps its results."""
        return json.dumps(vars(self), sort_keys=True)

    def run(self, fold: int, seed: int) -> Run:
        """Return one training of the row."""
        return Run(self.network, self.method, self.sparsity, fold, seed, self.epochs)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    folder = os.environ.get("NETGRAPH_DATA")
    parser.add_argument("--data", type=Path, default=folder, help="folder with sbu_chunks.npz (NETGRAPH_DATA)")
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=["mlp"])
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS), metavar="METHOD")
    parser.add_argument("--sparsity", nargs="+", type=float, default=SPARSITIES, help="fractions of the weights")
    parser.add_argument("--seeds", type=int, default=3, help="(default: 3)")
    parser.add_argument("--epochs", type=int, default=600, help="each is one step (default: 600)")
    parser.add_argument("--results", type=Path, default=Path("out/tcmp.sqlite"), help="(default: out/tcmp.sqlite)")
    parser.add_argument("--quick", action="store_true", help="digits, one fold and seed, 40 epochs: under a minute")
    args = parser.parse_args()
    if args.quick:
        args.data, args.networks, args.sparsity, args.seeds, args.epochs = None, ["mlp"], [0.95], 1, 40
    if args.data and not (args.data / "sbu_chunks.npz").exists():
        parser.error(f"--data or NETGRAPH_DATA: no sbu_chunks.npz in {args.data}; without a folder digits serve")
    if args.seeds < 1 or args.epochs < 10 or not all(0 < s < 1 for s in args.sparsity):
        parser.error("expected at least 1 of --seeds, 10 --epochs, and each --sparsity between 0 and 1")
    args.folds = FOLDS[:1] if args.quick else FOLDS
    return args


def cells(args: argparse.Namespace) -> Iterator[Cell]:
    """Yield the rows in their order; a dense network has one for all sparsities."""
    name = "sbu" if args.data else "digits"
    for network in args.networks:
        if "dense" in args.methods:
            yield Cell(network, "dense", 0.0, args.epochs, name)
        for sparsity in args.sparsity:
            for method in args.methods:
                if method != "dense":
                    yield Cell(network, method, sparsity, args.epochs, name)


def trained(args: argparse.Namespace, store: Store, rows: list[Cell]) -> dict[Cell, np.ndarray]:
    """Return accuracy, direct and effective density of all rows: shape (3, seeds, folds); seeds are the outer loop."""
    wanted = [(cell, seed, fold) for seed in range(args.seeds) for cell in rows for fold in args.folds]
    there = {(cell, r.seed, int(r.graph)) for cell in rows for r in store.results(cell.key)}
    for number, (cell, seed, fold) in enumerate(wanted, start=1):
        if (cell, seed, fold) not in there:
            store.add(cell.key, Result(str(fold), seed, train(cell.run(fold, seed), args.data)))
        print(f"\r{number} of {len(wanted)} runs", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    found = {}
    for cell in rows:
        own = {(r.seed, int(r.graph)): r.trained for r in store.results(cell.key)}
        table = [[own[seed, fold] for fold in args.folds] for seed in range(args.seeds)]
        found[cell] = np.array([[(t.accuracy, t.density, t.effective) for t in row] for row in table]).transpose(
            2, 0, 1
        )
    return found


def shown(args: argparse.Namespace, found: dict[Cell, np.ndarray]) -> None:
    """Print one table for each network."""
    rich.get_console().width = max(rich.get_console().width, 110)
    for network in args.networks:
        table = Table(*HEADS, box=box.SIMPLE)
        for cell, figures in found.items():
            if cell.network == network:
                table.add_row(*_cells(cell, figures, found))
        print(f"\n{network}, {args.epochs} epochs, {len(args.folds)} folds, {args.seeds} seeds")
        rich.print(table)


def _cells(cell: Cell, figures: np.ndarray, found: dict[Cell, np.ndarray]) -> list[str]:
    accuracy = figures[0].mean(1)
    spread = f"{accuracy.std(ddof=1):.1f}" if len(accuracy) > 1 else "-"
    base = found.get(Cell(cell.network, BASELINE, cell.sparsity, cell.epochs, cell.data))
    ahead = "-"
    if base is not None and cell.method != BASELINE:
        ahead = estimate(accuracy - base[0].mean(1))
    sizes = [f"{100 * density.mean():.2f}" for density in figures[1:]]
    return [f"{100 * cell.sparsity:g}", cell.method, *sizes, f"{accuracy.mean():.1f}", spread, ahead]


def estimate(differences: np.ndarray) -> str:
    """Return the mean and its standard error, where there are several."""
    if len(differences) == 1:
        return f"{differences[0]:+.1f}"
    return f"{differences.mean():+.1f} +- {differences.std(ddof=1) / len(differences) ** 0.5:.1f}"


def main() -> None:
    """Train what is missing and print the tables."""
    args = arguments()
    args.results.parent.mkdir(parents=True, exist_ok=True)
    store = Store(args.results)
    shown(args, trained(args, store, list(cells(args))))


if __name__ == "__main__":
    try:
        main()
    except ResultsFileError as error:
        sys.exit(f"error: {error}")
