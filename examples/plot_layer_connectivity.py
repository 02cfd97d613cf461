"""Prune a small network on real data, train it on, and see which connections still work.

A convolutional network with a residual block learns scikit-learn's handwritten digits (1,797 pictures of 8 x 8).
Weights are removed at several sparsities, by magnitude and at random, then the rest is trained on under the mask. A
*direct* target counts the weights that are kept, an *effective* one those on a path from the input to the output.

    python examples/plot_layer_connectivity.py

prints the accuracies and the connectivity of every layer, and writes to out/:

    accuracy.png    accuracy and effective sparsity at each sparsity that was asked for
    profile.png     live, constant and dead units and kept weights, layer by layer
    network.png     a very small network unit by unit, with its dead parts
    report.csv      the table of connectivity
"""

import argparse
import copy
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import rich
import torch
from rich import box
from rich.progress import track
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional as F

import netgraph as ng
import prune_adapters as pa

Data = tuple[Tensor, Tensor]
WAYS = {
    "magnitude, direct": {"marker": "o", "color": "#0072B2"},
    "magnitude, effective": {"marker": "s", "color": "#E69F00", "linestyle": "--", "markerfacecolor": "none"},
    "random, direct": {"marker": "^", "color": "#D55E00"},
}


class DigitNet(nn.Module):
    """Four 3x3 convolutions, two of them around a skip and one with stride 2, then two linear layers."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.hidden = nn.Linear(2 * width * 16, 64)
        self.classes = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = F.relu(x + self.second(F.relu(self.first(x))))
        x = F.relu(self.down(x)).flatten(1)
        return self.classes(F.relu(self.hidden(x)))


@dataclass(frozen=True)
class Pruned:
    """A pruned and retrained network, with what it reached."""

    model: nn.Module
    graph: ng.NetGraph
    way: str
    asked: float
    accuracy_before: float
    accuracy_after: float


def digits(*, seed: int) -> tuple[Data, Data]:
    """Return training and test data: pictures of shape (n, 1, 8, 8) in [0, 1], and their classes."""
    data = load_digits()
    pictures, classes = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16, torch.tensor(data.target)
    train, test = train_test_split(range(len(classes)), test_size=0.25, stratify=data.target, random_state=seed)
    return (pictures[train], classes[train]), (pictures[test], classes[test])


def fit(model: nn.Module, train: Data, *, epochs: int, seed: int) -> None:
    """Train in place; weights that `apply_masks` removed stay removed, as with `keep_masks` in a loop of your own."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    pa.train(model, train, epochs=epochs, optimizer=optimizer, batch_size=64, seed=seed, progress=False)


def prune(dense: nn.Module, way: str, sparsity: float, train: Data, test: Data, *, epochs: int, seed: int) -> Pruned:
    """Return a copy of `dense` with weights removed, trained on."""
    model, example = copy.deepcopy(dense), train[0][:1]
    kind, target = way.split(", ")
    scores = pa.magnitude_scores(model) if kind == "magnitude" else pa.random_scores(model, seed=seed)
    masks = pa.masks_from_scores(scores, sparsity=sparsity, target=target, graph=pa.to_graph(model, example))
    pa.apply_masks(model, masks)
    before = pa.accuracy(model, *test)
    fit(model, train, epochs=epochs, seed=seed)
    return Pruned(model, pa.to_graph(model, example), way, sparsity, before, pa.accuracy(model, *test))


def trimmed_accuracy(pruned: Pruned, test: Data) -> float:
    """Return the accuracy under the consistent mask, without any further training."""
    model = copy.deepcopy(pruned.model)
    pa.apply_masks(model, pa.to_masks(ng.trim(pruned.graph)))
    return pa.accuracy(model, *test)


