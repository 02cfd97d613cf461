"""`netgraph inspect`: which units and weights of a model or a checkpoint still matter."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prune_adapters.cli.console import answer, free_path, note
from prune_adapters.cli.errors import BAD_ANSWER, CommandError
from prune_adapters.cli.models import Opened
from prune_adapters.cli.options import Checkpoint, Force, Input, Json, Masks, ModelName
from prune_adapters.cli.weights import graph_of, masked, values_of

if TYPE_CHECKING:
    from netgraph import NetGraph
    from prune_adapters import CollapseReport

__all__ = ["inspect"]


def inspect(
    model: ModelName,
    checkpoint: Checkpoint = None,
    masks: Masks = None,
    threshold: Annotated[float | None, typer.Option(help="Weights of at most this magnitude count as removed.")] = None,
    input: Input = None,
    why: Annotated[
        list[str] | None, typer.Option(metavar="UNIT", help='Why a unit is live, constant or dead: --why "fc1[7]".')
    ] = None,
    collapse: Annotated[bool, typer.Option("--collapse", help="At which sparsity magnitude pruning cuts it.")] = False,
    all_layers: Annotated[bool, typer.Option("--all-layers", help="Also layers that no weights enter.")] = False,
    follow_example: Annotated[
        bool, typer.Option("--follow-example", help="Follow Python that depends on values as the example inputs do.")
    ] = False,
    mix_unknown: Annotated[
        bool, typer.Option("--mix-unknown", help="Of an unknown operator every output depends on every input.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Write a report in one HTML file.")] = None,
    compare: Annotated[Path | None, typer.Option(help="Other masks to set beside these, with --html.")] = None,
    fail_if_cut: Annotated[bool, typer.Option("--fail-if-cut", help="Exit with 1 if no input reaches any output.")] = (
        False
    ),
    force: Force = False,
    json: Json = False,
) -> None:
    """Print which units and weights of a model or a checkpoint still matter."""
    free_path(html, force=force)
    if compare is not None and html is None:
        raise CommandError("--compare: expected --html FILE beside it, which shows the two")
    import netgraph as ng
    import prune_adapters as pa

    how = {"unknown": "mix" if mix_unknown else None, "follow": "example" if follow_example else None}
    opened, whole = graph_of(model, shape=input, checkpoint=checkpoint, **how)
    graph = masked(whole, opened, masks=masks, threshold=threshold)
    reached = int(ng.sweep(graph).accessible[graph.outputs].sum())
    found = pa.report(graph, fold=not all_layers)
    explained = {unit: ng.explain(graph, unit) for unit in why or []}
    collapsed = _collapse(whole, opened) if collapse else None
    if html is not None:
        _write_html(html, graph, model, None if compare is None else masked(whole, opened, masks=compare))
        note(f"wrote {html}")
    document = {"model": model, "connected": reached > 0, "outputs_reached": reached, **found.to_dict()}
    document |= {"why": {unit: own.text for unit, own in explained.items()}}
    document |= {"states": {unit: own.state for unit, own in explained.items()}}
    document |= {} if collapsed is None else {"collapse": collapsed.text, "collapses_beyond": collapsed.sparsity}
    answer(found, document, as_json=json)
    if not json:
        for text in (*(own.text for own in explained.values()), *([] if collapsed is None else [collapsed.text])):
            print(f"\n{text}")
    if fail_if_cut and not reached:
        raise typer.Exit(BAD_ANSWER)


def _collapse(graph: "NetGraph", opened: Opened) -> "CollapseReport":
    import prune_adapters as pa

    values = values_of(opened, graph)
    return pa.collapse_report(graph, {name: value.abs() for name, value in values.items()})


def _write_html(path: Path, graph: "NetGraph", title: str, other: "NetGraph | None") -> None:
    from netgraph.storage import replacing

    try:
        from prune_adapters.html import html_report
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("prune_adapters.html"):
            raise
        raise CommandError("--html: this version has no HTML reports (prune_adapters.html); update it") from error
    page = html_report(graph, compare=other, title=title)
    with replacing(path, "w") as file:
        file.write(page)
