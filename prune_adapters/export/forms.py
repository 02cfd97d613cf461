"""How the elements of a tensor that are not 0 are written: one bit for each element, or the gaps between them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

__all__ = ["FORMS", "Packed", "packed", "unpacked"]

FAR = 255
"""A byte of `gaps` that stands for so many elements that are 0, and for no other."""
WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Integers of the size of an element: what is told from 0 are bits, so that -0.0 is kept."""


@dataclass(frozen=True, eq=False)
class Packed:
    """A tensor as it is written.

    Parameters
    ----------
    form : {"dense", "bits", "gaps"}
    values : Tensor
        All of it, or its elements that are not 0 in flat order.
    places : Tensor of uint8, or None
        Where these lie; None for "dense".
    """

    form: str
    values: torch.Tensor
    places: torch.Tensor | None

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        return self.values.nbytes + (0 if self.places is None else self.places.nbytes)


def packed(tensor: torch.Tensor) -> Packed:
    """Return a tensor in the form that takes the fewest bytes; dense where none is smaller.

    Parameters
    ----------
    tensor : Tensor
        Contiguous, on the CPU, of any dtype.

    Returns
    -------
    Packed

    Examples
    --------
    >>> packed(torch.tensor([1.0, 2.0])).form, packed(torch.tensor([0.0, 1.0] * 9)).form
    ('dense', 'bits')
    >>> packed(torch.eye(32)).form
    'gaps'
    """
    dense = Packed("dense", tensor, None)
    word = WORDS.get(tensor.element_size())
    if word is None or not tensor.numel():
        return dense
    flat = tensor.reshape(-1)
    kept = (flat.view(word) != 0).numpy()
    if kept.mean() + 1 / (8 * tensor.element_size()) >= 1:
        return dense
    values = flat[torch.from_numpy(kept)]
    sparse = [Packed(form, values, torch.from_numpy(write(kept))) for form, (write, _) in FORMS.items()]
    return min([dense, *sparse], key=lambda p: p.nbytes)


def unpacked(stored: Packed, shape: tuple[int, ...]) -> torch.Tensor:
    """Return the tensor that was packed, bit for bit.

    Parameters
    ----------
    stored : Packed
    shape : tuple of int

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        The bytes do not fit the shape.

    Examples
    --------
    >>> unpacked(packed(torch.tensor([[0.0, 3.0], [0.0, 0.0]])), (2, 2))
    tensor([[0., 3.],
            [0., 0.]])
    """
    if stored.places is None:
        return stored.values.reshape(shape)
    size = int(np.prod(shape, dtype=np.int64))
    places = torch.from_numpy(FORMS[stored.form][1](stored.places.numpy(), size))
    if len(places) != len(stored.values):
        raise ValueError(f"expected {len(places)} values, got {len(stored.values)}")
    word = WORDS[stored.values.element_size()]
    flat = torch.zeros(size, dtype=word)
    flat[places] = stored.values.view(word)
    return flat.view(stored.values.dtype).reshape(shape)


def _write_bits(kept: np.ndarray) -> np.ndarray:
    return np.packbits(kept, bitorder="little")


def _read_bits(places: np.ndarray, size: int) -> np.ndarray:
    if len(places) != -(-size // 8):
        raise ValueError(f"expected {-(-size // 8)} bytes of bits, got {len(places)}")
    return np.flatnonzero(np.unpackbits(places, count=size, bitorder="little"))


def _write_gaps(kept: np.ndarray) -> np.ndarray:
    """Return one byte for each kept element: how many lie between it and the one before; more where there are many.

    As in Deep Compression (Han et al. 2016, section 2), but for what a long gap is written with: no zero is stored.
    """
    gaps = np.diff(np.flatnonzero(kept), prepend=-1) - 1
    far, rest = np.divmod(gaps, FAR)
    written = np.full(len(gaps) + int(far.sum()), FAR, dtype=np.uint8)
    written[np.cumsum(far + 1) - 1] = rest
    return written


def _read_gaps(places: np.ndarray, size: int) -> np.ndarray:
    ends = np.cumsum(places.astype(np.int64) + (places < FAR))
    found = ends[places < FAR] - 1
    if len(found) and found[-1] >= size:
        raise ValueError(f"expected elements below {size}, got {found[-1]}")
    return found


FORMS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray, int], np.ndarray]]] = {
    "bits": (_write_bits, _read_bits),
    "gaps": (_write_gaps, _read_gaps),
}
"""How each form is written and read."""
