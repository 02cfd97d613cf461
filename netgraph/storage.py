"""Graphs on disk: one npz file, read without pickle.

The file holds a text (JSON, as UTF-8 bytes under "head") with the structure and one array for each thing that is an
array; the text names the arrays. Whatever `load` meets, it either returns the graph that was saved or raises.
"""

import dataclasses
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import IO, TypeVar

import numpy as np

from netgraph.connection import Connection, ElementIndex, ParameterInfo, UnitParameter, Wiring
from netgraph.errors import GraphFileError
from netgraph.graph import NetGraph

__all__ = ["VERSION", "load", "replacing", "save"]

VERSION = 1
"""Version of the file format that `save` writes."""

T = TypeVar("T", Connection, Wiring, UnitParameter)
KINDS: dict[str, type] = {"connection": Connection, "wiring": Wiring}
ARRAYS = ("bits", "inputs", "outputs", "gate", "shift")
DAMAGE = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, MemoryError, NotImplementedError),
    *(EOFError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error),
)
"""What zipfile, numpy, json and the constructors raise when they are given a damaged file."""


def save(graph: NetGraph, path: str | os.PathLike[str]) -> None:
    """Write a graph to a file; an older file of that name is replaced only once the new one is complete.

    Parameters
    ----------
    graph : NetGraph
    path : path-like
        Name of the file, as given (".npz" is not appended).

    Examples
    --------
    >>> import netgraph as ng, tempfile
    >>> graph = ng.from_biadjacency([[[1, 0], [1, 1]]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(graph, folder + "/small.npz")
    ...     print(load(folder + "/small.npz"))
    NetGraph: 2 layers, 4 units, 3 of 4 weights kept
      layer   units  weights  kept  from
      layer0      2        -     -  input
      layer1      2        4     3  layer0, output
    """
    arrays = {name: getattr(graph, name) for name in ARRAYS}
    head = {
        "format": "netgraph",
        "version": VERSION,
        "layers": list(graph.layers.items()),
        "connections": [_record(c, arrays) for c in graph.connections],
        "products": sorted(graph.products),
        "unit_parameters": [_record(u, arrays) for u in graph.unit_parameters],
        "parameters": _infos(graph.parameters),
        "buffers": _infos(graph.buffers),
        "notes": list(graph.notes),
    }
    text = json.dumps(head, default=lambda number: number.item())
    with replacing(path, "wb") as file:
        np.savez_compressed(file, head=np.frombuffer(text.encode(), dtype=np.uint8), **arrays)


def load(path: str | os.PathLike[str]) -> NetGraph:
    """Return the graph that `save` wrote: the same layers, connections, indexes, bits, parameters and notes.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    NetGraph

    Raises
    ------
    GraphFileError
        The file is not a saved graph, is damaged, or has a format version that this netgraph cannot read.
    OSError
        There is no such file, or it cannot be opened.

    Examples
    --------
    See `save`.
    """
    with open(path, "rb") as file:
        try:
            return _graph(*_contents(file))
        except GraphFileError as error:
            raise GraphFileError(f"{os.fspath(path)}: {error}") from None
        except DAMAGE as error:
            raise GraphFileError(f"{os.fspath(path)}: damaged, or not a graph saved by netgraph ({error})") from error


@contextmanager
def replacing(path: str | os.PathLike[str], mode: str) -> Iterator[IO]:
    """Open a file that takes the name `path` when the block ends without an error; else `path` stays as it was.

    Parameters
    ----------
    path : path-like
        The temporary file lies in the same folder, so that the last step is one rename.
    mode : {"w", "wb"}
        Text is written as UTF-8 with "\\n" line ends.
    """
    final = Path(path)
    temporary = final.with_name(f".{final.name}.{token_hex(4)}.tmp")
    encoding, newline = (None, None) if "b" in mode else ("utf-8", "")
    try:
        with open(temporary, mode.replace("w", "x"), encoding=encoding, newline=newline) as file:
            yield file
        os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)


def _record(item: Connection | Wiring | UnitParameter, arrays: dict[str, np.ndarray]) -> dict[str, object]:
    """Return the fields of a connection or unit parameter; arrays go to `arrays` and leave their name behind."""
    record: dict[str, object] = {"kind": type(item).__name__.lower()}
    for name in (field.name for field in dataclasses.fields(item)):
        value = getattr(item, name)
        if isinstance(value, np.ndarray):
            key = f"array{len(arrays)}"
            arrays[key], value = value, {"array": key}
        elif isinstance(value, ElementIndex):
            value = {"offset": value.offset, "strides": list(value.strides)}
        record[name] = value
    return record


