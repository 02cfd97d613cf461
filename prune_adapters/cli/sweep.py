"""`netgraph sweep`: path length against accuracy, over graphs of one degree; it goes on where it was stopped."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prune_adapters.cli.console import answer, bar, free_path, note
from prune_adapters.cli.errors import CommandError
from prune_adapters.cli.options import Force, Input, Json
from prune_adapters.cli.sweep_store import Setting, SweepStore

if TYPE_CHECKING:
    from prune_adapters.cli.sweep_tasks import Task

__all__ = ["plot", "run", "status", "sweep"]

File = Annotated[Path, typer.Argument(metavar="FILE", help="The file of the sweep (SQLite).")]
PICTURES = (".pdf", ".png", ".svg")
SEEDS = 5
"""Trainings with each graph, unless others are asked for."""

sweep = typer.Typer(help="Path length against accuracy, over regular graphs of one degree.", no_args_is_help=True)


@sweep.command()
def run(
    file: File,
    nodes: Annotated[int | None, typer.Option("--nodes", "-n", help="Nodes of the graphs (default: 64).")] = None,
    degree: Annotated[int | None, typer.Option("--degree", "-d", help="Their degree (default: 4).")] = None,
    graphs: Annotated[int | None, typer.Option(min=2, help="How many graphs, at most (default: 8).")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Trainings with each graph (default: 5).")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Of a training on digits (default: 15).")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Of the search for the shortest (default: 50000).")] = None,
    train: Annotated[
        str | None,
        typer.Option(
            metavar="FUNCTION",
            help="package.module:function or file.py:function, called as function(masks, seed); returns the accuracy "
            "in [0, 1]. Without it digits are trained.",
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="With --train: MODEL that the masks are for.")] = None,
    input: Input = None,
    seed: Annotated[int | None, typer.Option(help="Of the graphs (default: 0).")] = None,
    json: Json = False,
) -> None:
    """Train with graphs from long to short paths; `sweep run FILE` goes on where it was stopped."""
    if (train is None) != (model is None):
        raise CommandError("--train and --model: expected both, or neither for digits")
    given = {"task": train, "model": model, "input": input, "nodes": nodes, "degree": degree, "graphs": graphs}
    given |= {"steps": steps, "epochs": epochs, "seed": seed}
    store, setting = _opened(file, {name: value for name, value in given.items() if value is not None})
    task = _task_of(setting)
    if not file.exists():
        _start(store, setting, task)
    store.want(seeds or store.seeds or SEEDS)
    entries, wanted = store.entries(), store.seeds
    missing = [(e.place, own) for own in range(wanted) for e in entries if own not in e.accuracies]
    total = wanted * len(entries)
    with bar("training") as tell:
        for number, (place, own) in enumerate(missing, total - len(missing)):
            tell(number, total)
            store.add(place, own, task.accuracy(task.masks(store.graph(place)), own))
    note(f"{total} runs in {file}; netgraph sweep plot {file} --output sweep.pdf draws them")
    _show(store, as_json=json)


@sweep.command()
def status(file: File, json: Json = False) -> None:
    """Print how far a sweep is and what its results say."""
    _show(_existing(file), as_json=json)


@sweep.command()
def plot(
    file: File,
    output: Annotated[Path, typer.Option("--output", "-o", help="Picture to write: .pdf, .png or .svg.")],
    force: Force = False,
    json: Json = False,
) -> None:
    """Draw accuracy against path length, and print what the results say."""
    if output.suffix not in PICTURES:
        raise CommandError(f"--output {output}: expected a name that ends in {', '.join(PICTURES)}")
    free_path(output, force=force)
    store = _existing(file)
    from prune_adapters.cli.sweep_words import draw, report_of

    report = report_of(store.entries())
    if report is None:
        raise CommandError(f"{file}: not enough results yet to compare graphs; netgraph sweep run {file} makes some")
    setting, n_seeds = store.setting, report.accuracies.shape[1]
    draw(report, f"{setting.task}: {setting.nodes} nodes, degree {setting.degree}, seeds: {n_seeds}", output)
    note(f"wrote {output}")
    answer(report.words, {"output": str(output), "findings": report.to_dict()}, as_json=json)


def _existing(file: Path) -> SweepStore:
    if not file.exists():
        raise CommandError(f"{file}: there is no such file; netgraph sweep run {file} makes it")
    return SweepStore(file)


def _opened(file: Path, given: Mapping[str, object]) -> tuple[SweepStore, Setting]:
    """Return the store and what the sweep is about: what its file says, which must be what is given."""
    if not file.parent.is_dir():
        raise CommandError(f"{file}: there is no folder {file.parent}; make it first")
    store = SweepStore(file)
    if not file.exists():
        return store, Setting(**given)  # type: ignore[arg-type]
    before = asdict(store.setting)
    if other := [f"{name} {before[name]!r} and not {given[name]!r}" for name in given if given[name] != before[name]]:
        raise CommandError(
            f"{file}: this sweep has {', '.join(other)}; go on without these options, or name another file"
        )
    return store, store.setting


def _task_of(setting: Setting) -> "Task":
    from prune_adapters.cli.models import open_model
    from prune_adapters.cli.sweep_tasks import digits, function

    if setting.model is None:
        return digits(setting.epochs)
    return function(setting.task, open_model(setting.model, shape=setting.input))


def _start(store: SweepStore, setting: Setting, task: "Task") -> None:
    from prune_adapters.path_length import graphs_of_all_lengths

    note(f"looking for {setting.graphs} graphs of {setting.nodes} nodes and degree {setting.degree}")
    sizes = setting.nodes, setting.degree, setting.graphs
    graphs = graphs_of_all_lengths(*sizes, steps=setting.steps, seed=setting.seed)
    task.masks(graphs[0])  # a network that is too narrow is told before there is a file
    store.start(setting, graphs)


def _show(store: SweepStore, *, as_json: bool) -> None:
    from prune_adapters.cli.sweep_words import report_of, rows_of, said, status_table

    entries = store.entries()
    done, wanted, report = (
        sum(len(entry.accuracies) for entry in entries),
        store.seeds * len(entries),
        report_of(entries),
    )
    document = {"done": done, "wanted": wanted, "findings": report and report.to_dict(), "graphs": rows_of(entries)}
    answer(status_table(entries, wanted), document | {"setting": asdict(store.setting)}, as_json=as_json)
    if not as_json:
        print(said(report))
