"""Exact selection among the elements of many tensors, without joining or sorting them.

The operators are ``torch.ops.prune_adapters.kth_largest`` and ``keep_largest``. Where elements are equal, the earlier
tensor and then the lower flat index is taken; -0.0 equals 0.0. Nothing here has a gradient: a threshold is a constant.
"""

from collections.abc import Sequence

import torch

from prune_adapters.ops import reference
from prune_adapters.ops.batched import loop_over_batch
from prune_adapters.ops.define import define
from prune_adapters.ops.masks import unpack_mask

__all__ = ["keep_largest", "kth_largest"]

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)

Bits = Sequence[torch.Tensor]


def kth_largest(
    tensors: Sequence[torch.Tensor], k: int, *, magnitude: bool = False, candidates: Bits | None = None
) -> torch.Tensor:
    """Return the k-th largest of all elements.

    Parameters
    ----------
    tensors : sequence of Tensor
        Of float32, float64, bfloat16 or float16, in any memory layout, on one device. Where dtypes differ, they are
        converted to one that holds all values.
    k : int
        Between 1 and the number of elements that compete.
    magnitude : bool
        Compare magnitudes, and return one.
    candidates : sequence of Tensor of uint8, optional
        Bits as `pack_mask` makes them, one for each tensor: only elements with a bit compete.

    Returns
    -------
    Tensor, shape ()
        On the device of the tensors and of their dtype, without a gradient.

    Raises
    ------
    ValueError
        An argument does not fit, fewer than `k` elements compete, or one of them is NaN.

    Notes
    -----
    To find out about the values, the host would have to wait for another device, and a compiled graph would break.
    So there and on devices other than the CPU a NaN among the elements makes the result NaN, and it is -inf where
    fewer than `k` compete. In a compiled graph `k` is not compared with the sizes either, which may be symbols.

    Examples
    --------
    >>> weights = [torch.tensor([0.5, -3.0]), torch.tensor([[2.0], [-1.0]])]
    >>> kth_largest(weights, 2), kth_largest(weights, 2, magnitude=True)
    (tensor(0.5000), tensor(2.))
    """
    flat, bits = _checked("kth_largest", tensors, candidates)
    total = sum(tensor.numel() for tensor in flat)
    if not torch.compiler.is_compiling() and not 1 <= k <= total:
        raise ValueError(f"kth_largest: expected k between 1 and the {total} elements, got {k}")
    with torch.no_grad():
        found = torch.ops.prune_adapters.kth_largest(flat, bits, k, magnitude)
    _check_found("kth_largest", found, flat, bits, k)
    return found


