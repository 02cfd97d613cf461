"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Checkpoint", "Force", "Input", "Json", "Masks", "ModelName", "Seed"]

ModelName = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="torchvision:NAME, timm:NAME, hf:CONFIG, package.module:callable, path/to/file.py:callable or a .pt2 "
        "file. A callable returns the model, or (model, example_inputs).",
    ),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        help="Weights: safetensors or torch.save, an index of several files or their folder, or what `netgraph "
        "compact` and `netgraph export` to safetensors wrote of this model."
    ),
]
Masks = Annotated[Path | None, typer.Option(help="Masks, as `netgraph prune` writes them.")]
Input = Annotated[
    str | None,
    typer.Option(metavar="SHAPE", help="1x3x224x224; ids:1x16 for integers; commas between several inputs."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Force = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]
Seed = Annotated[int, typer.Option(help="Same seed, same result.")]
