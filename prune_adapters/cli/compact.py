"""`netgraph compact`: the same function with fewer units."""

from pathlib import Path
from typing import Annotated

import typer

from prune_adapters.cli.console import answer, free_path, note
from prune_adapters.cli.options import Checkpoint, Force, Input, Json, Masks, ModelName
from prune_adapters.cli.weights import opened_with, traced

__all__ = ["compact"]


def compact(
    model: ModelName,
    output: Annotated[Path, typer.Option("--output", "-o", help="File for the smaller model (safetensors).")],
    masks: Masks = None,
    checkpoint: Checkpoint = None,
    input: Input = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Take out the units that nothing needs; `prune_adapters.load_compacted` reads the file."""
    free_path(output, force=force)
    import prune_adapters as pa

    opened = opened_with(model, shape=input, checkpoint=checkpoint)
    own = None if masks is None else pa.load_masks(masks, model=opened.model)
    with traced(opened, model, input):
        small = pa.compact(opened.model, pa.to_graph(opened.model, opened.inputs, masks=own), opened.inputs)
    found = pa.compact_report(small)
    pa.save_compacted(output, small)
    note(f"wrote {output}")
    before, after = found.parameters
    document = {
        "output": str(output),
        "parameters_before": before,
        "parameters_after": after,
        "changes": [{"layer": c.layer, "inputs": c.inputs, "outputs": c.outputs} for c in found.changes],
        "kept": [{"layer": k.layer, "channels": len(k.channels), "reason": k.reason} for k in found.kept],
    }
    answer(found, document, as_json=json)
