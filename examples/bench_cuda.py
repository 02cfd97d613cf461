"""What pruning saves on a CUDA device: products with blocks, masks on dense weights, sparse matrices.

    python examples/bench_cuda.py

A layer of 4096 x 4096 on 8,192 tokens in bfloat16. Blocks of a regular graph at densities 1/2 to 1/16 against
``F.linear`` on the dense weight, forward and whole step (forward and both gradients), in each of the ways of
`prune_adapters.ops.cuda_blocks`; ``64 x 2`` are blocks of 64 inputs whose neighbours share what two groups read. The
same in CUDA graphs, where it does not count how long the host takes to start kernels. Unstructured masks against the
dense layer: stored masked (`apply_masks_` after each step) and multiplied in each forward pass. Times are those of the
device, by events, medians; without a device there is nothing to measure. Each section is printed, and written to the
JSON file, as soon as it is done; none begins after 100 s.
"""

import copy
import math
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from fractions import Fraction

import torch
from torch.nn import functional

import netgraph as ng
import prune_adapters as pa
from benchmark import Case, Row, arguments, measure_device, report, versions
from cuda_cases import (
    GIGA,
    MILLI,
    Blocks,
    Run,
    by,
    compared,
    dense_step,
    descent,
    graph,
    network,
    normal,
    possible,
    runs,
    warm_up,
)
from prune_adapters.ops import apply_masks_, cuda_blocks, kth_largest, pack_mask
from prune_adapters.plans import SparsePlan

ROUNDS = 7
SIZE, TOKENS = 4096, 8192
DENSITIES = (2, 4, 8, 16)
LAYOUTS = {"64": (64, 64), "128": (128, 128), "64 x 2": (128, 64), "64 x 4": (256, 64)}
"""Outputs and inputs of a block."""
TARGET = 3.5
"""How many times faster than dense forward and whole step are to be at density 1/8, for blocks of 128 or shared."""
TARGETED = {"128", "64 x 2", "64 x 4"}
SECONDS = 100.0
"""After which no section begins."""


def block_rows(options: Namespace, dtype: torch.dtype = torch.bfloat16) -> list[Row]:
    """Return blocks against the dense layer."""
    size, tokens = (512, 1024) if options.quick else (SIZE, TOKENS)
    x, grad, weight = (normal(n, size, dtype=dtype) for n in (tokens, tokens, size))
    rows: list[Row] = []
    whole = dtype == torch.bfloat16
    for layout, (outputs, inputs) in LAYOUTS.items() if whole else [("128", (128, 128))]:
        for fraction in DENSITIES[:2] if options.quick else DENSITIES if whole else (8,):
            layer = Blocks.drawn(size, outputs, inputs, fraction, dtype)
            name = f"{str(dtype)[6:]} blocks {layout}, density {Fraction(1, fraction)}"
            target = TARGET if whole and layout in TARGETED and fraction == 8 and not options.quick else None
            pairs: dict[str, tuple[Run, Run]] = {
                "forward": (lambda own=layer: own.forward(x), lambda: functional.linear(x, weight)),  # type: ignore[misc]
                "step": (lambda own=layer: own.step(x, grad), lambda: dense_step(weight, x, grad)),  # type: ignore[misc]
            }
            for what, (ours, dense) in pairs.items():
                ways = [Case(route, by(route, ours)) for route in cuda_blocks.ROUTES] if fraction == 8 else []
                rows += compared(
                    f"{name}: {what}", [Case("ours", ours), Case("dense", dense), *ways], options.rounds, target
                )
                if fraction == 8 and whole:
                    graphs = [Case("ours", graph(ours)), Case("dense", graph(dense))]
                    rows += compared(f"{name}: {what} in a graph", graphs, options.rounds, target)
    return rows


