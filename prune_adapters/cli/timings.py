"""What `netgraph bench` measures: each case once by this package and once by plain numpy or torch."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn

import netgraph as ng
import prune_adapters as pa
from prune_adapters.keep import Upkeep

__all__ = ["Measured", "cases", "shortest"]

Case = Callable[[float], "Measured"]
"""Takes the seconds for each of the two ways."""


@dataclass(frozen=True)
class Measured:
    """How long something takes in two ways.

    Parameters
    ----------
    what : str
    plain_name : str
        The other way.
    ours, plain : float
        In seconds.
    """

    what: str
    plain_name: str
    ours: float
    plain: float

    @property
    def ratio(self) -> float:
        """How many times longer the plain way takes."""
        return self.plain / self.ours

    def to_dict(self) -> dict[str, str | float]:
        """Return it as a plain dictionary."""
        return {**asdict(self), "ratio": self.ratio}


def cases(*, quick: bool) -> list[Case]:
    """Return what is to be measured.

    Parameters
    ----------
    quick : bool
        Small cases.
    """
    width, nodes = (128, 64) if quick else (1024, 512)
    return [
        lambda seconds: _reach(width, seconds),
        lambda seconds: _keep(width, seconds),
        lambda seconds: _sparse(width, seconds),
        lambda seconds: _regular(width, seconds),
        lambda seconds: _lengths(nodes, seconds),
    ]


def shortest(function: Callable[[], object], seconds: float) -> float:
    """Return the shortest time of a call, in seconds, after one that does not count.

    Parameters
    ----------
    function : callable
    seconds : float
        For all calls together; there are three at least.
    """
    function()
    times: list[float] = []
    while len(times) < 3 or (sum(times) < seconds and len(times) < 1000):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return max(min(times), 1e-9)


def _matrices(width: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.random((width, width)) < 0.05 for _ in range(6)]


def _reach(width: int, seconds: float) -> Measured:
    matrices = _matrices(width)
    graph = ng.from_biadjacency(matrices)
    floats = [matrix.astype(np.float32) for matrix in matrices]

    def plain() -> None:
        for chain in (floats, [matrix.T for matrix in reversed(floats)]):
            live = np.ones(width, dtype=np.float32)
            for matrix in chain:
                live = (matrix @ live > 0).astype(np.float32)

    what = f"live and dead units, {len(matrices)} layers of {width}, 5 % kept"
    return Measured(what, "numpy products", shortest(lambda: ng.sweep(graph), seconds), shortest(plain, seconds))


def _network(width: int) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(width, width) for _ in range(6)))
    return model, dict(pa.masks_from_scores(pa.magnitude_scores(model), sparsity=0.95))


def _keep(width: int, seconds: float) -> Measured:
    model, masks = _network(width)
    pairs = [(model.get_parameter(name), mask.float()) for name, mask in masks.items()]
    pa.apply_masks(model, masks)
    upkeep = Upkeep(model)

    def plain() -> None:
        with torch.no_grad():
            for weight, mask in pairs:
                weight.mul_(mask)

    ours, other = shortest(upkeep, seconds), shortest(plain, seconds)
    return Measured(f"masks of 6 layers of {width} set to 0 again", "weight * mask", ours, other)


def _sparse(width: int, seconds: float) -> Measured:
    torch.manual_seed(0)
    dense = nn.Linear(width, width)
    mask = pa.masks_from_scores({"weight": dense.weight.detach().abs()}, sparsity=0.95)["weight"]
    return _layers(f"sparse layer of {width}, 5 % kept, batch 64", "sparse", dense, mask, seconds)


def _regular(width: int, seconds: float) -> Measured:
    torch.manual_seed(0)
    dense = nn.Linear(width, width)
    nodes = ng.generators.best_known(16, 3, seed=0)
    mask = torch.from_numpy(ng.relational_biadjacency(nodes, width, width))
    return _layers(f"regular layer of {width}, 3 of 16 blocks kept, batch 64", "regular", dense, mask, seconds)


def _layers(what: str, form: str, dense: nn.Linear, mask: torch.Tensor, seconds: float) -> Measured:
    x = torch.randn(64, dense.in_features)
    model = nn.Sequential(dense)
    pa.apply_masks(model, {"0.weight": mask})
    with torch.no_grad():
        plain = shortest(lambda: model(x), seconds)
        pa.sparsify(model, {"0.weight": mask}, policy=form)
        return Measured(what, "dense layer", shortest(lambda: model(x), seconds), plain)


def _lengths(nodes: int, seconds: float) -> Measured:
    graph = ng.generators.random_regular(nodes, 6, seed=0)
    joined = graph.adjacency().astype(np.float32)

    def plain() -> float:
        hops = np.zeros(joined.shape)
        seen = np.eye(nodes, dtype=np.float32)
        while (left := seen == 0).any():
            hops += left
            seen = np.minimum(seen + seen @ joined, 1)
        return float(hops.sum() / (nodes * (nodes - 1)))

    np.testing.assert_allclose(plain(), ng.average_shortest_path_length(graph))
    ours = shortest(lambda: ng.average_shortest_path_length(graph), seconds)
    return Measured(f"mean path length, {nodes} nodes of degree 6", "numpy products", ours, shortest(plain, seconds))
