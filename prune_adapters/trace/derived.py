"""Weights computed from several parameters by sums and matrix products, as low-rank adapters do: ``W + B @ A``.

``x (W + B A)^T`` is ``x W^T + (x A^T) B^T``, so such a weight is followed as what it is multiplied out: a sum of chains
of parameters, with a unit for each index that a product sums over. Whatever else becomes of it makes it a constant.
"""

from dataclasses import dataclass
from math import prod

from prune_adapters.trace.registry import Operation
from prune_adapters.trace.values import Constant, Units, Value, Weight

__all__ = ["WeightSum", "derived", "terms_of"]

PRODUCTS = ("aten.matmul", "aten.mm")
SUMS = ("aten.add", "aten.sub", "aten.rsub", "aten.addmm")
SCALES = (
    "aten.mul",
    "aten.div",
    "aten.neg",
    "aten.to",
    "aten._to_copy",
    "aten.clone",
    "aten.contiguous",
    "aten.detach",
)
TURNS = ("aten.t", "aten.numpy_T", "aten.mT", "aten.transpose", "aten.permute", "aten.swapaxes")

Chain = tuple[Weight, ...]


@dataclass(frozen=True, eq=False)
class WeightSum(Constant):
    """A sum of matrix products of parameters.

    Parameters
    ----------
    terms : tuple of tuple of Weight
        Each term is the product of its matrices, from left to right.
    """

    terms: tuple[Chain, ...] = ()

    def turned(self, starts: dict[str, int]) -> "WeightSum":
        """Return the transpose."""
        terms = tuple(tuple(factor.transposed(starts) for factor in reversed(chain)) for chain in self.terms)
        return WeightSum(self.shape[::-1], None, self.sources, terms=terms)


def terms_of(value: object) -> tuple[Chain, ...] | None:
    """Return a matrix as a sum of products of parameters, or None if it is not known to be one."""
    if isinstance(value, WeightSum):
        return value.terms
    return ((value,),) if isinstance(value, Weight) and len(value.shape) == 2 else None


def derived(op: Operation, tensors: list[Value]) -> WeightSum | None:
    """Return what a call on parameters makes, if it is a sum of products of them."""
    name, starts = op.packet.removesuffix("_"), op.graph.element_starts
    if len(op.shapes) != 1 or len(op.shape) != 2 or any(isinstance(t, Units) for t in tensors):
        return None
    if name in PRODUCTS:
        return _product(op, op.args[0], op.args[1])
    if name == "aten.addmm":
        return _sum(op, [op.args[0], _product(op, op.args[1], op.args[2])])
    if name in SUMS:
        return _sum(op, list(op.args[:2]))
    whole = next((t for t in tensors if isinstance(t, WeightSum)), None)
    if whole is None or (whole is not op.args[0] and name == "aten.div"):
        return None
    if name in TURNS:
        return whole.turned(starts) if _exchanges(op, whole) else whole
    if name in SCALES and whole.shape == op.shape:
        return _scaled(op, whole, tensors)
    return None


def _product(op: Operation, left: object, right: object) -> WeightSum | None:
    first, second = terms_of(left), terms_of(right)
    if first is None or second is None:
        return None
    return _summed(op, tuple((*a, *b) for a in first for b in second))


def _sum(op: Operation, parts: list[object]) -> WeightSum | None:
    terms = [terms_of(part) for part in parts]
    known = [term for term in terms if term is not None]
    same = all(isinstance(part, (Weight, WeightSum)) and part.shape == op.shape for part in parts)
    return _summed(op, tuple(chain for term in known for chain in term)) if same and len(known) == len(terms) else None


def _summed(op: Operation, terms: tuple[Chain, ...]) -> WeightSum:
    sources = dict.fromkeys(source for chain in terms for factor in chain for source in factor.sources)
    return WeightSum(op.shape, None, tuple(sources), terms=terms)


def _scaled(op: Operation, whole: WeightSum, tensors: list[Value]) -> WeightSum | None:
    """Return the sum times a number; a parameter that is one number is a gate of all of it."""
    others = [t for t in tensors if t is not whole]
    if any(prod(t.shape) != 1 for t in others):
        return None
    for source in (s for t in others for s in t.sources):
        op.graph.note_role(source, "gate")
    return whole


def _exchanges(op: Operation, whole: WeightSum) -> bool:
    """Return whether a transposition or permutation really exchanges the two dimensions."""
    if op.packet == "aten.permute":
        return [d % 2 for d in op.numbers("dims")] == [1, 0]
    if op.packet in ("aten.transpose", "aten.swapaxes"):
        return int(str(op.args[1])) % 2 != int(str(op.args[2])) % 2
    return True
