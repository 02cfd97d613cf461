"""`netgraph prune`: masks for a model, in one shot or by a method while a function of yours trains it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prune_adapters.cli.console import answer, free_path, note
from prune_adapters.cli.errors import BAD_ANSWER, CommandError
from prune_adapters.cli.methods import METHODS, settings_of, trained
from prune_adapters.cli.models import Opened
from prune_adapters.cli.options import Checkpoint, Force, Input, Json, ModelName, Seed
from prune_adapters.cli.scores import SCORES, at_once, check_scores, regular_at_once
from prune_adapters.cli.weights import opened_with, traced

if TYPE_CHECKING:
    from prune_adapters import RegularPruning, Selection

__all__ = ["prune"]


def prune(
    model: ModelName,
    sparsity: Annotated[float, typer.Option(help="Fraction of the weights to remove, in [0, 1].")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File for the masks (safetensors).")],
    checkpoint: Checkpoint = None,
    input: Input = None,
    scores: Annotated[
        str | None, typer.Option(help=f"What ranks the weights (default: magnitude): {', '.join(SCORES)}.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="FUNCTION",
            help="For snip and grasp: package.module:function or file.py:function, called without arguments; it "
            "returns (inputs, targets), or (inputs, targets, loss) for another loss than cross entropy.",
        ),
    ] = None,
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
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the scores, or of the method.")
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
    settings = settings_of(setting or [])
    if train is None:
        if weights is not None:
            raise CommandError("--weights: expected --train FUNCTION beside it, which trains the model")
        check_scores(scores or "magnitude", data, settings)
    elif scores is not None or data is not None:
        raise CommandError("--scores and --data: expected one shot, without --train, whose method ranks the weights")
    for path in (output, weights):
        free_path(path, force=force)
    import prune_adapters as pa

    opened = opened_with(model, shape=input, checkpoint=checkpoint, seed=seed)
    asked = {"sparsity": sparsity, "scope": scope, "target": target, "consistent": consistent, "seed": seed}
    by, result, regular = method if train is not None else scores or "magnitude", None, None
    with traced(opened, model, input):
        if train is not None:
            chosen, result = _by_training(opened, train, method, {**asked, **settings})
        elif by == "regular":
            chosen, regular = regular_at_once(opened, asked, settings)
        else:
            chosen = at_once(opened, by, asked, settings, data)
    pa.save_masks(output, chosen, model=model, sparsity=sparsity, by=by)
    note(f"wrote {output}")
    if weights is not None:
        _save_weights(weights, opened)
    answer(_in_words(chosen, result, regular), _document(chosen, result, regular, output), as_json=json)
    if fail_if_cut and chosen.effective == 0:
        raise typer.Exit(BAD_ANSWER)


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


def _in_words(chosen: "Selection", result: object, regular: "RegularPruning | None") -> str:
    lines = [repr(chosen)] if regular is None else [str(regular), f"{chosen.effective} of them on a path"]
    if result is not None:
        lines.append(f"the training function returned {result}")
    return "\n".join(lines)


def _document(
    chosen: "Selection", result: object, regular: "RegularPruning | None", output: Path
) -> Mapping[str, object]:
    document: dict[str, object] = {
        "masks": str(output),
        "total": chosen.total,
        "requested": chosen.requested,
        "kept": chosen.direct,
        "consistent": chosen.effective,
        "sparsity": chosen.sparsity,
        "effective_sparsity": chosen.effective_sparsity,
        "note": chosen.note if regular is None else None,
        "returned": result,
    }
    if regular is not None:
        about = {"nodes": regular.graph.n_nodes, "degree": regular.degree, "path_length": regular.path_length}
        document["regular"] = {**about, "path_length_bound": regular.bound}
    return document
