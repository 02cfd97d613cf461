"""The kernels for any processor, forced in a fresh interpreter: a wheel falls back to them, and ARM has no others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from netgraph import native
from prune_adapters.ops import library

SCRIPT = """
import torch
import prune_adapters as pa
from netgraph import compiled, native, reference
from numpy.testing import assert_array_equal
from prune_adapters.ops import library

torch.manual_seed(0)
assert native.kernels.isa() == "generic"
assert library.prune_adapters_isa() == b"generic"
for layer, shape in ((torch.nn.Linear(70, 50), (9, 70)), (torch.nn.Conv2d(6, 9, 3, padding=1), (2, 6, 7, 7))):
    model, x = torch.nn.Sequential(layer), torch.randn(shape, requires_grad=True)
    masks = {"0.weight": torch.rand(layer.weight.shape) < 0.2}
    graph = pa.to_graph(model, x[:1].detach(), masks=masks)
    for found, expected in zip(compiled.sweep(graph), reference.sweep(graph), strict=True):
        assert_array_equal(found, expected)
    pa.apply_masks(model, masks)
    pa.keep_masks(model, torch.optim.SGD(model.parameters(), lr=0.1))
    expected = model(x)
    right = torch.autograd.grad(expected.square().sum(), [x, layer.bias])
    pa.sparsify(model, policy="sparse")
    y = model(x)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(torch.autograd.grad(y.square().sum(), [x, model[0].bias]), right, rtol=1e-4, atol=1e-4)
print("the same")
"""


@pytest.mark.skipif(native.kernels is None or library is None, reason="the compiled kernels are missing")
def test_both_packages_compute_the_same_on_the_generic_path(tmp_path: Path) -> None:
    environment = os.environ | {"NETGRAPH_ISA": "generic", "NETGRAPH_NATIVE": "1"}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    assert done.stdout.strip() == "the same", done.stderr
