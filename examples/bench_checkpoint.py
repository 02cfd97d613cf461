"""What the report on a checkpoint costs beside reading its file, in time and in memory.

    python examples/bench_checkpoint.py [--quick] [--rounds N] [--json FILE]

Writes a synthetic Llama of 7e9 weights in bfloat16 (14 GB, in the folder that TMPDIR names; one of 1.2e9 weights where
the disk is too small), and inspects it in a process of its own. The report should take at most 60 s more than reading
the file, and 4 GB of memory; and beyond what Python and torch take, less than the largest tensor and one bit a weight.
"""

import multiprocessing
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import benchmark
import llama
import prune_adapters as pa
from inspect_checkpoint import example_input, peak_bytes, read_plainly, synthetic_llama

MEASURED = ("plain", "report", "wall", "before", "peak", "limit")


def chosen_size(*, quick: bool) -> str:
    """Return the largest size that the disk has room for."""
    if quick:
        return "tiny"
    return "7B" if shutil.disk_usage(tempfile.gettempdir()).free > 16e9 else "1B"


def measured(size: str) -> dict[str, float]:
    """Return seconds of CPU and of the clock, and bytes of memory, for one report."""
    with synthetic_llama(size, None) as (_, path), multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(in_a_process_of_its_own, (size, path))


def in_a_process_of_its_own(size: str, path: Path) -> dict[str, float]:
    """Read the file twice plainly (the first time it may not be in the page cache), then inspect it."""
    read_plainly(path)
    start = time.thread_time()
    read_plainly(path)
    plain, before = time.thread_time() - start, peak_bytes()
    start, clock = time.thread_time(), time.perf_counter()
    pa.inspect_checkpoint(lambda: llama.Llama(llama.SIZES[size]), example_input("ids:1x16"), path)
    report, wall = time.thread_time() - start, time.perf_counter() - clock
    tensors = pa.open_checkpoint(path).values()
    limit = max(stored.nbytes for stored in tensors) + sum(stored.size for stored in tensors) / 8
    return dict(zip(MEASURED, (plain, report, wall, before, peak_bytes(), limit), strict=True))


def rows(size: str, found: dict[str, float]) -> list[benchmark.Row]:
    """Return the figures beside their targets; a tiny model shows only that the benchmark runs."""
    judged = size == "7B"
    beyond, limit = (found["peak"] - found["before"]) / 1e9, found["limit"] / 1e9
    return [
        benchmark.Row(f"{size}: report", found["report"], "s", "plain reading", found["plain"]),
        benchmark.Row(
            f"{size}: report less reading", found["report"] - found["plain"], "s", target=60 if judged else None
        ),
        benchmark.Row(f"{size}: peak memory", found["peak"] / 1e9, "GB", target=4 if judged else None),
        benchmark.Row(
            f"{size}: memory beyond torch", beyond, "GB", "largest tensor + masks", limit, 1 if judged else None
        ),
    ]


def main() -> None:
    options = benchmark.arguments(__doc__.partition("\n")[0])
    size = chosen_size(quick=options.quick)
    runs = [measured(size) for _ in range(options.rounds or 1)]
    found = {name: statistics.median(run[name] for run in runs) for name in MEASURED}
    note = f"By the clock the report took {found['wall']:.1f} s."
    benchmark.report("bench_checkpoint", options, rows(size, found), benchmark.versions("torch", "numpy"), [note])


if __name__ == "__main__":
    main()
