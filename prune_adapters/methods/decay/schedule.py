"""How far selective weight decay shrinks a weight in a run, and which strength at its end a wanted shrink needs.

A weight under the term for the whole run is multiplied in each step by a factor that the learning rate, the weight
decay and the momentum decide alone, whatever the network and the data are. So its shrink is computed before training.
"""

import math
from collections.abc import Callable, Sequence

__all__ = ["decay_shrink", "decay_strength", "stable_decay", "suggest_a_max"]

Rates = Sequence[float] | Callable[[int], float]
LARGEST = 1e12
"""Where nothing else bounds a_max."""
TRIES = 24
"""Values of a_max looked at before bisection."""


def decay_strength(progress: float, *, a_min: float, a_max: float) -> float:
    """Return how many times the weight decay the term is at a point of the run: a_min at first, a_max at the end.

    ``a_min * (a_max / a_min) ** progress``

    Parameters
    ----------
    progress : float
        Fraction of the steps that have been taken; clipped to [0, 1].
    a_min, a_max : float
        Above 0.

    Returns
    -------
    float

    Examples
    --------
    >>> [round(decay_strength(progress, a_min=0.1, a_max=1000.0), 3) for progress in (0.0, 0.5, 1.0)]
    [0.1, 10.0, 1000.0]
    """
    return a_min * (a_max / a_min) ** min(max(progress, 0.0), 1.0)


def stable_decay(momentum: float = 0.0, *, nesterov: bool = False) -> float:
    """Return the bound below which learning rate times decay shrinks a weight under SGD, and does not blow it up.

    ``2 (1 + momentum)``, and ``2 (1 + momentum) / (1 + 2 momentum)`` with Nesterov's.

    Parameters
    ----------
    momentum : float
        In [0, 1).
    nesterov : bool

    Returns
    -------
    float

    Examples
    --------
    >>> stable_decay(), stable_decay(0.5), stable_decay(0.5, nesterov=True)
    (2.0, 3.0, 1.5)
    """
    return 2 * (1 + momentum) / (1 + 2 * momentum if nesterov else 1)


def decay_shrink(
    learning_rates: Rates,
    *,
    weight_decay: float,
    steps: int,
    a_max: float,
    a_min: float = 0.1,
    momentum: float = 0.0,
    decoupled: bool = False,
) -> float:
    """Return log10 of how much of a weight is left that is under the term and its weight decay for a whole run.

    Parameters
    ----------
    learning_rates : sequence of float, or callable
        From a step to its learning rate; or rates that each hold for an equal part of the run, such as one an epoch.
    weight_decay : float
        The mu of the term, above 0.
    steps : int
        Of the whole run.
    a_max, a_min : float
        As `SelectiveWeightDecay` takes them.
    momentum : float
        Of SGD, in [0, 1).
    decoupled : bool
        The term as Adam has it: each step multiplies by ``exp(-rate * weight_decay * (1 + a))``.

    Returns
    -------
    float
        -6.0 where a millionth is left; above 0 where a weight grows.

    Examples
    --------
    >>> round(decay_shrink([0.1, 0.01, 0.001], weight_decay=5e-4, steps=780, a_max=1e5, momentum=0.9), 1)
    -6.1
    """
    rates = _of_steps(learning_rates, steps)
    decays = [weight_decay * (1 + decay_strength(step / steps, a_min=a_min, a_max=a_max)) for step in range(steps)]
    if decoupled:
        return -math.fsum(rate * decay for rate, decay in zip(rates, decays, strict=True)) / math.log(10)
    return _shrink_by_sgd(rates, decays, momentum)


