"""GraphPruning against uniform, random, L1 and evolved widths: what each finds with as many evaluations, and its worth.

    python examples/reproduce_graphpruning.py --quick
    python examples/reproduce_graphpruning.py --data FOLDER --studies dead
    python examples/reproduce_graphpruning.py --data FOLDER --studies half third --ranks 30

The method is reconstructed from two abstracts and from its parents; the paper's tables are not known, so there is no
figure of the paper to reach. FOLDER (or NETGRAPH_DATA) holds CIFAR-10 as cifar10_jpeg_train.npz and
cifar10_jpeg_test.npz; digits serve without it. Nets, searches and trained networks are kept in out/graphpruning: what
was stopped goes on from there. A generated start has had the training of the net that generates it, so its rows are to
be compared with each other alone. The criteria at the end were fixed before the first run; those that fail say so.
"""

import argparse
import os
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import rich
import torch
from rich import box
from rich.table import Table

import prune_adapters as pa
from graphpruning_study import FINALS, STUDIES, Lengths, Study

LAST = 20
ENOUGH_POINTS, ENOUGH_RANKS, ENOUGH_WORTH = 0.5, 0.6, 0.5
"""Points by which a narrower network may be better; rank correlations of the halves of the reward, and with worth."""


def parsed() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    folder = os.environ.get("NETGRAPH_DATA")
    parser.add_argument("--data", type=Path, default=Path(folder) if folder else None, help="folder of CIFAR-10")
    parser.add_argument("--studies", nargs="+", choices=STUDIES, default=list(STUDIES))
    parser.add_argument("--network", choices=("resnet8", "resnet14", "resnet20"), default="resnet14")
    parser.add_argument("--kind", choices=("generated", "shared"), default="generated", help="weights of the net")
    parser.add_argument("--single", action="store_true", help="train the net on one sub-network a step, no sandwich")
    parser.add_argument("--steps", type=int, default=3000, help="of the net that holds weights (default: 3000)")
    parser.add_argument("--evaluations", type=int, default=300, help="of each search (default: 300)")
    parser.add_argument("--scratch", type=int, default=800, help="steps from scratch (default: 800)")
    parser.add_argument("--seeds", type=int, default=3, help="of the training from scratch (default: 3)")
    parser.add_argument("--seed", type=int, default=0, help="of net and searches (default: 0)")
    parser.add_argument("--ranks", type=int, default=0, help="sub-networks to compare generated and trained ones on")
    parser.add_argument("--folder", type=Path, default=Path("out/graphpruning"))
    parser.add_argument("--quick", action="store_true", help="digits, ResNet-8, the dead block: under a minute")
    options = parser.parse_args()
    if options.quick:
        options.data, options.network, options.studies, options.seeds, options.ranks = None, "resnet8", ["dead"], 1, 4
        options.steps, options.evaluations, options.scratch = 40, 16, 30
    return options


def study_of(name: str, options: argparse.Namespace) -> Study:
    """Return a study with the lengths that were asked for."""
    lengths = Lengths(options.steps, options.evaluations, options.scratch)
    ways = {"kind": options.kind, "sandwich": not options.single, "seed": options.seed}
    return Study(name, options.network, options.folder, options.data, lengths, **ways)


def shown(study: Study, seeds: int) -> None:
    """Print what each way finds and what it is worth, then the criteria."""
    rich.print(f"\n[bold]{study.network}: {study.subject.title}[/bold]")
    worth = {name: np.array([100 * study.worth(name, seed).accuracy for seed in range(seeds)]) for name in FINALS}
    losses = {name: study.objective(1)(counts).loss for name, counts in study.found.items()}
    heads = ["widths by", "MACs, %", "loss apart", *(f"seed {seed}, %" for seed in range(seeds)), "mean", "spread"]
    table = Table(*heads, box=box.SIMPLE)
    for name, accuracies in worth.items():
        counts = study.found[name.partition(",")[0]]
        share = 100 * study.space.macs(counts) / study.space.macs(study.space.full)
        spread = f"{accuracies.std(ddof=1):.1f}" if seeds > 1 else "-"
        numbers = [f"{a:.1f}" for a in (*accuracies, accuracies.mean())]
        table.add_row(name, f"{share:.1f}", f"{losses[name.partition(',')[0]]:.4f}", *numbers, spread)
    rich.print(table)
    print("  (loss apart: under the weights of the net, on held-out pictures that no search saw)\n\n  ratios:")
    for name, counts in study.found.items():
        print(f"  {name:<14}", " ".join(f"{ratio:.2f}" for ratio in study.space.ratios(counts)))
    print()
    for text, good in criteria(study, losses, worth):
        print(f"  {'met   ' if good else 'FAILED'} {text}")