def _infos(infos: Mapping[str, ParameterInfo]) -> list[tuple[str, list[int], str]]:
    return [(name, list(info.shape), info.role) for name, info in infos.items()]


def _restored_infos(records: list) -> dict[str, ParameterInfo]:
    return {name: ParameterInfo(tuple(shape), role) for name, shape, role in records}


def _contents(file: IO[bytes]) -> tuple[dict, dict[str, np.ndarray]]:
    """Return the head and the arrays of a file."""
    if file.read(4) != b"PK\x03\x04":
        raise GraphFileError("not a graph saved by netgraph (no npz file)")
    file.seek(0)
    with np.load(file, allow_pickle=False) as stored:
        arrays = dict(stored)
    if "head" not in arrays:
        raise GraphFileError(f"not a graph saved by netgraph (an npz file with {', '.join(list(arrays)[:5])})")
    head = json.loads(arrays.pop("head").tobytes().decode())
    if head["format"] != "netgraph":
        raise GraphFileError(f"not a graph saved by netgraph (its format is {head['format']!r})")
    if head["version"] != VERSION:
        raise GraphFileError(f"expected format version {VERSION}, got {head['version']!r}; update netgraph to read it")
    return head, arrays


def _graph(head: dict, arrays: dict[str, np.ndarray]) -> NetGraph:
    graph = NetGraph(
        layers=dict(head["layers"]),
        connections=tuple(_restored(KINDS[record["kind"]], record, arrays) for record in head["connections"]),
        products=frozenset(head["products"]),
        unit_parameters=tuple(_restored(UnitParameter, record, arrays) for record in head["unit_parameters"]),
        parameters=_restored_infos(head["parameters"]),
        buffers=_restored_infos(head.get("buffers", [])),
        notes=tuple(head["notes"]),
        bits=arrays["bits"],
        inputs=arrays["inputs"],
        outputs=arrays["outputs"],
        gate=arrays["gate"],
        shift=arrays["shift"],
    )
    for c in graph.connections:
        _check_range(graph, c)
    for u in graph.unit_parameters:
        if u.index is not None and u.parameter is not None:
            for element in (u.index.min(initial=-1), u.index.max(initial=-1)):
                _check_index(graph, u.parameter, int(element), lowest=-1)
    return graph


def _restored(kind: type[T], record: dict, arrays: dict[str, np.ndarray]) -> T:
    """Return the connection or unit parameter of a record; the inverse of `_record`."""
    fields = {field.name: record[field.name] for field in dataclasses.fields(kind)}
    for name, value in fields.items():
        if isinstance(value, dict):
            stored = "array" in value
            fields[name] = arrays[value["array"]] if stored else ElementIndex(value["offset"], tuple(value["strides"]))
    return kind(**fields)


def _check_range(graph: NetGraph, c: Connection | Wiring) -> None:
    """Refuse what the constructor trusts its caller for, and a kernel would read out of bounds for."""
    label = f"connection {c.source!r} -> {c.target!r}"
    numbers = [getattr(c, field.name) for field in dataclasses.fields(c)]
    if min(number for number in numbers if isinstance(number, int)) < 0:
        raise GraphFileError(f"{label}: a size or start is negative")
    if isinstance(c, Wiring):
        if c.pairs is not None and c.pairs.min(initial=0) < 0:
            raise GraphFileError(f"{label}: a unit is negative")
    elif isinstance(c.index, np.ndarray) and c.index.shape != (c.rows, c.columns, c.taps):
        raise GraphFileError(f"{label}: expected an index of shape {(c.rows, c.columns, c.taps)}, got {c.index.shape}")
    elif c.size:
        for element in _first_and_last(c):
            _check_index(graph, c.parameter, element)


def _first_and_last(c: Connection) -> tuple[int, int]:
    """Return the lowest and the highest element that a connection uses."""
    if isinstance(c.index, np.ndarray):
        return int(c.index.min()), int(c.index.max())
    sizes = (c.groups, c.rows // c.groups, c.columns, c.taps)
    spans = [(size - 1) * stride for size, stride in zip(sizes, c.index.strides, strict=True)]
    offset = c.index.offset
    return offset + sum(span for span in spans if span < 0), offset + sum(span for span in spans if span > 0)


def _check_index(graph: NetGraph, parameter: str, element: int, *, lowest: int = 0) -> None:
    size = {**graph.parameters, **graph.buffers}[parameter].size
    if not lowest <= element < size:
        raise GraphFileError(f"{parameter!r}: element {element} is outside its {size} elements")
