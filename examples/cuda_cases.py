"""What bench_cuda.py measures: layers of blocks, networks, and how cases are run on a CUDA device."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from benchmark import Case, Row, measure_device
from prune_adapters.ops import cuda_blocks

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


def graph(run: Run) -> Run:
    """Return the same as a CUDA graph, which is captured when it first runs."""
    held: list[torch.cuda.CUDAGraph] = []

    def replay() -> None:
        if not held:
            run()
            torch.cuda.synchronize()
            own = torch.cuda.CUDAGraph()
            with torch.cuda.graph(own):
                run()
            held.append(own)
        held[0].replay()

    return replay


def network(size: int) -> torch.nn.Sequential:
    """Return three linear layers of one size."""
    layers = [torch.nn.Linear(size, size, bias=False) for _ in range(3)]
    between = [torch.nn.ReLU() for _ in layers]
    paired = [one for pair in zip(layers, between, strict=True) for one in pair]
    return torch.nn.Sequential(*paired[:-1]).to("cuda", torch.bfloat16)


def descent(model: torch.nn.Module, x: torch.Tensor, wanted: torch.Tensor) -> Run:
    """Return a training step, SGD with momentum."""
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, fused=True)

    def step() -> None:
        functional.mse_loss(model(x), wanted).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


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
