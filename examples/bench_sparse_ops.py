"""Sparse and block linear layers beside dense ones, torch's and scipy's sparse products, and ``torch.nn.utils.prune``.

    python examples/bench_sparse_ops.py

"oneDNN" is the fastest dense product that torch has (``torch.ops.mkldnn._linear_pointwise``): F.linear calls MKL, which
is slow on other makers' processors. A step is the forward pass and the gradients of inputs and weights; that of oneDNN
is three products on operands that lie ready. The layouts of torch's and scipy's CSR leave out the two transpositions
that a layer needs.
"""

import time
import warnings
from collections.abc import Callable, Iterable

import numpy as np
import scipy.sparse
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

import prune_adapters as pa
from benchmark import Case, Row, arguments, measure, report, versions
from sparse_memory import memory_rows

Rates = dict[str, float]
MILLI = 1000.0
SPARSITIES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
POLICY = (0.0, 0.3, *SPARSITIES)
SIZES = ((4096, 128), (4096, 32), (512, 32), (1024, 1), (4096, 1))
FORWARD = {("1024, batch 128", 0.9): 3.5, ("1024, batch 128", 0.99): 13.0}
STEP = {("1024, batch 128", 0.9): 3.0}


def onednn(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return ``x @ weight.T`` by oneDNN."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")


def stepping(layer: nn.Module, x: torch.Tensor, grad: torch.Tensor) -> Callable[[], None]:
    """Return the function that goes forward and backward through a layer."""

    def step() -> None:
        x.grad = None
        layer.zero_grad(set_to_none=True)
        layer(x).backward(grad)

    return step


