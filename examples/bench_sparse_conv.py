"""Sparse and block convolutions beside dense ones, the better of both memory layouts.

    python examples/bench_sparse_conv.py

Three patterns: whole kernels of pairs of channels, blocks of 16 x 16 channels with the same number of blocks for each
output (also in bfloat16), single taps. Timed are the operators themselves: the forward pass, the gradient of the input,
and that of the weight, each alone; for a layer with its step also the way through autograd.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

import prune_adapters as pa
from bench_sparse_ops import forward, stepping
from benchmark import Case, Row, arguments, measure, report, versions

Pass = Callable[[], object]
MILLI = 1000.0
PASSES = {"gradient of x": (True, False, False), "gradient of weights": (False, True, False)}
PAIRS = {0.5: None, 0.75: 1.8, 0.9: 4.0, 0.95: None}
TAPS = {0.5: None, 0.8: None, 0.9: None, 0.95: None}
BLOCKS = {1 / 2: 1.6, 1 / 4: 3.2, 1 / 8: 6.4, 1 / 16: None}


@dataclass(frozen=True)
class Size:
    """A 3 x 3 convolution with as many outputs as inputs.

    Parameters
    ----------
    channels, side, batch : int
    """

    channels: int
    side: int
    batch: int

    def __str__(self) -> str:
        return f"{self.channels} channels, {self.side} x {self.side}, batch {self.batch}"


SIZES = (Size(64, 32, 16), Size(256, 8, 32))


def pairs(size: Size, density: float) -> torch.Tensor:
    """Return a mask of whole kernels."""
    kept = torch.rand(size.channels, size.channels) < density
    return kept[:, :, None, None].expand(-1, -1, 3, 3).contiguous()


def taps(size: Size, density: float) -> torch.Tensor:
    """Return a mask of single taps."""
    return torch.rand(size.channels, size.channels, 3, 3) < density


def blocks(size: Size, density: float) -> torch.Tensor:
    """Return a mask of blocks of 16 channels, the same number for each output."""
    groups = size.channels // 16
    kept = torch.rand(groups, groups).argsort(dim=1) < max(1, round(density * groups))
    whole = kept.repeat_interleave(16, 0).repeat_interleave(16, 1)
    return whole[:, :, None, None].expand(-1, -1, 3, 3).contiguous()


def own_passes(layer: pa.SparseLayer, x: torch.Tensor, grad: torch.Tensor) -> dict[str, Pass]:
    """Return the passes of one of our layers."""
    form = {pa.PairPlan: "pair_conv2d", pa.TapPlan: "sparse_conv2d", pa.BlockPlan: "block_conv2d"}[type(layer.plan)]
    backward = getattr(torch.ops.prune_adapters, f"{form}_backward").default
    tables, values = layer.plan.tables, layer.values.detach()
    numbers = ([3, 3],) if form == "sparse_conv2d" else ()
    found: dict[str, Pass] = {"forward": forward(layer, x), "step": stepping(layer, x, grad)}
    for name, needs in PASSES.items():
        found[name] = lambda needs=needs: backward(
            grad, x.detach(), values, *tables, *numbers, [1, 1], [1, 1], [1, 1], needs
        )
    return found


def dense_passes(layer: nn.Conv2d, x: torch.Tensor, grad: torch.Tensor, peer: str) -> dict[str, Pass]:
    """Return the passes of the dense layer in one memory layout."""
    layout = torch.channels_last if peer == "channels_last" else torch.contiguous_format
    layer, grad = layer.to(memory_format=layout), grad.contiguous(memory_format=layout)
    x, weight = x.detach().contiguous(memory_format=layout).requires_grad_(), layer.weight.detach()
    backward = torch.ops.aten.convolution_backward.default
    found: dict[str, Pass] = {"forward": forward(layer, x), "step": stepping(layer, x, grad)}
    for name, needs in PASSES.items():
        found[name] = lambda needs=needs: backward(
            grad, x.detach(), weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, needs
        )
    return {f"{name}, {peer}": run for name, run in found.items()}


def compare(
    size: Size,
    name: str,
    kind: type,
    mask: torch.Tensor,
    rounds: int,
    target: float | None,
    *,
    dtype: torch.dtype = torch.float32,
) -> list[Row]:
    """Return the passes of a sparse layer beside the better ones of the dense layer."""
    dense = nn.Conv2d(size.channels, size.channels, 3, padding=1, bias=False, dtype=dtype)
    pa.apply_masks(dense, {"weight": mask})
    x, grad = (torch.randn(size.batch, size.channels, size.side, size.side).to(dtype) for _ in range(2))
    x.requires_grad_()
    layouts = {
        peer: nn.Conv2d(*dense.weight.shape[1::-1], 3, padding=1, bias=False, dtype=dtype)
        for peer in ("NCHW", "channels_last")
    }
    for twin in layouts.values():
        twin.load_state_dict(dense.state_dict())
    cases = own_passes(kind.from_dense(dense), x, grad)
    own = list(cases)
    for peer, twin in layouts.items():
        cases |= dense_passes(twin, x, grad, peer)
    found = measure([Case(case, run) for case, run in cases.items()], rounds)
    rows = []
    for case in own:
        best = min(layouts, key=lambda peer: found[f"{case}, {peer}"])
        times = MILLI * found[case], MILLI * found[f"{case}, {best}"]
        rows.append(Row(f"{size}, {name}: {case}", times[0], "ms", f"oneDNN {best}", times[1], target))
    return rows


def warm_up() -> None:
    """Run convolutions: the first ones of a process are up to twice as slow as later ones."""
    layer, x = nn.Conv2d(64, 64, 3, padding=1), torch.randn(8, 64, 32, 32, requires_grad=True)
    for _ in range(10):
        layer(x).sum().backward()


def main() -> None:
    """Compare convolutions."""
    options = arguments(__doc__.partition("\n")[0])
    options.rounds = options.rounds or (1 if options.quick else 9)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    warm_up()
    rows: list[Row] = []
    for size in (Size(32, 8, 2),) if options.quick else SIZES:
        for sparsity, target in PAIRS.items():
            name = f"pairs, {100 * sparsity:g} %"
            rows += compare(size, name, pa.SparseConv2d, pairs(size, 1 - sparsity), options.rounds, target)
        for density, target in BLOCKS.items():
            if density * size.channels >= 16:
                name = f"blocks of 16, 1 / {round(1 / density)}"
                mask = blocks(size, density)
                rows += compare(size, name, pa.RegularConv2d, mask, options.rounds, target)
                name = f"{name}, bfloat16"
                rows += compare(size, name, pa.RegularConv2d, mask, options.rounds, None, dtype=torch.bfloat16)
        for sparsity, target in TAPS.items():
            name = f"taps, {100 * sparsity:g} %"
            rows += compare(size, name, pa.SparseConv2d, taps(size, 1 - sparsity), options.rounds, target)
    if options.quick:
        rows = [Row(r.case, r.ours, r.unit, r.peer, r.peer_value) for r in rows]
    notes = ["CPU times of the thread, medians; the peer is the faster of NCHW and channels_last"]
    report("bench_sparse_conv", options, rows, versions("torch"), notes)


if __name__ == "__main__":
    main()
