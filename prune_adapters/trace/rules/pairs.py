"""Two tensors of activations compared or multiplied: bilinear forms, outer products, similarities, distances."""

from dataclasses import replace

import numpy as np
import torch

from prune_adapters.trace.acting import act, ids_of
from prune_adapters.trace.meeting import meet, reduce
from prune_adapters.trace.registry import Operation, register_rule
from prune_adapters.trace.rules.elementwise import meet_terms
from prune_adapters.trace.rules.linear import layer_name, matrix_product
from prune_adapters.trace.rules.products import meet_factors
from prune_adapters.trace.values import Constant, Units, Value, Weight
from prune_adapters.trace.weights import connect, slots_of

__all__ = [
    "added_matrix_product",
    "added_outer",
    "bilinear",
    "cosine",
    "cross",
    "distance",
    "distances",
    "kronecker",
    "outer",
]


@register_rule("aten.bilinear")
def bilinear(op: Operation) -> Value:
    """y_k = sum over i, j of a_i W_kij b_j + c_k: an edge from each product a_i * b_j."""
    left, right, weight = (op.value(name) for name in ("input1", "input2", "weight"))
    if not isinstance(weight, Weight) or left is None or right is None:
        raise op.error("a bilinear form whose weights are computed", "use a parameter as its weight")
    a, b = (_features(op, value) for value in (left, right))
    products = meet(op.graph, [a[:, None].expand(-1, len(b)), b.expand(len(a), -1)], op.name + ".product", product=True)
    slots = products.expand(len(a), len(b)).reshape(-1)
    flat = weight.rearranged(range(3), [weight.shape[0], len(slots)], op.graph.element_starts)
    ids = connect(op.graph, flat, slots, layer_name(op, weight), "oi")
    bias = op.value("bias")
    if isinstance(bias, Units):
        raise op.error("its bias depends on the input", "add it afterwards")
    if isinstance(bias, (Weight, Constant)):
        ids = act(op.graph, ids, [(bias, "shift")], op.name)
    return op.units(ids.reshape([1] * (len(op.shape) - 1) + [-1]))


def _features(op: Operation, value: Value) -> torch.Tensor:
    """Return the unit of each feature, constants included."""
    ids = ids_of(op.graph, value, op.name + ".held")
    return slots_of(op.graph, ids, ids.dim() - 1, value.shape[-1], op.name)


@register_rule("aten.outer", "aten.ger")
def outer(op: Operation) -> Value:
    """Every element times every other."""
    return _outer(op, op.args[0], op.args[1])


def _outer(op: Operation, left: object, right: object) -> Value:
    return meet_factors(op, [_reshaped(op, left, [-1, 1]), _reshaped(op, right, [1, -1])])


@register_rule("aten.addr")
def added_outer(op: Operation) -> Value:
    """A term plus an outer product."""
    term, left, right = op.args[:3]
    if not isinstance(left, Units) and not isinstance(right, Units):
        return meet_terms(op, [term, left, right])
    return meet_terms(op, [term, _outer(op, left, right)])


@register_rule("aten.addmv", "aten.addbmm")
def added_matrix_product(op: Operation) -> Value:
    """A term plus a matrix times a vector, or plus the sum of a batch of matrix products."""
    term, left, right = op.tensors()[:3]
    if not isinstance(left, Units) and not isinstance(right, Units):
        return meet_terms(op, [term, left, right])
    if op.packet == "aten.addmv":
        return meet_terms(op, [term, op.units(matrix_product(op, left, right))])
    shape = (left.shape[0], *op.shape)
    ids = matrix_product(_as_batch(op, shape), left, right)
    summed = reduce(op.graph, ids, [0], op.name, keepdim=False)
    return meet_terms(op, [term, op.units(summed)])


def _as_batch(op: Operation, shape: tuple[int, ...]) -> Operation:
    return replace(op, shapes=(shape,))


