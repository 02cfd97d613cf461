"""The modelling choices of a trace."""

from dataclasses import dataclass

__all__ = ["Options", "checked_options"]


@dataclass(frozen=True)
class Options:
    """The modelling choices of one trace (see `to_graph`)."""

    positions: str = "join"
    norm: str = "mix"
    unknown: str | None = None


def checked_options(positions: str, norm: str, unknown: str | None, follow: str | None = None) -> Options:
    """Return the modelling choices of a trace; an unknown word is an error."""
    choices = {
        "positions": ("join", "split"),
        "norm": ("mix", "through"),
        "unknown": (None, "mix"),
        "follow": (None, "example"),
    }
    given = {"positions": positions, "norm": norm, "unknown": unknown, "follow": follow}
    for name, allowed in choices.items():
        if given[name] not in allowed:
            raise ValueError(f"{name}: expected {' or '.join(map(repr, allowed))}, got {given[name]!r}")
    return Options(positions, norm, unknown)
