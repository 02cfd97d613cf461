"""The losses of a search as a small picture for notebooks."""

from collections.abc import Sequence
from itertools import accumulate

__all__ = ["losses_svg"]

WIDTH, HEIGHT, MOST = 320, 64, 240


def losses_svg(losses: Sequence[float]) -> str:
    """Return an inline SVG: a dot for each candidate, from left to right, and a line through the best so far.

    Parameters
    ----------
    losses : sequence of float
        In the order of the search; of a long one every n-th dot is drawn.

    Returns
    -------
    str

    Examples
    --------
    >>> picture = losses_svg([0.7, 0.6, 0.9])
    >>> picture.count("<circle"), picture.count("<polyline")
    (3, 1)
    """
    if not losses:
        return ""
    step = -(-len(losses) // MOST)
    low, span = min(losses), (max(losses) - min(losses)) or 1.0
    across = (WIDTH - 8) / max(len(losses) - 1, 1)
    places = range(0, len(losses), step)

    def point(at: int, loss: float) -> tuple[str, str]:
        return f"{4 + at * across:.1f}", f"{HEIGHT - 6 - (HEIGHT - 12) * (loss - low) / span:.1f}"

    dots = "".join('<circle cx="{}" cy="{}" r="1.6"/>'.format(*point(at, losses[at])) for at in places)
    best = list(accumulate(losses, min))
    line = " ".join(",".join(point(at, best[at])) for at in [*places, len(losses) - 1])
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="losses in the order of the search"><g fill="currentColor" fill-opacity="0.45">{dots}</g>'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>'
    )
