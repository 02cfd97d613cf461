"""Functions of other people's code, by name: ``package.module:function`` or ``path/to/file.py:function``."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from prune_adapters.cli.errors import CommandError, closest, named

__all__ = ["find_object", "need"]

PIP = {"sklearn": "scikit-learn"}
"""Names of distributions that differ from what is imported."""


def find_object(text: str) -> object:
    """Return what a name stands for.

    Parameters
    ----------
    text : str
        ``package.module:name`` or ``path/to/file.py:name``; modules are looked up from the current folder too, and
        names may have dots.

    Raises
    ------
    CommandError
        There is no such file, module or name, or importing it fails.

    Examples
    --------
    >>> find_object("math:pi")
    3.141592653589793
    """
    where, colon, name = text.rpartition(":")
    if not colon or not where or not name:
        raise CommandError(f"{text!r}: expected package.module:name or path/to/file.py:name")
    found: object = _file(Path(where)) if where.endswith(".py") else _module(where)
    for part in name.split("."):
        if not hasattr(found, part):
            known = [own for own in dir(found) if not own.startswith("_")]
            raise CommandError(f"{text!r}: {where} has no {part!r}{closest(part, known)}")
        found = getattr(found, part)
    return found


def need(module: str, what: str) -> ModuleType:
    """Return an imported library.

    Parameters
    ----------
    module : str
    what : str
        Wants it, for the message.

    Raises
    ------
    CommandError
        It is not installed, or does not go with the torch that is.
    """
    own = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != own:
            raise
        raise CommandError(f"{what}: {own} is not installed; pip install {PIP.get(own, own)}") from error
    except (OSError, RuntimeError) as error:  # so fails a library with kernels for another torch
        raise CommandError(
            f"{what}: {own} is installed, but cannot be imported: {named(error)}; install a {own} that was built for "
            "the torch here, from the same index"
        ) from error


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise CommandError(f"{path}: there is no such file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    _reachable(path.resolve().parent)
    before = sys.modules.get(path.stem)
    sys.modules[path.stem] = module  # dataclasses and pickle look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        _forget(path.stem, before)
        raise CommandError(f"{path} cannot be imported: {named(error)}") from error
    return module


def _forget(name: str, before: ModuleType | None) -> None:
    sys.modules.pop(name)
    if before is not None:
        sys.modules[name] = before


def _module(name: str) -> ModuleType:
    _reachable(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise CommandError(
                f"no module {error.name!r}, neither in the current folder nor installed; pip install "
                f"{PIP.get(error.name, error.name)} if it is a library, or name a file: path/to/file.py:name"
            ) from error
        raise CommandError(f"{name} cannot be imported: it needs {error.name!r}; pip install {error.name}") from error
    except Exception as error:
        raise CommandError(f"{name} cannot be imported: {named(error)}") from error


def _reachable(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
