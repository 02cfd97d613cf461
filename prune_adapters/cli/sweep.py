"""`netgraph sweep`: path length against accuracy, over graphs of one degree; it goes on where it was stopped."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prune_adapters.cli.console import answer, bar, free_path, note, print_json
from prune_adapters.cli.errors import CommandError
from prune_adapters.cli.options import Force, Input, Json, Seed
from prune_adapters.cli.sweep_store import SweepStore

if TYPE_CHECKING:
    from prune_adapters.cli.sweep_tasks import Run

__all__ = ["plot", "run", "status", "sweep"]

File = Annotated[Path, typer.Argument(metavar="FILE", help="The file of the sweep (SQLite).")]
PICTURES = (".pdf", ".png", ".svg")

sweep = typer.Typer(help="Path length against accuracy, over regular graphs of one degree.", no_args_is_help=True)


@sweep.command()
def run(
    file: File,
    nodes: Annotated[int, typer.Option("--nodes", "-n", help="Nodes of the graphs.")] = 64,
    degree: Annotated[int, typer.Option("--degree", "-d", help="Their degree.")] = 4,
    graphs: Annotated[int, typer.Option(min=2, help="How many graphs, at most.")] = 8,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings with each graph.")] = 5,
    epochs: Annotated[int, typer.Option(min=1, help="Of a training on digits.")] = 15,
    steps: Annotated[int, typer.Option(min=1, help="Of the search for the shortest graph.")] = 50_000,
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
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Train with graphs from long to short paths. The same command goes on where it was stopped."""
    if (train is None) != (model is None):
        raise CommandError("--train and --model: expected both, or neither for digits")
    if not file.parent.is_dir():
        raise CommandError(f"{file}: there is no folder {file.parent}; make it first")
    task = "digits" if train is None else train
    setting: dict[str, object] = {
        "task": task,
        "model": model,
        "nodes": nodes,
        "degree": degree,
        "graphs": graphs,
        "steps": steps,
    }
    setting |= {"seed": seed, "epochs": epochs if train is None else None}
    store = SweepStore(file)
    if file.exists():
        _check_same(file, store.setting, setting)
    train_one = _run_of(train, model, input, epochs)
    if not file.exists():
        _start(store, setting)
    total = seeds * len(store.entries())
    missing = [(e.place, s) for s in range(seeds) for e in store.entries() if s not in e.accuracies]
    with bar("training") as tell:
        for number, (place, own) in enumerate(missing, total - len(missing)):
            tell(number, total)
            store.add(place, own, train_one(store.graph(place), own))
    note(f"{total} runs in {file}; netgraph sweep plot {file} --output sweep.pdf draws them")
    _show(store, total, as_json=json)


@sweep.command()
def status(file: File, json: Json = False) -> None:
    """Print how far a sweep is and what its results say."""
    store = _existing(file)
    entries = store.entries()
    most = max((max(entry.accuracies, default=-1) + 1 for entry in entries), default=0)
    _show(store, most * len(entries), as_json=json)


@sweep.command()
def plot(
    file: File,
    output: Annotated[Path, typer.Option("--output", "-o", help="Picture to write: .pdf, .png or .svg.")],
    force: Force = False,
    json: Json = False,
) -> None:
    """Draw accuracy against path length."""
    if output.suffix not in PICTURES:
        raise CommandError(f"--output {output}: expected a name that ends in {', '.join(PICTURES)}")
    free_path(output, force=force)
    store = _existing(file)
    from prune_adapters.cli.sweep_words import draw_entries

    entries = [entry for entry in store.entries() if entry.accuracies]
    if not entries:
        raise CommandError(f"{file}: no results yet; netgraph sweep run {file} makes some")
    setting = store.setting
    draw_entries(entries, f"{setting['task']}: {setting['nodes']} nodes, degree {setting['degree']}", output)
    note(f"wrote {output}")
    if json:
        print_json({"output": str(output), "graphs": len(entries)})


def _existing(file: Path) -> SweepStore:
    if not file.exists():
        raise CommandError(f"{file}: there is no such file; netgraph sweep run {file} makes it")
    return SweepStore(file)


def _check_same(file: Path, before: dict[str, object], now: dict[str, object]) -> None:
    if other := [name for name in now if now[name] != before.get(name)]:
        told = ", ".join(f"{name} {before.get(name)!r} and not {now[name]!r}" for name in other)
        raise CommandError(f"{file}: this sweep has {told}; go on with its own settings, or name another file")


def _run_of(train: str | None, model: str | None, shape: str | None, epochs: int) -> "Run":
    from prune_adapters.cli.models import open_model
    from prune_adapters.cli.sweep_tasks import digits_run, function_run

    if train is None or model is None:
        return digits_run(epochs)
    return function_run(train, open_model(model, shape=shape))


def _start(store: SweepStore, setting: dict[str, object]) -> None:
    from prune_adapters.cli.sweep_graphs import graphs_of_all_lengths

    numbers = {name: int(str(setting[name])) for name in ("nodes", "degree", "graphs", "steps", "seed")}
    nodes, degree, count, steps, seed = numbers.values()
    note(f"looking for {count} graphs of {nodes} nodes and degree {degree}")
    store.start(setting, graphs_of_all_lengths(nodes, degree, count, steps=steps, seed=seed))


def _show(store: SweepStore, wanted: int, *, as_json: bool) -> None:
    from prune_adapters.cli.sweep_words import correlation, rows_of, said, status_table

    entries = store.entries()
    done = sum(len(entry.accuracies) for entry in entries)
    document = {"done": done, "wanted": wanted, "spearman": correlation(entries), "setting": store.setting}
    answer(status_table(entries, wanted), document | {"graphs": rows_of(entries)}, as_json=as_json)
    if not as_json:
        print(said(entries))
