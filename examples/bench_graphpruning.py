"""What GraphPruning costs: a step of the net that holds weights, a candidate, an episode, and where the time goes.

    python examples/bench_graphpruning.py

A ResNet-20, 16 wide, batches of 64 pictures of 32 x 32, one thread. Beside the net whose weights are generated runs the
same net with shared ones; multiply-adds and narrow networks are compared with a run under hooks and, where it is
installed, with torch-pruning, which asks its dependency graph for every layer.
"""

import copy
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch
from torch import nn

import prune_adapters as pa
from benchmark import Case, Row, arguments, measure, report, versions
from models import small_resnet

RATIO = 0.6
COST_OF_GENERATION = 1.3
"""The most that a training step may cost against one with shared weights."""


def step_of(
    net: nn.Module, x: torch.Tensor, y: torch.Tensor, forward: Callable[[], torch.Tensor]
) -> Callable[[], None]:
    """Return the function that makes one step of training."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(forward(), y).backward()
        optimizer.step()

    return step


def torch_pruned(model: nn.Module, example: torch.Tensor) -> nn.Module:
    """Return a narrow network as torch-pruning makes it: uniform, by magnitude, the outputs left alone."""
    import torch_pruning

    narrow = copy.deepcopy(model)
    importance = torch_pruning.importance.MagnitudeImportance(p=1)
    head = [module for module in narrow.modules() if isinstance(module, nn.Linear)]
    torch_pruning.pruner.MetaPruner(narrow, example, importance, pruning_ratio=1 - RATIO, ignored_layers=head).step()
    return narrow


def cases_of(batch: int) -> list[Case]:
    """Return what is timed."""
    torch.manual_seed(0)
    model = small_resnet(3, 16, 10)
    example, x, y = torch.ones(1, 3, 32, 32), torch.randn(batch, 3, 32, 32), torch.arange(batch) % 10
    space = pa.width_space(model, example)
    counts = space.counts([RATIO] * len(space.widths))
    budget = pa.WidthBudget(space, space.macs, 0.3 * space.macs(space.full))
    narrow = space.narrowed(counts).train()
    generated, shared = (pa.PruningNet(space, kind=kind).train() for kind in ("generated", "shared"))
    state, ratios = pa.aggregated_state(generated), np.linspace(0.3, 1.0, len(counts))
    cases = {
        "step, generated": step_of(generated, x, y, lambda: generated(x, counts)),
        "step, shared": step_of(shared, x, y, lambda: shared(x, counts)),
        "step, plain": step_of(narrow, x, y, lambda: narrow(x)),
        "weights": lambda: generated.weights(counts),
        "evaluation": lambda: pa.evaluate(generated, counts, calibration=x, holdout=(x, y)),
        "forward": lambda: (narrow(x), pa.evaluate_model(narrow, (x, y))),
        "state": lambda: [state(counts) for _ in counts],
        "projection": lambda: budget.project(ratios),
        "multiply-adds": lambda: space.macs(counts),
        "hooks": lambda: pa.count_macs(narrow, example),
        "narrow": lambda: space.narrowed(counts),
        "space": lambda: pa.width_space(model, example),
    }
    if find_spec("torch_pruning"):
        cases["torch-pruning"] = lambda: torch_pruned(model, example)
    return [Case(name, run) for name, run in cases.items()]


def main() -> None:
    """Time everything in turn."""
    options = arguments(__doc__.partition("\n")[0])
    options.rounds = options.rounds or (1 if options.quick else 15)
    torch.set_num_threads(1)
    cases = cases_of(8 if options.quick else 64)
    ms = {name: 1000 * seconds for name, seconds in measure(cases, options.rounds).items()}
    target = None if options.quick else 1 / COST_OF_GENERATION
    rows = [
        Row("step, generated weights", ms["step, generated"], "ms", "shared weights", ms["step, shared"], target),
        Row("step, generated weights", ms["step, generated"], "ms", "the narrow network alone", ms["step, plain"]),
        Row("weights of a sub-network", ms["weights"], "ms"),
        Row("candidate, calibrated and evaluated", ms["evaluation"], "ms", "two passes of it", ms["forward"]),
        Row("episode: states of all its steps", ms["state"], "ms"),
        Row("episode: projection onto the budget", ms["projection"], "ms"),
        Row("multiply-adds of a sub-network", ms["multiply-adds"], "ms", "a run under hooks", ms["hooks"], 100),
        Row("a narrow network", ms["narrow"], "ms"),
        Row("widths of a network, from its trace", ms["space"], "ms"),
    ]
    if "torch-pruning" in ms:
        label, peer = "a narrow network", ms["torch-pruning"]
        rows.append(Row(label, ms["narrow"], "ms", "torch-pruning, uniform", peer))
    peers = versions("torch", *(["torch-pruning"] if "torch-pruning" in ms else []))
    notes = [f"CPU times of the thread, medians; all widths at {RATIO}; --quick: a batch of 8, no target for steps"]
    report("bench_graphpruning", options, rows, peers, notes)


if __name__ == "__main__":
    main()