def keep_largest(
    scores: Sequence[torch.Tensor], keep: int, *, magnitude: bool = False, candidates: Bits | None = None
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Return the bits of the `keep` largest of all elements, and the least of these.

    Parameters
    ----------
    scores : sequence of Tensor
        As the tensors of `kth_largest`.
    keep : int
        Between 0 and the number of elements that compete.
    magnitude, candidates
        As `kth_largest` takes them.

    Returns
    -------
    bits : list of Tensor of uint8
        One for each tensor, as `pack_mask` makes them; `keep` of them are set. Of equal elements the first ones in
        the order of the tensors, and row by row in each, are kept.
    bound : Tensor, shape ()
        What `kth_largest` returns; infinity for ``keep=0``.

    Raises
    ------
    ValueError
        As `kth_largest`.

    Notes
    -----
    Where `kth_largest` cannot raise, a NaN among the elements makes the bound NaN and leaves no bit set, and all
    are kept where fewer than `keep` compete.

    Examples
    --------
    >>> bits, bound = keep_largest([torch.tensor([1.0, 3.0]), torch.tensor([3.0, 2.0, 3.0])], 2)
    >>> [unpack_mask(own, size).tolist() for own, size in zip(bits, [(2,), (3,)])], bound
    ([[False, True], [True, False, False]], tensor(3.))
    """
    flat, bits = _checked("keep_largest", scores, candidates)
    total = sum(score.numel() for score in flat)
    if not torch.compiler.is_compiling() and not 0 <= keep <= total:
        raise ValueError(f"keep_largest: expected keep between 0 and the {total} elements, got {keep}")
    with torch.no_grad():
        kept, bound = torch.ops.prune_adapters.keep_largest(flat, bits, keep, magnitude)
    _check_found("keep_largest", bound, flat, bits, keep)
    return kept, bound


def _checked(
    where: str, tensors: Sequence[torch.Tensor], candidates: Bits | None
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return the tensors in one dtype and in one piece each, and the bits that belong to them."""
    if not tensors:
        raise ValueError(f"{where}: expected at least one tensor, got none")
    for number, tensor in enumerate(tensors):
        if tensor.dtype not in DTYPES:
            raise ValueError(f"{where}: tensor {number}: expected a dtype of {_names()}, got {tensor.dtype}")
        if tensor.device != tensors[0].device:
            raise ValueError(f"{where}: tensor {number}: expected {tensors[0].device}, got {tensor.device}")
    if candidates is not None:
        _check_candidates(where, tensors, candidates)
    dtypes = {tensor.dtype for tensor in tensors}
    double = torch.float64 if torch.float64 in dtypes else torch.float32
    dtype = dtypes.pop() if len(dtypes) == 1 else double
    return [tensor.to(dtype).contiguous() for tensor in tensors], list(candidates or ())


def _check_candidates(where: str, tensors: Sequence[torch.Tensor], candidates: Bits) -> None:
    if len(candidates) != len(tensors):
        raise ValueError(
            f"{where}: expected bits of candidates for each of {len(tensors)} tensors, got {len(candidates)}"
        )
    for number, (tensor, bits) in enumerate(zip(tensors, candidates, strict=True)):
        wanted = ((tensor.numel() + 7) // 8,)
        if bits.dtype != torch.uint8 or bits.shape != wanted or bits.device != tensor.device:
            raise ValueError(
                f"{where}: candidates {number}: expected uint8 of shape {wanted} on {tensor.device}, "
                f"got {bits.dtype} of shape {tuple(bits.shape)} on {bits.device}; use pack_mask(mask)"
            )


def _check_found(where: str, found: torch.Tensor, flat: list[torch.Tensor], bits: Bits, k: int) -> None:
    """Raise for what only the values can tell, where they are at hand."""
    if found.device.type != "cpu" or torch.compiler.is_compiling() or _is_transformed(found):
        return
    value = float(found)
    if value != value:
        counts = [int(tensor.isnan().sum()) for tensor in flat]
        number = next((i for i, count in enumerate(counts) if count), 0)
        raise ValueError(f"{where}: tensor {number}: {counts[number]} of {flat[number].numel()} elements are NaN")
    if value == -torch.inf and bits:
        pairs = zip(bits, flat, strict=True)
        there = sum(int(unpack_mask(own, (tensor.numel(),)).sum()) for own, tensor in pairs)
        if there < k:
            raise ValueError(f"{where}: expected at least {k} candidates, got {there}")


def _is_transformed(tensor: torch.Tensor) -> bool:
    """Tell whether the tensor stands for many, or for none: its value cannot be read then."""
    return torch._C._functorch.is_functorch_wrapped_tensor(tensor) or isinstance(
        tensor, torch._subclasses.fake_tensor.FakeTensor
    )


def _names() -> str:
    return ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)


def _empty_bits(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    return [tensor.new_empty((tensor.numel() + 7) // 8, dtype=torch.uint8) for tensor in tensors]


define(
    "kth_largest(Tensor[] tensors, Tensor[] candidates, SymInt k, bool magnitude) -> Tensor",
    reference.kth_largest,
    fake=lambda tensors, candidates, k, magnitude: tensors[0].new_empty(()),
)
define(
    "keep_largest(Tensor[] scores, Tensor[] candidates, SymInt keep, bool magnitude) -> (Tensor[], Tensor)",
    reference.keep_largest,
    fake=lambda scores, candidates, keep, magnitude: (_empty_bits(scores), scores[0].new_empty(())),
)
for _name in ("kth_largest", "keep_largest"):
    loop_over_batch(_name)
