"""Tables of sparse matrices, built by numpy alone, for the tests of the CUDA kernels."""

import numpy as np


class Panels:
    """A random sparse matrix in panels of columns: ptr, idx, and where each element is.

    Parameters
    ----------
    rows, columns, panel : int
    density : float
    seed : int
    """

    def __init__(self, rows: int, columns: int, panel: int, density: float, seed: int = 0) -> None:
        kept = np.random.default_rng(seed).random((rows, columns)) < density
        self._fill(kept, panel)

    def _fill(self, kept: np.ndarray, panel: int) -> None:
        self.kept, self.panel, self.shape = kept, panel, kept.shape
        starts = range(0, kept.shape[1], panel)
        places = [np.argwhere(kept[:, start : start + panel]) for start in starts]
        counts = np.array([kept[:, start : start + panel].sum(1) for start in starts], np.int64)
        counts = counts.reshape(len(starts), kept.shape[0])
        ends = np.cumsum(counts).reshape(counts.shape)
        self.ptr = np.zeros((len(starts), kept.shape[0] + 1), np.int32)
        self.ptr[:, :-1] = ends - counts
        self.ptr[:, 1:] = ends
        self.idx = np.concatenate([*(place[:, 1] for place in places), []]).astype(np.int16)
        self.rows_of = np.concatenate([*(place[:, 0] for place in places), []]).astype(np.int64)
        begins = np.repeat(np.array(starts, np.int64), [len(place) for place in places])
        self.columns_of = self.idx.astype(np.int64) + begins
        self.n_values = len(self.idx)

    def transposed(self, panel: int) -> tuple["Panels", np.ndarray]:
        """Return the transposed matrix, and the place here of each of its elements."""
        turned = object.__new__(Panels)
        turned._fill(self.kept.T.copy(), panel)
        place = np.zeros(self.shape, np.int32)
        place[self.rows_of, self.columns_of] = np.arange(self.n_values)
        return turned, place[turned.columns_of, turned.rows_of]

    def dense(self, values: np.ndarray) -> np.ndarray:
        """Return the matrix with these values, in float64."""
        found = np.zeros(self.shape)
        found[self.rows_of, self.columns_of] = values
        return found
