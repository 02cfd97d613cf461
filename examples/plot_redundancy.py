"""How much of a residual network's channels do earlier blocks foretell?

For every two residual blocks, each channel of the later one is regressed on all channels of the earlier one, at the
same position; drawn is R2 on pictures that the regression has not seen, and the share of channels above 0.9. Beside the
trained network stands the same one with weights that nothing has trained: what both have in common owes nothing to
training.

    python examples/plot_redundancy.py
    python examples/plot_redundancy.py --data FOLDER --network resnet20 --epochs 10

prints the matrix and its means, and writes to out/:

    redundancy.png, redundancy.pdf

Without a folder a small ResNet learns scikit-learn's digits. FOLDER (or NETGRAPH_DATA) holds CIFAR-10 as
cifar10_jpeg_train.npz and cifar10_jpeg_test.npz. A reconstruction from the abstract of GraphPruning (Zhang et al.,
2019), which claims such redundancy: how it was measured there is not known.
"""

import argparse
import os
from functools import partial
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.image import AxesImage
from torch import Tensor, nn

import prune_adapters as pa
from models import Basic, resnet20, stages
from path_length_tasks import data
from prune_adapters.graph_pruning.redundancy.redundancy import Redundancy, Scores, redundancy

BLUE, ORANGE, GREY, DARK = "#0072B2", "#E69F00", "#BBBBBB", "#4D4D4D"
Pair = tuple[Tensor, Tensor]


