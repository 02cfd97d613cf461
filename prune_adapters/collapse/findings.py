"""What `collapse_report` finds out."""

from dataclasses import dataclass

import netgraph as ng

__all__ = ["CollapseReport", "LostLayer", "removed"]


@dataclass(frozen=True, slots=True)
class LostLayer:
    """A parameter of which no kept weight lies on a path from an input to an output.

    Parameters
    ----------
    parameter : str
    kept : int
        Its kept elements.
    needed : int or None
        Smallest number of kept elements of all parameters at which one of its own is on a path; None if no number is
        enough.
    sparsity : float or None
        Fraction of all elements that is removed then, in [0, 1].

    Examples
    --------
    >>> LostLayer("fc1.weight", 3, needed=8, sparsity=0.2).needed
    8
    """

    parameter: str
    kept: int
    needed: int | None
    sparsity: float | None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CollapseReport:
    """What `collapse_report` found out; print it.

    Parameters
    ----------
    total : int
        Scored elements.
    needed : int or None
        Smallest number of kept elements at which some output changes with some input; None if no number is enough.
    last : tuple of str and int, or None
        Parameter and flat index of the element that cuts the last path when it goes: it is on every path then.
    kept : int
        Number of kept elements that the rest is about.
    lost : tuple of LostLayer
        Parameters without a weight on a path.
    repair : Repair or None
        The fewest elements to put back so that a path exists, and of equally few the best scored; None if there is a
        path, or if no weights would make one.
    text : str
        The same in words.

    Examples
    --------
    >>> import torch
    >>> from prune_adapters import collapse_report
    >>> scores = {"weight1": torch.tensor([[4.0, 3.0]]), "weight2": torch.tensor([[1.0], [2.0]])}
    >>> found = collapse_report(ng.from_biadjacency([[[1, 1]], [[1], [1]]]), scores)
    >>> found.needed, found.sparsity, found.collapsed, found.last
    (3, 0.25, True, ('weight2', 1))
    """

    total: int
    needed: int | None
    last: tuple[str, int] | None
    kept: int
    lost: tuple[LostLayer, ...]
    repair: ng.Repair | None
    text: str

    @property
    def collapsed(self) -> bool:
        """True if no output changes with an input at `kept` elements."""
        return self.needed is None or self.kept < self.needed

    @property
    def sparsity(self) -> float | None:
        """Largest fraction of removed elements at which there is a path, in [0, 1]; None if there is none at any."""
        return None if self.needed is None else removed(self.needed, self.total)

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


def removed(kept: int, total: int) -> float:
    """Return the fraction of elements that are removed, in [0, 1]."""
    return 1.0 - kept / total if total else 0.0
