"""Example inputs from the command line: ``1x3x224x224``, ``ids:1x16``, several joined by commas."""

import re
from typing import TYPE_CHECKING

from prune_adapters.cli.errors import CommandError

if TYPE_CHECKING:
    import torch

__all__ = ["inputs_of_shapes"]

SHAPE = re.compile(r"(?:(ids):)?([1-9]\d*(?:x[1-9]\d*)*)")


def inputs_of_shapes(text: str) -> "torch.Tensor | tuple[torch.Tensor, ...]":
    """Return zeros of a shape, or one tensor for each of several.

    Parameters
    ----------
    text : str
        Sizes joined by x; ``ids:`` before them makes integers; shapes are joined by commas.

    Raises
    ------
    CommandError
        The text has another form.

    Examples
    --------
    >>> inputs_of_shapes("ids:1x4"), [tuple(own.shape) for own in inputs_of_shapes("1x3x8x8,1x2")]
    (tensor([[0, 0, 0, 0]]), [(1, 3, 8, 8), (1, 2)])
    """
    found = [SHAPE.fullmatch(part.strip()) for part in text.split(",")]
    if not all(found):
        raise CommandError(
            f"--input {text!r}: expected sizes joined by x, such as 1x3x224x224, with ids: before them for integers "
            "(ids:1x16), and commas between several inputs"
        )
    import torch

    made = tuple(
        torch.zeros([int(size) for size in match[2].split("x")], dtype=torch.long if match[1] else None)
        for match in found
        if match
    )
    return made[0] if len(made) == 1 else made
