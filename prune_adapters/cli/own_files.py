"""Weights in files that this package writes: compacted models, and weights without their zeros."""

from pathlib import Path
from typing import TYPE_CHECKING

from prune_adapters.cli.errors import CommandError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["is_own_file", "load_own_file"]


def is_own_file(path: Path) -> bool:
    """Tell whether a file of weights, or the one in a folder, is one that only this package reads.

    Parameters
    ----------
    path : Path
        Nothing is told of one that is not there or damaged.

    Raises
    ------
    CommandError
        The file holds masks, not weights.

    Examples
    --------
    >>> is_own_file(Path("nowhere.safetensors"))
    False
    """
    from prune_adapters.store import FORMAT

    found = _format_of(path)
    if found == FORMAT:
        raise CommandError(
            f"--checkpoint {path}: this file holds masks and no weights; inspect, compact and export take it as --masks"
        )
    return found in _formats()


def load_own_file(model: "nn.Module", path: Path) -> "nn.Module":
    """Return a model with the weights of such a file.

    Parameters
    ----------
    model : Module
        The dense one. It is changed in place by weights without their zeros, not by a compacted model.
    path : Path

    Returns
    -------
    Module
        `model` itself, or the smaller model that the file makes of it.

    Raises
    ------
    CommandError
        The file is of another model.
    """
    import prune_adapters as pa

    chosen, (compacted, _) = _chosen(path), _formats()
    try:
        if _format_of(chosen) == compacted:
            return pa.load_compacted(chosen, model)
        return pa.load_sparse(chosen, model)
    except pa.RecipeError as error:
        raise CommandError(f"{error}; MODEL is the dense model that was compacted") from error
    except pa.SparseFileError as error:
        if not isinstance(error.__cause__, pa.RecipeError):
            raise
        raise CommandError(
            f"{error}; the sparse weights of a compacted model do not say how it was made smaller: take the file of "
            "netgraph compact"
        ) from error


def _formats() -> tuple[str, str]:
    from prune_adapters.compact.recipe_store import FORMAT as COMPACTED
    from prune_adapters.export.sparse import FORMAT as SPARSE

    return COMPACTED, SPARSE


def _format_of(path: Path) -> str | None:
    """Return the format that the header of a safetensors file names."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(_chosen(path), framework="numpy") as file:
            return (file.metadata() or {}).get("format")
    except (SafetensorError, OSError):
        return None


def _chosen(path: Path) -> Path:
    """Return the file that a folder stands for, or the path itself."""
    import prune_adapters as pa

    return pa.open_checkpoint(path).path if path.is_dir() else path
