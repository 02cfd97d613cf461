"""`netgraph export`: a masked or compacted model for other programs."""

import copy
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from prune_adapters.cli.console import answer, free_path, note
from prune_adapters.cli.errors import CommandError
from prune_adapters.cli.models import Opened
from prune_adapters.cli.options import Checkpoint, Force, Input, Json, Masks, ModelName
from prune_adapters.cli.weights import opened_with, traced

if TYPE_CHECKING:
    from torch import nn

__all__ = ["export"]

FORMATS = ("onnx", "pt2", "safetensors")


def export(
    model: ModelName,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    format: Annotated[str | None, typer.Option(help="onnx, pt2 or safetensors (default: the ending of --output).")] = (
        None
    ),
    masks: Masks = None,
    checkpoint: Checkpoint = None,
    input: Input = None,
    compact: Annotated[bool, typer.Option("--compact", help="Take out the units that nothing needs first.")] = False,
    check: Annotated[bool, typer.Option(help="ONNX: compare the outputs with those of the model.")] = True,
    report: Annotated[bool, typer.Option("--report", help="Measure sizes and times beside the dense model.")] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write a model, masked or compacted, as ONNX, as a program of torch.export or with its weights stored sparse."""
    kind = format or output.suffix[1:]
    if kind not in FORMATS:
        given = f"--format {format!r}" if format else f"--output {output}"
        raise CommandError(f"{given}: expected {', '.join(FORMATS)}; --format names one")
    free_path(output, force=force)
    import prune_adapters as pa

    rooms = _rooms()
    opened = opened_with(model, shape=input, checkpoint=checkpoint)
    dense = copy.deepcopy(opened.model).eval() if report else None
    own = {} if masks is None else pa.load_masks(masks, model=opened.model)
    if own:
        pa.apply_masks(opened.model, own)
    with traced(opened, model, input):
        ready = opened.model if not compact else _smaller(opened)
    ready.eval()
    _write(rooms, kind, ready, opened, output, check)
    note(f"wrote {output}")
    size = output.stat().st_size
    count = sum(p.numel() for p in ready.parameters())
    document: dict[str, object] = {
        "output": str(output),
        "format": kind,
        "bytes": size,
        "parameters": count,
        "masked": len(own),
    }
    shown = f"{output}: {kind}, {size:,} bytes, {count:,} parameters"
    if dense is not None:
        measured = rooms.export_report(dense, ready, opened.inputs)
        document["report"], shown = measured.to_dict(), f"{shown}\n\n{measured}"
    answer(shown, document, as_json=json)


def _rooms() -> ModuleType:
    try:
        return import_module("prune_adapters.export")
    except ModuleNotFoundError as error:
        if error.name != "prune_adapters.export":
            raise
        raise CommandError("export: this version has no prune_adapters.export; update it") from error


def _smaller(opened: Opened) -> "nn.Module":
    import prune_adapters as pa

    return pa.compact(opened.model, pa.to_graph(opened.model, opened.inputs), opened.inputs)


def _write(rooms: ModuleType, kind: str, model: "nn.Module", opened: Opened, path: Path, check: bool) -> None:
    try:
        if kind == "onnx":
            rooms.export_onnx(model, opened.inputs, path, check=check)
        elif kind == "pt2":
            rooms.export_program(model, opened.inputs, path)
        else:
            rooms.export_sparse(model, path)
    except ModuleNotFoundError as error:
        raise CommandError(
            f"export to {kind}: {error.name} is not installed; pip install 'netgraph-pruning[export]'"
        ) from error
