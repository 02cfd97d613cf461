"""The tiles of `prune_adapters.ops.triton_blocks`: those that come into question, and the fastest of them.

Import this file only where triton is installed.
"""

import functools
import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import triton

__all__ = [
    "INTERPRETED",
    "Config",
    "boxed_configs",
    "fastest",
    "has_tma",
    "known",
    "piece",
    "power_in",
    "processors",
    "row_configs",
    "sampled_configs",
    "sampled_splits",
]

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


@dataclass(frozen=True)
class Config:
    """Tile of a kernel: rows, columns and depth of a step; how many warps and stages; whether tiles come by TMA.

    `splits`: in how many parts `sampled` cuts the batch; 0 = as `sampled_splits` says.
    """

    rows: int
    columns: int
    depth: int
    warps: int = 4
    stages: int = 3
    described: bool = False
    splits: int = 0


def row_configs(width: int, depth: int, x: torch.Tensor, *, tma: bool | None = None) -> list[Config]:
    """Return the tiles to try for blocks of `width` outputs and `depth` inputs, the most likely one first.

    Parameters
    ----------
    width, depth : int
    x : Tensor
        Its dtype and device count.
    tma : bool, optional
        Whether tiles may come by TMA, which wants memory that begins at a multiple of 16 bytes. Default: if the device
        can.
    """
    columns, inner = power_in(width, 256), power_in(depth, 64)
    if x.element_size() > 2:
        return [Config(64, min(columns, 64), min(inner, 32))]
    if not (has_tma(x) if tma is None else tma) or inner < 64 or columns < 64:
        most = min(columns, 128)
        # The last one is for devices with little memory a processor.
        return [Config(128, most, inner, 4, 5), Config(128, most, inner, 8, 5), Config(64, min(most, 64), inner, 4, 3)]
    # Triton spends two of the stages on looking the group up (3.6): three tiles are under way. An H200 does 370 TFLOP/s
    # with 64 columns, 450 to 500 with more, of 790 that it does in a dense product. Tiles of 256 x 128 and programs
    # that go on from tile to tile were no faster.
    # Two groups of 64 columns read other groups: no wider tile can serve both.
    if columns == 64:
        return [Config(128, 64, 64, 4, 5, True), Config(128, 64, 64, 4, 6, True)]
    found = [Config(128, 128, 64, 4, 5, True), Config(128, 128, 64, 8, 5, True)]
    return found[:: -1 if columns == 256 else 1]


def sampled_configs(width: int, depth: int, x: torch.Tensor, *, tma: bool | None = None) -> list[Config]:
    """Return the tiles to try for the gradient of values, the most likely one first; arguments as for `row_configs`."""
    tall = power_in(width, 128)
    if x.element_size() > 2:
        return [Config(min(tall, 64), 64, 32)]
    if (has_tma(x) if tma is None else tma) and (boxed := boxed_configs(width, depth)):
        return boxed
    if tall == 128:
        return [Config(128, 128, 64, 4, 4), Config(128, 128, 64, 8, 3), Config(128, 64, 64, 4, 3)]
    return [Config(tall, 128, 64, 4, 3)]


def boxed_configs(width: int, depth: int) -> list[Config]:
    """Return tiles of the gradient of values that come by TMA, for blocks whose sides are multiples of 64.

    All sum the batch in one part and in one order, so the result has the same bits whichever is chosen. An H200 does
    430 TFLOP/s with 64 rows and 570 to 615 with 128; without TMA it does 260 to 440.
    """
    tall = power_in(width, 128)
    if min(tall, power_in(depth, 128)) < 64:
        return []
    return [Config(tall, 128, 64, 8 if tall == 128 else 4, 4, True, 1), Config(tall, 128, 64, 4, 3, True, 1)]


def sampled_splits(n_values: int, batch: int, device: torch.device) -> int:
    """Return in how many parts the batch is cut: enough tiles for two a processor, and no part below 512 rows."""
    tiles = max(1, n_values // (128 * 128))
    return max(1, min(2 * processors(device) // tiles, batch // 512, 16))


@functools.cache
def processors(device: torch.device) -> int:
    """Return how many processors a device has."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 2


def power_in(size: int, most: int) -> int:
    """Return the largest power of 2 that divides a size, at most `most`."""
    return min(size & -size, most)


def piece(depth: int, config: Config) -> int:
    """Return how many columns of a tile of `sampled` lie in one block, at most 128 as the tensor cores want them."""
    return min(power_in(depth, 128), config.columns)


def has_tma(x: torch.Tensor) -> bool:
    """Return whether the device of x copies tiles by itself."""
    return INTERPRETED or (x.is_cuda and torch.cuda.get_device_capability(x.device) >= (9, 0))


_chosen: dict[tuple[object, ...], Config] = {}


def known(key: tuple[object, ...]) -> Config | None:
    """Return the tile that `fastest` chose for a key before."""
    return _chosen.get(key)


def fastest(key: tuple[object, ...], configs: Sequence[Config], run: Callable[[Config], None]) -> Config:
    """Return the tile whose run takes the least time; remember it for the key."""
    if len(configs) == 1 or INTERPRETED or torch.cuda.is_current_stream_capturing():
        return configs[0]
    _chosen[key] = min(configs, key=lambda config: _time(lambda: run(config)))
    return _chosen[key]


def _time(run: Callable[[], None], repeats: int = 5) -> float:
    """Return the least milliseconds that one run takes; infinity if the device has too little memory for its tiles."""
    try:
        run()
    except triton.runtime.errors.OutOfResources:
        return float("inf")
    events = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    torch.cuda._sleep(2_000_000)  # a millisecond in which the host starts all runs: else they would wait for it
    for event in events[:-1]:
        event.record()
        run()
    events[-1].record()
    torch.cuda.synchronize()
    return min(a.elapsed_time(b) for a, b in itertools.pairwise(events))