def results_table(dense: Pruned, results: Iterable[Pruned]) -> Table:
    """Return one row for each network."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for name in ("scores, target", "asked", "removed", "effective", "smaller", "pruned", "trained"):
        table.add_column(name, justify="left" if name == "scores, target" else "right", no_wrap=True)
    for r in (dense, *results):
        shares = (ng.sparsity(r.graph), ng.effective_sparsity(r.graph))
        compression = f"{ng.effective_compression_ratio(r.graph):.0f} x"
        accuracies = (r.accuracy_before, r.accuracy_after)
        way = "dense" if r is dense else r.way
        table.add_row(
            way, f"{r.asked:.0%}", *(f"{s:.2%}" for s in shares), compression, *(f"{a:.1%}" for a in accuracies)
        )
    return table


def plot_accuracy(dense: Pruned, results: list[Pruned], path: Path) -> None:
    """Draw accuracy, and effective density, against the density that was asked for."""
    figure, (left, right) = plt.subplots(ncols=2, figsize=(9.5, 3.8), layout="constrained")
    asked = sorted({100 * (1 - r.asked) for r in results})
    left.axhline(100 * dense.accuracy_after, color="#999999", linewidth=1)
    right.plot(asked, asked, color="#999999", linewidth=1, label="dense (left), all that is kept works (right)")
    for way, look in WAYS.items():
        own = [r for r in results if r.way == way]
        kept = [100 * (1 - r.asked) for r in own]
        left.plot(kept, [100 * r.accuracy_after for r in own], **look)
        right.plot(kept, [100 * ng.effective_density(r.graph) for r in own], label=way, **look)
    left.set_ylabel("test accuracy after training on, %")
    right.set_ylabel("weights on a path from input to output, %")
    right.set_yscale("log", nonpositive="mask")
    right.yaxis.set_major_formatter("{x:g}")
    for ax in (left, right):
        ax.set_xscale("log")
        ax.invert_xaxis()
        ax.set_xticks(asked, [f"{a:g}" for a in asked])
        ax.minorticks_off()
        ax.set_xlabel("weights to keep, % (log scale)")
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def tiny_network(train: Data, *, epochs: int, seed: int) -> ng.NetGraph:
    """Return the graph of a network that is small enough to draw: digits as 4 x 4 pictures, 12 % of weights kept."""
    small = (F.avg_pool2d(train[0], 2).flatten(1), train[1])
    model = nn.Sequential(nn.Linear(16, 14), nn.ReLU(), nn.Linear(14, 12), nn.ReLU(), nn.Linear(12, 10))
    fit(model, small, epochs=epochs, seed=seed)
    masks = pa.masks_from_scores(pa.magnitude_scores(model), sparsity=0.88, scope="layer")
    return pa.to_graph(model, small[0][:1], masks=masks)


def plot_tiny(graph: ng.NetGraph, path: Path) -> None:
    """Draw a network as pruned and after `trim`."""
    figure, axes = plt.subplots(ncols=2, figsize=(12, 5), layout="constrained")
    for ax, shown, title in zip(axes, (graph, ng.trim(graph)), ("pruned", "pruned and trimmed"), strict=True):
        ng.plot_network(shown, ax)
        ax.set_title(f"{title}: {ng.sparsity(shown):.1%} of the weights removed", pad=40)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the pictures (default: out)")
    parser.add_argument("--seed", type=int, default=0, help="of the split, the weights and the batches (default: 0)")
    parser.add_argument("--quick", action="store_true", help="one epoch and two sparsities, to see that it runs")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    sparsities = [0.9, 0.98] if args.quick else [0.8, 0.9, 0.95, 0.98, 0.99]
    epochs = 1 if args.quick else 12
    torch.set_num_threads(1)  # the network is too small for more
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)

    train, test = digits(seed=args.seed)
    model = DigitNet()
    fit(model, train, epochs=epochs, seed=args.seed)
    dense = prune(model, "magnitude, direct", 0.0, train, test, epochs=epochs, seed=args.seed)
    settings = [(way, sparsity) for sparsity in sparsities for way in WAYS]
    results = [
        prune(model, way, sparsity, train, test, epochs=epochs, seed=args.seed)
        for way, sparsity in track(settings, "Pruning and training on")
    ]
    rich.print("Accuracy on digits that were not trained on, just pruned and trained on:")
    rich.print(results_table(dense, results))
    plot_accuracy(dense, results, args.out / "accuracy.png")

    chosen = next(r for r in results if r.asked == 0.98)
    report = pa.report(chosen.graph)
    rich.print(f"Connectivity of the network with {chosen.asked:.0%} removed ({chosen.way}):", report, sep="\n")
    useless = report.total.kept - report.total.consistent
    accuracies = f"{chosen.accuracy_after:.1%} before, {trimmed_accuracy(chosen, test):.1%} after"
    rich.print(f"\nThe consistent mask removes {useless} more weights; accuracy {accuracies}.")
    report.to_csv(args.out / "report.csv")
    report.plot(args.out / "profile.png")
    plot_tiny(tiny_network(train, epochs=epochs, seed=args.seed), args.out / "network.png")
    rich.print(f"Pictures: {', '.join(sorted(str(p) for p in args.out.glob('*.png')))}")


if __name__ == "__main__":
    main()
