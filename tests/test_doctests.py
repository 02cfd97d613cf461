"""Every example in a docstring runs and prints what it says."""

import doctest
import importlib
import importlib.util
import pkgutil

import pytest

import netgraph
import prune_adapters

LACKING = {"netgraph._native"}
if not importlib.util.find_spec("triton"):
    LACKING |= {f"prune_adapters.ops.triton_{part}" for part in ("blocks", "kernels", "tiles")}
MODULES = [
    module.name
    for package in (netgraph, prune_adapters)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if module.name not in LACKING
]


@pytest.mark.parametrize("name", ["netgraph", "prune_adapters", *MODULES])
def test_examples_in_docstrings(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)

    assert result.failed == 0
