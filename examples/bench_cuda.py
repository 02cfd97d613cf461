"""What pruning saves on a CUDA device: products with blocks, masks on dense weights, sparse matrices.

    python examples/bench_cuda.py

A layer of 4096 x 4096 on 8,192 tokens in bfloat16. Blocks of a regular graph at densities 1/2 to 1/16 against
``F.linear`` on the dense weight, forward and whole step (forward and both gradients), in each of the ways of
`prune_adapters.ops.cuda_blocks`; ``64 x 2`` are blocks of 64 inputs whose neighbours share what two groups read.
Unstructured masks against the dense layer: stored masked (`apply_masks_` after each step) and multiplied in each
forward pass. Times are those of the device, by events, medians; without a device there is nothing to measure.
"""

import math
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch.nn import functional

from benchmark import Case, Row, arguments, measure_device, report, versions
from prune_adapters.ops import apply_masks_, cuda_blocks, pack_mask

ROUNDS = 7
SIZE, TOKENS = 4096, 8192
DENSITIES = (2, 4, 8, 16)
LAYOUTS = {"64": (64, 64), "128": (128, 128), "64 x 2": (128, 64), "64 x 4": (256, 64)}
"""Outputs and inputs of a block."""
TARGETS = {"128": {8: 3.5}, "64 x 2": {8: 3.5}, "64 x 4": {8: 3.5}}
MILLI, GIGA = 1e3, 1e9
Run = Callable[[], object]


