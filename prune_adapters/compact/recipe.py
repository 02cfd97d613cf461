"""The list of removals that makes a compacted model of the dense class, without a single value of its weights.

As JSON it is a text of a few bytes a channel that needs no pickle. Whoever has the class of the model, the recipe and
the state_dict of the smaller model has the smaller model.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from itertools import pairwise

import numpy as np

from prune_adapters.errors import RecipeError

__all__ = ["VERSION", "Recipe", "Removal"]

VERSION = 1
"""Version of the JSON that `Recipe.to_json` writes."""
FORMAT = "prune_adapters.recipe"


@dataclass(frozen=True, slots=True)
class Removal:
    """What was taken out of one layer.

    Parameters
    ----------
    layer : str
        Module path, or the name of a parameter that a forward uses by itself.
    kind : str
        Name of the layer's type before, one of torch's such as "Conv2d"; of a parameter "Parameter" and the dimension
        that became smaller, such as "Parameter 2".
    sizes : tuple of (int, int)
        Input and output channels before; of a norm both are its channels, of an embedding tokens and dimensions, of
        attention its heads, of a parameter the entries along the dimension.
    inputs, outputs : tuple of int
        The channels that went, numbered as before, ascending. At least one of each is left.
    becomes : str
        Name of the layer's type after, one of ours such as "ConstantConv2d"; "" where the type stayed.
    added : tuple of str
        Attributes of the parameters and buffers that the layer was given, such as "bias" or "ones_weight".

    Raises
    ------
    RecipeError
        A field is of another type, or a channel lies outside the layer, comes twice or is its last one.

    Examples
    --------
    >>> Removal("fc1", "Linear", (784, 4), (), (1, 3)).left
    (784, 2)
    """

    layer: str
    kind: str
    sizes: tuple[int, int]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    becomes: str = ""
    added: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        words = (self.layer, self.kind, self.becomes, *(self.added if isinstance(self.added, tuple) else (None,)))
        if not all(isinstance(word, str) for word in words):
            raise RecipeError(
                f"removal from {self.layer!r}: layer, kind and becomes are texts, added is a list of them"
            )
        if not _are_numbers(self.sizes) or len(self.sizes) != 2:
            raise RecipeError(f"removal from {self.layer!r}: expected two sizes, got {self.sizes!r}")
        for size, channels, what in zip(self.sizes, (self.inputs, self.outputs), ("inputs", "outputs"), strict=True):
            _check_channels(f"{what} of {self.layer!r}", size, channels)

    @property
    def left(self) -> tuple[int, int]:
        """Input and output channels after."""
        return self.sizes[0] - len(self.inputs), self.sizes[1] - len(self.outputs)

    @property
    def dim(self) -> int | None:
        """The dimension that became smaller if `layer` is a parameter, None if it is a module."""
        word, _, number = self.kind.partition(" ")
        return int(number) if word == "Parameter" and number.isdecimal() else None

    def kept(self) -> tuple[np.ndarray, np.ndarray]:
        """Return which input and which output channels stay: two ndarrays of bool."""
        kept = tuple(np.ones(size, dtype=bool) for size in self.sizes)
        kept[0][list(self.inputs)] = False
        kept[1][list(self.outputs)] = False
        return kept[0], kept[1]


@dataclass(frozen=True, slots=True)
class Recipe:
    """The list of removals that turns a dense model into a compacted one.

    Parameters
    ----------
    removals : tuple of Removal
        At most one for each layer, in the order in which the layers run.

    Raises
    ------
    RecipeError
        Two removals speak of one layer.

    Examples
    --------
    >>> recipe = Recipe((Removal("0", "Linear", (2, 3), (), (1,)), Removal("2", "Linear", (3, 1), (1,), ())))
    >>> Recipe.from_json(recipe.to_json()) == recipe
    True
    """

    removals: tuple[Removal, ...]

    def __post_init__(self) -> None:
        layers = [removal.layer for removal in self.removals]
        if twice := next((layer for layer in layers if layers.count(layer) > 1), None):
            raise RecipeError(f"recipe: expected one removal for each layer, got several for {twice!r}")

    def to_json(self) -> str:
        """Return the recipe as JSON, with its format and version."""
        removals = [asdict(removal) for removal in self.removals]
        return json.dumps({"format": FORMAT, "version": VERSION, "removals": removals})

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """Return the recipe that `to_json` wrote; `RecipeError` for any other text."""
        try:
            content = json.loads(text)
        except (ValueError, TypeError, RecursionError) as error:
            raise RecipeError(f"recipe: expected the JSON of Recipe.to_json ({error})") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise RecipeError(f"recipe: expected JSON with format {FORMAT!r}, got {_short(content)}")
        if content.get("version") != VERSION:
            found = _short(content.get("version"))
            raise RecipeError(f"recipe: expected version {VERSION}, got {found}; update prune_adapters to read it")
        if not isinstance(content.get("removals"), list):
            raise RecipeError(f"recipe: expected a list of removals, got {_short(content.get('removals'))}")
        return cls(tuple(_removal(record) for record in content["removals"]))


def _removal(record: object) -> Removal:
    names = {field.name for field in fields(Removal)}
    if not isinstance(record, Mapping) or set(record) != names:
        raise RecipeError(f"recipe: expected a removal with {', '.join(sorted(names))}, got {_short(record)}")
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}
    return Removal(**values)  # type: ignore[arg-type]


def _check_channels(what: str, size: int, channels: tuple[int, ...]) -> None:
    if not _are_numbers(channels) or any(a >= b for a, b in pairwise(channels)):
        raise RecipeError(f"{what}: expected ascending channel numbers, got {_short(channels)}")
    if channels and not 0 <= channels[0] <= channels[-1] < size:
        raise RecipeError(f"{what}: expected channels from 0 to {size - 1}, got {_short(channels)}")
    if len(channels) >= size:
        raise RecipeError(f"{what}: expected at least one channel to be left, got {len(channels)} of {size} removed")


def _are_numbers(values: object) -> bool:
    return isinstance(values, tuple) and all(type(value) is int for value in values)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
