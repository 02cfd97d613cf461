"""Bit rows: how one bit a weight is laid out in 64-bit words (the numpy reference).

A weighted connection is a matrix of bits, one row for each target unit. Bit ``k`` of word ``j`` of a row is
element ``64 * j + k`` of that row, least significant bit first. A row of 32 bits or more starts a word of its own,
its tail bits are 0. Shorter rows (the 9 taps of a depthwise 3x3 kernel, say) follow each other without padding, so
that a word is not spent on a handful of bits.
"""

import numpy as np

__all__ = ["PACKED_WIDTH", "full_rows", "n_words", "pack_columns", "pack_rows", "unpack_rows"]

PACKED_WIDTH = 32
"""Rows narrower than this many bits are packed without padding."""


def n_words(rows: int, width: int) -> int:
    """Return how many 64-bit words hold `rows` rows of `width` bits.

    Parameters
    ----------
    rows, width : int
        Number of rows and bits in a row, both at least 0.

    Returns
    -------
    int
        Words, at least 0.

    Examples
    --------
    >>> n_words(10, 65), n_words(10, 9)
    (20, 2)
    """
    if width < PACKED_WIDTH:
        return -(-rows * width // 64)
    return rows * -(-width // 64)


def pack_rows(kept: np.ndarray) -> np.ndarray:
    """Return the words of a matrix of bits.

    Parameters
    ----------
    kept : ndarray, shape (rows, width)
        Nonzero entries become 1.

    Returns
    -------
    ndarray of uint64, shape (n_words(rows, width),)

    Examples
    --------
    >>> pack_rows(np.array([[1, 0, 1], [0, 1, 1]])).tolist()
    [53]
    """
    rows, width = kept.shape
    flat = np.asarray(kept, dtype=bool)
    if width < PACKED_WIDTH:
        flat = flat.reshape(1, rows * width)
    packed = np.packbits(flat, axis=1, bitorder="little")
    padded = np.zeros((flat.shape[0], -(-packed.shape[1] // 8) * 8), dtype=np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded.reshape(-1).view("<u8").astype(np.uint64, copy=False)


def pack_columns(kept: np.ndarray) -> np.ndarray:
    """Return the words of a matrix of bits that is given by its columns.

    Faster than `pack_rows` of the transpose, which would walk through memory column by column.

    Parameters
    ----------
    kept : ndarray of bool, shape (width, rows)
        One row for each column of the matrix; `width` is at least `PACKED_WIDTH`.

    Returns
    -------
    ndarray of uint64, shape (rows, words in a row)

    Examples
    --------
    >>> kept = np.zeros((40, 2), dtype=bool)
    >>> kept[0, 0] = kept[3, 1] = True
    >>> pack_columns(kept).tolist()
    [[1], [8]]
    """
    width, rows = kept.shape
    packed = np.packbits(kept, axis=0, bitorder="little")
    padded = np.zeros((rows, -(-width // 64) * 8), dtype=np.uint8)
    padded[:, : packed.shape[0]] = packed.T
    return padded.view("<u8").astype(np.uint64, copy=False)


def full_rows(rows: int, width: int) -> np.ndarray:
    """Return the words of a matrix of ones.

    Parameters
    ----------
    rows, width : int
        Shape of the matrix.

    Returns
    -------
    ndarray of uint64, shape (n_words(rows, width),)

    Examples
    --------
    >>> full_rows(2, 3).tolist()
    [63]
    """
    packed = width < PACKED_WIDTH
    bits = rows * width if packed else width
    words = np.full(n_words(rows, width), ~np.uint64(0))
    if bits % 64 and words.size:
        words.reshape(1 if packed else rows, -1)[:, -1] = (1 << bits % 64) - 1
    return words


def unpack_rows(words: np.ndarray, rows: int, width: int) -> np.ndarray:
    """Return the matrix of bits that `words` hold; the inverse of `pack_rows`.

    Parameters
    ----------
    words : ndarray of uint64, shape (n_words(rows, width),)
    rows, width : int
        Shape of the matrix.

    Returns
    -------
    ndarray of bool, shape (rows, width)

    Examples
    --------
    >>> unpack_rows(np.array([53], dtype=np.uint64), 2, 3).astype(int).tolist()
    [[1, 0, 1], [0, 1, 1]]
    """
    stored = 1 if width < PACKED_WIDTH else rows
    if rows == 0 or width == 0:
        return np.zeros((rows, width), dtype=bool)
    octets = np.ascontiguousarray(words, dtype="<u8").view(np.uint8).reshape(stored, -1)
    count = rows * width if width < PACKED_WIDTH else width
    return np.unpackbits(octets, axis=1, count=count, bitorder="little").view(bool).reshape(rows, width)
