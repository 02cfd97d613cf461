"""What masks cost while training: a step of ResNet-20 (width 16, batch 128, one thread) with and without them.

    python examples/bench_keep.py

Beside `keep_masks` run the loop that many write by hand and ``torch.nn.utils.prune``. Whole steps scatter by more than
`keep_masks` costs, so what it does is also timed by itself inside these steps; that figure is held to the target.
"""

import copy
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import nn
from torch.nn.utils import prune

import prune_adapters as pa
from benchmark import Case, Row, arguments, measure, report, versions
from models import resnet20

Masks = dict[str, torch.Tensor]
Optimize = Callable[[nn.Module], torch.optim.Optimizer]
OPTIMIZERS: dict[str, Optimize] = {
    "SGD": lambda model: torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4),
    "AdamW": lambda model: torch.optim.AdamW(model.parameters()),
}


def dense(model: nn.Module, masks: Masks, optimize: Optimize) -> torch.optim.Optimizer:
    """Prepare the model without masks."""
    return optimize(model)


def kept(model: nn.Module, masks: Masks, optimize: Optimize) -> torch.optim.Optimizer:
    """Prepare the model with `apply_masks` and `keep_masks`."""
    optimizer = optimize(pa.apply_masks(model, masks))
    pa.keep_masks(model, optimizer)
    return optimizer


def by_hand(model: nn.Module, masks: Masks, optimize: Optimize) -> torch.optim.Optimizer:
    """Prepare the model with the loop that many write: weights times float masks after each step."""
    optimizer = optimize(model)
    pairs = [(model.get_parameter(name), mask.float()) for name, mask in masks.items()]

    def multiply(*_: object) -> None:
        with torch.no_grad():
            for weight, mask in pairs:
                weight.mul_(mask)

    optimizer.register_step_post_hook(multiply)
    return optimizer


def torch_prune(model: nn.Module, masks: Masks, optimize: Optimize) -> torch.optim.Optimizer:
    """Prepare the model with ``torch.nn.utils.prune``."""
    for name, mask in masks.items():
        module, _, key = name.rpartition(".")
        prune.custom_from_mask(model.get_submodule(module), key, mask)
    return optimize(model)


VARIANTS = {"dense": dense, "keep_masks": kept, "float masks by hand": by_hand, "torch.nn.utils.prune": torch_prune}


def training_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor
) -> Callable[[], None]:
    """Return the function that trains on one batch."""

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    return step


def clocked(model: nn.Module, masks: Masks, optimize: Optimize, seconds: list[float]) -> torch.optim.Optimizer:
    """Prepare as `kept` does, with a clock around the hook: hooks run in the order in which they were attached."""
    optimizer = optimize(pa.apply_masks(model, masks))
    optimizer.register_step_post_hook(lambda *_: seconds.append(-time.thread_time()))
    pa.keep_masks(model, optimizer)
    optimizer.register_step_post_hook(lambda *_: seconds.append(seconds.pop() + time.thread_time()))
    return optimizer


def compare(label: str, optimize: Optimize, quick: bool, rounds: int) -> list[Row]:
    """Return the step with `keep_masks` beside the other variants, and what `keep_masks` does by itself."""
    torch.manual_seed(0)
    model = resnet20(width=16).train()
    masks = dict(pa.masks_from_scores(pa.magnitude_scores(model), sparsity=0.9))
    batch = 8 if quick else 128
    x, y = torch.randn(batch, 3, 32, 32), torch.randint(10, (batch,))
    hook: list[float] = []
    cases = []
    for name, prepare in {**VARIANTS, "clocked": lambda *prepared: clocked(*prepared, hook)}.items():
        twin = copy.deepcopy(model)
        cases.append(Case(name, training_step(twin, prepare(twin, masks, optimize), x, y)))
    times = measure(cases, rounds)
    ours = 1000 * times["keep_masks"]
    rows = [
        Row(f"{label}: step with keep_masks", ours, "ms", n, 1000 * times[n]) for n in VARIANTS if n != "keep_masks"
    ]
    share = 100 * median(hook) / times["dense"]
    return [*rows, Row(f"{label}: keep_masks alone, share of a step", share, "%", target=None if quick else 1)]


def main() -> None:
    """Compare the variants for each optimizer."""
    options = arguments(__doc__.partition("\n")[0])
    options.rounds = options.rounds or (2 if options.quick else 15)
    torch.set_num_threads(1)
    rows: list[Row] = []
    for label, optimize in OPTIMIZERS.items():
        rows += compare(label, optimize, options.quick, options.rounds)
    notes = ["90 % of the weights removed; CPU times of the thread, medians; --quick: a batch of 8, no target"]
    report("bench_keep", options, rows, versions("torch"), notes)


if __name__ == "__main__":
    main()
