"""SQLite files of ours: opened with errors in words, and told from those of other programs."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

__all__ = ["check_own", "opened"]


@contextmanager
def opened(
    path: str | os.PathLike[str], *, error: Callable[[str], Exception], what: str, remedy: str
) -> Iterator[sqlite3.Connection]:
    """Open a database, and close it at the end.

    Parameters
    ----------
    path : path-like
    error : callable
        Makes the exception that is raised for one of sqlite3, from its message.
    what, remedy : str
        What the file should be, and what to do if it is none, as the message says them.

    Yields
    ------
    sqlite3.Connection

    Examples
    --------
    >>> with opened(":memory:", error=ValueError, what="log", remedy="name another") as database:
    ...     database.execute("SELECT 1").fetchone()
    (1,)
    """
    try:
        with closing(sqlite3.connect(path, timeout=60)) as database:
            yield database
    except sqlite3.OperationalError as found:
        raise error(f"{os.fspath(path)}: cannot be opened, read or written: {found}") from found
    except sqlite3.DatabaseError as found:
        raise error(f"{os.fspath(path)}: damaged, or no {what} ({found}); {remedy}") from found


def check_own(database: sqlite3.Connection, application: int) -> None:
    """Raise `sqlite3.DatabaseError` if a database is damaged, or holds tables and bears another application's number.

    Parameters
    ----------
    database : sqlite3.Connection
    application : int
        The number that its ``PRAGMA application_id`` should be.

    Examples
    --------
    >>> with opened(":memory:", error=ValueError, what="log", remedy="name another") as database:
    ...     check_own(database, 1)
    """
    (state,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if state != "ok":
        raise sqlite3.DatabaseError(state.partition("\n")[0])
    (found,) = database.execute("PRAGMA application_id").fetchone()
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if found != application and tables:
        raise sqlite3.DatabaseError("it holds the tables of another program")
