"""Budgets: how many weights each parameter keeps when a total is given.

Every rule has a kept number for each parameter that grows with one common level, rounded half up. The level is raised
until the kept numbers add up to the total; where several parameters step at the same level, the earlier ones step
first. So the total is met exactly, no parameter keeps more than it has (the excess goes to the others, because the
level rises on), and a larger total never takes a weight away from any parameter.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

__all__ = ["RULES", "layer_budgets"]

Level = Callable[[float], np.ndarray]
"""Kept numbers (not yet rounded or capped) of all parameters at a level from 0 to infinity."""


def layer_budgets(shapes: Sequence[tuple[int, ...]], kept: int, *, rule: str) -> list[int]:
    """Return how many elements of each parameter are kept, `kept` in all.

    Parameters
    ----------
    shapes : sequence of tuple of int
        Shapes of the parameters.
    kept : int
        Between 0 and the number of all elements.
    rule : {"layer", "erk", "igq"}
        Density of a parameter of n elements at level x, at most 1: "layer" x for all; "erk" x * sum(shape) / n [1];
        "igq" 1 / (n / x + 1) [2].

    Returns
    -------
    list of int
        Sums to `kept`.

    References
    ----------
    .. [1] Evci et al., Rigging the Lottery, ICML 2020, section 3: Erdos-Renyi-Kernel.
    .. [2] Vysogorets and Kempe, Connectivity Matters, JMLR 24(99), 2023, section 4: ideal gas quotas, with F = 1 / x.

    Examples
    --------
    Two layers of 100 and 10 weights. The second is full under "erk":

    >>> [layer_budgets([(10, 10), (1, 10)], 55, rule=rule) for rule in ("layer", "erk", "igq")]
    [[50, 5], [45, 10], [46, 9]]
    """
    sizes = np.array([int(np.prod(shape, dtype=np.int64)) for shape in shapes], dtype=np.int64)
    numbers = RULES[rule](shapes, sizes)

    def at(level: float) -> np.ndarray:
        return np.minimum(np.floor(numbers(level) + 0.5), sizes).astype(np.int64)

    low, high = _bracket(at, kept)
    return _fill(at(low), at(high), kept)


def _uniform(shapes: Sequence[tuple[int, ...]], sizes: np.ndarray) -> Level:
    return lambda level: level * sizes


def _erk(shapes: Sequence[tuple[int, ...]], sizes: np.ndarray) -> Level:
    sums = np.array([sum(shape) for shape in shapes], dtype=np.float64)
    return lambda level: level * sums


def _igq(shapes: Sequence[tuple[int, ...]], sizes: np.ndarray) -> Level:
    return lambda level: sizes * (level / np.maximum(sizes + level, 1.0))


RULES: Mapping[str, Callable[[Sequence[tuple[int, ...]], np.ndarray], Level]] = {
    "layer": _uniform,
    "erk": _erk,
    "igq": _igq,
}


def _bracket(at: Callable[[float], np.ndarray], kept: int) -> tuple[float, float]:
    """Return two levels, at which at most and at least `kept` elements are kept, as near as floats allow."""
    low, high = 0.0, 1.0
    while at(high).sum() < kept:
        low, high = high, 2 * high
    while low < (middle := low + (high - low) / 2) < high:
        number = at(middle).sum()
        if number == kept:
            return middle, middle
        low, high = (middle, high) if number < kept else (low, middle)
    return low, high


def _fill(fewer: np.ndarray, more: np.ndarray, kept: int) -> list[int]:
    """Return `fewer`, raised towards `more` from the first parameter on until the sum is `kept`."""
    room = more - fewer
    before = np.cumsum(room) - room
    return (fewer + np.clip(kept - fewer.sum() - before, 0, room)).tolist()
