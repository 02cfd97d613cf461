"""Selective weight decay against magnitude pruning: accuracy before and after the removal, down to 0.1 % of weights.

    python examples/reproduce_swd.py --quick
    python examples/reproduce_swd.py --network mlp5 --data FOLDER
    python examples/reproduce_swd.py --network resnet8 --width 8 --subset 5000 --densities 10 1 0.1 --data FOLDER
    python examples/reproduce_swd.py --network resnet20 --width 64 --device cuda --data FOLDER

prints a table with mean and spread over the seeds, all methods at the same number of epochs, and keeps every run in
out/swd.sqlite; what was stopped goes on from there. "direct" is the share of weights that masks keep, "effective" the
share that also lies on a path from the input to the output; both are over all edges, the last removal done. Selective
weight decay needs some 1,000 steps or more: the 70 of --quick show that it runs, and no more than that.

FOLDER (or NETGRAPH_DATA) holds CIFAR-10 as cifar10_jpeg_train.npz and cifar10_jpeg_test.npz, or 5,000 and 1,000
pictures of Fashion-MNIST as fashion_mnist_small_5000_1000.npz.
"""

import argparse
import json
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rich
import torch
from rich import box
from rich.table import Table

from path_length_grid import Result, ResultsFileError, Store, Trained
from swd_runs import METHODS, NETWORKS, Setting, run

SHRINK = -15.0
DENSITIES = [10.0, 5.0, 2.0, 1.0, 0.5, 0.1]
DEFAULTS = {"digits": (20, 0), "mlp5": (60, 0), "resnet8": (30, 0), "resnet8-half": (20, 8), "resnet20": (60, 0)}
"""Epochs and width (0: the usual one) of each network."""
COLUMNS = ("kept, %", "method", "before, %", "after, %", "direct, %", "effective, %", "seeds")


def run_all(store: Store, setting: Setting, options: argparse.Namespace) -> list[Result]:
    """Return the results of all methods, densities and seeds; those in the store are not trained again."""
    key = json.dumps(setting.key, sort_keys=True)
    cells = list(_cells(options))
    for done, (method, density, seed) in enumerate(cells, 1):
        names = [name_of(method, density, stage) for stage in ("before", "after")]
        there = {(result.graph, result.seed) for result in store.results(key)}
        if not all((name, seed) in there for name in names):
            pair = run(setting, options.data, method, density / 100, seed)
            store.add(key, *(Result(name, seed, own) for name, own in zip(names, pair, strict=True)))
        print(f"\r{done} of {len(cells)} runs", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return store.results(key)


def _cells(options: argparse.Namespace) -> Iterator[tuple[str, float, int]]:
    """Yield the runs, seeds outermost, so that a sweep that was stopped has as many of each."""
    for seed in range(options.seeds):
        for density in options.densities:
            for method in options.methods:
                yield method, density, seed


def name_of(method: str, density: float, stage: str) -> str:
    """Return the name under which the store holds a result."""
    return f"{method}, {density:g} %, {stage}"


def table_of(results: list[Result], options: argparse.Namespace, title: str) -> Table:
    """Return a row for each density and method."""
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "method" else "right")
    for density in options.densities:
        for method in options.methods:
            before, after = (
                [r.trained for r in results if r.graph == name_of(method, density, s) and r.seed < options.seeds]
                for s in ("before", "after")
            )
            sizes = [f"{100 * np.mean([getattr(t, n) for t in after]):.3f}" for n in ("density", "effective")]
            table.add_row(f"{density:g}", method, accuracy_of(before), accuracy_of(after), *sizes, str(len(after)))
        table.add_section()
    return table


def accuracy_of(runs: list[Trained]) -> str:
    """Return the mean accuracy and its standard deviation over seeds."""
    percent = [100 * own.accuracy for own in runs]
    return f"{np.mean(percent):.1f}" + (f" +- {np.std(percent, ddof=1):.1f}" if len(percent) > 1 else "")


def parsed() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    folder = os.environ.get("NETGRAPH_DATA")
    parser.add_argument("--data", type=Path, default=Path(folder) if folder else None, help="folder of the pictures")
    parser.add_argument("--network", choices=NETWORKS, default="digits")
    parser.add_argument("--width", type=int, default=None, help="channels of the first stage, or of hidden layers")
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--subset", type=int, default=0, help="train on so many pictures; 0: on all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--densities", type=float, nargs="+", default=DENSITIES, help="per cent of the weights to keep")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--device", default="cpu", help="such as cuda, in bfloat16 (default: cpu)")
    parser.add_argument("--shrink", type=float, default=SHRINK, help="log10 that SWD shrinks weights to in 1,000 steps")
    parser.add_argument("--results", type=Path, default=Path("out/swd.sqlite"))
    parser.add_argument("--quick", action="store_true", help="digits, one density, one seed: shows that it runs")
    return parser.parse_args()


def main() -> None:
    """Run what is missing, and print the table."""
    options = parsed()
    if options.quick:
        options.network, options.data, options.seeds, options.densities = "digits", None, 1, [5.0]
        options.epochs = options.epochs or 10
    if options.network != "digits" and options.data is None:
        sys.exit(f"--network {options.network}: expected a folder with its pictures; pass --data or set NETGRAPH_DATA")
    epochs, width = DEFAULTS[options.network]
    size = options.width or width, options.epochs or epochs, options.subset
    setting = Setting(options.network, *size, options.shrink, options.device)
    torch.set_num_threads(1)
    torch.backends.cudnn.benchmark = True
    options.results.parent.mkdir(parents=True, exist_ok=True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Selective.*what is removed|.*target missed")  # the table tells
            results = run_all(Store(options.results), setting, options)
    except ResultsFileError as error:
        sys.exit(str(error))
    title = f"{setting.network}, {setting.epochs} epochs: test accuracy before and after the last removal"
    rich.get_console().width = max(rich.get_console().width, 110)
    rich.print(table_of(results, options, title))


if __name__ == "__main__":
    main()
