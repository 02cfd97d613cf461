"""Finite fields GF(p^m): the arithmetic behind the algebraic graphs.

Element a is the integer whose digits to base p are the coefficients of a polynomial, lowest first; 0 and 1 are zero
and one. Polynomials are multiplied modulo the smallest one of degree m for which x is a primitive element.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product

import numpy as np

from netgraph.errors import InfeasibleDegreeError

__all__ = ["FiniteField", "finite_field", "prime_power"]


@dataclass(frozen=True, eq=False)
class FiniteField:
    """A finite field; its functions take integers or arrays of them and return arrays.

    Parameters
    ----------
    characteristic, dimension : int
        p and m.
    powers : ndarray of int64, shape (p^m - 1,)
        The powers 0, 1, 2, ... of a primitive element.

    Examples
    --------
    >>> field = finite_field(4)
    >>> field.order, field.powers.tolist()
    (4, [1, 2, 3])
    >>> field.multiply(2, [0, 1, 2, 3]).tolist(), field.add(2, [0, 1, 2, 3]).tolist()
    ([0, 2, 3, 1], [2, 3, 0, 1])
    """

    characteristic: int
    dimension: int
    powers: np.ndarray

    @property
    def order(self) -> int:
        """Number of elements."""
        return self.characteristic**self.dimension

    def add(self, a: object, b: object) -> np.ndarray:
        """Return a + b."""
        return self._combine(np.add, a, b)

    def subtract(self, a: object, b: object) -> np.ndarray:
        """Return a - b."""
        return self._combine(np.subtract, a, b)

    def multiply(self, a: object, b: object) -> np.ndarray:
        """Return a * b."""
        left, right = np.asarray(a), np.asarray(b)
        found = self.powers[(self._logs[left] + self._logs[right]) % (self.order - 1)]
        return np.where((left == 0) | (right == 0), 0, found)

    @cached_property
    def _logs(self) -> np.ndarray:
        logs = np.zeros(self.order, dtype=np.int64)
        logs[self.powers] = np.arange(self.order - 1)
        return logs

    def _combine(self, operation: np.ufunc, a: object, b: object) -> np.ndarray:
        left, right = np.asarray(a), np.asarray(b)
        digits = [self.characteristic**place for place in range(self.dimension)]
        total = np.zeros(np.broadcast_shapes(left.shape, right.shape), dtype=np.int64)
        for digit in digits:
            total += operation(left // digit, right // digit) % self.characteristic * digit
        return total


@lru_cache(maxsize=32)
def finite_field(order: int) -> FiniteField:
    """Return the field with this many elements.

    Parameters
    ----------
    order : int
        A power of a prime.

    Returns
    -------
    FiniteField

    Raises
    ------
    InfeasibleDegreeError
        There is no such field.

    Examples
    --------
    >>> finite_field(9).multiply(3, 3).tolist()
    4
    """
    found = prime_power(order)
    if found is None:
        raise InfeasibleDegreeError(f"a field with {order} elements: expected a power of a prime")
    p, m = found
    coefficients = (c[::-1] for c in product(range(p), repeat=m))
    powers = next(powers for low in coefficients if (powers := _powers(p, low)) is not None)
    return FiniteField(p, m, powers)


def prime_power(number: int) -> tuple[int, int] | None:
    """Return the prime p and the exponent m with p^m = number, or None.

    Parameters
    ----------
    number : int

    Returns
    -------
    tuple of 2 int, or None

    Examples
    --------
    >>> prime_power(64), prime_power(7), prime_power(12), prime_power(1)
    ((2, 6), (7, 1), None, None)
    """
    if number < 2:
        return None
    p = next((p for p in range(2, int(number**0.5) + 1) if number % p == 0), number)
    m = 0
    while number % p == 0:
        number //= p
        m += 1
    return (p, m) if number == 1 else None


def _powers(p: int, low: tuple[int, ...]) -> np.ndarray | None:
    """Return all powers of x modulo x^m - sum(low[i] x^i), or None if x does not generate every element but 0."""
    value, powers = [1] + [0] * (len(low) - 1), []
    for _ in range(p ** len(low) - 1):
        powers.append(sum(digit * p**place for place, digit in enumerate(value)))
        top = value[-1]
        value = [(shifted + top * c) % p for shifted, c in zip([0, *value[:-1]], low, strict=True)]
    return np.array(powers) if len(set(powers) - {0}) == len(powers) else None
