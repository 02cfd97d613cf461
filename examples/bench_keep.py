"""What masks cost while training: a step of ResNet-20 (width 16, batch 128, one thread) with and without them.

    python examples/bench_keep.py

The steps of all variants run in turn, so that a slow moment of the machine meets them alike; medians are compared.
Because they still scatter by more than `keep_masks` costs, what it does is also timed by itself inside these steps.
"""

import argparse
import copy
import platform
import time
from collections.abc import Callable
from statistics import median, quantiles

import torch
from torch import nn
from torch.nn.utils import prune

import prune_adapters as pa
from networks import resnet20

Step = Callable[[], object]
Masks = dict[str, torch.Tensor]
Optimize = Callable[[nn.Module], torch.optim.Optimizer]
OPTIMIZERS: dict[str, Optimize] = {
    "SGD, momentum": lambda model: torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4),
    "AdamW": lambda model: torch.optim.AdamW(model.parameters()),
}

IN_HOOK: list[float] = []
"""Seconds that `keep_masks` took after each step."""


def training_step(model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor) -> Step:
    """Return the function that trains on one batch."""

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    return step


def kept(model: nn.Module, masks: Masks, optimize: Optimize) -> torch.optim.Optimizer:
    """Prepare the model with `apply_masks` and `keep_masks`; hooks run in order, so a clock fits around ours."""
    optimizer = optimize(pa.apply_masks(model, masks))
    optimizer.register_step_post_hook(lambda *_: IN_HOOK.append(-time.perf_counter()))
    pa.keep_masks(model, optimizer)
    optimizer.register_step_post_hook(lambda *_: IN_HOOK.append(IN_HOOK.pop() + time.perf_counter()))
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


def dense(model: nn.Module, masks: Masks, optimize: Optimize) -> torch.optim.Optimizer:
    """Prepare the model without masks."""
    return optimize(model)


VARIANTS = {"dense": dense, "keep_masks": kept, "float masks by hand": by_hand, "torch.nn.utils.prune": torch_prune}


def times_in_turn(steps: dict[str, Step], rounds: int) -> dict[str, list[float]]:
    """Return seconds of each step in each round, after one round to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name, step in steps.items():
            begin = time.perf_counter()
            step()
            if number:
                seconds[name].append(time.perf_counter() - begin)
    return seconds


def compare(optimize: Optimize, batch: int, rounds: int) -> None:
    """Print a row for each variant."""
    torch.manual_seed(0)
    model = resnet20(width=16).train()
    masks = dict(pa.masks_from_scores(pa.magnitude_scores(model), sparsity=0.9))
    x, y = torch.randn(batch, 3, 32, 32), torch.randint(10, (batch,))
    steps = {}
    for name, prepare in VARIANTS.items():
        twin = copy.deepcopy(model)
        steps[name] = training_step(twin, prepare(twin, masks, optimize), x, y)
    IN_HOOK.clear()
    seconds = times_in_turn(steps, rounds)
    for name, own in seconds.items():
        ratios = [one / other - 1 for one, other in zip(own, seconds["dense"], strict=True)]
        low, middle, high = quantiles(ratios, n=4)
        print(f"  {name:22s}{1000 * median(own):8.1f} ms{middle:+8.1%}   quartiles {low:+.1%} to {high:+.1%}")
    hook = median(IN_HOOK)
    print(f"  what keep_masks does    {1000 * hook:6.2f} ms{hook / median(seconds['dense']):+9.2%}")


def main() -> None:
    """Compare the variants for each optimizer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two rounds of a small batch: does it run at all")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {platform.machine()}, 1 thread, 90 % removed")
    for name, optimize in OPTIMIZERS.items():
        print(name)
        compare(optimize, batch=8 if options.quick else 128, rounds=2 if options.quick else 15)


if __name__ == "__main__":
    main()
