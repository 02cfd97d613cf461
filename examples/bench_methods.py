"""What methods of pruning while training add to a training step (ResNet-20, width 16, batch 128, one thread).

    python examples/bench_methods.py

A method's calls are timed by themselves between the steps, because whole steps scatter by more than they cost. Beside
selective weight decay runs the term as the authors wrote it: the magnitudes joined and sorted for the threshold, and
the squares of the weights below it added to the loss.
"""

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn

import prune_adapters as pa
from bench_keep import training_step
from benchmark import Case, Row, arguments, measure, report, versions
from models import resnet20
from path_length_tasks import mlp

SPARSITY, DECAY = 0.9, 5e-4
REFRESHES = {1: 1.0, 10: 0.5}
"""Steps between thresholds, and the share of a step in per cent that the term is held to."""


def weight_decay_rows(options: argparse.Namespace) -> list[Row]:
    """Return the cost of selective weight decay of weights, in place of one step, beside the reference."""
    batch = 8 if options.quick else 128
    cases = {
        "ResNet-20": (resnet20(), torch.randn(batch, 3, 32, 32), REFRESHES),
        "MLP of five layers, 512 wide": (mlp(784, 512), torch.randn(batch, 1, 28, 28), dict.fromkeys(REFRESHES)),
    }
    rows: list[Row] = []
    for label, (model, x, targets) in cases.items():
        rows += compare(label, model, x, {r: None if options.quick else share for r, share in targets.items()}, options)
    return rows


def compare(
    label: str, model: nn.Module, x: Tensor, targets: dict[int, float | None], options: argparse.Namespace
) -> list[Row]:
    """Return the term at each refresh beside the reference, both as shares of a step of the same run."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=DECAY)
    step = training_step(model.train(), optimizer, x, torch.arange(len(x)) % 10)
    step()
    given = {"sparsity": SPARSITY, "steps": 1000, "optimizer": optimizer, "a_max": 1.0}
    calls = {f"refresh {r}": (calls_of(pa.SelectiveWeightDecay(model, refresh=r, **given), r), r) for r in targets}
    calls |= {"adam": (calls_of(pa.SelectiveWeightDecay(model, term="decoupled", **given), 1), 1)}
    if label == "ResNet-20":
        norms = pa.SelectiveWeightDecay(model, graph=pa.to_graph(model, x[:1]), norms=True, refresh=10, **given)
        calls |= {"norms": (calls_of(norms, 10), 10)}
        groups = pa.coupled_channels(model, x[:1])
        calls |= {"channels": (calls_of(pa.SelectiveChannelDecay(model, groups=groups, **given), 1), 1)}
    calls |= {"reference": (lambda: reference_term(model).backward(), 1)}
    found = measure([Case("step", step), *(Case(name, run) for name, (run, _) in calls.items())], options.rounds)
    share = {name: 100 * found[name] / times / found["step"] for name, (_, times) in calls.items()}
    rows = [Row(f"{label}: reference term, share of a step", share["reference"], "%")]
    for refresh, target in targets.items():
        name = f"refresh {refresh}"
        rows.append(Row(f"{label}: SWD, {name}, share of a step", share[name], "%", target=target))
        rows.append(Row(f"{label}: SWD, {name}", share[name], "%", "reference term", share["reference"]))
    rows.append(Row(f"{label}: SWD, decoupled, refresh 1, share of a step", share["adam"], "%"))
    if "channels" in share:
        for title, name, refresh in (("of channels", "channels", 1), ("with norms", "norms", 10)):
            title = f"{label}: SWD {title}, refresh {refresh}, share of a step"
            rows.append(Row(title, share[name], "%", target=targets[refresh]))
    return rows


def calls_of(method: pa.Method, times: int) -> Callable[[], None]:
    """Return the function that makes the calls of so many steps."""

    def run() -> None:
        for _ in range(times):
            method.penalty()
            method.after_backward()
            method.after_step()

    return run


def reference_term(model: nn.Module) -> Tensor:
    """Return the term of the loss by a sort of all magnitudes."""
    weights = [weight for weight in model.parameters() if weight.dim() > 1]
    magnitudes = torch.cat([weight.detach().abs().reshape(-1) for weight in weights])
    bound = magnitudes.sort()[0][round(SPARSITY * len(magnitudes)) - 1]
    below = [(weight.detach().abs() <= bound).to(weight.dtype) * weight for weight in weights]
    return DECAY / 2 * torch.stack([part.square().sum() for part in below]).sum()


PARTS = (weight_decay_rows,)
"""One function for each method, from the options to its rows."""


def main() -> None:
    """Measure one method after the other."""
    options = arguments(__doc__.partition("\n")[0])
    options.rounds = options.rounds or (1 if options.quick else 15)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows: list[Row] = []
    for part in PARTS:
        rows += part(options)
    notes = [f"{SPARSITY:.0%} of the weights to remove; CPU times of the thread, medians; --quick: no targets"]
    report("bench_methods", options, rows, versions("torch"), notes)


if __name__ == "__main__":
    main()
