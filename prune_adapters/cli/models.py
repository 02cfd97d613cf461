"""MODEL on the command line: where a model comes from, and what it takes."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from prune_adapters.cli.console import note
from prune_adapters.cli.errors import CommandError, closest, in_words, named
from prune_adapters.cli.lookup import find_object, need
from prune_adapters.cli.shapes import inputs_of_shapes

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.export import ExportedProgram

    Inputs = torch.Tensor | Sequence[object] | Mapping[str, object]

__all__ = ["Opened", "open_model", "tell_assumed_inputs"]


@dataclass(frozen=True, eq=False)
class Opened:
    """A model and example inputs.

    Parameters
    ----------
    model : Module
    inputs : Tensor, tuple or dict
    file : Path, optional
        Holds the values of the weights where the model does not.
    """

    model: "nn.Module"
    inputs: "Inputs"
    file: Path | None = None


def open_model(text: str, *, shape: str | None = None, device: str = "cpu", seed: int = 0) -> Opened:
    """Return the model that MODEL stands for, and inputs for it.

    Parameters
    ----------
    text : str
        MODEL.
    shape : str, optional
        Of the inputs; without it those that the source of the model knows.
    device : {"cpu", "meta"}
        "meta" builds it without memory, where it is built here.
    seed : int
        Of fresh weights.

    Raises
    ------
    CommandError
        There is no such model, a library is missing, it is not built, or the shape of its input is not known.
    """
    given = None if shape is None else inputs_of_shapes(shape)
    import torch

    torch.manual_seed(seed)
    with torch.device(device):
        model, known = _built(text)
    if given is None and known is None:
        raise CommandError(
            f"{text}: the shape of its input is not known; give --input 1x3x224x224 (ids:1x16 for integers), or let "
            "the callable return (model, example_inputs)"
        )
    return Opened(model, cast("Inputs", known if given is None else given))


def tell_assumed_inputs(opened: Opened, text: str, shape: str | None) -> None:
    """Say on stderr which inputs were assumed, if none were asked for and they do not suit.

    Parameters
    ----------
    opened : Opened
    text : str
        MODEL.
    shape : str or None
        What was asked for.
    """
    sizes = getattr(opened.inputs, "shape", None)
    if shape is None and sizes is not None:
        note(f"{text} was given an input of {'x'.join(map(str, sizes))}; --input SHAPE gives it another")


def _built(text: str) -> "tuple[nn.Module, Inputs | None]":
    source, colon, name = text.partition(":")
    if colon and source in SOURCES:
        if not name:
            raise CommandError(f"{text!r}: expected a name behind {source}:")
        return SOURCES[source](name)
    if text.endswith(".pt2"):
        return _program(Path(text))
    if colon:
        return _called(text)
    raise CommandError(
        f"{text!r}: expected torchvision:NAME, timm:NAME, hf:CONFIG, package.module:callable, "
        f"path/to/file.py:callable or a .pt2 file{_nearest_source(text)}"
    )


def _nearest_source(text: str) -> str:
    return f"; --checkpoint {text} goes with a MODEL that tells its layers" if Path(text).is_file() else ""


def _torchvision(name: str) -> "tuple[nn.Module, Inputs | None]":
    models = need("torchvision.models", f"torchvision:{name}")
    _check_name("torchvision", name, models.list_models())
    return models.get_model(name, weights=None), inputs_of_shapes("1x3x224x224")


def _timm(name: str) -> "tuple[nn.Module, Inputs | None]":
    timm = need("timm", f"timm:{name}")
    _check_name("timm", name, timm.list_models())
    model = timm.create_model(name, pretrained=False)
    known = getattr(model, "pretrained_cfg", None) or {}
    sizes = known.get("input_size", (3, 224, 224))
    return model, inputs_of_shapes("x".join(map(str, (1, *sizes))))


def _hf(name: str) -> "tuple[nn.Module, Inputs | None]":
    transformers = need("transformers", f"hf:{name}")
    known = list(transformers.CONFIG_MAPPING)
    try:
        auto = transformers.AutoConfig
        config = auto.for_model(name) if name in known else auto.from_pretrained(name)
    except (OSError, ValueError) as error:
        told = in_words(error).partition("\n")[0]
        raise CommandError(f"hf:{name}: no configuration of that name{closest(name, known)} ({told})") from error
    return transformers.AutoModel.from_config(config), _inputs_of(config)


def _inputs_of(config: object) -> "Inputs | None":
    if getattr(config, "vocab_size", None):
        return {"input_ids": cast("torch.Tensor", inputs_of_shapes("ids:1x16"))}
    size, channels = getattr(config, "image_size", None), getattr(config, "num_channels", 3)
    if isinstance(size, int):
        return {"pixel_values": cast("torch.Tensor", inputs_of_shapes(f"1x{channels}x{size}x{size}"))}
    return None


def _check_name(source: str, name: str, known: list[str]) -> None:
    if name not in known:
        raise CommandError(f"{source}:{name}: {source} has no model of that name{closest(name, known)}")


def _program(path: Path) -> "tuple[nn.Module, Inputs | None]":
    if not path.is_file():
        raise CommandError(f"{path}: there is no such file")
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            program = torch.export.load(path)
            model = torch.export.unflatten(program)
    except Exception as error:
        raise CommandError(f"{path}: torch.export cannot read it: {in_words(error)}") from error
    return model, _inputs_of_program(program)


def _inputs_of_program(program: "ExportedProgram") -> "Inputs | None":
    """Return the example inputs in the file or, where it has none, zeros of the shapes in it, 2 where any size goes."""
    import torch

    args, kwargs = program.example_inputs or ((), {})
    if args or kwargs:
        return args or kwargs
    wanted = program.graph_signature.user_inputs
    found = [n.meta["val"] for n in program.graph.nodes if n.op == "placeholder" and n.name in wanted]
    if not found or not all(isinstance(value, torch.Tensor) for value in found):
        return None
    shapes = [[size if isinstance(size, int) else 2 for size in value.shape] for value in found]
    return tuple(torch.zeros(shape, dtype=value.dtype) for shape, value in zip(shapes, found, strict=True))


def _called(text: str) -> "tuple[nn.Module, Inputs | None]":
    from torch import nn

    found = find_object(text)
    try:
        made = found() if callable(found) and not isinstance(found, nn.Module) else found
    except Exception as error:
        raise CommandError(f"{text} failed: {named(error)}") from error
    model, inputs = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(model, nn.Module):
        raise CommandError(
            f"{text}: expected a callable that returns a model or (model, example_inputs), got {type(model).__name__}"
        )
    return model, inputs


SOURCES = {"torchvision": _torchvision, "timm": _timm, "hf": _hf}