def criteria(study: Study, losses: dict[str, float], worth: dict[str, np.ndarray]) -> Iterator[tuple[str, bool]]:
    """Yield what was to be shown, and whether it is."""
    yield _order(study)
    policy, random = (np.array(study.searches[name].losses) for name in ("GraphPruning", "random"))
    last, error = policy[-LAST:], (policy[-LAST:].var(ddof=1) / LAST + random.var(ddof=1) / len(random)) ** 0.5
    yield (
        f"the policy has learned: loss of its last {LAST} candidates {last.mean():.4f}, of random ones "
        f"{random.mean():.4f}, at least two standard errors of {error:.4f} apart",
        random.mean() - last.mean() >= 2 * error,
    )
    own, others = losses["GraphPruning"], losses["random"]
    yield f"its best has {own:.4f} on pictures that no search saw, random's best {others:.4f}", own <= others
    for name in ("GraphPruning", "evolution"):
        ahead = worth[name] - worth["uniform"]
        text = " ".join(f"{points:+.1f}" for points in ahead)
        yield f"{name} beats uniform on every paired seed (points: {text})", bool((ahead > 0).all())
        if study.subject.dead_block:
            yield _dead(study, name)
    for start in ("", ", generated start"):
        own, others, even = (worth[f"{name}{start}"].mean() for name in ("GraphPruning", "evolution", "uniform"))
        yield f"GraphPruning is not below evolution{start}: {own:.1f} and {others:.1f} %", own >= others
        yield f"GraphPruning is above uniform{start}: {own:.1f} and {even:.1f} %", own > even


def _order(study: Study) -> tuple[str, bool]:
    ratios = (1.0, 0.5, 0.3)
    apart = study.objective(1)
    points = [100 * apart(study.space.counts([ratio] * len(study.space.widths))).accuracy for ratio in ratios]
    text = ", ".join(f"{ratio:.0%} {accuracy:.1f}" for ratio, accuracy in zip(ratios, points, strict=True))
    good = all(wide >= narrow - ENOUGH_POINTS for wide, narrow in pairwise(points))
    return f"wider is better under generated weights (accuracy in % by width: {text})", good


def _dead(study: Study, name: str) -> tuple[str, bool]:
    place = next(i for i, width in enumerate(study.space.widths) if width.name.startswith("2.0.body"))
    own, uniform = (study.space.ratios(study.found[way])[place] for way in (name, "uniform"))
    return f"{name} makes the dead block narrow: {own:.2f}, below half of uniform's {uniform:.2f}", own < uniform / 2


def ranks(study: Study, n: int) -> None:
    """Print how the order of sub-networks of one size under the net agrees with the order after training."""
    rng = np.random.default_rng(0)
    low = study.subject.lowest
    drawn = [study.budget.project(rng.uniform(low, 1.0, len(study.space.widths))) for _ in range(n)]
    first, second = ([study.objective(part)(counts) for counts in drawn] for part in (0, 1))
    trained = [study.from_scratch(counts, seed=0) for counts in drawn]
    print(f"\n{n} random sub-networks of {study.subject.share:.0%} of the multiply-adds, net {study.label}")
    for text, others, enough in (
        ("of the loss on one part of the held-out pictures and the other", second, ENOUGH_RANKS),
        ("of the loss under the net and after training from scratch", trained, ENOUGH_WORTH),
    ):
        found = pa.spearman([a.loss for a in first], [b.loss for b in others])
        print(f"  {'met   ' if found >= enough else 'FAILED'} rank correlation {text}: {found:+.2f}, wanted {enough}")


def times(study: Study) -> None:
    """Print where the time of a search goes."""
    counts = study.budget.project([1.0] * len(study.space.widths))
    for label, call in {
        "evaluation of a candidate": lambda: study.objective()(counts),
        "  of it, its weights": lambda: study.net.weights(counts),
        "projection onto the budget": lambda: study.budget.project(np.linspace(0.3, 1, len(counts))),
        "its multiply-adds": lambda: study.space.macs(counts),
    }.items():
        seconds = []
        for _ in range(5):
            start = time.process_time()
            call()
            seconds.append(time.process_time() - start)
        print(f"  {label:<28}{1000 * np.median(seconds):9.2f} ms of CPU")


def main() -> None:
    """Do what is missing, and print everything."""
    options = parsed()
    torch.set_num_threads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    rich.get_console().width = max(rich.get_console().width, 120)
    for name in options.studies:
        study = study_of(name, options)
        shown(study, options.seeds)
        if options.ranks:
            ranks(study, options.ranks)
        times(study)


if __name__ == "__main__":
    main()
