"""Numbers as kernels find them in memory; a bfloat16 is the upper half of a float."""

import numpy as np

NUMBERS = ["float32", "float64", "float16", "bfloat16"]
"""In the order of the kernels for CUDA."""
TOLERANCE = {"float32": 1e-5, "float64": 1e-12, "float16": 2e-3, "bfloat16": 1.6e-2}


def stored(numbers: np.ndarray, dtype: str) -> np.ndarray:
    """Return the numbers as a kernel reads them."""
    if dtype != "bfloat16":
        return numbers.astype(dtype)
    return ((numbers.astype(np.float32).view(np.uint32) + 0x8000) >> 16).astype(np.uint16)


def read(array: np.ndarray, dtype: str) -> np.ndarray:
    """Return what is stored, in float64."""
    if dtype != "bfloat16":
        return array.astype(np.float64)
    return (array.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
