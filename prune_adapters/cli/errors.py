"""What goes wrong on a command line, in words for the person at the keyboard."""

import difflib
from collections.abc import Iterable

__all__ = ["BAD_ANSWER", "BAD_INPUT", "INTERRUPTED", "CommandError", "closest", "in_words", "named"]

BAD_ANSWER, BAD_INPUT, INTERRUPTED = 1, 2, 130
"""Exit codes: the answer is bad, such as a network that is cut; the command line or a file is wrong; Ctrl-C."""

FEW = 10


class CommandError(ValueError):
    """A command cannot do what it was asked to: the message says what, wanted, found and the fix."""


def closest(name: str, known: Iterable[str]) -> str:
    """Return a half sentence with the known names that are nearest to one that is not, or with all if they are few.

    Parameters
    ----------
    name : str
    known : iterable of str

    Examples
    --------
    >>> closest("resnet05", ["resnet50", "vgg16"])
    '; did you mean resnet50?'
    >>> closest("x", ["resnet50", "vgg16"])
    '; known are resnet50, vgg16'
    """
    names = list(known)
    if found := difflib.get_close_matches(name, names, n=3, cutoff=0.6):
        return f"; did you mean {' or '.join(found)}?"
    return f"; known are {', '.join(names)}" if 0 < len(names) <= FEW else ""


def in_words(error: Exception) -> str:
    """Return what an error says, with its kind where that is no sentence of its own.

    Parameters
    ----------
    error : Exception

    Examples
    --------
    >>> in_words(ValueError("seed: expected a number")), in_words(KeyError("fc")), in_words(ZeroDivisionError("x"))
    ('seed: expected a number', 'fc', 'ZeroDivisionError: x')
    """
    ours = type(error).__module__.partition(".")[0] in ("netgraph", "prune_adapters")
    if ours or isinstance(error, ValueError | OSError | KeyError):
        return _said(error) or type(error).__name__
    return named(error)


def named(error: Exception) -> str:
    """Return the kind of an error and what it says.

    Parameters
    ----------
    error : Exception

    Examples
    --------
    >>> named(ValueError("no")), named(AssertionError())
    ('ValueError: no', 'AssertionError')
    """
    said = _said(error)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _said(error: Exception) -> str:
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)
