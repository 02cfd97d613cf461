"""Every example in a docstring runs and prints what it says."""

import doctest
import importlib

import pytest

from importable import MODULES


@pytest.mark.parametrize("name", ["netgraph", "prune_adapters", *MODULES])
def test_examples_in_docstrings(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)

    assert result.failed == 0
