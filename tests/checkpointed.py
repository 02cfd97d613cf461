"""Checkpoints to test with: sparse models, their graphs from a file, and whether two graphs are the same."""

import dataclasses
import sys
from collections.abc import Callable, Iterator
from importlib import util
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import netgraph as ng
import prune_adapters as pa
from networks import MLP

EXAMPLES = Path(__file__).parents[1] / "examples"
X = torch.linspace(0.5, 1.5, 12).reshape(2, 6)


def example(name: str) -> ModuleType:
    """Return a module of the examples; the tests have a package of the name `networks` themselves."""
    if (module := sys.modules.get(f"example_{name}")) is None:
        spec = util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
        module = sys.modules[f"example_{name}"] = util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return build()


def sparse(model: nn.Module, *, seed: int = 0) -> nn.Module:
    """Set two of three values of every parameter to 0."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(torch.rand(p.shape, generator=draw) < 1 / 3)
    return model.eval()


def values(item: object) -> Iterator[object]:
    for field in dataclasses.fields(item):
        value = getattr(item, field.name)
        yield value.tolist() if isinstance(value, np.ndarray) else value


def check_same(found: ng.NetGraph, wanted: ng.NetGraph) -> None:
    for name in ("layers", "products", "parameters", "buffers", "notes"):
        assert getattr(found, name) == getattr(wanted, name), name
    for name in ("bits", "inputs", "outputs", "gate", "shift"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), name)
    for parts in ("connections", "unit_parameters"):
        pairs = zip(getattr(found, parts), getattr(wanted, parts), strict=True)
        assert all(list(values(a)) == list(values(b)) for a, b in pairs), parts


def mlp() -> MLP:
    torch.manual_seed(0)
    return sparse(MLP((6, 8, 3)))


def saved_mlp(tmp_path: Path) -> Path:
    """Return a folder with the checkpoint of a small perceptron; a fixture of the tests that read it."""
    save_file(mlp().state_dict(), tmp_path / "model.safetensors")
    return tmp_path


def graph_of(path: Path, *, build: Callable[[], nn.Module] = mlp, x: Tensor = X, **options: object) -> ng.NetGraph:
    return pa.checkpoint_graph(on_meta(build), x, path, **options)
