"""What `sparsify` chose for each layer, and why: to read, to store, and to choose the same again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

__all__ = ["LayerChoice", "SparsifyRecord"]

FORMS = ("dense", "sparse", "regular")
FORMAT = 1


@dataclass(frozen=True)
class LayerChoice:
    """The form of one layer.

    Parameters
    ----------
    name : str
        Module path.
    form : {"dense", "sparse", "regular"}
    density : float
        Kept weights / all weights of the layer.
    reason : str
    seconds : mapping of str to float
        What each form took, or is expected to take in units of the dense layer; empty where there was no choice.
    """

    name: str
    form: str
    density: float
    reason: str
    seconds: Mapping[str, float]

    @property
    def speedup(self) -> float:
        """How many times faster than the dense layer; 1 where nothing is known."""
        if "dense" not in self.seconds or self.form not in self.seconds:
            return 1.0
        return self.seconds["dense"] / self.seconds[self.form]


@dataclass(frozen=True)
class SparsifyRecord:
    """The choices of `sparsify`; as its `policy` they are made again, whatever the machine.

    Parameters
    ----------
    machine : str
        What was measured or predicted on: device, threads, version of torch.
    policy : {"measured", "predicted", "given"}
    layers : tuple of LayerChoice

    Examples
    --------
    >>> choice = LayerChoice("fc", "sparse", 0.1, "measured", {"dense": 4e-3, "sparse": 1e-3})
    >>> record = SparsifyRecord("cpu, 1 thread", "measured", (choice,))
    >>> print(record)
    measured on cpu, 1 thread
    layer  density  form    speed-up  reason
    fc       0.100  sparse     4.00x  measured
    >>> SparsifyRecord.from_json(record.to_json()) == record
    True
    """

    machine: str
    policy: str
    layers: tuple[LayerChoice, ...]

    @property
    def forms(self) -> dict[str, str]:
        """The form of each layer by its name."""
        return {choice.name: choice.form for choice in self.layers}

    def to_json(self) -> str:
        """Return the record as JSON."""
        return json.dumps({"format": FORMAT} | asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> "SparsifyRecord":
        """Return the record that `to_json` wrote.

        Raises
        ------
        ValueError
            The text is none.
        """
        try:
            body = json.loads(text)
            if body["format"] != FORMAT:
                raise ValueError(f"expected format {FORMAT}, got {body['format']!r}")
            layers = tuple(_choice(entry) for entry in body["layers"])
            return cls(str(body["machine"]), str(body["policy"]), layers)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"no record of sparsify: {error}; expected what SparsifyRecord.to_json wrote") from error

    def __str__(self) -> str:
        """Return a table with one row a layer."""
        rows = [("layer", "density", "form", "speed-up", "reason")]
        rows += [(c.name, f"{c.density:.3f}", c.form, f"{c.speedup:.2f}x", c.reason) for c in self.layers]
        columns = [_aligned(cells, right=number in (1, 3)) for number, cells in enumerate(zip(*rows, strict=True))]
        lines = ["  ".join(cells) for cells in zip(*columns, strict=True)]
        return "\n".join([f"{self.policy} on {self.machine}", *(line.rstrip() for line in lines)])


def _aligned(cells: Sequence[str], *, right: bool) -> list[str]:
    width = max(map(len, cells))
    return [cell.rjust(width) if right else cell.ljust(width) for cell in cells]


def _choice(entry: Mapping[str, object]) -> LayerChoice:
    form, seconds = entry["form"], entry["seconds"]
    if form not in FORMS or not isinstance(seconds, dict):
        raise ValueError(f"layer {entry.get('name')!r}: expected one of {', '.join(FORMS)} and a table of seconds")
    numbers = {str(key): float(value) for key, value in seconds.items()}
    density = entry["density"]
    if not isinstance(density, (int, float)):
        raise ValueError(f"layer {entry.get('name')!r}: expected a density, got {density!r}")
    return LayerChoice(str(entry["name"]), str(form), float(density), str(entry["reason"]), numbers)