def forward(layer: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    """Return the function that goes forward through a layer, without a record for gradients."""

    def run() -> None:
        with torch.no_grad():
            layer(x)

    return run


def repeated(cases: dict[str, Callable[[], object]], work: int, rounds: int) -> tuple[list[Case], int]:
    """Return cases that run often enough for the clock, by the products of a dense pass, and how often."""
    times = max(1, (rounds << 25) // work)

    def loop(run: Callable[[], object]) -> Callable[[], None]:
        def many() -> None:
            for _ in range(times):
                run()

        return many

    return [Case(name, loop(run)) for name, run in cases.items()], times


class Problem:
    """A dense layer, its mask, and the data of a pass."""

    def __init__(self, features: int, batch: int, mask: torch.Tensor, *, dtype: torch.dtype = torch.float32) -> None:
        self.mask, self.work = mask, features * features * batch
        self.dense = pa.apply_masks(nn.Linear(features, features, bias=False, dtype=dtype), {"weight": mask})
        self.x, self.grad = (torch.randn(batch, features).to(dtype) for _ in range(2))
        self.x.requires_grad_()

    def own(self, layer: nn.Module) -> dict[str, Callable[[], object]]:
        """Return our passes."""
        return {"forward": forward(layer, self.x), "step": stepping(layer, self.x, self.grad)}

    def dense_passes(self) -> dict[str, Callable[[], object]]:
        """Return the passes of dense layers."""
        x, weight, grad = self.x.detach(), self.dense.weight.detach(), self.grad
        across, x_t, grad_t = weight.T.contiguous(), x.T.contiguous(), grad.T.contiguous()
        return {
            "forward, oneDNN": lambda: onednn(x, weight),
            "step, oneDNN": lambda: (onednn(x, weight), onednn(grad, across), onednn(grad_t, x_t)),
            "forward, F.linear": forward(self.dense, self.x),
            "step, F.linear": stepping(self.dense, self.x, grad),
        }

    def sparse_peers(self) -> dict[str, Callable[[], object]]:
        """Return what else multiplies sparse matrices, and a layer masked by torch."""
        x, weight = self.x.detach(), self.dense.weight.detach()
        x_t = x.T.contiguous()
        csr, plain = weight.to_sparse_csr(), scipy.sparse.csr_matrix(weight.numpy())
        columns = np.ascontiguousarray(x_t.numpy())
        pruned = prune.custom_from_mask(nn.Linear(*weight.shape[::-1], bias=False), "weight", self.mask)
        return {
            "forward, torch CSR @ x.T": lambda: csr @ x_t,
            "forward, F.linear(x, CSR)": lambda: F.linear(x, csr),
            "forward, scipy CSR @ x.T": lambda: plain @ columns,
            "step, torch.nn.utils.prune": stepping(pruned, self.x, self.grad),
        }


def rows_of(case: str, found: Rates, targets: dict[str, float | None]) -> list[Row]:
    """Return our passes beside each peer of the same pass."""
    rows = []
    for name, seconds in found.items():
        kind, _, peer = name.partition(", ")
        if peer:
            target = targets.get(kind) if peer == "oneDNN" else None
            rows.append(Row(f"{case}: {kind}", MILLI * found[kind], "ms", peer, MILLI * seconds, target))
    return rows


def unstructured(features: int, batch: int, sparsities: Iterable[float], rounds: int, *, peers: bool) -> list[Row]:
    """Return the sparse layer beside its peers at each sparsity."""
    rows, size = [], f"{features}, batch {batch}"
    for sparsity in sparsities:
        problem = Problem(features, batch, torch.rand(features, features) >= sparsity)
        cases = problem.own(pa.SparseLinear.from_dense(problem.dense)) | problem.dense_passes()
        cases |= problem.sparse_peers() if peers else {}
        timed, times = repeated(cases, problem.work, rounds)
        found = {name: seconds / times for name, seconds in measure(timed, rounds).items()}
        targets = {"forward": FORWARD.get((size, sparsity)), "step": STEP.get((size, sparsity))}
        rows += rows_of(f"{size}, {100 * sparsity:g} %", found, targets)
    return rows


def blocks(features: int, batch: int, block: int, density: float, rounds: int, target: float | None) -> list[Row]:
    """Return a layer of dense blocks beside the dense layer and torch's BSR."""
    groups = features // block
    kept = torch.rand(groups, groups).argsort(dim=1) < max(1, round(density * groups))
    problem = Problem(features, batch, kept.repeat_interleave(block, 0).repeat_interleave(block, 1))
    x, weight = problem.x.detach(), problem.dense.weight.detach()
    x_t, bsr = x.T.contiguous(), weight.to_sparse_bsr((block, block))
    cases = problem.own(pa.RegularLinear.from_dense(problem.dense)) | problem.dense_passes()
    cases |= {"forward, torch BSR @ x.T": lambda: bsr @ x_t, "forward, F.linear(x, BSR)": lambda: F.linear(x, bsr)}
    timed, times = repeated(cases, problem.work, rounds)
    found = {name: seconds / times for name, seconds in measure(timed, rounds).items()}
    name = f"{features}, batch {batch}, blocks {block}x{block}, {100 * (1 - density):g} %"
    return rows_of(name, found, {"forward": target})


def narrow_blocks(features: int, batch: int, block: int, density: float, rounds: int) -> list[Row]:
    """Return a layer of blocks in bfloat16 beside the dense one, and beside itself in float32, there and back."""
    groups = features // block
    kept = torch.rand(groups, groups).argsort(dim=1) < max(1, round(density * groups))
    mask = kept.repeat_interleave(block, 0).repeat_interleave(block, 1)
    problem = Problem(features, batch, mask, dtype=torch.bfloat16)
    layer = pa.RegularLinear.from_dense(problem.dense)
    values = layer.values.detach()
    cases = problem.own(layer) | problem.dense_passes()
    cases["forward, float32 and back"] = lambda: layer.plan.linear(
        problem.x.detach().float(), values.float()
    ).bfloat16()
    timed, times = repeated(cases, problem.work, rounds)
    found = {name: seconds / times for name, seconds in measure(timed, rounds).items()}
    return rows_of(f"{features}, batch {batch}, blocks {block}x{block}, {100 * (1 - density):g} %, bfloat16", found, {})


def two_threads(features: int, batch: int, sparsity: float, rounds: int) -> list[Row]:
    """Return wall times on two threads, the best of all rounds, and how much faster than one thread they are."""
    problem = Problem(features, batch, torch.rand(features, features) >= sparsity)
    cases = problem.own(pa.SparseLinear.from_dense(problem.dense)) | problem.dense_passes()
    timed = [Case(name, run) for name, run in cases.items()]
    found: dict[int, Rates] = {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found[threads] = measure(timed, rounds, clock=time.perf_counter, pick=min)
    torch.set_num_threads(1)
    case = f"{features}, batch {batch}, {100 * sparsity:g} %, 2 threads"
    gains = [
        Row(f"{case}: {name}", MILLI * found[2][name], "ms", "one thread", MILLI * found[1][name]) for name in found[1]
    ]
    return [*rows_of(case, found[2], {}), *gains]


def policies(features: int, batch: int, sparsities: Iterable[float], rounds: int) -> tuple[list[Row], list[str]]:
    """Return a step of what `sparsify` chooses beside that of the dense layer, and the choices."""
    rows, told = [], []
    for sparsity in sparsities:
        problem = Problem(features, batch, torch.rand(features, features) >= sparsity)
        cases, forms = {"dense": stepping(problem.dense, problem.x, problem.grad)}, {}
        for policy in ("measure", "predict"):
            model = nn.Sequential(pa.remove_masks(nn.Linear(features, features, bias=False)))
            record = pa.sparsify(model, {"0.weight": problem.mask}, policy=policy, example_inputs=problem.x.detach())
            forms[policy] = record.forms["0"]
            if forms[policy] != "dense":
                cases[policy] = stepping(model, problem.x, problem.grad)
        timed, times = repeated(cases, problem.work, rounds)
        found = {name: MILLI * seconds / times for name, seconds in measure(timed, rounds).items()}
        case = f"{features}, batch {batch}, {100 * sparsity:g} %"
        for policy, form in forms.items():
            ours = found.get(policy, found["dense"])  # what stays dense is the same layer
            rows.append(Row(f"{case}: step, policy {policy}", ours, "ms", "dense", found["dense"], 0.95))
            told.append(f"{case}: {policy} chose {form}")
    return rows, told


def main() -> None:
    """Compare linear layers."""
    options = arguments(__doc__.partition("\n")[0])
    options.rounds = options.rounds or (2 if options.quick else 15)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    warnings.filterwarnings("ignore", "Sparse (CSR|BSR) tensor support is in beta")
    if options.quick:
        rows = unstructured(256, 32, (0.9,), options.rounds, peers=True)
        rows += blocks(256, 32, 16, 0.125, options.rounds, None)
        rows += narrow_blocks(256, 32, 16, 0.125, options.rounds)
        more, told = policies(256, 32, (0.0, 0.9), options.rounds)
        rows = [*rows, *more, *two_threads(256, 32, 0.9, options.rounds), *memory_rows(256, 32, (0.9,))]
        rows = [Row(r.case, r.ours, r.unit, r.peer, r.peer_value) for r in rows]
    else:
        rows = unstructured(1024, 128, SPARSITIES, options.rounds, peers=True)
        for features, batch in SIZES:
            rows += unstructured(features, batch, (0.8, 0.9, 0.95, 0.99), max(5, options.rounds // 2), peers=False)
        for block, density, target in ((16, 0.1, 6.0), (32, 0.125, None), (64, 0.125, None)):
            rows += blocks(1024, 128, block, density, options.rounds, target)
        for features, batch in ((1024, 128), (4096, 32)):
            rows += narrow_blocks(features, batch, 16, 0.1, options.rounds)
        more, told = policies(1024, 128, POLICY, options.rounds)
        rows += [*more, *two_threads(1024, 128, 0.9, 40 * options.rounds)]
        rows += two_threads(4096, 32, 0.9, 10 * options.rounds)
        rows += memory_rows(4096, 32, (0.9, 0.95, 0.99))
    notes = [*told, "CPU times of the thread, medians; on two threads wall times, the best of all rounds"]
    report("bench_sparse_ops", options, rows, versions("torch", "scipy"), notes)


if __name__ == "__main__":
    main()
