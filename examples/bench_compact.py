"""What compaction takes away from pruned networks, and what it does to their outputs: one thread.

    python examples/bench_compact.py
    python examples/bench_compact.py --only ResNet-50 --seeds 3

takes some twenty minutes for all networks, and a few seconds for a small one.

Each network learns for a few steps, gets random biases and statistics (a few steps hardly move them), loses 50, 90 and
99 % of its weights by global magnitude or at random, and is compacted: medians over seeds, with the least and the
largest ratio. The output error is max|dy| / max|y| against the masked network, the largest over all seeds, in eval mode
on images of three sizes where the network takes them, in float32 and float64. Torch-Pruning, where it is installed,
removes the channels that the graph says do not depend on the input or have no effect, coupled ones only together;
what it leaves and its output error stand beside ours.

Networks trained this little lose their last path at 99 %. Such a row is marked dead: its ratio is no gain to quote.
Networks of torchvision take part where it is installed.
"""

import argparse
import copy
import io
import warnings
from collections.abc import Callable, Sequence
from itertools import product
from statistics import median

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

import netgraph as ng
import prune_adapters as pa
from benchmark import Case, Row, arguments, measure, report, versions
from compact_subjects import QUICK, SUBJECTS, Subject

try:
    import torch_pruning
except ImportError:
    torch_pruning = None

BOUNDS = {torch.float32: 1e-5, torch.float64: 1e-12}
SPARSITIES = (0.5, 0.9, 0.99)
SCORES: dict[str, Callable[[nn.Module, int], dict[str, Tensor]]] = {
    "magnitude": lambda model, seed: pa.magnitude_scores(model),
    "random": lambda model, seed: pa.random_scores(model, seed=seed),
}
Figure = tuple[float, float | None]
"""Ours and the peer's."""


def sizes(model: nn.Module, x: Tensor) -> dict[tuple[str, str], float]:
    """Return everything that is counted, by name and unit."""
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return {
        ("parameters", "k"): sum(p.numel() for p in model.parameters()) / 1e3,
        ("multiply-adds", "M"): pa.count_macs(model, x).macs / 1e6,
        ("file", "MB"): file.getbuffer().nbytes / 1e6,
    }


def error(model: nn.Module, expected: nn.Module, images: list[Tensor], dtype: torch.dtype) -> float:
    """Return the largest max|dy| / max|y| over the images."""
    model, expected = (copy.deepcopy(m).to(dtype) for m in (model, expected))
    with torch.no_grad():
        pairs = [(model(x.to(dtype)), expected(x.to(dtype))) for x in images]
    return max(float((y - right).abs().max() / right.abs().max()) for y, right in pairs)


def removable(graph: ng.NetGraph, path: str) -> np.ndarray:
    """Return which units of a layer are dead, zero or constant, and no outputs: ndarray of bool."""
    free = ~(ng.accessible(graph) & ng.co_accessible(graph))
    free[graph.outputs] = False
    return free[graph.slices[path]]


