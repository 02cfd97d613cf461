"""What TCMP costs while training: a step of ResNet-20 (width 16, batch 128, one thread), and the sweeps in it.

    python examples/bench_tcmp.py

Whole steps scatter by more than the sweeps cost, so the two supervisory networks are timed by themselves, forward and
backward on the weights of that network, and so is all that the method does in a step.
"""

import copy
from collections.abc import Callable
from statistics import median
from time import thread_time

import torch
from torch import nn

import prune_adapters as pa
from benchmark import Case, Row, arguments, measure, report, versions
from models import resnet20
from prune_adapters.sweeps import Supervision


def training_step(
    model: nn.Module, x: torch.Tensor, y: torch.Tensor, method: pa.Method | None, seconds: list[float]
) -> Callable[[], None]:
    """Return the function that trains on one batch, and notes what the method takes."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def clocked(call: Callable[[], object]) -> None:
        start = thread_time()
        call()
        seconds[-1] += thread_time() - start

    def step() -> None:
        seconds.append(0.0)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        if method is None:
            optimizer.step()
            return
        clocked(method.penalty)
        clocked(method.after_backward)
        optimizer.step()
        clocked(method.after_step)

    return step


def supervised(model: nn.Module, supervision: Supervision) -> Callable[[], None]:
    """Return the function that sweeps forward and backward."""
    psi = {name: torch.rand_like(model.get_parameter(name)) * 0.6 for name in supervision.graph.edge_parameters}
    pulls = [torch.randn_like(own) for own in psi.values()]

    def sweep() -> None:
        own = {name: value.requires_grad_() for name, value in psi.items()}
        torch.autograd.grad(list(supervision(own).values()), list(own.values()), pulls)

    return sweep


def main() -> None:
    """Compare a plain step with one of TCMP, and show the share of the sweeps."""
    options = arguments(__doc__.partition("\n")[0])
    options.rounds = options.rounds or (2 if options.quick else 15)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = resnet20(width=16).train()
    graph = pa.to_graph(model, torch.ones(1, 3, 32, 32))
    twin = copy.deepcopy(model)
    method = pa.TCMP(twin, sparsity=0.9, steps=1000, begin=0.0, end=1.0, every=100, graph=graph)
    batch = 8 if options.quick else 128
    x, y = torch.randn(batch, 3, 32, 32), torch.randint(10, (batch,))
    seconds: list[float] = []
    plain = Case("plain", training_step(model, x, y, None, []))
    pruned = Case("TCMP", training_step(twin, x, y, method, seconds))
    sweeps = Case("sweeps", supervised(model, Supervision(graph)))
    times = measure([plain, pruned, sweeps], options.rounds)
    share = 100 / times["plain"]
    rows = [
        Row("step of TCMP", 1000 * times["TCMP"], "ms", "plain step", 1000 * times["plain"]),
        Row(
            "supervisory networks, there and back, share",
            share * times["sweeps"],
            "%",
            target=None if options.quick else 1,
        ),
        Row("all that TCMP does in a step, share", share * median(seconds), "%"),
    ]
    notes = ["CPU times of the thread, medians; weights are counted every 100 steps; --quick: a batch of 8, no target"]
    report("bench_tcmp", options, rows, versions("torch"), notes)


if __name__ == "__main__":
    main()
