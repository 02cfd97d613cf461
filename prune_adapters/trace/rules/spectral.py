"""Transforms and decompositions in which every element depends on all along some dimensions.

Fourier transforms, complex numbers and their parts, and linear algebra on activations. Over positions a transform keeps
its channel; over channels all of them meet.
"""

import torch

from prune_adapters.trace.acting import act
from prune_adapters.trace.meeting import meet, reduce
from prune_adapters.trace.registry import Operation, register_rule
from prune_adapters.trace.values import Constant, Units, Value

__all__ = ["as_complex", "as_real", "decomposed", "of_all", "part", "transformed"]

ONE_DIM = "fft_fft fft_ifft fft_rfft fft_irfft fft_hfft fft_ihfft"
MANY_DIMS = """fft_fft2 fft_ifft2 fft_rfft2 fft_irfft2 fft_fftn fft_ifftn fft_rfftn fft_irfftn fft_hfft2 fft_ihfft2
fft_hfftn fft_ihfftn _fft_c2c _fft_r2c _fft_c2r"""
DECOMPOSITIONS = """linalg_inv linalg_inv_ex inverse linalg_solve linalg_solve_ex _linalg_solve_ex linalg_det
_linalg_det linalg_slogdet _linalg_slogdet det logdet slogdet linalg_cholesky linalg_cholesky_ex linalg_qr linalg_eigh
_linalg_eigh linalg_eigvalsh linalg_eig linalg_eigvals linalg_pinv pinverse linalg_lstsq linalg_matrix_exp matrix_exp
linalg_matrix_power matrix_power linalg_lu linalg_lu_factor linalg_solve_triangular triangular_solve cholesky_solve
linalg_householder_product linalg_matrix_norm linalg_cond linalg_matrix_rank nuclear_norm"""
WHOLE = "cov corrcoef histc bincount trace"


@register_rule(*(f"aten.{name}" for name in f"{ONE_DIM} {MANY_DIMS}".split()))
def transformed(op: Operation) -> Value:
    """Every frequency depends on every element along the transformed dimensions."""
    rank = len(op.shape)
    last = 2 if "2" in op.packet and op.packet.startswith("aten.fft") else rank
    dims = op.numbers("dim") or list(range(rank - last, rank))
    return op.units(reduce(op.graph, op.first.ids, dims, op.name))


@register_rule("aten.view_as_real")
def as_real(op: Operation) -> Value:
    """Both parts belong to the unit."""
    return op.units(op.first.ids.unsqueeze(-1))


@register_rule("aten.view_as_complex")
def as_complex(op: Operation) -> Value:
    """Both parts meet in one unit."""
    return op.units(reduce(op.graph, op.first.ids, [-1], op.name, keepdim=False))


@register_rule("aten.real", "aten.imag", "aten.polar")
def part(op: Operation) -> Value:
    """A part of a complex number is zero where the number is, and a number where its length is."""
    if op.packet != "aten.polar":
        return op.units(op.first.ids)
    parts = []
    for value, shifted in zip(op.tensors()[:2], (False, True), strict=True):
        if isinstance(value, Units):
            ids = value.at_rank(len(op.shape)).ids
            parts.append(act(op.graph, ids, [(Constant(()), "shift")], op.name + ".angle") if shifted else ids)
    return op.units(meet(op.graph, parts, op.name, product=True))


@register_rule(*(f"aten.{name}" for name in DECOMPOSITIONS.split()))
def decomposed(op: Operation) -> Value | tuple[Value, ...]:
    """Everything depends on all elements of the matrix, and is never taken to be zero."""
    parts = [value.ids for value in op.tensors() if isinstance(value, Units)]
    matrices = [reduce(op.graph, ids, [d for d in (-2, -1) if ids.dim() >= -d], op.name + ".matrix") for ids in parts]
    outputs = []
    for shape in op.shapes:
        batched = [_batch(op, ids, len(shape)) for ids in matrices]
        ids = act(op.graph, meet(op.graph, batched, op.name), [(Constant(()), "shift")], op.name)
        outputs.append(op.units(ids, shape))
    return tuple(outputs)


def _batch(op: Operation, ids: torch.Tensor, rank: int) -> torch.Tensor:
    """Return the ids of whole matrices at the rank of an output: as they are if no batch dimension carries units."""
    if ids.numel() == 1:
        return ids.reshape([1] * rank)
    return reduce(op.graph, ids, range(ids.dim()), op.name + ".all").reshape([1] * rank)


@register_rule(*(f"aten.{name}" for name in WHOLE.split()))
def of_all(op: Operation) -> Value:
    """Every output depends on every element."""
    ids = reduce(op.graph, op.first.ids, range(op.first.ids.dim()), op.name).reshape([1] * len(op.shape))
    return op.units(act(op.graph, ids, [(Constant(()), "shift")], op.name) if op.packet != "aten.trace" else ids)
