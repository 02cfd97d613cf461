"""Which channels go: the largest set of coupled classes without which every channel that stays is computed the same.

A class may go if each layer that reads one of its channels either has no kept weight from it to a channel that stays,
or reads a constant that a bias can hold. All classes that nothing pins start as removed; one that some layer needs
comes back, which may bring back others, until nothing changes. Then every channel that stays reads, layer by layer
in the order of the computation, what it read before.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from torch import nn

from prune_adapters.compact.rebuild import can_fold
from prune_adapters.groups import COUNTED, Facts, LayerSlots, Recorder, moves_alike

__all__ = ["Decision", "decide"]

LAST = "one channel must be left for {path!r}"
READ = "{path!r} reads a channel that is needed in its place"
STATISTICS = "it is live in the statistics of {path!r}"
COUNTS = "its constant in the statistics of {path!r} may differ between positions or image sizes"
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
    heads : dict of str to (ndarray of bool, int)
        Attention heads that go and the width of all of them, by module path.
    constants : dict of str to ndarray of float64
        Values of the constant inputs of layers, by module path.
    """

    recorder: Recorder
    gone: np.ndarray
    reasons: dict[int, str] = field(default_factory=dict)
    heads: dict[str, tuple[np.ndarray, int]] = field(default_factory=dict)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def anything(self) -> bool:
        """Whether anything goes at all."""
        return bool(self.gone.any()) or bool(self.heads)

    def kept_channels(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return which inputs and outputs of each layer stay, by module path: two ndarrays of bool.

        Of an attention layer both are its heads; its output projection, which follows, loses their columns.
        """
        kept = {layer.path: (~self.gone[layer.inputs], ~self.gone[layer.outputs]) for layer in self.recorder.layers}
        for path, (dead, width) in self.heads.items():
            columns = np.repeat(~dead, width // len(dead))
            kept |= {path: (~dead, ~dead), f"{path}.out_proj".lstrip("."): (columns, np.ones(width, dtype=bool))}
        return kept

    def kept_entries(self) -> dict[str, tuple[int, np.ndarray]]:
        """Return the dimension and the entries that stay along it of parameters used by themselves, by name."""
        met = self.recorder.raw.met.values()
        return {h.name: (h.axis, ~self.gone[h.numbers]) for h in met if self.gone[h.numbers].any()}

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


def decide(recorder: Recorder, facts: Mapping[str, Facts], modules: Mapping[str, nn.Module]) -> Decision:
    """Return the largest removal that keeps the function.

    Parameters
    ----------
    recorder : Recorder
    facts : mapping of str to Facts
    modules : mapping of str to Module
        The layers, by path.
    """
    everything = np.arange(len(recorder.coupling))
    decision = Decision(recorder, ~recorder.coupling.pinned(everything))
    layers = [layer for layer in recorder.layers if layer.path in facts]
    foldable = {layer.path: _foldable(layer, facts[layer.path], modules[layer.path]) for layer in layers}
    norms = {path for path, module in modules.items() if isinstance(module, COUNTED)}
    checks = [partial(_read, decision, facts, foldable, norms), partial(_emptied, decision), partial(_cut, decision)]
    while any(check(layers) for check in checks):
        pass
    return decision


def _foldable(layer: LayerSlots, facts: Facts, module: nn.Module) -> np.ndarray:
    """Return which inputs of a layer are zero, or constants that it can take over: ndarray of bool."""
    known = ~np.isnan(facts.values) if can_fold(module) else facts.values == 0
    return (facts.classes == 0) | (layer.uniform & known)


def _read(
    decision: Decision,
    facts: Mapping[str, Facts],
    foldable: Mapping[str, np.ndarray],
    norms: Container[str],
    layers: Sequence[LayerSlots],
) -> bool:
    """Bring back the inputs that a channel that stays reads, unless they fold."""
    changed = False
    for layer in layers:
        path, kept, classes = layer.path, facts[layer.path].kept, facts[layer.path].classes
        live, constant = (STATISTICS, COUNTS) if path in norms else (READ, PLACES)
        read = _in_statistics if path in norms else _read_by_weights
        needed = read(kept, ~decision.gone[layer.outputs]) & ~foldable[path]
        changed |= decision.bring_back(layer.inputs[needed & (classes == 2)], live.format(path=path))
        changed |= decision.bring_back(layer.inputs[needed & (classes == 1)], constant.format(path=path))
    return changed


def _read_by_weights(kept: np.ndarray, staying: np.ndarray) -> np.ndarray:
    """Return which inputs the outputs that stay read; groups of a convolution go and stay as a whole."""
    return kept[0][staying].any(axis=0) if len(kept) == 1 else np.zeros(kept.shape[0] * kept.shape[2], dtype=bool)


def _in_statistics(kept: np.ndarray, staying: np.ndarray) -> np.ndarray:
    """Return which channels of a norm have one that stays in their group."""
    return np.repeat(staying.reshape(len(kept), -1).any(axis=1), kept.shape[2])


def _cut(decision: Decision, _: Sequence[LayerSlots]) -> bool:
    """Bring back what is cut or rolled at fixed places that no longer fit."""
    changed = False
    for movement in decision.recorder.movements:
        if not moves_alike(movement, decision.gone):
            changed |= decision.bring_back(movement.source.numbers, f"{movement.label} cuts at fixed places")
    return changed


def _emptied(decision: Decision, layers: Sequence[LayerSlots]) -> bool:
    """Bring back one channel of the first layer that has none left; it may serve others too."""
    for layer in layers:
        for slots in (layer.inputs, layer.outputs):
            if decision.gone[slots].all():
                return decision.bring_back(slots[:1], LAST.format(path=layer.path))
    return False