def suggest_a_max(
    learning_rates: Rates,
    *,
    weight_decay: float,
    steps: int,
    shrink: float,
    a_min: float = 0.1,
    momentum: float = 0.0,
    decoupled: bool = False,
) -> float:
    """Return the least a_max that shrinks the weights under the term as far as wanted.

    The published 1e5 is for 300 epochs: total shrink depends on the number of steps and on the learning rates.

    Parameters
    ----------
    learning_rates, weight_decay, steps, a_min, momentum, decoupled
        As `decay_shrink` takes them.
    shrink : float
        What `decay_shrink` is to reach, below 0: -6.0 leaves a millionth.

    Returns
    -------
    float
        At least `a_min`. With it ``rate * weight_decay * (1 + a) < 2 (1 + momentum)`` in every step, unless decoupled:
        then any a is stable.

    Raises
    ------
    ValueError
        No stable a_max shrinks the weights so far; the message says how far the best does. A learning rate that ends
        higher, such as a cosine's, or more steps reach farther.

    Examples
    --------
    >>> rates = [0.1, 0.01, 0.001]
    >>> f"{suggest_a_max(rates, weight_decay=5e-4, steps=3910, shrink=-6.0, momentum=0.9):.0f}"
    '5009'
    """
    _check(weight_decay, steps, shrink, a_min, momentum)
    rates = _of_steps(learning_rates, steps)

    def reached(a_max: float) -> float:
        given = {"weight_decay": weight_decay, "steps": steps, "a_min": a_min, "momentum": momentum}
        return decay_shrink(rates, a_max=a_max, decoupled=decoupled, **given)  # type: ignore[arg-type]

    largest = LARGEST if decoupled else _largest_stable(rates, weight_decay, a_min, momentum)
    found: dict[float, float] = {}
    for place in range(TRIES + 1):
        a_max = a_min * (largest / a_min) ** (place / TRIES)
        found[a_max] = reached(a_max)
        if found[a_max] <= shrink:
            return _bisected(reached, shrink, max((a for a in found if a < a_max), default=a_max), a_max)
    best = min(found, key=lambda a_max: found[a_max])
    raise ValueError(
        f"suggest_a_max: shrink: expected one that a stable a_max reaches in {steps} steps, got {shrink:g}; the best "
        f"is {found[best]:.1f} at a_max {best:.3g} (bound of a_max: {largest:.3g}); take more steps, a learning rate "
        "that ends higher (cosine), or more weight decay"
    )


def _shrink_by_sgd(rates: Sequence[float], decays: Sequence[float], momentum: float) -> float:
    """Return the log10 of the larger of a weight and its next move, which oscillates less than the weight."""
    weight, velocity, power, size = 1.0, 0.0, 0.0, 1.0
    for rate, decay in zip(rates, decays, strict=True):
        velocity = momentum * velocity + decay * weight
        weight -= rate * velocity
        size = max(abs(weight), abs(rate * velocity))
        if not 1e-100 < size < 1e100:
            if size == 0.0 or not math.isfinite(size):
                return -math.inf if size == 0.0 else math.inf
            weight, velocity, power, size = weight / size, velocity / size, power + math.log10(size), 1.0
    return power + math.log10(size)


def _bisected(reached: Callable[[float], float], shrink: float, low: float, high: float) -> float:
    """Return the a_max at which the shrink is reached, to a thousandth; it is reached at `high`."""
    while high > 1.001 * low:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if reached(middle) <= shrink else (middle, high)
    return high


def _largest_stable(rates: Sequence[float], weight_decay: float, a_min: float, momentum: float) -> float:
    """Return the largest a_max that is stable in every step, or `LARGEST`."""
    bound, largest = 0.999 * stable_decay(momentum), math.log(LARGEST / a_min)
    for step, rate in enumerate(rates):
        room = bound / (rate * weight_decay) - 1 if rate else math.inf
        if room <= a_min:
            raise ValueError(
                f"suggest_a_max: learning rate {rate:g} of step {step} with weight decay {weight_decay:g} is unstable "
                f"at any a_max: expected rate * weight_decay * (1 + a_min) below {bound:.3g}"
            )
        if step:
            largest = min(largest, math.log(room / a_min) * len(rates) / step)
    return a_min * math.exp(largest)


def _of_steps(rates: Rates, steps: int) -> list[float]:
    """Return the learning rate of each step."""
    if callable(rates):
        return [float(rates(step)) for step in range(steps)]
    if not 1 <= len(rates) <= steps:
        raise ValueError(f"learning_rates: expected 1 to {steps} rates, at most one a step, got {len(rates)}")
    return [float(rates[step * len(rates) // steps]) for step in range(steps)]


def _check(weight_decay: float, steps: int, shrink: float, a_min: float, momentum: float) -> None:
    if weight_decay <= 0.0 or a_min <= 0.0:
        raise ValueError(f"suggest_a_max: expected weight_decay and a_min above 0, got {weight_decay} and {a_min}")
    if steps < 1:
        raise ValueError(f"suggest_a_max: steps: expected at least 1, got {steps}")
    if not shrink < 0.0:
        raise ValueError(f"suggest_a_max: shrink: expected a log10 below 0, such as -6.0, got {shrink}")
    if not 0.0 <= momentum < 1.0:
        raise ValueError(f"suggest_a_max: momentum: expected a number in [0, 1), got {momentum}")
