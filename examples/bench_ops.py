"""The compiled operators beside their references in plain torch, and beside the speed of memory.

    python examples/bench_ops.py

Masks of one bit are applied to large layers, 94 MB that no cache holds, and to small ones, 0.7 MB that stay in it, on
each instruction set that the processor runs.
"""

import argparse
from collections.abc import Callable

import torch

from benchmark import Case, Row, arguments, measure, report, versions
from prune_adapters import ops
from prune_adapters.ops import reference

MEGA = 1e6
Tensors = list[torch.Tensor]


def weights_of(count: int, size: int) -> Tensors:
    """Return weights of `count` layers."""
    return [torch.randn(size) for _ in range(count)]


def masks_of(weights: Tensors, sparsity: float) -> Tensors:
    """Return masks for the weights."""
    return [torch.rand_like(weight) >= sparsity for weight in weights]


def seconds(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the time of each call."""
    return measure([Case(name, call) for name, call in calls.items()], rounds)


def on(isa: str, call: Callable[[], object]) -> Callable[[], object]:
    """Return the call on the kernels of an instruction set."""

    def switched() -> object:
        assert ops.library is not None
        ops.library.prune_adapters_use_isa(isa.encode())
        return call()

    return switched


def isas() -> list[str]:
    """Return the instruction sets that this processor runs, the fastest last."""
    assert ops.library is not None
    return [isa for isa in ("generic", "avx2", "avx512") if ops.library.prune_adapters_use_isa(isa.encode())]


def applied(label: str, weights: Tensors, sparsity: float, options: argparse.Namespace) -> list[Row]:
    """Return how long applying masks takes, beside ways without compiled code."""
    masks = masks_of(weights, sparsity)
    bits = [ops.pack_mask(mask) for mask in masks]
    integers = [weight.view(torch.int32) for weight in weights]
    calls: dict[str, Callable[[], object]] = {
        isa: on(isa, lambda: ops.apply_masks_(weights, bits)) for isa in isas()
    } | {
        "reference": lambda: reference.apply_masks_(weights, bits),
        "bool masks, _foreach_mul_": lambda: torch._foreach_mul_(integers, masks),
        "neg_, reads and writes": lambda: torch._foreach_neg_(weights),
    }
    found = seconds(calls, options.rounds)
    fastest = isas()[-1]
    peers = [name for name in calls if name != fastest]
    what = f"{label}, {sparsity:.0%} removed: apply_masks_ {fastest}"
    targets = {"neg_, reads and writes": 0.8} if label == "large layers" and not options.quick else {}
    return [Row(what, 1000 * found[fastest], "ms", name, 1000 * found[name], targets.get(name)) for name in peers]


def packed(size: int, options: argparse.Namespace) -> list[Row]:
    """Return how long it takes to pack a mask and to unpack it."""
    mask = torch.rand(size) < 0.1
    bits = ops.pack_mask(mask)
    calls: dict[str, Callable[[], object]] = {
        "pack": lambda: ops.pack_mask(mask),
        "reference of pack": lambda: reference.pack_mask(mask),
        "unpack": lambda: ops.unpack_mask(bits, mask.shape),
        "reference of unpack": lambda: reference.unpack_mask(bits, mask.shape),
    }
    found = seconds(calls, options.rounds)
    return [
        Row(f"{name}_mask, {size / MEGA:.2g} M weights", 1000 * found[name], "ms", "reference", 1000 * found[peer])
        for name, peer in (("pack", "reference of pack"), ("unpack", "reference of unpack"))
    ]


def main() -> None:
    """Time each operator."""
    options = arguments(__doc__.partition("\n")[0])
    options.rounds = options.rounds or (3 if options.quick else 21)
    torch.set_num_threads(1)
    large, small = ((2, 100_000), (2, 1_000)) if options.quick else ((10, 2_359_296), (20, 9_216))
    rows: list[Row] = []
    for sparsity in (0.5, 0.9, 0.99):
        rows += applied("large layers", weights_of(*large), sparsity, options)
    rows += applied("small layers", weights_of(*small), 0.9, options)
    rows += packed(large[1], options)
    report("bench_ops", options, rows, versions("torch"), ["float32, one thread; medians"])


if __name__ == "__main__":
    main()
