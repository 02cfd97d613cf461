"""Path scores: the share of each weight in the paths from the inputs to the outputs, on the graph of any network."""

import torch
from torch import nn

from netgraph import NetGraph
from netgraph.flow import path_sums, weight_shares
from prune_adapters.masks import parameter_names, resolve_name
from prune_adapters.scores.borrowed import kept_values
from prune_adapters.scores.scored import scored_parameters

__all__ = ["path_scores"]


def path_scores(model: nn.Module, graph: NetGraph, *, power: float = 1) -> dict[str, torch.Tensor]:
    """Return ``abs(w)^power`` times the paths into its source times those out of its target, as a share of all paths.

    A path counts by the product of ``abs(w)^power`` of its weights. With power 1 this is the score of SynFlow [1]_
    divided by R, without gains of norms, and with one tap of a convolution as good as another.

    Parameters
    ----------
    model : Module
        Not changed. Only its weights are read; those that a remembered mask removes are 0.
    graph : NetGraph
        Graph of the model, of any kind: residual, attention, products. Elements that it does not keep are 0 too.
    power : float
        Above 0.

    Returns
    -------
    dict of str to Tensor of float64
        All edge parameters but embedding tables, in the order of ``named_parameters()`` and on their devices. Fractions
        in [0, 1], added up over the uses of a parameter. Without overflow or underflow of the sums, so 0 means that
        the weight is on no path (or has less than 1e-308 of them).

    Raises
    ------
    MaskError
        The graph is that of another model.
    WeightValueError
        A kept weight is not finite.
    GraphStructureError
        The graph has cycles (recurrent layers).

    Notes
    -----
    Two sweeps over the graph, no forward pass.

    References
    ----------
    .. [1] Tanaka et al., "Pruning neural networks without any data by iteratively conserving synaptic flow", NeurIPS
       2020, equation 2.

    Examples
    --------
    >>> from prune_adapters.trace import to_graph
    >>> model = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Linear(1, 1, bias=False))
    >>> _ = model[0].weight.data.copy_(torch.tensor([[1.0, -3.0]]))
    >>> path_scores(model, to_graph(model, torch.ones(1, 2)))
    {'0.weight': tensor([[0.2500, 0.7500]], dtype=torch.float64), '1.weight': tensor([[1.]], dtype=torch.float64)}
    """
    scored = scored_parameters(model, None, graph)
    names, values = parameter_names(model), kept_values(model)
    weights = {name: values[resolve_name(name, names)].double().cpu().numpy() for name in graph.edge_parameters}
    shares = weight_shares(graph, weights, path_sums(graph, weights, power=power), power=power)
    own = {resolve_name(name, names): torch.from_numpy(share) for name, share in shares.items()}
    return {name: own[name].to(parameter.device) for name, parameter in scored.items()}
