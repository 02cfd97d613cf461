"""Masks in one shot: scores of a model, its inputs or your data, and one regular graph for all layers."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from prune_adapters.cli.errors import CommandError, closest, in_words, named
from prune_adapters.cli.lookup import find_object
from prune_adapters.cli.models import Opened

if TYPE_CHECKING:
    import torch

    from prune_adapters import RegularPruning, Selection

    Scores = Mapping[str, torch.Tensor]

__all__ = ["SCORES", "at_once", "check_scores", "regular_at_once"]

REGULAR = "regular"
SCORES: dict[str, tuple[str, ...]] = {
    "magnitude": (),
    "random": (),
    "synflow": (),
    "path": ("power",),
    "snip": ("batch_size",),
    "grasp": ("batch_size", "temperature"),
    REGULAR: ("n_nodes", "self_loops", "dense", "share_neighbours", "steps", "seconds"),
}
"""What ranks the weights, and the settings that each takes."""
OF_DATA = ("snip", "grasp")
EXPECTED = "expected (inputs, targets) or (inputs, targets, loss)"


def check_scores(by: str, data: str | None, settings: Mapping[str, object]) -> None:
    """Raise `CommandError` unless there are such scores, with data where they need it and settings that they have.

    Parameters
    ----------
    by : str
    data : str or None
    settings : mapping of str to object

    Examples
    --------
    >>> check_scores("grasp", "digits.py:batch", {"temperature": 1})
    """
    if by not in SCORES:
        raise CommandError(f"--scores {by!r}: there are no such scores{closest(by, SCORES)}")
    if by in OF_DATA and data is None:
        raise CommandError(
            f"--scores {by}: expected --data FUNCTION beside it (file.py:function), which returns (inputs, targets)"
        )
    if by not in OF_DATA and data is not None:
        raise CommandError(f"--data: expected --scores {' or '.join(OF_DATA)} beside it, got {by}, which takes no data")
    for name in settings:
        if name not in SCORES[by]:
            raise CommandError(f"--set {name}: --scores {by} has no such setting{closest(name, SCORES[by])}")


def at_once(
    opened: Opened, by: str, asked: Mapping[str, object], settings: Mapping[str, object], data: str | None
) -> "Selection":
    """Return masks by scores.

    Parameters
    ----------
    opened : Opened
    by : str
        A key of `SCORES`, not "regular".
    asked : mapping of str to object
        Sparsity, scope, target, consistent and seed, as `prune_adapters.prune` takes them.
    settings : mapping of str to object
        Of the scores.
    data : str or None
        Name of the function that returns inputs, targets and, if it likes, a loss.
    """
    import prune_adapters as pa

    method: str | Scores = by
    if by not in ("magnitude", "random"):
        method = _scores(opened, by, asked["seed"], settings, data)
    return pa.prune(opened.model, opened.inputs, method=method, **asked)  # type: ignore[arg-type]


def regular_at_once(
    opened: Opened, asked: Mapping[str, object], settings: Mapping[str, object]
) -> "tuple[Selection, RegularPruning]":
    """Return the masks of one regular graph, with the weights on paths counted, and what is known of the graph.

    Parameters
    ----------
    opened, asked, settings
        As `at_once` takes them; the graph decides for all layers, so scope and target have to be the usual ones.
    """
    import netgraph as ng
    import prune_adapters as pa

    for name, usual in (("scope", "global"), ("target", "direct")):
        if asked[name] != usual:
            raise CommandError(f"--{name} {asked[name]}: expected {usual} with --scores regular: one graph decides")
    own: dict[str, object] = {"sparsity": asked["sparsity"], "seed": asked["seed"], **settings}
    try:
        found = pa.regular_prune(opened.model, opened.inputs, **own)  # type: ignore[arg-type]
    except TypeError as error:
        raise CommandError(f"--set: {error}") from error
    consistent = pa.to_masks(ng.trim(pa.to_graph(opened.model, opened.inputs, masks=found.masks)))
    counts = {
        "requested": found.total - round(found.requested * found.total),
        "effective": sum(int(consistent[name].sum()) for name in found.masks),
    }
    return pa.Selection(found.masks, target="direct", **counts), found


def _scores(opened: Opened, by: str, seed: object, settings: Mapping[str, object], data: str | None) -> "Scores":
    import prune_adapters as pa

    graph = pa.to_graph(opened.model, opened.inputs)
    try:
        if by == "synflow":
            return pa.synflow_scores(opened.model, opened.inputs, graph=graph)
        if by == "path":
            return pa.path_scores(opened.model, graph, **settings)  # type: ignore[arg-type]
        assert data is not None
        return _of_data(opened, by, data, {"graph": graph, "seed": seed, **settings})
    except TypeError as error:
        raise CommandError(f"--scores {by}: {error}") from error


def _of_data(opened: Opened, by: str, data: str, options: dict[str, object]) -> "Scores":
    import prune_adapters as pa

    inputs, targets, loss = _batch(data)
    if loss is not None:
        options["loss"] = loss
    score = {"snip": pa.snip_scores, "grasp": pa.grasp_scores}[by]
    try:
        return score(opened.model, (inputs, targets), **options)  # type: ignore[arg-type]
    except Exception as error:
        raise CommandError(f"--scores {by} on the data of {data}: {in_words(error)}") from error


def _batch(text: str) -> "tuple[object, torch.Tensor, Callable[..., object] | None]":
    """Return what the function of --data returns, checked."""
    import torch

    function = find_object(text)
    if not callable(function):
        raise CommandError(f"--data {text}: expected a function, got {type(function).__name__}")
    try:
        made = function()
    except Exception as error:
        raise CommandError(f"{text} failed: {named(error)}") from error
    if not isinstance(made, tuple) or len(made) not in (2, 3):
        got = f"{len(made)} items" if isinstance(made, tuple) else type(made).__name__
        raise CommandError(f"--data {text}: {EXPECTED}, got {got}")
    inputs, targets, loss = (*made, None)[:3]
    if not isinstance(inputs, torch.Tensor | tuple | dict):
        raise CommandError(f"--data {text}: expected inputs as a tensor, tuple or dict, got {type(inputs).__name__}")
    if not isinstance(targets, torch.Tensor):
        raise CommandError(f"--data {text}: expected targets as a tensor, got {type(targets).__name__}")
    if loss is not None and not callable(loss):
        raise CommandError(f"--data {text}: expected the loss as a function, got {type(loss).__name__}")
    return inputs, targets, loss
