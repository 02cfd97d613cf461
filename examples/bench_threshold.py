"""Selecting a threshold among all weights, soft masks and sweeps: beside torch and numpy, and beside a training step.

    python examples/bench_threshold.py

Selective weight decay asks for the k-th largest magnitude of all weights of ResNet-20 (width 16, batch 128) at every
step or every tenth; that is held to a share of the step. The rows of peers take the join of the tensors in, for they
need it.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch

import netgraph as ng
import prune_adapters as pa
from bench_keep import OPTIMIZERS, training_step
from benchmark import Case, Row, arguments, measure, report, versions
from models import resnet20
from prune_adapters import ops
from prune_adapters.ops import reference
from prune_adapters.sweeps import sweep_on_device
from prune_adapters.sweeps.sweep import sweep_by_operators

Tensors = list[torch.Tensor]
SPARSITIES = (0.5, 0.9, 0.99)


def seconds(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the time of each call."""
    return measure([Case(name, call) for name, call in calls.items()], rounds)


def magnitudes(weights: Tensors) -> torch.Tensor:
    """Return the magnitudes of all weights in one tensor."""
    return torch.cat([weight.reshape(-1) for weight in weights]).abs()


def selected(label: str, weights: Tensors, sparsity: float, options: argparse.Namespace) -> list[Row]:
    """Return how long it takes to find the threshold, and the masks."""
    n = sum(weight.numel() for weight in weights)
    keep = n - round(sparsity * n)
    peers: dict[str, Callable[[], object]] = {
        "reference": lambda: reference.kth_largest(weights, [], keep, True),
        "kthvalue": lambda: magnitudes(weights).kthvalue(n - keep + 1),
        "topk": lambda: magnitudes(weights).topk(keep),
        "sort": lambda: magnitudes(weights).sort(),
        "numpy.partition": lambda: np.partition(magnitudes(weights).numpy(), n - keep),
    }
    found = seconds(
        {
            "kth_largest": lambda: ops.kth_largest(weights, keep, magnitude=True),
            "keep_largest": lambda: ops.keep_largest(weights, keep, magnitude=True),
        }
        | peers,
        options.rounds,
    )
    what = f"{label}, {n} weights, {sparsity:.0%} below"
    ours = 1000 * found["kth_largest"]
    rows = [Row(f"{what}: kth_largest", ours, "ms", name, 1000 * found[name]) for name in peers]
    return [*rows, Row(f"{what}: keep_largest", 1000 * found["keep_largest"], "ms")]


def share_of_a_step(options: argparse.Namespace) -> list[Row]:
    """Return what the threshold costs in training."""
    batch = 2 if options.quick else 128
    rows = []
    for label, dtype in (("float32", None), ("bfloat16, channels_last", torch.bfloat16)):
        torch.manual_seed(0)
        model, x = resnet20().train(), torch.randn(batch, 3, 32, 32)
        if dtype is not None:
            model, x = (
                model.to(dtype, memory_format=torch.channels_last),
                x.to(dtype, memory_format=torch.channels_last),
            )
        step = training_step(model, OPTIMIZERS["SGD"](model), x, torch.arange(batch) % 10)
        weights = [weight.detach() for weight in model.parameters() if weight.dim() > 1]
        keep = sum(weight.numel() for weight in weights) // 10
        calls = {"step": step, "threshold": lambda w=weights, k=keep: ops.kth_largest(w, k, magnitude=True)}
        found = seconds(calls, options.rounds)
        share = 100 * found["threshold"] / found["step"]
        every, tenth = (None, None) if options.quick else (1, 0.5)
        rows += [
            Row(f"ResNet-20, {label}: threshold at every step, share of it", share, "%", target=every),
            Row(f"ResNet-20, {label}: at every tenth step", share / 10, "%", target=tenth),
        ]
    return rows


def soft(size: int, dtype: torch.dtype, options: argparse.Namespace) -> list[Row]:
    """Return how long the soft mask takes, forward alone and with its gradient."""
    weight = torch.randn(size).to(dtype).requires_grad_()
    threshold, sharpness = torch.tensor(0.5), torch.tensor(30.0)

    def composite(w: torch.Tensor) -> torch.Tensor:
        wide = w.float()
        mask = -torch.expm1(-sharpness * wide * wide) * torch.sigmoid(sharpness * (wide * wide - threshold * threshold))
        return (wide * mask).to(dtype)

    def with_gradient(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(function(weight).sum(), weight)

    plain = weight.detach()
    found = seconds(
        {
            "forward": lambda: ops.band_stop(plain, threshold, sharpness),
            "composite forward": lambda: composite(plain),
            "both": with_gradient(lambda w: ops.band_stop(w, threshold, sharpness)[0]),
            "composite both": with_gradient(composite),
        },
        options.rounds,
    )
    what = f"band_stop, {size} weights, {str(dtype).removeprefix('torch.')}"
    return [
        Row(f"{what}: forward", 1000 * found["forward"], "ms", "in torch", 1000 * found["composite forward"]),
        Row(f"{what}: and gradient", 1000 * found["both"], "ms", "in torch", 1000 * found["composite both"]),
    ]


def swept(options: argparse.Namespace) -> list[Row]:
    """Return how long a sweep over ResNet-20 takes by each way."""
    torch.manual_seed(0)
    model = resnet20()
    graph = pa.to_graph(model, torch.ones(1, 3, 32, 32), masks={})
    weights = {
        name: weight.detach() * (torch.rand_like(weight) < 0.1)
        for name, weight in model.named_parameters()
        if name in graph.edge_parameters
    }
    arrays = {name: weight.numpy() for name, weight in weights.items()}
    found = seconds(
        {
            "sweep_on_device": lambda: sweep_on_device(graph, weights),
            "sweep_weights": lambda: ng.sweep_weights(graph, arrays),
            "by operators": lambda: sweep_by_operators(graph, weights),
        },
        options.rounds,
    )
    what = "ResNet-20: sweep_on_device"
    peers = ("sweep_weights", "by operators")
    return [Row(what, 1000 * found["sweep_on_device"], "ms", name, 1000 * found[name]) for name in peers]


def main() -> None:
    """Compare the ways on the weights of a small network and of larger layers."""
    options = arguments(__doc__.partition("\n")[0])
    options.rounds = options.rounds or (1 if options.quick else 11)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    small = [weight.detach() for weight in resnet20().parameters() if weight.dim() > 1]
    large = [torch.randn(512, 512) * 0.05 for _ in range(1 if options.quick else 16)]
    rows = []
    for label, weights in (("ResNet-20", small), ("layers of 512 x 512", large)):
        for sparsity in SPARSITIES:
            rows += selected(label, weights, sparsity, options)
    rows += share_of_a_step(options)
    for dtype in (torch.float32, torch.bfloat16):
        rows += soft(20_000 if options.quick else 1 << 20, dtype, options)
    rows += swept(options)
    report("bench_threshold", options, rows, versions("torch", "numpy"), ["CPU times of the thread, medians"])


if __name__ == "__main__":
    main()
