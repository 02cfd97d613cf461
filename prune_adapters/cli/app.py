"""The command `netgraph`: its commands, and errors as sentences in place of tracebacks."""

import os
import warnings
from typing import Annotated

import typer
from typer.core import TyperGroup

from prune_adapters.cli.bench import bench
from prune_adapters.cli.compact import compact
from prune_adapters.cli.console import note
from prune_adapters.cli.doctor import doctor, version_of
from prune_adapters.cli.errors import BAD_INPUT, INTERRUPTED, in_words
from prune_adapters.cli.export import export
from prune_adapters.cli.inspect import inspect
from prune_adapters.cli.prune import prune
from prune_adapters.cli.regular import regular
from prune_adapters.cli.sweep import sweep

__all__ = ["Commands", "app", "main"]


class Commands(TyperGroup):
    """The group of all commands; whatever goes wrong in one ends in a sentence and an exit code.

    NETGRAPH_DEBUG=1 lets errors through, with their tracebacks.
    """

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Run the command that was asked for."""
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            try:
                return super().invoke(ctx)
            except KeyboardInterrupt:
                note("interrupted")
                raise typer.Exit(INTERRUPTED) from None
            except Exception as error:
                if os.environ.get("NETGRAPH_DEBUG") == "1" or _is_of_typer(error):
                    raise
                note(f"error: {in_words(error)}")
                raise typer.Exit(BAD_INPUT) from error


def _is_of_typer(error: Exception) -> bool:
    """Tell whether typer itself shows the error: wrong usage, an exit."""
    return type(error).__module__.partition(".")[0] in ("typer", "click") or isinstance(error, BrokenPipeError)


def _show_warning(message: Warning | str, category: type[Warning], *_: object) -> None:
    if issubclass(category, UserWarning | RuntimeWarning):
        note(f"warning: {message}")


app = typer.Typer(
    name="netgraph",
    cls=Commands,
    help="Neural networks as graphs: what still matters in a model, masks on short paths, smaller networks.",
    epilog="Exit codes: 0 good; 1 the answer is bad (--fail-if-cut); 2 wrong usage or input. NETGRAPH_DEBUG=1 shows "
    "tracebacks. All commands take --json.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command(short_help="Which units and weights of a model still matter.")(inspect)
app.command(short_help="Make a regular graph with short paths; draw and save it.")(regular)
app.command(short_help="Write masks, at once or while a function trains.")(prune)
app.add_typer(sweep, name="sweep", short_help="Path length against accuracy: run, status, plot.")
app.command(short_help="Take out the units that nothing needs.")(compact)
app.command(short_help="Write ONNX, torch.export, or sparse safetensors.")(export)
app.command(short_help="What this computer does in which time.")(bench)
app.command(short_help="What is native here, and what is missing.")(doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"netgraph {version_of('netgraph-pruning') or 'from its sources'}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line of this process."""
    app(prog_name="netgraph")