@dataclass(frozen=True)
class Blocks:
    """A layer of blocks: all groups of outputs read equally many groups of inputs, which are read equally often."""

    values: torch.Tensor
    tables: tuple[torch.Tensor, ...]

    @classmethod
    def drawn(cls, size: int, outputs: int, inputs: int, fraction: int, dtype: torch.dtype) -> "Blocks":
        """Return a layer with random values, the structure that of shifted rows in random order."""
        groups, others = size // outputs, size // inputs
        degree = others // fraction
        generator = torch.Generator().manual_seed(0)
        starts = torch.arange(groups) * others // groups
        reads = (starts[:, None] + torch.arange(degree) * others // degree) % others
        reads = torch.randperm(others, generator=generator)[reads].sort(1).values
        mask = torch.zeros(groups, others, dtype=torch.bool).scatter_(1, reads, True)
        values = torch.randn(groups * degree, outputs, inputs, generator=generator) / math.sqrt(size / fraction)
        return cls(values.to("cuda", dtype), tuple(table.cuda() for table in tables_of(mask)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs."""
        return cuda_blocks.block_linear(x, self.values, None, *self.tables)

    def step(self, x: torch.Tensor, grad: torch.Tensor) -> None:
        """Compute outputs and both gradients."""
        self.forward(x)
        cuda_blocks.block_linear_backward(grad, x, self.values, *self.tables, (True, True, False))

    def weight(self, size: int) -> torch.Tensor:
        """Return the dense weight."""
        ptr, idx, *_ = self.tables
        rows = torch.repeat_interleave(torch.arange(len(ptr) - 1, device=ptr.device), ptr.diff().long())
        _, outputs, inputs = self.values.shape
        found = self.values.new_zeros(size // outputs, size // inputs, outputs, inputs)
        found[rows, idx.long()] = self.values
        return found.transpose(1, 2).reshape(size, size)


def tables_of(mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the tables of the operators for a mask of blocks."""

    def starts(of: torch.Tensor) -> torch.Tensor:
        return functional.pad(of.sum(1).cumsum(0), (1, 0))

    number = torch.cumsum(mask.flatten(), 0).view(mask.shape) - 1
    tables = starts(mask), mask.nonzero()[:, 1], starts(mask.T), mask.T.nonzero()[:, 1], number.T[mask.T]
    return tuple(table.int() for table in tables)


def dense_step(weight: torch.Tensor, x: torch.Tensor, grad: torch.Tensor) -> None:
    """Compute outputs and both gradients of the dense layer."""
    functional.linear(x, weight)
    grad @ weight
    grad.T @ x


def by(route: str, run: Run) -> Run:
    """Return the same computed in one of the ways."""

    def inside() -> None:
        with cuda_blocks.blocks_by(route):
            run()

    return inside


def possible(cases: Sequence[Case]) -> list[Case]:
    """Return the cases that run; the others are told and left out."""
    return [case for case in cases if runs(case.name, case.run)]


def runs(name: str, run: Run) -> bool:
    """Run something once; a peer may lack a dtype or a layout, which differs between versions."""
    try:
        run()
        torch.cuda.synchronize()
    except Exception as error:
        print(f"left out: {name}: {type(error).__name__}: {str(error).partition(chr(10))[0][:200]}", flush=True)
        return False
    return True


def compared(name: str, cases: Sequence[Case], rounds: int, target: float | None = None) -> list[Row]:
    """Return the first case beside each of the others; `target` is for the second."""
    found = measure_device(possible(cases), rounds)
    ours, *peers = (case.name for case in cases if case.name in found)
    return [
        Row(name, MILLI * found[ours], "ms", peer, MILLI * found[peer], None if number else target)
        for number, peer in enumerate(peers)
    ]


def normal(*size: int, dtype: torch.dtype) -> torch.Tensor:
    """Return random numbers on the device."""
    return torch.randn(*size, device="cuda", dtype=dtype)


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
            target = TARGETS.get(layout, {}).get(fraction) if whole and not options.quick else None
            pairs: dict[str, tuple[Run, Run]] = {
                "forward": (lambda own=layer: own.forward(x), lambda: functional.linear(x, weight)),  # type: ignore[misc]
                "step": (lambda own=layer: own.step(x, grad), lambda: dense_step(weight, x, grad)),  # type: ignore[misc]
            }
            for what, (ours, dense) in pairs.items():
                ways = [Case(route, by(route, ours)) for route in cuda_blocks.ROUTES]
                cases = [Case("ours", ours), Case("dense", dense), *ways]
                rows += compared(f"{name}: {what}", cases, options.rounds, target if what == "forward" else None)
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


def bandwidth_rows(options: Namespace) -> list[Row]:
    """Return how fast masks are applied, as if all elements were read and written, beside a copy that does that."""
    size, count = (512, 4) if options.quick else (SIZE, 12)
    rows: list[Row] = []
    for dtype in (torch.bfloat16, torch.float32):
        tensors, others = ([normal(size, size, dtype=dtype) for _ in range(count)] for _ in range(2))
        bits = [pack_mask(torch.rand(size, size, device="cuda") < 0.5) for _ in range(count)]
        moved = 2 * count * size * size * dtype.itemsize
        cases = [
            Case("ours", lambda tensors=tensors, bits=bits: apply_masks_(tensors, bits)),  # type: ignore[misc]
            Case("copy", lambda tensors=tensors, others=others: torch._foreach_copy_(others, tensors)),  # type: ignore[misc]
        ]
        found = measure_device(possible(cases), options.rounds)
        ours, copied = (moved / found[name] / GIGA for name in ("ours", "copy"))
        rows.append(Row(f"apply_masks_, {str(dtype)[6:]}", ours, "GB/s", "copy", copied, better="high"))
    return rows


def threshold_rows(options: Namespace) -> list[Row]:
    """Return the exact threshold of many scores against torch's, if this version has the operator."""
    import prune_adapters.ops as ops

    if not hasattr(ops, "kth_largest"):
        return []
    count = 10**6 if options.quick else 25 * 10**6
    scores = torch.rand(count, device="cuda")
    cases = [
        Case("ours", lambda: ops.kth_largest([scores], count // 10)),
        Case("torch.topk", lambda: torch.topk(scores, count // 10)),
        Case("torch.kthvalue", lambda: torch.kthvalue(scores, count - count // 10 + 1)),
    ]
    return compared(f"kth_largest of {count:.2g} scores", cases, options.rounds)


def csr_rows(options: Namespace) -> list[Row]:
    """Return unstructured sparse products against torch's, if this version has the operator."""
    try:
        from prune_adapters.plans import SparsePlan

    except ImportError:
        return []
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


def warm_up(seconds: float) -> None:
    """Keep the device busy until its clocks are what they will be."""
    matrix = normal(4096, 4096, dtype=torch.bfloat16)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(10_000):
        for _ in range(20):
            matrix @ matrix
        end.record()
        end.synchronize()
        if begin.elapsed_time(end) > MILLI * seconds:
            return


SECTIONS: dict[str, Callable[[Namespace], list[Row]]] = {
    "blocks": block_rows,
    "blocks in float32": lambda options: block_rows(options, torch.float32),
    "masks": masked_rows,
    "bandwidth": bandwidth_rows,
    "convolution": convolution_rows,
    "block formats of torch": bsr_rows,
    "thresholds": threshold_rows,
    "sparse matrices": csr_rows,
}


def main() -> None:
    """Measure all that this device and this version can do."""
    options = arguments(__doc__.partition("\n")[0])
    options.rounds = options.rounds or (1 if options.quick else ROUNDS)
    peers = versions("torch")
    if not torch.cuda.is_available():
        report("bench_cuda", options, [], peers, ["no CUDA device: nothing is measured"])
        return
    warm_up(0.1 if options.quick else 1.0)
    rows: list[Row] = []
    for name, section in SECTIONS.items():
        runs(name, lambda section=section: rows.extend(section(options)))  # type: ignore[misc]
    device = {"device": torch.cuda.get_device_name()}
    report("bench_cuda", options, rows, peers | device, ["times of the device, medians"])


if __name__ == "__main__":
    main()
