"""A pytest plugin: the operators for CUDA serve tensors on the CPU, by the shim.

``NETGRAPH_NATIVE=0 CUDA_ON_HOST=1 pytest -p cuda_on_host tests/test_cuda.py`` runs the tests for a GPU without one.
"""

import torch

import prune_adapters  # noqa: F401 - defines the operators
from cuda_shim import run, whole_library
from prune_adapters.ops import compiled

library = whole_library()
error = run(library, "register_on_cpu", compiled._libtorch())
assert error is None, error
torch.set_num_threads(1)