def model_rows(options: Namespace) -> list[Row]:
    """Return a training step of a network of three layers whose masks are blocks, exchanged, against the dense one."""
    size, tokens = (1024, 256) if options.quick else (SIZE, TOKENS)
    rows: list[Row] = []
    x, wanted = (normal(tokens, size, dtype=torch.bfloat16) for _ in range(2))
    for share in (1, 2):
        dense = network(size)
        nodes = ng.generators.circulant(size // 128, degree=max(1, size // 1024) * share)
        mask = torch.from_numpy(ng.relational_biadjacency(nodes, size, size, share_neighbours=share)).cuda()
        own = copy.deepcopy(dense)
        record = pa.sparsify(
            own, {f"{place}.weight": mask for place in (0, 2, 4)}, policy="measure", example_inputs=x
        )  # fmt: skip
        print(record, flush=True)
        kept = Fraction(int(mask.sum()), mask.numel()).limit_denominator(1000)
        cases = [Case("ours", descent(own, x, wanted)), Case("dense", descent(dense, x, wanted))]
        name = f"bfloat16 network of 3 layers, shared by {share}, density {kept}"
        rows += compared(f"{name}: training step", cases, options.rounds)
    return rows


def bsr_rows(options: Namespace) -> list[Row]:
    """Return blocks against the block format of torch."""
    size, tokens = (512, 1024) if options.quick else (SIZE, TOKENS)
    rows: list[Row] = []
    for side in (64, 128):
        layer, x = (
            Blocks.drawn(size, side, side, 8 if size > 1024 else 4, torch.bfloat16),
            normal(tokens, size, dtype=torch.bfloat16),
        )
        bsr = layer.weight(size).to_sparse_bsr(side)
        cases = [
            Case("ours", lambda own=layer, x=x: own.forward(x)),  # type: ignore[misc]
            Case("F.linear of BSR", lambda bsr=bsr, x=x: functional.linear(x, bsr)),  # type: ignore[misc]
            Case("BSR @ x.T", lambda bsr=bsr, x=x: bsr @ x.T),  # type: ignore[misc]
        ]
        rows += compared(f"bfloat16 blocks {side}, density 1/8: forward", cases, options.rounds)
    return rows


PLACING = [1, 1], [1, 1], [1, 1]
"""Stride, padding and dilation of the convolutions."""
BOTH = [True, True, False]


def convolution_rows(options: Namespace) -> list[Row]:
    """Return a 3 x 3 convolution of blocks against the dense one, channels last."""
    channels, pixels, batch = (64, 8, 4) if options.quick else (256, 28, 64)
    sizes = (batch, channels, pixels, pixels)
    x, grad = (normal(*sizes, dtype=torch.bfloat16).to(memory_format=torch.channels_last) for _ in range(2))
    weight = normal(channels, channels, 3, 3, dtype=torch.bfloat16).to(memory_format=torch.channels_last)
    rows: list[Row] = []
    for fraction in (2,) if options.quick else (4, 8):
        layer = Blocks.drawn(channels, 32, 32, fraction, torch.bfloat16)
        name = f"bfloat16 convolution {channels} channels, blocks 32, density {Fraction(1, fraction)}"
        for what, ours, dense in (
            ("forward", convolving(layer, x), lambda: functional.conv2d(x, weight, padding=1)),
            ("step", convolving(layer, x, grad), lambda: dense_convolution_step(weight, x, grad)),
        ):
            ways = [Case(route, by(route, ours)) for route in cuda_blocks.ROUTES]
            rows += compared(f"{name}: {what}", [Case("ours", ours), Case("dense", dense), *ways], options.rounds)
    return rows


def convolving(layer: Blocks, x: torch.Tensor, grad: torch.Tensor | None = None) -> Run:
    """Return the forward pass of a convolution of blocks, or the whole step if there is a gradient."""
    values = normal(*layer.values.shape, 3, 3, dtype=x.dtype)

    def run() -> None:
        cuda_blocks.block_conv2d(x, values, None, *layer.tables, *PLACING)
        if grad is not None:
            cuda_blocks.block_conv2d_backward(grad, x, values, *layer.tables, *PLACING, BOTH)

    return run


def dense_convolution_step(weight: torch.Tensor, x: torch.Tensor, grad: torch.Tensor) -> None:
    """Compute outputs and both gradients of the dense convolution."""
    functional.conv2d(x, weight, padding=1)
    torch.ops.aten.convolution_backward(grad, x, weight, None, *PLACING, False, [0, 0], 1, BOTH)


def masked_rows(options: Namespace) -> list[Row]:
    """Return a training step with an unstructured mask against one without."""
    size = 512 if options.quick else SIZE
    mask = torch.rand(size, size, device="cuda") < 0.1
    rows: list[Row] = []
    for tokens in (256,) if options.quick else (1024, TOKENS):
        x, grad = (normal(tokens, size, dtype=torch.bfloat16) for _ in range(2))
        cases = [Case(name, training(name, mask, x, grad)) for name in ("stored masked", "dense", "W * M")]
        target = 0.98 if tokens == TOKENS else None
        rows += compared(f"unstructured, {tokens} tokens: training step", cases, 2 * options.rounds, target)
    return rows


def training(way: str, mask: torch.Tensor, x: torch.Tensor, grad: torch.Tensor) -> Run:
    """Return a training step, SGD with momentum, of a layer that is masked in one way."""
    weight = torch.nn.Parameter(normal(*mask.shape, dtype=torch.bfloat16) / math.sqrt(mask.shape[1]))
    optimizer = torch.optim.SGD([weight], lr=1e-4, momentum=0.9, fused=True)
    bits = pack_mask(mask)

    def step() -> None:
        functional.linear(x, weight * mask if way == "W * M" else weight).backward(grad)
        optimizer.step()
        optimizer.zero_grad()
        if way == "stored masked":
            with torch.no_grad():
                apply_masks_([weight, optimizer.state[weight]["momentum_buffer"]], [bits, bits])

    return step


def mask_rows(options: Namespace) -> list[Row]:
    """Return how long masks take to be applied, and the bandwidth that this comes to.

    Bytes are those that have to be moved: bits read, removed elements written. Of random masks hardly a sector of 32
    bytes is written as a whole, so the memory moves more. A copy reads and writes every element.
    """
    size, count = (512, 4) if options.quick else (SIZE, 12)
    rows: list[Row] = []
    for dtype in (torch.bfloat16, torch.float32):
        tensors, others = ([normal(size, size, dtype=dtype) for _ in range(count)] for _ in range(2))
        masks = [torch.rand(size, size, device="cuda") < 0.5 for _ in range(count)]
        bits = [pack_mask(mask) for mask in masks]
        cases = [
            Case("ours", lambda tensors=tensors, bits=bits: apply_masks_(tensors, bits)),  # type: ignore[misc]
            Case("W.mul_(M)", lambda tensors=tensors, masks=masks: multiply(tensors, masks)),  # type: ignore[misc]
            Case("copy", lambda tensors=tensors, others=others: torch._foreach_copy_(others, tensors)),  # type: ignore[misc]
        ]
        found = measure_device(possible(cases), options.rounds)
        name, elements = f"apply_masks_, {str(dtype)[6:]}, half kept", count * size * size
        peers = [peer for peer in ("W.mul_(M)", "copy") if peer in found]
        rows += [Row(name, MILLI * found["ours"], "ms", peer, MILLI * found[peer]) for peer in peers]
        moved = {"ours": elements / 8 + elements * dtype.itemsize / 2, "copy": 2 * elements * dtype.itemsize}
        ours, copied = (moved[case] / found[case] / GIGA for case in moved)
        rows.append(Row(f"{name}: bits and zeros", ours, "GB/s", "copy", copied, better="high"))
    return rows


def multiply(tensors: Sequence[torch.Tensor], masks: Sequence[torch.Tensor]) -> None:
    """Multiply each tensor by its mask, in place."""
    for tensor, mask in zip(tensors, masks, strict=True):
        tensor.mul_(mask)


def threshold_rows(options: Namespace) -> list[Row]:
    """Return the exact threshold of many scores against torch's."""
    count = 10**6 if options.quick else 25 * 10**6
    scores = torch.rand(count, device="cuda")
    cases = [
        Case("ours", lambda: kth_largest([scores], count // 10)),
        Case("torch.topk", lambda: torch.topk(scores, count // 10)),
        Case("torch.kthvalue", lambda: torch.kthvalue(scores, count - count // 10 + 1)),
    ]
    return compared(f"kth_largest of {count:.2g} scores", cases, options.rounds)


def csr_rows(options: Namespace) -> list[Row]:
    """Return unstructured sparse products against torch's."""
    size, batch = (256, 32) if options.quick else (SIZE, 128)
    rows: list[Row] = []
    for sparsity in (0.9, 0.98):
        mask = torch.rand(size, size) >= sparsity
        weight, x = torch.randn(size, size) * mask, normal(batch, size, dtype=torch.float32)
        plan = SparsePlan.from_mask(mask)
        values, own = plan.from_dense(weight).cuda(), plan.to("cuda")
        csr, dense = weight.to_sparse_csr().cuda(), weight.cuda()
        cases = [
            Case("ours", lambda own=own, values=values, x=x: own.linear(x, values)),  # type: ignore[misc]
            Case("torch CSR @ x.T", lambda csr=csr, x=x: csr @ x.T),  # type: ignore[misc]
            Case("dense", lambda dense=dense, x=x: functional.linear(x, dense)),  # type: ignore[misc]
        ]
        rows += compared(f"float32 csr_linear, sparsity {sparsity}, batch {batch}: forward", cases, options.rounds)
    return rows


SECTIONS: dict[str, Callable[[Namespace], list[Row]]] = {
    "blocks": block_rows,
    "network": model_rows,
    "stored masked": masked_rows,
    "masks": mask_rows,
    "thresholds": threshold_rows,
    "sparse matrices": csr_rows,
    "convolution": convolution_rows,
    "blocks in float32": lambda options: block_rows(options, torch.float32),
    "block formats of torch": bsr_rows,
}


def main() -> None:
    """Measure all that this device can do."""
    options = arguments(__doc__.partition("\n")[0])
    options.rounds = options.rounds or (1 if options.quick else ROUNDS)
    peers = versions("torch")
    if not torch.cuda.is_available():
        report("bench_cuda", options, [], peers, ["no CUDA device: nothing is measured"])
        return
    begin = time.monotonic()
    warm_up(0.1 if options.quick else 1.0)
    peers["device"] = torch.cuda.get_device_name()
    rows: list[Row] = []
    for name, section in SECTIONS.items():
        if time.monotonic() - begin > SECONDS:
            print(f"left out: {name}: {SECONDS:.0f} s are over", flush=True)
            continue
        done = len(rows)
        runs(name, lambda section=section: rows.extend(section(options)))  # type: ignore[misc]
        report("bench_cuda", options, rows, peers, [f"{name}: {time.monotonic() - begin:.0f} s"], since=done)


if __name__ == "__main__":
    main()
