"""What all benchmarks here share: interleaved rounds, medians, a table with targets, and a JSON file.

A benchmark makes a list of `Case` objects, which are timed in turn, round after round, so that a busy moment of the
machine hits all of them; ratios are taken inside one run. Times are CPU times of the thread, medians over the rounds.
Import this module before numpy and torch: it sets them to one thread.

The JSON file holds one object::

    {"machine": {...}, "rows": [{"case", "ours", "unit", "peer", "peer_value", "ratio", "target", "met", "better"}]}

``ratio`` says how many times better than the peer ours is, so more than 1 is better, whichever way the unit goes. A
target is in the unit of the ratio, or of ours where there is no peer.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

# OpenBLAS reads these at import; a setting left over from another machine must not slow a peer down.
for variable in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(variable, None)
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

__all__ = ["Case", "Row", "arguments", "machine", "measure", "measure_device", "report", "versions"]


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
    """A figure of ours, beside a peer's and a target.

    Parameters
    ----------
    case : str
    ours : float
    unit : str
        Unit of `ours` and of `peer_value`.
    peer : str or None
        What ours is compared with.
    peer_value : float or None
    target : float or None
        The least ratio, or without a peer the bound of `ours`. None: told, not judged.
    better : {"low", "high"}
        Which values of `ours` are good.
    """

    case: str
    ours: float
    unit: str
    peer: str | None = None
    peer_value: float | None = None
    target: float | None = None
    better: str = "low"

    @property
    def ratio(self) -> float | None:
        """How many times better than the peer; None without one."""
        if self.peer_value is None:
            return None
        return self.peer_value / self.ours if self.better == "low" else self.ours / self.peer_value

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        if self.ratio is not None:
            return self.ratio >= self.target
        return self.ours <= self.target if self.better == "low" else self.ours >= self.target

    def to_dict(self) -> dict[str, str | float | bool | None]:
        """Return the row as the JSON file holds it."""
        names = ("case", "ours", "unit", "peer", "peer_value", "ratio", "target", "met", "better")
        return {name: getattr(self, name) for name in names}


def arguments(description: str, **more: tuple[str, str | float]) -> argparse.Namespace:
    """Return the options that every benchmark has, ``quick``, ``rounds`` and ``json``, and more by help and default.

    One whose default is False is a flag.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds: shows that it runs")
    parser.add_argument("--rounds", type=int, default=None, help="rounds of all cases in turn")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write all figures there")
    for name, (meaning, default) in more.items():
        if default is False:
            parser.add_argument(f"--{name}", action="store_true", help=meaning)
        else:
            parser.add_argument(f"--{name}", type=type(default), default=default, help=meaning)
    return parser.parse_args()


def measure(
    cases: Iterable[Case],
    rounds: int,
    *,
    clock: Callable[[], float] = time.thread_time,
    pick: Callable[[list[float]], float] = statistics.median,
) -> dict[str, float]:
    """Return the median seconds of CPU time of each case, timed in turn over `rounds` rounds after a warm-up.

    Every other round goes backwards, so that no case always follows the same one, whose data fill the cache. CPU time
    of the thread says nothing about work on several: take `time.perf_counter` there, and, where others use the machine,
    ``pick=min``.
    """
    cases = list(cases)
    times: dict[str, list[float]] = {case.name: [] for case in cases}
    for case in cases:
        if case.every == 1:
            case.run()
    for number in range(rounds):
        for case in cases[:: -1 if number % 2 else 1]:
            if number % case.every == 0:
                start = clock()
                case.run()
                times[case.name].append(clock() - start)
    return {name: pick(seconds) for name, seconds in times.items()}


def measure_device(cases: Iterable[Case], rounds: int, least: float = 2e-3) -> dict[str, float]:
    """Return the median seconds on the CUDA device of each case, timed in turn by events after a warm-up.

    A case runs so often in a row that it takes `least` seconds, which hides what it costs to start it; the order of
    the cases is that of `measure`.
    """
    cases = list(cases)
    repeats = {case.name: max(1, int(least / _seconds_on_device(case.run, 2))) for case in cases for _ in range(2)}
    times: dict[str, list[float]] = {case.name: [] for case in cases}
    for number in range(rounds):
        for case in cases[:: -1 if number % 2 else 1]:
            times[case.name].append(_seconds_on_device(case.run, repeats[case.name]))
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def _seconds_on_device(run: Callable[[], object], repeats: int) -> float:
    """Return the seconds of one of so many runs in a row."""
    import torch

    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(repeats):
        run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1000 / repeats


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
    rows: list[Row],
    peers: dict[str, str],
    notes: Iterable[str] = (),
    since: int = 0,
) -> None:
    """Print the table of `rows`, of those `since` a number, and write all to the JSON file if one is wanted."""
    if not since:
        print(f"{name}: {machine()['processor']}, one thread, " + ", ".join(f"{k} {v}" for k, v in peers.items()))
    lines = [("", "ours", "peer", "", "ratio", "target"), *map(_cells, rows[since:])]
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    for line in lines:
        cells = [c.ljust(w) if i in (0, 3) else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))]
        print("  ".join(cells).rstrip())
    for note in notes:
        print(note)
    if options.json:
        about = machine() | {"benchmark": name, "quick": options.quick, "rounds": options.rounds} | peers
        body = {"machine": about, "rows": [row.to_dict() for row in rows]}
        options.json.write_text(json.dumps(body, indent=1) + "\n")


def _cells(row: Row) -> tuple[str, ...]:
    """Return a row of the table as text."""
    peer = "" if row.peer_value is None else f"{row.peer_value:.4g} {row.unit}"
    ratio = "" if row.ratio is None else f"{row.ratio:.4g}"
    sign = "<=" if row.ratio is None and row.better == "low" else ">="
    target = "" if row.target is None else f"{sign} {row.target:.3g} {'met' if row.met else 'MISSED'}"
    return row.case, f"{row.ours:.4g} {row.unit}", peer, row.peer or "", ratio, target
