"""What commands print and write: answers on stdout, everything else on stderr, no file over another unasked."""

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from prune_adapters.cli.errors import CommandError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Tell", "answer", "bar", "free_path", "note", "plain", "print_json", "table"]

Tell = Callable[[int, int], None]
"""Takes how much is done, and of how much."""


def note(text: str) -> None:
    """Print a line on stderr."""
    print(text, file=sys.stderr, flush=True)


def answer(shown: object, document: Mapping[str, object], *, as_json: bool) -> None:
    """Print an answer on stdout: for people, or as JSON.

    Parameters
    ----------
    shown : object
        What rich prints on a terminal; its `str` is printed elsewhere, unless it is a table.
    document : mapping of str to object
        The same for programs.
    as_json : bool
    """
    if as_json:
        print_json(document)
    elif sys.stdout.isatty() or hasattr(shown, "add_row"):
        _stdout().print(shown)
    else:
        print(shown)


def print_json(document: Mapping[str, object]) -> None:
    """Print a document as JSON on stdout."""
    print(json.dumps(plain(document), indent=2, allow_nan=False))


def plain(value: object) -> object:
    """Return a value as JSON has it: numbers that are not finite are null, and arrays are lists.

    Parameters
    ----------
    value : object

    Examples
    --------
    >>> plain({"a": float("nan"), 2: (1, "b", Path("c"))})
    {'a': None, '2': [1, 'b', 'c']}
    """
    if isinstance(value, Mapping):
        return {str(name): plain(own) for name, own in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(own) for own in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return plain(value.tolist()) if hasattr(value, "tolist") else str(value)


def table(head: Sequence[str], rows: Sequence[Sequence[object]], *, left: int = 1, title: str | None = None) -> object:
    """Return a rich table; all but the first columns are flush right.

    Parameters
    ----------
    head : sequence of str
    rows : sequence of sequence
    left : int
        Columns that are flush left.
    title : str, optional
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for number, name in enumerate(head):
        made.add_column(name, justify="left" if number < left else "right")
    for row in rows:
        made.add_row(*(Text(str(cell)) for cell in row))
    return made


@contextmanager
def bar(title: str) -> Iterator[Tell]:
    """Show a progress bar on stderr, if that is a terminal; yields what is to be told of every step.

    Parameters
    ----------
    title : str
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def free_path(path: Path | None, *, force: bool) -> Path | None:
    """Return a path at which a file may be written, or None for None.

    Parameters
    ----------
    path : Path or None
    force : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    CommandError
        There is such a file already, or no such folder.
    """
    if path is None:
        return None
    if path.is_dir():
        raise CommandError(f"{path}: expected the name of a file to write, got a folder")
    if not path.parent.is_dir():
        raise CommandError(f"{path}: there is no folder {path.parent}; make it first")
    if path.exists() and not force:
        raise CommandError(f"{path}: this file exists; --force replaces it")
    return path


def _stdout() -> "Console":
    from rich.console import Console

    return Console(soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 200)
