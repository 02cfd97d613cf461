"""Methods of pruning by the names that the command line has for them, and the training function that runs one."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from prune_adapters.cli.errors import CommandError, closest, named
from prune_adapters.cli.lookup import find_object
from prune_adapters.cli.models import Opened

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from netgraph import NetGraph
    from prune_adapters import Method

__all__ = ["METHODS", "Preparation", "settings_of", "trained"]

CHANNELS = "swd-channels"
METHODS: dict[str, tuple[str, dict[str, object]]] = {
    "oneshot": ("OneShotPruning", {}),
    "gradual": ("GradualPruning", {}),
    "iterative": ("IterativePruning", {}),
    "swd": ("SelectiveWeightDecay", {}),
    CHANNELS: ("SelectiveChannelDecay", {}),
    "tcmp": ("TCMP", {}),
    "rigl": ("DynamicSparseTraining", {"grow": "gradient"}),
    "set": ("DynamicSparseTraining", {"grow": "random"}),
}
"""Class and settings of each method."""


class Preparation:
    """Makes the method, once the training function knows its optimizer and the number of its steps.

    Parameters
    ----------
    opened : Opened
    graph : NetGraph
    name : str
        A key of `METHODS`.
    settings : mapping of str to object
        Of the method.
    """

    def __init__(self, opened: Opened, graph: "NetGraph", name: str, settings: Mapping[str, object]) -> None:
        self.opened, self.graph, self.name, self.settings = opened, graph, name, dict(settings)
        self.method: Method | None = None

    def __call__(self, optimizer: "Optimizer | None" = None, *, steps: int) -> "Method":
        """Return the method for this optimizer and as many of its steps.

        Parameters
        ----------
        optimizer : Optimizer, optional
        steps : int
            Calls of ``optimizer.step()`` in all.
        """
        import prune_adapters as pa

        if self.method is not None:
            raise CommandError("prepare: it was called before; a run has one method")
        kind, own = METHODS[self.name]
        given = {"optimizer": optimizer, "graph": self.graph, "steps": steps, **own, **self.settings}
        if self.name == CHANNELS:  # whole channels go, whether their weights are on a path or not
            groups = pa.coupled_channels(self.opened.model, self.opened.inputs)
            given |= {"groups": groups, "consistent": False}
        try:
            self.method = getattr(pa, kind)(self.opened.model, **given)
        except TypeError as error:
            raise CommandError(f"--method {self.name}: {error}; the settings are those of {kind}") from error
        assert self.method is not None
        return self.method


def trained(opened: Opened, graph: "NetGraph", train: str, name: str, settings: Mapping[str, object]) -> tuple:
    """Return the method after training, and what the training function returned.

    Parameters
    ----------
    opened : Opened
        Its model is trained in place.
    graph : NetGraph
    train : str
        Name of the function; it takes the model and a `Preparation`.
    name : str
    settings : mapping of str to object
    """
    if name not in METHODS:
        raise CommandError(f"--method {name!r}: there is no such method{closest(name, METHODS)}")
    function = _function(train)
    prepare = Preparation(opened, graph, name, settings)
    try:
        result = function(opened.model, prepare)
    except CommandError:
        raise
    except Exception as error:
        raise CommandError(f"{train} failed: {named(error)}") from error
    if prepare.method is None:
        raise CommandError(f"{train}: expected a call of prepare(optimizer, steps=...), which makes the method")
    return prepare.method, result


def settings_of(texts: Sequence[str]) -> dict[str, object]:
    """Return settings from texts such as ``rounds=5``; values are JSON, or words.

    Parameters
    ----------
    texts : sequence of str

    Examples
    --------
    >>> settings_of(["rounds=5", "rewind=weights", "guard=true"])
    {'rounds': 5, 'rewind': 'weights', 'guard': True}
    """
    return dict(map(_setting, texts))


def _setting(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise CommandError(f"--set {text!r}: expected name=value")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _function(text: str) -> Callable[..., object]:
    found = find_object(text)
    if not callable(found):
        raise CommandError(f"--train {text}: expected a function, got {type(found).__name__}")
    return found