def torch_pruned(model: nn.Module, graph: ng.NetGraph, x: Tensor) -> nn.Module:
    """Return the masked network without its removable channels, taken out by Torch-Pruning; one channel is left."""
    pruned = copy.deepcopy(model)
    paths = {module: path for path, module in pruned.named_modules()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dependencies = torch_pruning.DependencyGraph().build_dependency(pruned, x, verbose=False)
        chosen = [(group, going(group, graph, paths)) for group in dependencies.get_all_groups()]
        for group, channels in chosen:
            dep = group[0].dep
            if channels:
                dependencies.get_pruning_group(dep.target.module, dep.handler, idxs=channels).prune()
    return pruned


def going(group: object, graph: ng.NetGraph, paths: dict[nn.Module, str]) -> list[int]:
    """Return the channels of a group of Torch-Pruning that every layer that makes them can do without."""
    makers = (torch_pruning.prune_conv_out_channels, torch_pruning.prune_linear_out_channels)
    depthwise = torch_pruning.prune_depthwise_conv_out_channels
    channels = np.array(group[0].idxs)
    free = np.ones(len(channels), dtype=bool)
    for dep, places in group:
        if dep.handler in (*makers, depthwise):
            free &= removable(graph, paths[dep.target.module])[places]
    return channels[free][: len(channels) - 1].tolist()


def outcome(subject: Subject, kind: str, sparsity: float, seed: int, options: argparse.Namespace) -> dict:
    """Return all figures of one pruned network, by name and unit; ``dead`` says that no path is left."""
    model, images = trained(subject, seed, options.quick), subject.images()
    x = images[0][:1]
    masks = pa.masks_from_scores(SCORES[kind](model, seed), sparsity=sparsity)
    graph = pa.to_graph(model, x, masks=masks)
    masked = pa.remove_masks(pa.apply_masks(copy.deepcopy(model), pa.to_masks(graph)))
    compacted = pa.compact(model, graph, x)
    after = sizes(compacted, x)
    figures: dict = {name: (after[name], before) for name, before in sizes(masked, x).items()}
    figures |= latencies(masked, compacted, images[0], options.rounds)
    for dtype, found in errors(model, graph, x, images).items():
        figures[f"output error, {str(dtype)[6:]}", "of max|y|"] = (found, None)
    if torch_pruning:
        figures |= peer_figures(masked, graph, images, after["parameters", "k"])
    return figures | {"dead": not ng.accessible(graph)[graph.outputs].any()}


def peer_figures(masked: nn.Module, graph: ng.NetGraph, images: list[Tensor], ours: float) -> dict:
    """Return what Torch-Pruning leaves, and its output error; nothing where its result does not run."""
    peer = torch_pruned(masked, graph, images[0][:1])
    try:
        moved = error(peer, masked, images, torch.float32)
    except (RuntimeError, ValueError):
        return {}
    left = sum(p.numel() for p in peer.parameters()) / 1e3
    return {("parameters", "k "): (ours, left), ("output error of Torch-Pruning", "of max|y|"): (moved, None)}


def errors(model: nn.Module, graph: ng.NetGraph, x: Tensor, images: list[Tensor]) -> dict[torch.dtype, float]:
    """Return the output error of the compacted network in each precision."""
    found = {}
    for dtype in BOUNDS:
        dense = copy.deepcopy(model).to(dtype)
        masked = pa.remove_masks(pa.apply_masks(copy.deepcopy(dense), pa.to_masks(graph)))
        found[dtype] = error(pa.compact(dense, graph, x.to(dtype)), masked, images, dtype)
    return found


def latencies(masked: nn.Module, compacted: nn.Module, images: Tensor, rounds: int) -> dict[tuple[str, str], Figure]:
    """Return the time of a forward pass of 1 and of 16 examples."""
    found: dict[tuple[str, str], Figure] = {}
    for batch in (1, 16):
        x = images[:1].repeat(batch, 1, 1, 1)
        cases = [Case(n, lambda m=m, x=x: forward(m, x)) for n, m in (("masked", masked), ("compacted", compacted))]
        times = measure(cases, rounds)
        found[f"batch of {batch}", "ms"] = (1000 * times["compacted"], 1000 * times["masked"])
    return found


@torch.no_grad()
def forward(model: nn.Module, x: Tensor) -> None:
    """Run the model without gradients."""
    model(x)


def trained(subject: Subject, seed: int, quick: bool) -> nn.Module:
    """Return the network of a subject after training."""
    return subject.trained(2 if quick else 10, seed)


def rows(label: str, outcomes: Sequence[dict]) -> list[Row]:
    """Return the medians over the seeds, errors the largest."""
    n_dead = sum(found.pop("dead") for found in outcomes)
    label += f", {n_dead} of {len(outcomes)} dead" if n_dead else ""
    table = []
    for name, unit in [name for name in outcomes[0] if all(name in found for found in outcomes)]:
        ours, peer = zip(*(found[name, unit] for found in outcomes), strict=True)
        if peer[0] is None:
            bound = next((limit for dtype, limit in BOUNDS.items() if name.endswith(str(dtype)[6:])), None)
            table.append(Row(f"{label}: {name}", max(ours), unit, target=bound))
            continue
        ratios = sorted(theirs / own for own, theirs in zip(ours, peer, strict=True))
        spread = f" ({ratios[0]:.3g} to {ratios[-1]:.3g})" if len(ratios) > 1 else ""
        who = "Torch-Pruning" if unit == "k " else "masked"
        table.append(Row(f"{label}: {name}{spread}", median(ours), unit.strip(), who, median(peer)))
    return table


def main() -> None:
    """Compact every network at every sparsity."""
    options = arguments(
        __doc__.partition("\n")[0], only=("networks whose name contains this", ""), seeds=("how often each is drawn", 0)
    )
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.seeds = options.seeds or (1 if options.quick else 3)
    torch.set_num_threads(1)
    subjects = [subject for subject in (QUICK if options.quick else SUBJECTS) if options.only in subject.name]
    cells = list(product(subjects, SCORES, SPARSITIES[-1:] if options.quick else SPARSITIES))
    table: list[Row] = []
    for subject, kind, sparsity in track(cells, "compacting", console=Console(stderr=True)):
        found = [outcome(subject, kind, sparsity, seed, options) for seed in range(options.seeds)]
        table += rows(f"{subject.name}, {kind} {100 * sparsity:.0f} %", found)
    peers = versions("torch", "torch-pruning") if torch_pruning else versions("torch")
    notes = ["k, M, MB: 1e3, 1e6, 1e6 bytes; CPU times of the thread, medians; a few steps of training, no accuracy"]
    notes += ["no row of Torch-Pruning: what it leaves does not run with one of the seeds"] if torch_pruning else []
    report("bench_compact", options, table, peers, notes)


if __name__ == "__main__":
    main()
