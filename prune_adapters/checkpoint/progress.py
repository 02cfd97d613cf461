"""A progress bar for reading a checkpoint, or a function of the caller's in its place."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from prune_adapters.checkpoint.bits import Progress as Told

__all__ = ["told"]

BAR = (DownloadColumn(), BarColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))


@contextmanager
def told(progress: bool | Told) -> Iterator[Told]:
    """Return what is to be called with the bytes done, the bytes in all and the tensor that is being read.

    Parameters
    ----------
    progress : bool or callable
        True: a bar on standard error. A function is passed on.
    """
    if callable(progress):
        yield progress
    elif not progress:
        yield lambda done, total, name: None
    else:
        with Progress(*BAR, console=Console(stderr=True)) as bar:
            task = bar.add_task("")
            yield lambda done, total, name: bar.update(task, completed=done, total=total, description=name)
