"""What the pictures share: colours, names that fit, and the Axes to draw on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

__all__ = ["BLUE", "DARK", "GREY", "ORANGE", "VERMILION", "axes_of_size", "bare", "legend_above", "shortened"]

BLUE, ORANGE, VERMILION = "#0072B2", "#E69F00", "#D55E00"
GREY, DARK = "#D9D9D9", "#4D4D4D"

SMALL = 8
"""Font size of all text, in points."""


def axes_of_size(ax: "Axes | None", width: float, height: float) -> "Axes":
    """Return `ax`, or the Axes of a new figure of that size in inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def bare(ax: "Axes", *sides: str) -> None:
    """Set small tick labels and take away the named sides of the frame."""
    ax.tick_params(labelsize=SMALL)
    for side in sides:
        ax.spines[side].set_visible(False)


def legend_above(
    ax: "Axes", handles: "Sequence[Artist]", *, columns: int = 3, marker_points: float | None = None
) -> None:
    """Put a legend without a frame above the Axes, from the left edge; markers may have a size of their own."""
    legend = ax.legend(
        handles=list(handles),
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.2,
        ncols=columns,
        frameon=False,
        fontsize=SMALL,
        handlelength=1.6,
        handletextpad=0.5,
        columnspacing=1.2,
    )
    if marker_points is not None:
        for line in legend.get_lines():
            line.set_markersize(marker_points)


def shortened(name: str, width: int) -> str:
    """Return `name`, or its end after "..." if it is longer than `width` characters.

    Examples
    --------
    >>> shortened("encoder.layers.11.mlp.0", 14)
    '...11.mlp.0'
    """
    if len(name) <= width:
        return name
    tail = name[len(name) - width + 3 :]
    dot = tail.find(".")
    return "..." + (tail[dot + 1 :] if 0 <= dot < len(tail) // 2 else tail)
