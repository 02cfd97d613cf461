"""What became of each layer when a model was compacted, and which channels had to stay."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["CompactReport", "KeptChannels", "LayerChange"]


@dataclass(frozen=True, slots=True)
class LayerChange:
    """One layer that became smaller.

    Parameters
    ----------
    layer : str
        Module path.
    inputs, outputs : tuple of (int, int)
        Channels before and after.
    """

    layer: str
    inputs: tuple[int, int]
    outputs: tuple[int, int]


@dataclass(frozen=True, slots=True)
class KeptChannels:
    """Channels that are dead or constant and could go by themselves, but not from this model.

    Parameters
    ----------
    layer : str
        Path of the module (or the name of the parameter) whose outputs they are.
    channels : tuple of int
        Numbered as in the original layer.
    reason : str
    """

    layer: str
    channels: tuple[int, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What `compact` did to a model.

    Parameters
    ----------
    parameters : tuple of (int, int)
        Number of parameters before and after.
    changes : tuple of LayerChange
        Layers that became smaller, in the order in which they run.
    kept : tuple of KeptChannels
        Channels that could go by themselves but had to stay, with the reason.
    """

    parameters: tuple[int, int]
    changes: tuple[LayerChange, ...]
    kept: tuple[KeptChannels, ...]

    def __str__(self) -> str:
        before, after = self.parameters
        lines = [f"parameters {before:,} -> {after:,}"]
        lines += _aligned([(c.layer, _arrow(c.inputs), _arrow(c.outputs)) for c in self.changes], "inputs", "outputs")
        for k in self.kept:
            lines.append(f"kept {len(k.channels)} of {k.layer!r}: {k.reason}")
        return "\n".join(lines)


def _arrow(sizes: tuple[int, int]) -> str:
    return f"{sizes[0]} -> {sizes[1]}"


def _aligned(rows: Sequence[tuple[str, str, str]], *heads: str) -> list[str]:
    if not rows:
        return []
    rows = [("layer", *heads), *rows]  # type: ignore[list-item]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
