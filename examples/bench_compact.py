"""What compaction takes away from pruned networks, and what it does to their outputs: one thread.

    python examples/bench_compact.py

Each network learns for a few steps, gets random batch norm biases (a few steps hardly move them from 0), loses 50, 90
and 99 % of its weights by global magnitude or at random, and is compacted. The output error is max|dy| / max|y| against
the masked network, in eval mode, on images of two sizes where the network takes them. Torch-Pruning, where it is
installed, removes the channels that the graph says do not depend on the input or have no effect, coupled ones only
together; what it leaves and its output error stand beside ours.
"""

import copy
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor, nn

import netgraph as ng
import prune_adapters as pa
from benchmark import Case, Row, arguments, measure, report, versions
from networks import mobilenet_v2, resnet20, resnet50, vgg16

try:
    import torch_pruning
except ImportError:
    torch_pruning = None

BOUND = 1e-5
SPARSITIES = (0.5, 0.9, 0.99)
SCORES: dict[str, Callable[[nn.Module], dict[str, Tensor]]] = {
    "magnitude": pa.magnitude_scores,
    "random": lambda model: pa.random_scores(model, seed=0),
}


@dataclass(frozen=True)
class Subject:
    """A network to compact.

    Parameters
    ----------
    name : str
    build : callable
    sides : tuple of int
        Sides of the images it takes; the first for training and timing.
    """

    name: str
    build: Callable[[], nn.Module]
    sides: tuple[int, ...]

    def trained(self, steps: int) -> nn.Module:
        """Return the network after some steps of training on ten noisy pictures, batch norms with random biases."""
        torch.manual_seed(0)
        model = self.build()
        pictures, y = torch.randn(10, 3, self.sides[0], self.sides[0]), torch.randint(10, (16 * steps,))
        x = pictures[y] + torch.randn(len(y), *pictures.shape[1:])
        pa.train(model, (x, y), epochs=1, batch_size=16, progress=False)
        for norm in model.modules():
            if isinstance(norm, nn.BatchNorm2d):
                nn.init.normal_(norm.bias, std=0.1)
        return model.eval()

    def images(self) -> list[Tensor]:
        """Return two images of each size."""
        generator = torch.Generator().manual_seed(1)
        return [torch.randn(2, 3, side, side, generator=generator) for side in self.sides]


SUBJECTS = (
    Subject("ResNet-20", resnet20, (32, 45)),
    Subject("VGG-16", vgg16, (32,)),
    Subject("MobileNetV2", mobilenet_v2, (96, 128)),
    Subject("ResNet-50", resnet50, (96, 128)),
)
QUICK = (
    Subject("ResNet-20, width 8", lambda: resnet20(width=8), (16, 21)),
    Subject("VGG-16, width 8", lambda: vgg16(width=8), (32,)),
    Subject("MobileNetV2, width 0.25", lambda: mobilenet_v2(width=0.25), (32, 40)),
    Subject("ResNet-50, width 8", lambda: resnet50(width=8), (32, 40)),
)


def multiply_adds(model: nn.Module, x: Tensor) -> int:
    """Return the multiply-adds of the convolutions and linear layers for one example, counted by forward hooks."""
    counts = []

    def count(layer: nn.Module, _: object, y: Tensor) -> None:
        counts.append(prod(layer.weight.shape[1:]) * y[0].numel())

    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    handles = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return sum(counts)


def sizes(model: nn.Module, x: Tensor) -> dict[str, tuple[float, str]]:
    """Return name, number and unit of everything that is counted."""
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return {
        "parameters": (sum(p.numel() for p in model.parameters()) / 1e3, "k"),
        "multiply-adds": (multiply_adds(model, x) / 1e6, "M"),
        "file": (file.getbuffer().nbytes / 1e6, "MB"),
    }


def error(model: nn.Module, expected: nn.Module, images: list[Tensor]) -> float:
    """Return the largest max|dy| / max|y| over the images."""
    with torch.no_grad():
        pairs = [(model(x), expected(x)) for x in images]
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


def compare(subject: Subject, model: nn.Module, masks: dict[str, Tensor], label: str, options: object) -> list[Row]:
    """Return the compacted network beside the masked one, and Torch-Pruning's error beside ours."""
    images = subject.images()
    x = images[0][:1]
    graph = pa.to_graph(model, x, masks=masks)
    masked = pa.remove_masks(pa.apply_masks(copy.deepcopy(model), pa.to_masks(graph)))
    compacted = pa.compact(model, graph, x)
    before, after = sizes(masked, x), sizes(compacted, x)
    rows = [Row(f"{label}: {n}", after[n][0], unit, "masked", value) for n, (value, unit) in before.items()]
    rows += latencies(masked, compacted, images[0], label, options.rounds)
    rows.append(Row(f"{label}: output error", error(compacted, masked, images), "of max|y|", target=BOUND))
    if torch_pruning:
        peer = torch_pruned(masked, graph, x)
        left = sizes(peer, x)["parameters"][0]
        rows.append(Row(f"{label}: parameters", after["parameters"][0], "k", "Torch-Pruning", left))
        rows.append(Row(f"{label}: output error of Torch-Pruning", error(peer, masked, images), "of max|y|"))
    return rows


def latencies(masked: nn.Module, compacted: nn.Module, images: Tensor, label: str, rounds: int) -> list[Row]:
    """Return the time of a forward pass of 1 and of 16 examples."""
    rows = []
    for batch in (1, 16):
        x = images[:1].repeat(batch, 1, 1, 1)
        cases = [Case(n, lambda m=m, x=x: forward(m, x)) for n, m in (("masked", masked), ("compacted", compacted))]
        times = measure(cases, rounds)
        milliseconds = (1000 * times["compacted"], "ms", "masked", 1000 * times["masked"])
        rows.append(Row(f"{label}: batch of {batch}", *milliseconds))
    return rows


def forward(model: nn.Module, x: Tensor) -> None:
    """Run the model without gradients."""
    with torch.no_grad():
        model(x)


def main() -> None:
    """Compact every network at every sparsity."""
    options = arguments(__doc__.partition("\n")[0])
    options.rounds = options.rounds or (1 if options.quick else 10)
    torch.set_num_threads(1)
    rows: list[Row] = []
    for subject in QUICK if options.quick else SUBJECTS:
        model = subject.trained(2 if options.quick else 10)
        for kind, scores in SCORES.items():
            for sparsity in SPARSITIES[-1:] if options.quick else SPARSITIES:
                masks = pa.masks_from_scores(scores(model), sparsity=sparsity)
                rows += compare(subject, model, masks, f"{subject.name}, {kind} {100 * sparsity:.0f} %", options)
    peers = versions("torch", "torch-pruning") if torch_pruning else versions("torch")
    notes = ["k, M, MB: 1e3, 1e6, 1e6 bytes; CPU times of the thread, medians; a few steps of training, no accuracy"]
    report("bench_compact", options, rows, peers, notes)


if __name__ == "__main__":
    main()