@register_rule("aten.kron")
def kronecker(op: Operation) -> Value:
    """Every element of one times every element of the other, block by block."""
    left, right = op.args[:2]
    if not isinstance(left, Value) or not isinstance(right, Value):
        raise op.error("its operands are no tensors", "pass unknown='mix'")
    rank = len(op.shape)
    sizes = [[1] * (rank - len(v.shape)) + list(v.shape) for v in (left, right)]
    blocks = [
        _reshaped(op, left, [part for size in sizes[0] for part in (size, 1)]),
        _reshaped(op, right, [part for size in sizes[1] for part in (1, size)]),
    ]
    shape = tuple(part for pair in zip(*sizes, strict=True) for part in pair)
    product = meet_factors(_as_batch(op, shape), list(blocks))
    return op.units(product.expanded().reshape(op.shape)) if isinstance(product, Units) else Constant(op.shape)


def _reshaped(op: Operation, value: object, shape: list[int]) -> object:
    """Return a value of units, of a parameter or of constants in another shape."""
    if isinstance(value, Weight):
        return value.rearranged(range(len(value.shape)), _sized(shape, value.shape), op.graph.element_starts)
    if isinstance(value, Constant):
        return value.reshaped(_sized(shape, value.shape))
    if isinstance(value, Units):
        return Units(value.expanded().reshape(shape), tuple(_sized(shape, value.shape)))
    return value


def _sized(shape: list[int], old: tuple[int, ...]) -> list[int]:
    """Return the shape with its -1 filled in."""
    return [int(np.prod(old)) if size == -1 else size for size in shape]


@register_rule("aten.linalg_cross", "aten.cross")
def cross(op: Operation) -> Value:
    """Each output takes two elements of either vector: taken as a product of all of one and all of the other."""
    dim = op.argument("dim")
    sides = []
    for value in op.tensors()[:2]:
        ids = ids_of(op.graph, value, op.name + ".held")
        sides.append(reduce(op.graph, ids, [dim if isinstance(dim, int) else -1], op.name + ".side"))
    return op.units(meet(op.graph, sides, op.name, product=True))


@register_rule("aten.cosine_similarity")
def cosine(op: Operation) -> Value:
    """The sum of products over the lengths: zero where no two elements meet, else it depends on all."""
    dim = op.number("dim")
    rank = max(len(value.shape) for value in op.tensors()[:2])
    sides = [_at_rank(op, value, rank) for value in op.tensors()[:2]]
    products = meet(op.graph, sides, op.name + ".product", product=True)
    total = reduce(op.graph, products, [dim], op.name + ".sum", keepdim=False)
    lengths = [reduce(op.graph, side, [dim], op.name + ".length", keepdim=False) for side in sides]
    present = [act(op.graph, ids, [(Constant(()), "shift")], op.name + ".length") for ids in lengths]
    return op.units(meet(op.graph, [total, *present], op.name, product=True))


def _at_rank(op: Operation, value: Value, rank: int) -> torch.Tensor:
    ids = ids_of(op.graph, value, op.name + ".held")
    return ids.reshape([1] * (rank - ids.dim()) + list(ids.shape))


@register_rule("aten.pairwise_distance", "aten.dist")
def distance(op: Operation) -> Value:
    """One distance over the last dimension (or over all): it depends on all elements of both."""
    values = op.tensors()[:2]
    rank = max(len(value.shape) for value in values)
    dims = [-1] if op.packet == "aten.pairwise_distance" else list(range(rank))
    difference = meet(op.graph, [_at_rank(op, value, rank) for value in values], op.name + ".difference")
    ids = reduce(op.graph, difference, dims, op.name, keepdim=bool(op.argument("keepdim")))
    if op.packet == "aten.pairwise_distance":
        ids = act(op.graph, ids, [(Constant(()), "shift")], op.name)
    return op.units(ids)


@register_rule("aten.cdist", "aten._cdist_forward", "aten._euclidean_dist", "aten.pdist", "aten._pdist_forward")
def distances(op: Operation) -> Value:
    """The distance of each row of one to each row of the other."""
    sides = []
    for number, value in enumerate(op.tensors()[:2]):
        ids = reduce(op.graph, ids_of(op.graph, value, op.name + ".held"), [-1], op.name + ".row")
        sides.append(ids if number == 0 else ids.transpose(-1, -2))
    if "pdist" in op.packet:
        return op.units(reduce(op.graph, sides[0], [-2], op.name, keepdim=False))
    rank = len(op.shape)
    return op.units(meet(op.graph, [s.reshape([1] * (rank - s.dim()) + list(s.shape)) for s in sides], op.name))
