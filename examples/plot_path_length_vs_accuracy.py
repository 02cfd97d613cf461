"""Path length against accuracy: do graphs of one degree with shorter paths make better masks?

Regular graphs of one degree, from the circulant, whose paths are longest, to the shortest that a search finds, become
masks (`pa.regular_masks`), and each masked network is trained from fresh weights with several seeds. All graphs of a
degree keep the same number of weights in each layer, so only the way in which they join channels differs.

    python examples/plot_path_length_vs_accuracy.py --quick
    python examples/plot_path_length_vs_accuracy.py --degree 4 6
    python examples/plot_path_length_vs_accuracy.py --data FOLDER --network resnet8 --device cuda --stack 40 --bfloat16

    python examples/plot_path_length_vs_accuracy.py --plane

prints one row for each graph, the rank correlations and the slope, and writes to out/:

    path_length.png, path_length.pdf    accuracy against mean path length, and against the normalised spectral gap
    path_length_plane.png, .pdf         with --plane: clustering against path length, coloured by accuracy
    path_length.sqlite                  all graphs and results; a run that was stopped goes on from there

FOLDER (or NETGRAPH_DATA) holds CIFAR-10 as cifar10_jpeg_train.npz and cifar10_jpeg_test.npz.
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

import netgraph as ng
import prune_adapters as pa
from path_length_grid import Result, ResultsFileError, Store, name_of, run_grid, run_together
from path_length_plane import Plane, graphs_over_plane, plot_plane
from path_length_stacked import Together, train_stacks
from path_length_tasks import INPUTS, TASKS, Task, train_masked, train_matched


def measure(graphs: list[ng.NodeGraph], results: list[Result]) -> pa.PathLengthReport:
    """Return what the results say about path length."""
    return pa.path_length_report(
        graphs, [[r.trained.accuracy for r in results if r.graph == name_of(graph)] for graph in graphs]
    )


def plot(reports: dict[int, pa.PathLengthReport], title: str, path: Path) -> None:
    """Draw accuracy against both measures, a row for each degree, as PNG and PDF."""
    size = {"nrows": len(reports), "figsize": (9.5, 0.8 + 3.6 * len(reports))}
    figure, rows = plt.subplots(ncols=2, sharey="row", squeeze=False, layout="constrained", **size)
    for (left, right), (degree, report) in zip(rows, reports.items(), strict=True):
        pa.plot_path_length(report, left)
        pa.plot_path_length(report, right, against="spectral gap").set_ylabel("")
        for ax in (left, right):
            ax.set_title(f"degree {degree}: {ax.get_title()}", fontsize=10)
    figure.suptitle(title, fontsize=11)
    for suffix in (".png", ".pdf"):
        figure.savefig(path.with_suffix(suffix), dpi=150)
    plt.close(figure)


def size_of(results: list[Result], share: float) -> str:
    """Return in words how large the networks are, which must be the same for all."""
    sizes = {(r.trained.kept, f"{r.trained.density:.3%}", f"{r.trained.effective:.3%}") for r in results}
    lines = (f"{kept} masked weights kept ({share:.2%}), {d} of all, {e} effective" for kept, d, e in sorted(sizes))
    return "; ".join(lines) + ("" if len(sizes) == 1 else ": the networks DIFFER in size")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    folder = os.environ.get("NETGRAPH_DATA")
    parser.add_argument("--data", type=Path, default=folder and Path(folder), help="folder with CIFAR-10")
    parser.add_argument("--network", choices=[n for n in TASKS if n != "digits"], default="mlp", help="for CIFAR-10")
    parser.add_argument("--nodes", type=int, help="of the graphs (default: 64; ResNets: 16)")
    parser.add_argument("--degree", type=int, nargs="+", help="of the graphs, one or several (default: 4)")
    parser.add_argument("--plane", action="store_true", help="graphs of all degrees over the plane of You et al.")
    parser.add_argument("--graphs", type=int, help="how many, at most (default: 12; plane: 60)")
    parser.add_argument("--seeds", type=int, default=8, help="trainings of each graph (default: 8)")
    parser.add_argument("--epochs", type=int, help="(default: 25; CIFAR-10: 40)")
    parser.add_argument("--device", default="cpu", help="such as cuda (default: cpu)")
    parser.add_argument("--stack", type=int, help="networks trained side by side in one, which a GPU needs")
    parser.add_argument("--streams", type=int, default=1, help="with --stack: such stacks at a time (default: 1)")
    parser.add_argument("--bfloat16", action="store_true", help="with --stack: multiply in bfloat16")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time (default: the processors)")
    parser.add_argument(
        "--backend",
        choices=["loky", "dask"],
        default="loky",
        help="of joblib; DASK_SCHEDULER_ADDRESS names a scheduler, whose workers need this folder in PYTHONPATH",
    )
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for what is written (default: out)")
    parser.add_argument("--results", type=Path, help="file of results (default: path_length.sqlite in that folder)")
    parser.add_argument("--quick", action="store_true", help="digits, few graphs, seeds and epochs: under a minute")
    args = parser.parse_args()
    if args.quick:
        args.data, args.graphs, args.jobs = None, 6, 1
        args.seeds, args.epochs, args.stack = (2, 3, None) if args.plane else (8, 10, 48)
    if args.data and not (args.data / "cifar10_jpeg_train.npz").exists():
        parser.error(
            f"--data or NETGRAPH_DATA: no cifar10_jpeg_train.npz in {args.data}; without a folder digits serve"
        )
    args.graphs = args.graphs or (60 if args.plane else 12)
    if args.plane and (args.stack or args.network not in INPUTS):
        parser.error("--plane: its networks are MLPs of different widths, so neither --stack nor another --network")
    if min(args.graphs, args.seeds, args.jobs, args.streams, args.stack or 1) < 1 or args.graphs < 2:
        parser.error("expected at least 2 --graphs, 1 of --seeds, --jobs, --stack and --streams")
    return args


def trained(
    args: argparse.Namespace, task: Task, epochs: int, store: Store, graphs: list[ng.NodeGraph]
) -> list[Result]:
    """Return the results of all graphs and seeds, from the store or trained."""

    def told(done: int, total: int) -> None:
        print(f"\r{done} of {total} runs", end="", file=sys.stderr, flush=True)

    setting, seeds = task.setting | {"epochs": epochs}, range(args.seeds)
    if args.stack is None:
        setting |= {"over": "plane"} if args.plane else {}
        train = partial(train_matched if args.plane else train_masked, task, args.data, epochs, args.device)
        results = run_grid(store, setting, train, graphs, seeds, jobs=args.jobs, backend=args.backend, told=told)
    else:
        together = Together(args.stack, args.streams, args.bfloat16)
        setting |= {"multiplied_in": "bfloat16"} if args.bfloat16 else {}
        many = partial(train_stacks, task, args.data, epochs, args.device, together)
        results = run_together(store, setting, many, graphs, seeds, size=together.runs, told=told)
    print(file=sys.stderr)
    return results


def shown(degree: int, n_nodes: int, results: list[Result], report: pa.PathLengthReport) -> None:
    """Print what was found for one degree."""
    n_graphs, n_seeds = report.accuracies.shape
    print(f"\n{n_graphs} graphs of {n_nodes} nodes and degree {degree}, {n_seeds} seeds")
    print(f"{size_of(results, degree / n_nodes)}\n\n{report}")


def plane(args: argparse.Namespace, task: Task, n_nodes: int, epochs: int, store: Store) -> None:
    """Train, print and draw the plane."""
    family = f"{args.graphs} of {n_nodes} nodes over the plane"
    graphs = store.graphs(family, partial(graphs_over_plane, n_nodes, args.graphs))
    results = trained(args, task, epochs, store, graphs)
    report = measure(graphs, results)
    clustering = np.array([ng.spectrum.clustering(graph) for graph in graphs])
    found = Plane(clustering, report.lengths, 100 * report.accuracies)
    best = found.means.argmax()
    print(f"{len(graphs)} graphs of {n_nodes} nodes, {args.seeds} seeds, the first of them complete: the dense network")
    print(f"Best: C {found.clustering[best]:.2f}, L {found.lengths[best]:.2f}: {found.means[best]:.2f} %")
    print(f"Dense: {found.means[0]:.2f} %; mean spread over seeds {100 * report.spreads.mean():.2f}")
    print(f"{found.sweet.sum()} graphs are not significantly worse than the best (one-sided t-test, p >= 0.05)")
    for name, x in (("C", found.clustering), ("L", found.lengths)):
        print(f"Spearman of {name} with accuracy: {pa.rank_correlation(x, found.accuracies)}")
    title = (
        f"{task.title} if dense, {epochs} epochs\n{len(graphs)} ws-flex graphs of {n_nodes} nodes, {args.seeds} seeds"
    )
    plot_plane(found, f"{title}, all networks keep as many weights", args.out / "path_length_plane.png")
    print(f"Pictures: {args.out / 'path_length_plane.png'}, {args.out / 'path_length_plane.pdf'}")


def main() -> None:
    args = arguments()
    task = TASKS[args.network if args.data else "digits"]
    n_nodes, degrees, epochs = args.nodes or task.n_nodes, args.degree or [task.degree], args.epochs or task.epochs
    args.out.mkdir(parents=True, exist_ok=True)
    store = Store(args.results or args.out / "path_length.sqlite")
    print(task.title)
    if args.plane:
        plane(args, task, n_nodes, epochs, store)
        return
    reports = {}
    for degree in dict.fromkeys(degrees):
        family = f"{args.graphs} of {n_nodes} nodes and degree {degree}" + ", quick" * args.quick
        steps = 20_000 if args.quick else 300_000
        make = partial(pa.graphs_of_all_lengths, n_nodes, degree, args.graphs, steps=steps, seed=0)
        graphs = store.graphs(family, make)
        results = trained(args, task, epochs, store, graphs)
        reports[degree] = measure(graphs, results)
        shown(degree, n_nodes, results, reports[degree])
    kept = ", ".join(f"{degree / n_nodes:.2%}" for degree in reports)
    title = f"{task.title}, {epochs} epochs\n{n_nodes} nodes, {kept} of masked weights kept, {args.seeds} seeds"
    plot(reports, title, args.out / "path_length.png")
    print(f"Pictures: {args.out / 'path_length.png'}, {args.out / 'path_length.pdf'}")


if __name__ == "__main__":
    try:
        main()
    except (ResultsFileError, ng.NetGraphError) as error:
        sys.exit(f"error: {error}")
