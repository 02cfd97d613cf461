"""Which elements a traced graph keeps: those of the masks, else those whose value is not 0."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

import netgraph as ng
from netgraph.weights import with_whole
from prune_adapters.apply import remembered_masks

__all__ = ["as_array", "with_kept"]

LARGEST = {torch.float8_e4m3fn: 0x7E, torch.float8_e5m2: 0x7C}
"""Floats of 8 bits: what lies above this, the sign aside, is NaN."""


def with_kept(graph: ng.NetGraph, model: nn.Module, masks: Mapping[str, torch.Tensor] | None) -> ng.NetGraph:
    """Return the graph with the elements that masks or values keep.

    Parameters
    ----------
    graph : NetGraph
    model : Module
    masks : mapping of str to Tensor of bool, or None
        Parameters without a mask are kept whole. None: the masks that the model remembers, and values for the others.
    """
    chosen = remembered_masks(model) if masks is None else masks
    parameters = dict(model.named_parameters())
    unmasked = [name for name in graph.edge_parameters if name not in chosen]
    whole = {name for name in unmasked if masks is not None or parameters[name].is_meta}
    kept = {name: as_array(parameters[name]) for name in unmasked if name not in whole}
    kept |= {name: chosen[name].cpu().numpy() for name in graph.edge_parameters if name in chosen}
    graph = ng.with_weights(with_whole(graph, whole), kept, dtype="bfloat16")
    acting = {u.parameter for u in graph.unit_parameters}
    others = {name: mask.cpu().numpy() for name, mask in chosen.items() if name in acting}
    return graph.with_masks(others) if others else graph


def as_array(values: torch.Tensor) -> np.ndarray:
    """Return values as a numpy array that tells which are 0 and which are NaN.

    bfloat16 goes as its bits, a float of 8 bits as its bits without the sign.
    """
    values = values.detach().cpu()
    if values.dtype == torch.bfloat16:
        return values.contiguous().view(torch.int16).numpy().view(np.uint16)
    if values.dtype not in LARGEST:
        return values.numpy()
    magnitude = values.view(torch.uint8).numpy() & np.uint8(0x7F)
    return values.half().numpy() if magnitude.max(initial=0) > LARGEST[values.dtype] else magnitude
