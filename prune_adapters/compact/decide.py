"""Which channels go: the largest set of coupled classes without which every channel that stays is computed the same.

A class may go if each layer that reads one of its channels either has no kept weight from it to a channel that stays,
or reads a constant that a bias can hold. All classes that nothing pins start as removed; one that some layer needs
comes back, which may bring back others, until nothing changes. Then every channel that stays reads, layer by layer
in the order of the computation, what it read before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from prune_adapters.compact.constants import Constants
from prune_adapters.compact.rebuild import can_fold
from prune_adapters.groups import Facts, LayerSlots, Movement, Recorder

__all__ = ["Decision", "decide"]

LAST = "one channel must be left for {path!r}"
READ = "{path!r} reads a channel that is needed in its place"
PLACES = "its constant may differ between positions or image sizes, so no bias of {path!r} can hold it"


@dataclass(eq=False)
class Decision:
    """Which slots go, and why others stay.

    Parameters
    ----------
    recorder : Recorder
    gone : ndarray of bool, shape (n_slots,)
    reasons : dict of int to str
        For slots that stand for a class that had to come back.
    """

    recorder: Recorder
    gone: np.ndarray
    reasons: dict[int, str] = field(default_factory=dict)

    def bring_back(self, slots: np.ndarray, reason: str) -> bool:
        """Let the classes of `slots` stay after all; return whether there was one that was to go."""
        roots = np.unique(self.recorder.coupling.roots(slots[self.gone[slots]]))
        for root in roots.tolist():
            self.reasons.setdefault(root, reason)
        everything = self.recorder.coupling.roots(np.arange(len(self.gone)))
        self.gone &= ~np.isin(everything, roots)
        return bool(len(roots))

    def reason(self, slot: int) -> str:
        """Return why a slot stays."""
        root = int(self.recorder.coupling.roots(np.array([slot]))[0])
        return self.recorder.coupling.reason(slot) or self.reasons.get(root, "a channel coupled with it is needed")


def decide(
    recorder: Recorder, facts: Mapping[str, Facts], constants: Constants, modules: Mapping[str, nn.Module]
) -> Decision:
    """Return the largest removal that keeps the function.

    Parameters
    ----------
    recorder : Recorder
    facts : mapping of str to Facts
    constants : mapping of str to ndarray of float64
        Measured input constants of each layer, NaN where there is none.
    modules : mapping of str to Module
        The layers, by path.
    """
    everything = np.arange(len(recorder.coupling))
    decision = Decision(recorder, ~recorder.coupling.pinned(everything))
    layers = [layer for layer in recorder.layers if layer.path in facts]
    foldable = {layer.path: _foldable(layer, facts, constants, modules) for layer in layers}
    changed = True
    while changed:
        changed = False
        for layer in layers:
            changed |= _keep_one(decision, layer) | _keep_what_is_read(decision, layer, facts, foldable[layer.path])
        for movement in recorder.movements:
            if not _moves_alike(movement, decision.gone):
                changed |= decision.bring_back(movement.source.numbers, f"{movement.label} cuts at fixed places")
    return decision


def _foldable(
    layer: LayerSlots, facts: Mapping[str, Facts], constants: Constants, modules: Mapping[str, nn.Module]
) -> np.ndarray:
    """Return which inputs of a layer are zero, or constants that its bias can take over: ndarray of bool."""
    zero, module = facts[layer.path].classes == 0, modules[layer.path]
    if not can_fold(module):
        return zero
    return zero | (layer.uniform & ~np.isnan(constants.get(layer.path, np.full(len(zero), np.nan))))


def _keep_one(decision: Decision, layer: LayerSlots) -> bool:
    reason, changed = LAST.format(path=layer.path), False
    for slots in (layer.inputs, layer.outputs):
        if decision.gone[slots].all():
            changed |= decision.bring_back(slots[:1], reason)
    return changed


def _keep_what_is_read(decision: Decision, layer: LayerSlots, facts: Mapping[str, Facts], foldable: np.ndarray) -> bool:
    """Bring back the inputs that a channel that stays reads, unless they fold; groups go and stay as a whole."""
    kept, classes = facts[layer.path].kept, facts[layer.path].classes
    if len(kept) > 1:
        return False
    needed = kept[0][~decision.gone[layer.outputs]].any(axis=0) & ~foldable
    live = decision.bring_back(layer.inputs[needed & (classes == 2)], READ.format(path=layer.path))
    constant = decision.bring_back(layer.inputs[needed & (classes == 1)], PLACES.format(path=layer.path))
    return live or constant


def _moves_alike(movement: Movement, gone: np.ndarray) -> bool:
    """Return whether a call with fixed numbers does to the channels that stay what it does to all of them."""
    source, going = movement.source, gone[movement.source.numbers]
    if not going.any():
        return True
    sizes = [-1 if d == source.dim else 1 for d in range(len(source.shape))]
    places = torch.from_numpy(np.flatnonzero(~going)).reshape(sizes)
    shape = [len(places.reshape(-1)) if d == source.dim else size for d, size in enumerate(source.shape)]
    try:
        found = movement.move(places.expand(shape))
    except (RuntimeError, IndexError):
        return False
    return len(found) == len(movement.places) and all(
        _lie_along(ids, dim, along[~going[along]]) for ids, (dim, along) in zip(found, movement.places, strict=True)
    )


def _lie_along(ids: torch.Tensor, dim: int, expected: np.ndarray) -> bool:
    """Return whether `ids` are the expected ones, at least one, along `dim` and the same along all others."""
    if not len(expected) or ids.dim() <= dim or ids.shape[dim] != len(expected):
        return False
    return bool((ids.movedim(dim, -1) == torch.from_numpy(expected)).all())
