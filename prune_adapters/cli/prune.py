"""`netgraph prune`: masks for a model, in one shot or by a method while a function of yours trains it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prune_adapters.cli.console import answer, free_path, note
from prune_adapters.cli.errors import BAD_ANSWER, CommandError, closest
from prune_adapters.cli.methods import METHODS, settings_of, trained
from prune_adapters.cli.models import Opened
from prune_adapters.cli.options import Checkpoint, Force, Input, Json, ModelName, Seed
from prune_adapters.cli.weights import opened_with, traced

if TYPE_CHECKING:
    import torch

    from prune_adapters import Selection

__all__ = ["prune"]

SCORES = ("magnitude", "random", "synflow", "path")


def prune(
    model: ModelName,
    sparsity: Annotated[float, typer.Option(help="Fraction of the weights to remove, in [0, 1].")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File for the masks (safetensors).")],
    checkpoint: Checkpoint = None,
    input: Input = None,
    scores: Annotated[str, typer.Option(help=f"What ranks the weights: {', '.join(SCORES)}.")] = "magnitude",
    scope: Annotated[str, typer.Option(help="Who competes with whom: global, layer, erk, igq.")] = "global",
    target: Annotated[str, typer.Option(help="What the sparsity counts: direct, effective.")] = "direct",
    consistent: Annotated[bool, typer.Option(help="Keep only weights on a path from input to output.")] = True,
    train: Annotated[
        str | None,
        typer.Option(
            metavar="FUNCTION",
            help="package.module:function or file.py:function, called as function(model, prepare): it makes its "
            "optimizer, calls method = prepare(optimizer, steps=N), trains with the four calls of the method (as "
            "prune_adapters.train does), and may return a number or a dictionary to be printed.",
        ),
    ] = None,
    method: Annotated[str, typer.Option(help=f"With --train: {', '.join(METHODS)}.")] = "gradual",
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="With --train: a setting of the method.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="With --train: file for the trained weights (safetensors).")
    ] = None,
    seed: Seed = 0,
    fail_if_cut: Annotated[bool, typer.Option("--fail-if-cut", help="Exit with 1 if no kept weight is on a path.")] = (
        False
    ),
    force: Force = False,
    json: Json = False,
) -> None:
    """Write masks for a model: in one shot, or by a method while a function of yours trains it."""
    if scores not in SCORES:
        raise CommandError(f"--scores {scores!r}: there are no such scores{closest(scores, SCORES)}")
    if train is None and (weights is not None or setting):
        raise CommandError("--weights and --set: expected --train FUNCTION beside them, which trains the model")
    for path in (output, weights):
        free_path(path, force=force)
    import prune_adapters as pa

    opened = opened_with(model, shape=input, checkpoint=checkpoint, seed=seed)
    with traced(opened, model, input):
        if train is None:
            chosen, result = _at_once(opened, scores, sparsity, scope, target, consistent, seed), None
        else:
            budget = {"sparsity": sparsity, "scope": scope, "target": target, "consistent": consistent}
            own = {**budget, "seed": seed, **settings_of(setting or [])}
            chosen, result = _by_training(opened, train, method, own)
    pa.save_masks(output, chosen, model=model, sparsity=sparsity, by=scores if train is None else method)
    note(f"wrote {output}")
    if weights is not None:
        _save_weights(weights, opened)
    answer(_in_words(chosen, result), _document(chosen, result, output), as_json=json)
    if fail_if_cut and chosen.effective == 0:
        raise typer.Exit(BAD_ANSWER)


def _at_once(
    opened: Opened, by: str, sparsity: float, scope: str, target: str, consistent: bool, seed: int
) -> "Selection":
    import prune_adapters as pa

    method: str | Mapping[str, torch.Tensor] = by
    if by == "synflow":
        method = pa.synflow_scores(opened.model, opened.inputs, graph=pa.to_graph(opened.model, opened.inputs))
    elif by == "path":
        method = pa.path_scores(opened.model, pa.to_graph(opened.model, opened.inputs))
    asked = {"scope": scope, "target": target, "consistent": consistent, "seed": seed}
    return pa.prune(opened.model, opened.inputs, sparsity=sparsity, method=method, **asked)  # type: ignore[arg-type]


def _by_training(opened: Opened, train: str, name: str, settings: dict[str, object]) -> "tuple[Selection, object]":
    import prune_adapters as pa

    method, result = trained(opened, pa.to_graph(opened.model, opened.inputs), train, name, settings)
    if method.step < method.steps:
        note(f"warning: prepare was told {method.steps} steps, and the method has seen {method.step} (after_step)")
    return method.finish(), result


def _save_weights(path: Path, opened: Opened) -> None:
    """Write the weights, those of a compacted model with what makes it of the dense one."""
    from safetensors.torch import save

    import prune_adapters as pa
    from netgraph.storage import replacing
    from prune_adapters.compact.attached import attached

    if attached(opened.model) is not None:
        pa.save_compacted(path, opened.model)
    else:
        state = {name: own.detach().cpu().clone() for name, own in opened.model.state_dict().items()}
        content = save(state)
        with replacing(path, "wb") as file:
            file.write(content)
    note(f"wrote {path}")


def _in_words(chosen: "Selection", result: object) -> str:
    lines = [repr(chosen)]
    if result is not None:
        lines.append(f"the training function returned {result}")
    return "\n".join(lines)


def _document(chosen: "Selection", result: object, output: Path) -> Mapping[str, object]:
    return {
        "masks": str(output),
        "total": chosen.total,
        "requested": chosen.requested,
        "kept": chosen.direct,
        "consistent": chosen.effective,
        "sparsity": chosen.sparsity,
        "effective_sparsity": chosen.effective_sparsity,
        "note": chosen.note,
        "returned": result,
    }
