"""One network that holds weights for every sub-network of a space."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from prune_adapters.graph_pruning.layers.layer_graph import LayerGraph, layer_graph
from prune_adapters.graph_pruning.net.aggregator import Aggregator
from prune_adapters.graph_pruning.net.features import NodeFeatures
from prune_adapters.graph_pruning.net.generators import GeneratedWeight, SharedWeight
from prune_adapters.graph_pruning.net.skeletons import BatchNorm, Skeletons
from prune_adapters.graph_pruning.space.space import Crop, WidthSpace
from prune_adapters.graph_pruning.space.widths import Counts

__all__ = ["PruningNet"]

KINDS = ("generated", "shared")


class PruningNet(nn.Module):
    """Weights for any sub-network, generated from the graph of layers.

    Graph convolutions aggregate the features of all layers; each layer's weight is what a linear layer of its own
    makes of its node's aggregated features, cropped to the channels that stay. Reconstructed from the abstracts of
    [1]_ and from MetaPruning [2]_ and AMC [3]_.

    Parameters
    ----------
    space : WidthSpace
        Its model stays as it is.
    kind : {"generated", "shared"}
        "shared" crops one set of weights for all sub-networks instead, as slimmable networks [4]_ do: the baseline. Its
        aggregator is there and is not trained.
    hidden : int
        Numbers that the aggregator gives each node.
    layers : int
        Graph convolutions; 0 for none, the ablation in which no layer hears of another.
    rank : int, optional
        Generators go through so many numbers; see `GeneratedWeight`.
    blocks : bool
        Nodes are blocks instead of layers, as in MetaPruning; see `layer_graph`.
    edges, shortcuts : bool
        Whether the graph has those edges. With neither each node hears of itself alone.
    static : bool
        Whether nodes have features that do not depend on the sub-network.
    seed : int, numpy Generator or None
        Of the weights that are drawn: the same number, the same bits.

    Attributes
    ----------
    graph : LayerGraph

    Raises
    ------
    ValueError
        `kind` is unknown, `rank` comes with "shared", or a size is below what it can be.

    Notes
    -----
    Depthwise layers, which are no nodes, have a generator fed by the node that they belong to. Gains of batch norms
    are 1 and their shifts 0. All other parameters - biases, layer norms, tokens, the classifier - are shared: cropped
    from one set for all sub-networks, which starts as the model has them. Generators hold ``hidden + 1`` numbers for
    each weight of the model, or about ``rank + 1``.

    References
    ----------
    .. [1] Zhang, Yu, Rong, Ou, "GraphPruning", arXiv 1911.09817 (2019), abstracts of both versions.
    .. [2] Liu et al., "MetaPruning", ICCV 2019, section 3.1.
    .. [3] He et al., "AMC", ECCV 2018, section 3.
    .. [4] Yu and Huang, "Universally Slimmable Networks and Improved Training Techniques", ICCV 2019.

    Examples
    --------
    >>> from prune_adapters.graph_pruning.space.space import width_space
    >>> model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> net = PruningNet(width_space(model, torch.ones(1, 3)))
    >>> net(torch.ones(5, 3), (2, 3)).shape
    torch.Size([5, 2])
    >>> {name: tuple(weight.shape) for name, weight in net.weights((2, 3)).items()}
    {'0.weight': (2, 3), '0.bias': (2,), '2.weight': (3, 2), '2.bias': (3,), '4.weight': (2, 3), '4.bias': (2,)}
    """

    graph: LayerGraph

    def __init__(
        self,
        space: WidthSpace,
        *,
        kind: str = "generated",
        hidden: int = 32,
        layers: int = 2,
        rank: int | None = None,
        blocks: bool = False,
        edges: bool = True,
        shortcuts: bool = True,
        static: bool = True,
        seed: int | np.random.Generator | None = 0,
    ) -> None:
        super().__init__()
        if kind not in KINDS or (kind == "shared" and rank is not None):
            raise ValueError(f"expected kind 'generated', or 'shared' without a rank, got {kind!r} and rank {rank}")
        self.space, self.kind, self.rank = space, kind, rank
        self.graph = layer_graph(space, blocks=blocks)
        adjacency = torch.from_numpy(self.graph.adjacency(edges=edges, shortcuts=shortcuts))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(np.random.default_rng(seed).integers(2**63)))
            self.features = NodeFeatures(self.graph, static=static)
            self.aggregator = Aggregator(adjacency, self.features.number, hidden=hidden, layers=layers)
            self._node_of = _nodes_of_weights(self.graph)
            generators = {name: self._generator(name, hidden) for name in self._node_of}
        self.generators = nn.ModuleDict({_key(name): generator for name, generator in generators.items()})
        self._constants = _batch_norm_constants(space.model)
        self._names = tuple(name for name, _ in space.model.named_parameters())
        own = {n: p for n, p in space.model.named_parameters() if not (n in self._node_of or n in self._constants)}
        self.shared = nn.ParameterDict(
            {_key(name): nn.Parameter(p.detach().clone(), p.requires_grad) for name, p in own.items()}
        )
        self._skeletons = Skeletons(space)
        self.to(next(space.model.parameters()))

    def aggregated(self, counts: Counts) -> torch.Tensor:
        """Return what the aggregator makes of a sub-network.

        Parameters
        ----------
        counts : tuple of int

        Returns
        -------
        Tensor, shape (n_nodes, hidden)
            In the order of ``graph.nodes``.
        """
        return self._aggregated([self._checked(counts)])[0]

    def weights(self, counts: Counts) -> dict[str, torch.Tensor]:
        """Return every parameter of a sub-network.

        Parameters
        ----------
        counts : tuple of int

        Returns
        -------
        dict of str to Tensor
            By the names of ``space.narrowed(counts)`` and of the same shapes.
        """
        return self.weights_of([counts])[0]

    def weights_of(self, candidates: Sequence[Counts]) -> list[dict[str, torch.Tensor]]:
        """Return every parameter of some sub-networks; each generator is read once for all of them.

        Parameters
        ----------
        candidates : sequence of counts

        Returns
        -------
        list of dict of str to Tensor
        """
        checked = [self._checked(counts) for counts in candidates]
        hidden = self._aggregated(checked)
        crops = [self.space.crops(counts) for counts in checked]
        results: list[dict[str, torch.Tensor]] = [{} for _ in checked]
        for name in self._names:
            own = [crop[name] for crop in crops]
            for result, whole, crop in zip(results, self._wholes(name, hidden, own), own, strict=True):
                result[name] = whole[crop] if crop else whole
        return results

    def forward(
        self, x: torch.Tensor, counts: Counts, *, weights: dict[str, torch.Tensor] | None = None
    ) -> torch.Tensor:
        """Return what a sub-network computes; batch norms use the statistics of the batch, in either mode.

        Parameters
        ----------
        x : Tensor
            A batch, as the model takes it.
        counts : tuple of int
        weights : dict of str to Tensor, optional
            Of `weights` for these counts, where they are at hand.

        Returns
        -------
        Tensor
        """
        if weights is None:
            weights = self.weights(counts)
        skeleton = self._skeletons.of(tuple(counts), weights).train(self.training)
        return functional_call(skeleton, weights, (x,))

    def extra_repr(self) -> str:
        """Return the kind, and how many decisions and nodes there are."""
        rank = "" if self.rank is None else f", rank={self.rank}"
        return f"kind={self.kind!r}{rank}, widths={len(self.space.widths)}, nodes={len(self.graph.nodes)}"

    def _generator(self, name: str, hidden: int) -> nn.Module:
        shape = self.space.model.get_parameter(name).shape
        return SharedWeight(shape) if self.kind == "shared" else GeneratedWeight(shape, hidden, rank=self.rank)

    def _aggregated(self, candidates: list[Counts]) -> torch.Tensor:
        return self.aggregator(self.features(candidates))

    def _wholes(self, name: str, hidden: torch.Tensor, crops: list[Crop]) -> Sequence[torch.Tensor]:
        """Return for each sub-network a tensor that its crop is taken of: of a generated weight the rows it needs."""
        if name in self._constants:
            return [self._constant(name)] * len(crops)
        if name not in self._node_of:
            return [self.shared[_key(name)]] * len(crops)
        size = len(self.space.model.get_parameter(name))
        rows = max(_leading_rows(crop, size) for crop in crops)
        return self.generators[_key(name)](hidden[:, self._node_of[name]], rows)

    def _constant(self, name: str) -> torch.Tensor:
        return self.aggregator.adjacency.new_full(self.space.model.get_parameter(name).shape, self._constants[name])

    def _checked(self, counts: Counts) -> Counts:
        counts = tuple(counts)
        self.space.ratios(counts)  # raises where the counts are none of this space
        return counts


def _key(name: str) -> str:
    """Return the name as torch takes it for a part of a module: without dots."""
    return name.replace(".", "/")


def _nodes_of_weights(graph: LayerGraph) -> dict[str, int]:
    """Return the node whose features make each weight, by name of the parameter; vectors are not generated."""
    nodes = {**{path: node for node, path in enumerate(graph.nodes)}, **graph.owners}
    found: dict[str, int] = {}
    for name, parameter in graph.space.model.named_parameters():
        path = name.rpartition(".")[0]
        if path in nodes and parameter.dim() > 1:
            found[name] = nodes[path]
    return found


def _batch_norm_constants(model: nn.Module) -> dict[str, float]:
    """Return the value that each parameter of a batch norm has: gain 1, shift 0."""
    found: dict[str, float] = {}
    for path, module in model.named_modules():
        if isinstance(module, BatchNorm) and module.affine:
            found |= {f"{path}.{name}".lstrip("."): value for name, value in (("weight", 1.0), ("bias", 0.0))}
    return found


def _leading_rows(crop: Crop, size: int) -> int:
    """Return how many of the first rows hold all that a crop takes."""
    first = crop[0] if crop else slice(None)
    return first.indices(size)[1] if isinstance(first, slice) else size