def resnet_for_digits(*, width: int = 16) -> nn.Sequential:
    """Return a residual network of two stages of four blocks for pictures of 8 x 8."""
    body, channels = stages(Basic, [4, 4], width)
    stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
    return nn.Sequential(stem, body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


NETWORKS = {"resnet20": resnet20, "resnet20_wide": partial(resnet20, width=32)}


def loaded(folder: Path | None) -> tuple[Pair, Pair]:
    """Return pictures and classes to train on and to test with."""
    if folder is not None:
        return data(folder)
    train, test = ((x.reshape(-1, 1, 8, 8), y) for x, y in data(None))
    return train, test


def trained(model: nn.Module, train: Pair, *, epochs: int, seed: int) -> nn.Module:
    """Return the model after SGD with momentum under one cosine."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    pa.train(model, train, epochs=epochs, optimizer=optimizer, scheduler=schedule, batch_size=128, seed=seed)
    return model


def plot(found: Redundancy, title: str, path: Path) -> None:
    """Draw both matrices and, beside them, how R2 is spread over the channels, as PNG and PDF."""
    figure, axes = plt.subplots(ncols=3, figsize=(12, 4.1), layout="constrained", width_ratios=[1, 1, 0.95])
    figure.get_layout_engine().set(wspace=0.04)
    for ax, scores, shares, name in (
        (axes[0], found.scores, found.shares, "trained"),
        (axes[1], found.twin, found.twin_shares, "untrained"),
    ):
        image = plot_matrix(ax, scores, shares, found)
        ax.set_title(f"{name}: % of channels with R\N{SUPERSCRIPT TWO} > {found.threshold:g}", fontsize=10)
    axes[0].set_ylabel("later block", fontsize=9)
    bar = figure.colorbar(image, ax=axes[:2], shrink=0.9, pad=0.015)
    bar.set_label("colour: mean R\N{SUPERSCRIPT TWO} of the later block's channels", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    plot_spread(axes[2], found)
    figure.suptitle(title, fontsize=11)
    for suffix in (".png", ".pdf"):
        figure.savefig(path.with_suffix(suffix), dpi=150)
    plt.close(figure)


def plot_matrix(ax: plt.Axes, scores: Scores, shares: np.ndarray, found: Redundancy) -> AxesImage:
    """Draw the pairs of blocks as a triangle of cells: mean R2 as colour, the share as a number."""
    n = len(found.names)
    means = np.full((n, n), np.nan)
    for (earlier, later), own in scores.items():
        means[later, earlier] = own[~np.isnan(own)].clip(0).mean() if not np.isnan(own).all() else np.nan
    image = ax.imshow(means[1:, :-1], vmin=0, vmax=1, cmap="Blues")
    for row, column in zip(*np.nonzero(~np.isnan(shares)), strict=True):
        colour = "white" if means[row, column] > 0.6 else "black"
        ax.text(column, row - 1, f"{100 * shares[row, column]:.0f}", ha="center", va="center", fontsize=7, color=colour)
        ax.add_patch(plt.Rectangle((column - 0.5, row - 1.5), 1, 1, fill=False, edgecolor=GREY, linewidth=0.5))
    for place in np.flatnonzero(np.diff(found.stages)):
        # From the diagonal down and to the left: on this side of both lines are pairs of different stages.
        ax.plot([-0.5, place + 0.5], [place - 0.5] * 2, color=DARK, linewidth=1.3)
        ax.plot([place + 0.5] * 2, [place - 0.5, n - 1.5], color=DARK, linewidth=1.3)
    ax.set_xticks(range(n - 1), range(1, n))
    ax.set_yticks(range(n - 1), range(2, n + 1))
    ax.set_xlabel("earlier block (lines: a new stage)", fontsize=9)
    ax.tick_params(labelsize=8, length=0)
    ax.spines[:].set_visible(False)
    return image


def plot_spread(ax: plt.Axes, found: Redundancy) -> None:
    """Draw the share of channels above each R2, over pairs of one stage and of different stages, of both networks."""
    for same, colour in ((True, BLUE), (False, ORANGE)):
        for twin, style in ((False, "-"), (True, ":")):
            scores = np.sort(found.pooled(same_stage=same, twin=twin).clip(0, 1))
            stages, weights = "one stage" if same else "different stages", "untrained" if twin else "trained"
            above = 100 * (1 - np.arange(len(scores)) / max(len(scores), 1))
            ax.plot(scores, above, style, color=colour, drawstyle="steps-pre", label=f"{stages}, {weights}")
    ax.axvline(found.threshold, color=GREY, linewidth=1, zorder=0)
    ax.annotate(f"{found.threshold:g}", (found.threshold, 97), xytext=(3, 0), textcoords="offset points", fontsize=8)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 100)
    ax.set_xlabel("R\N{SUPERSCRIPT TWO}", fontsize=9)
    ax.set_ylabel("channels with at least this R\N{SUPERSCRIPT TWO}, %", fontsize=9)
    ax.tick_params(labelsize=8)
    place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "borderaxespad": 0.2}
    ax.legend(frameon=False, fontsize=8, ncols=2, columnspacing=1.2, **place)
    ax.spines[["top", "right"]].set_visible(False)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    folder = os.environ.get("NETGRAPH_DATA")
    parser.add_argument("--data", type=Path, default=Path(folder) if folder else None, help="folder with CIFAR-10")
    parser.add_argument("--network", choices=list(NETWORKS), default="resnet20", help="for CIFAR-10")
    parser.add_argument("--epochs", type=int, help="(default: 30; CIFAR-10: 10)")
    parser.add_argument("--samples", type=int, default=4000, help="pairs of a picture and a position (default: 4000)")
    parser.add_argument("--seed", type=int, default=0, help="of the weights, the batches and the pictures (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the pictures (default: out)")
    parser.add_argument("--quick", action="store_true", help="digits and few epochs, to see that it runs")
    args = parser.parse_args()
    if args.quick:
        args.data, args.epochs = None, 2
    if args.data and not (args.data / "cifar10_jpeg_train.npz").exists():
        parser.error(
            f"--data or NETGRAPH_DATA: no cifar10_jpeg_train.npz in {args.data}; without a folder digits serve"
        )
    args.epochs = args.epochs or (10 if args.data else 30)
    if args.epochs < 1 or args.samples < 100:
        parser.error("expected at least 1 of --epochs and 100 of --samples")
    return args


def main() -> None:
    args = arguments()
    torch.set_num_threads(1 if args.data is None else os.cpu_count() or 1)
    torch.manual_seed(args.seed)
    train, test = loaded(args.data)
    model = NETWORKS[args.network]() if args.data else resnet_for_digits()
    trained(model, train, epochs=args.epochs, seed=args.seed)
    name = "ResNet for CIFAR-10 (JPEG q75)" if args.data else "ResNet for digits"
    title = f"{name}, {args.epochs} epochs, test accuracy {pa.accuracy(model, *test):.1%}"
    # The pictures are none that the network was trained on.
    found = redundancy(model, test[0], samples=args.samples, seed=args.seed)
    print(f"{title}\n{found}")
    args.out.mkdir(parents=True, exist_ok=True)
    plot(found, title, args.out / "redundancy.png")
    print(f"Pictures: {args.out / 'redundancy.png'}, {args.out / 'redundancy.pdf'}")


if __name__ == "__main__":
    main()
