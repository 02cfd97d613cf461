"""What all benchmarks here share: interleaved rounds, medians, a table with targets, and a JSON file.

A benchmark makes a list of `Case` objects, which are timed in turn, round after round, so that a busy moment of the
machine hits all of them; ratios are taken inside one run. Times are CPU times of the thread, medians over the rounds.
Import this module before numpy and torch: it sets them to one thread.

The JSON file holds one object::

    {"benchmark": name, "machine": {...}, "versions": {...}, "quick": bool, "rounds": n,
     "times": {case: seconds}, "rows": [{"what", "value", "unit", "target", "better", "met"}]}
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

# OpenBLAS reads these at import; a setting left over from another machine must not slow a peer down.
for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(variable, None)
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

__all__ = ["Case", "Row", "arguments", "machine", "measure", "report", "versions"]


@dataclass(frozen=True)
class Case:
    """Something to time.

    Parameters
    ----------
    name : str
    run : callable
        Takes and returns nothing that matters.
    every : int
        Run in every so many rounds only; for peers that take seconds.
    """

    name: str
    run: Callable[[], object]
    every: int = 1


@dataclass(frozen=True)
class Row:
    """A figure beside its target.

    Parameters
    ----------
    what : str
    value : float
    unit : str
    target : float or None
        None: told, not judged.
    better : {"low", "high"}
    """

    what: str
    value: float
    unit: str = "x"
    target: float | None = None
    better: str = "high"

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        return self.value >= self.target if self.better == "high" else self.value <= self.target


def arguments(description: str) -> argparse.Namespace:
    """Return the options that every benchmark has: ``quick``, ``rounds`` and ``json``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds: shows that it runs")
    parser.add_argument("--rounds", type=int, default=None, help="rounds of all cases in turn")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write all figures there")
    return parser.parse_args()


def measure(cases: Iterable[Case], rounds: int) -> dict[str, float]:
    """Return the median seconds of CPU time of each case, timed in turn over `rounds` rounds after a warm-up."""
    cases = list(cases)
    times: dict[str, list[float]] = {case.name: [] for case in cases}
    for case in cases:
        if case.every == 1:
            case.run()
    for number in range(rounds):
        for case in cases:
            if number % case.every == 0:
                start = time.thread_time()
                case.run()
                times[case.name].append(time.thread_time() - start)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def machine() -> dict[str, str | int]:
    """Return what the figures depend on: processor, cores, system."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    found: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    name = found.get("model name", platform.processor())
    family = f"family {found.get('cpu family', '?')} model {found.get('model', '?')}"
    return {"processor": f"{name} ({family})", "cores": os.cpu_count() or 1, "system": platform.platform()}


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python and of the packages (distribution names) that take part."""
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in packages}


def report(
    name: str,
    options: argparse.Namespace,
    times: dict[str, float],
    rows: list[Row],
    peers: dict[str, str],
    notes: Iterable[str] = (),
) -> None:
    """Print the table of `rows`, and write the JSON file if one is wanted."""
    print(f"{name}: {machine()['processor']}, one thread, " + ", ".join(f"{k} {v}" for k, v in peers.items()))
    width = max(len(row.what) for row in rows)
    for row in rows:
        sign = {"high": ">=", "low": "<="}[row.better]
        goal = "" if row.target is None else f"  target {sign} {row.target:g} {row.unit}"
        verdict = {None: "", True: "  met", False: "  MISSED"}[row.met]
        print(f"  {row.what.ljust(width)}  {row.value:10.4g} {row.unit}{goal}{verdict}")
    for note in notes:
        print(f"  {note}")
    if options.json:
        told = [asdict(row) | {"met": row.met} for row in rows]
        head = {"benchmark": name, "machine": machine(), "versions": peers}
        body = {"quick": options.quick, "rounds": options.rounds, "times": times, "rows": told}
        options.json.write_text(json.dumps(head | body, indent=1) + "\n")
