"""`netgraph bench`: how fast this computer is, beside plain numpy and torch."""

from typing import Annotated

import typer

from prune_adapters.cli.console import answer, bar, table
from prune_adapters.cli.options import Json

__all__ = ["bench"]


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Small cases, in a second or two.")] = False,
    json: Json = False,
) -> None:
    """Print what this computer does in which time, beside plain numpy and torch: under 20 s."""
    from prune_adapters.cli.timings import cases

    measured = []
    chosen = cases(quick=quick)
    with bar("measuring") as tell:
        for number, case in enumerate(chosen):
            tell(number, len(chosen))
            measured.append(case(0.05 if quick else 0.6))
    rows = [(m.what, m.plain_name, *map(_time, (m.ours, m.plain)), f"{m.ratio:.1f}x") for m in measured]
    shown = table(("what", "beside", "here", "plain", "faster by"), rows, left=2, title="the shortest of several runs")
    answer(shown, {"rows": [m.to_dict() for m in measured]}, as_json=json)


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.2f} {unit}"
    return f"{seconds * 1e6:.1f} us"
