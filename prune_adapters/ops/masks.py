"""Masks of one bit a weight: packed, unpacked, applied to many tensors in one call.

The bits of a mask are a uint8 tensor of ceil(numel / 8) bytes: the elements in flat (row-major) order whatever the
memory layout, eight to a byte, least significant bit first. The operators are ``torch.ops.prune_adapters.*``.
"""

from collections.abc import Sequence
from math import prod

import torch

from prune_adapters.ops import reference
from prune_adapters.ops.define import Batch, define, operators

__all__ = ["apply_masks_", "pack_mask", "unpack_mask"]


def apply_masks_(tensors: Sequence[torch.Tensor], bits: Sequence[torch.Tensor]) -> None:
    """Set the elements whose bit is 0 to +0.0, in place; the others keep every bit.

    What a removed element was does not matter: NaN, infinities and -0.0 become +0.0.

    Parameters
    ----------
    tensors : sequence of Tensor
        Of any dtype and shape. Contiguous ones on the CPU run at the speed of memory, on the threads of torch, with
        the same result whatever their number; in other layouts the compiled kernel goes from element to element. No
        two of them share memory.
    bits : sequence of Tensor of uint8, shape (ceil(numel / 8),)
        One for each tensor, contiguous, on the same device; see `pack_mask`.

    Raises
    ------
    ValueError
        The numbers of tensors and of bits differ, or bits have another size, dtype or device than their tensor asks
        for.
    RuntimeError
        A tensor requires a gradient while gradients are recorded: the operator has none.

    Examples
    --------
    >>> weight = torch.tensor([[1.0, float("nan")], [3.0, 4.0]])
    >>> apply_masks_([weight], [pack_mask(torch.tensor([[True, False], [False, True]]))])
    >>> weight
    tensor([[1., 0.],
            [0., 4.]])
    """
    if len(tensors) != len(bits):
        raise ValueError(f"apply_masks_: expected bits for each of {len(tensors)} tensors, got {len(bits)}")
    for number, (tensor, own) in enumerate(zip(tensors, bits, strict=True)):
        _check_bits(f"apply_masks_: tensor {number}", own, tensor.shape, tensor.device)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        raise RuntimeError("apply_masks_: has no gradient; call it under torch.no_grad()")
    torch.ops.prune_adapters.apply_masks_(tensors, bits)
    if not torch.compiler.is_compiling() and torch._C._functorch.peek_interpreter_stack() is None:
        torch.autograd.graph.increment_version(tensors)


def pack_mask(mask: torch.Tensor) -> torch.Tensor:
    """Return the bits of a mask.

    Parameters
    ----------
    mask : Tensor of bool
        Of any shape and memory layout.

    Returns
    -------
    Tensor of uint8, shape (ceil(numel / 8),)
        On the device of the mask. Element ``8 j + k`` in row-major order is bit ``k`` of byte ``j``, counted from the
        least significant one; the bits after the last element are 0.

    Raises
    ------
    ValueError
        The mask has another dtype.

    Examples
    --------
    >>> pack_mask(torch.tensor([[True, False, True], [True, False, False]]))
    tensor([13], dtype=torch.uint8)
    """
    if mask.dtype != torch.bool:
        raise ValueError(f"pack_mask: expected dtype torch.bool, got {mask.dtype}; use mask != 0")
    return torch.ops.prune_adapters.pack_mask(mask.contiguous())


def unpack_mask(bits: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Return the mask of a size that has these bits; the inverse of `pack_mask`.

    Parameters
    ----------
    bits : Tensor of uint8, shape (ceil(numel / 8),)
    size : sequence of int
        Shape of the mask, with `numel` elements.

    Returns
    -------
    Tensor of bool
        Contiguous, on the device of the bits.

    Raises
    ------
    ValueError
        The bits have another dtype, or another number of bytes than the size asks for.

    Examples
    --------
    >>> unpack_mask(torch.tensor([13], dtype=torch.uint8), (2, 3))
    tensor([[ True, False,  True],
            [ True, False, False]])
    """
    _check_bits("unpack_mask", bits, size, bits.device)
    return torch.ops.prune_adapters.unpack_mask(bits.contiguous(), size)


def _check_bits(where: str, bits: torch.Tensor, size: Sequence[int], device: torch.device) -> None:
    if bits.dtype != torch.uint8:
        raise ValueError(f"{where}: expected bits of dtype torch.uint8, got {bits.dtype}; use pack_mask(mask)")
    if bits.device != device:
        raise ValueError(f"{where}: expected bits on {device}, got {bits.device}")
    n_bytes = (prod(size) + 7) // 8  # torch.Size would make an exported size a constant
    if bits.shape != (n_bytes,):
        raise ValueError(f"{where}: expected bits of shape ({n_bytes},) for {tuple(size)}, got {tuple(bits.shape)}")


def _apply_to_batch(
    batch: Batch, dims: Sequence[Sequence[int | None]], tensors: Sequence[torch.Tensor], bits: Sequence[torch.Tensor]
) -> tuple[None, None]:
    for number in range(batch.batch_size):
        for tensor, own, dim, bits_dim in zip(tensors, bits, *dims, strict=True):
            if dim is None and bits_dim is not None:
                raise RuntimeError("apply_masks_: many masks for one tensor; vmap over the tensor, too")
            one = tensor if dim is None else tensor.select(dim, number)
            torch.ops.prune_adapters.apply_masks_(
                [one], [own if bits_dim is None else own.select(bits_dim, number).contiguous()]
            )
    return None, None


def _pack_batch(batch: Batch, dims: Sequence[int], mask: torch.Tensor) -> tuple[torch.Tensor, int]:
    """The bits of each mask begin a byte of their own."""
    flags = mask.movedim(dims[0], 0).reshape(batch.batch_size, -1)
    whole = torch.nn.functional.pad(flags, (0, -flags.shape[1] % 8))
    return torch.ops.prune_adapters.pack_mask(whole).view(batch.batch_size, -1), 0


def _unpack_batch(
    batch: Batch, dims: Sequence[int], bits: torch.Tensor, size: Sequence[int]
) -> tuple[torch.Tensor, int]:
    rows = bits.movedim(dims[0], 0).contiguous()
    flags = torch.ops.prune_adapters.unpack_mask(rows.view(-1), [batch.batch_size, 8 * rows.shape[1]])
    return flags[:, : prod(size)].reshape(batch.batch_size, *size), 0


define(
    "apply_masks_(Tensor(a!)[] tensors, Tensor[] bits) -> ()",
    reference.apply_masks_,
    fake=lambda tensors, bits: None,
)
define(
    "pack_mask(Tensor mask) -> Tensor",
    reference.pack_mask,
    fake=lambda mask: mask.new_empty((mask.numel() + 7) // 8, dtype=torch.uint8),
)
define(
    "unpack_mask(Tensor bits, SymInt[] size) -> Tensor",
    reference.unpack_mask,
    fake=lambda bits, size: bits.new_empty(size, dtype=torch.bool),
)
for _name, _rule in (("apply_masks_", _apply_to_batch), ("pack_mask", _pack_batch), ("unpack_mask", _unpack_batch)):
    torch.library.register_vmap(f"prune_adapters::{_name}", _rule, lib=operators)
