"""A saved graph comes back exactly; a file that is anything else is refused in words."""

import dataclasses
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import netgraph as ng
from netgraph.storage import replacing


def every_kind() -> ng.NetGraph:
    """Return a graph that has one of everything that a file must hold."""
    shuffled = np.array([[[5], [0]], [[1], [4]]])
    shift = np.array([[0, -1], [1, 2]])
    return ng.NetGraph(
        layers={"x": 2, "h": 2, "both": 2, "y": 2},
        connections=(
            ng.Connection("w", "x", "h", rows=2, columns=2, index=shuffled),
            ng.Connection(
                "u", "h", "h", rows=2, columns=1, groups=2, index=ng.ElementIndex(3, (1, 1, 1, 1)), feedback=True
            ),
            ng.Wiring("h", "both", groups=2, factor=0),
            ng.Wiring("x", "both", groups=0, pairs=np.array([[0, 1], [1, 0]], dtype=np.int32), factor=1),
            ng.Connection(
                "w", "both", "y", rows=1, columns=1, taps=3, index=ng.ElementIndex(5, (0, 0, 0, -2)), target_start=1
            ),
        ),
        bits=np.array([0b1011, 0b01, 0b101]),
        inputs=[0, 1],
        outputs=[7],
        products=frozenset({"both"}),
        unit_parameters=(
            ng.UnitParameter("bias", "shift", "h", shift),
            ng.UnitParameter("mean", "shift", "h", np.array([[0], [1]])),
            ng.UnitParameter(None, "shift", "y"),
        ),
        gate=[1, 1, 1, 0, 1, 1, 1, 1],
        parameters={
            "w": ng.ParameterInfo((3, 2), "edge"),
            "u": ng.ParameterInfo((5,), "edge"),
            "bias": ng.ParameterInfo((3,), "constant"),
            "spare": ng.ParameterInfo((), "unused"),
        },
        buffers={"mean": ng.ParameterInfo((2,), "constant")},
        notes=("norm followed by channel", "two\nlines \u00e9"),
    )


def assert_same(first: object, second: object) -> None:
    """Compare field by field, arrays with their dtype."""
    assert type(first) is type(second)
    if isinstance(first, np.ndarray):
        assert first.dtype == second.dtype
        assert_array_equal(first, second)
    elif dataclasses.is_dataclass(first):
        for field in dataclasses.fields(first):
            assert_same(getattr(first, field.name), getattr(second, field.name))
    elif isinstance(first, tuple):
        assert len(first) == len(second)
        for pair in zip(first, second, strict=True):
            assert_same(*pair)
    else:
        assert first == second


@pytest.mark.parametrize("graph", [every_kind(), ng.from_biadjacency([np.eye(3)]), ng.from_edge_array([], 0)], ids=str)
def test_everything_comes_back(graph: ng.NetGraph, tmp_path: Path) -> None:
    ng.save(graph, tmp_path / "graph.npz")
    back = ng.load(tmp_path / "graph.npz")

    assert_same(back, graph)
    assert list(back.layers) == list(graph.layers)
    assert list(back.parameters) == list(graph.parameters)


def test_numbers_from_numpy_are_saved(tmp_path: Path) -> None:
    c = ng.Connection("w", "x", "y", rows=np.int64(1), columns=np.int32(1))
    ng.save(ng.NetGraph({"x": 1, "y": 1}, (c,), np.array([1]), [0], [1]), str(tmp_path / "graph"))

    assert ng.load(tmp_path / "graph").weighted[0].rows == 1


def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "graph.npz"
    ng.save(every_kind(), path)
    before = path.read_bytes()
    monkeypatch.setattr(np, "savez_compressed", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))

    with pytest.raises(OSError, match="disk full"):
        ng.save(ng.from_biadjacency([np.eye(3)]), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["graph.npz"]


def test_replacing_writes_text_as_it_is(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.txt", "w") as file:
        file.write("\u00e9\n")

    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa9\n"


def written(path: Path, **changes: object) -> Path:
    """Save a graph, then replace text in its head."""
    ng.save(every_kind(), path)
    arrays = dict(np.load(path))
    text = arrays["head"].tobytes().decode()
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new)
    np.savez(path, **arrays | {"head": np.frombuffer(text.encode(), np.uint8)})
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"version": 1', '"version": 2', "expected format version 1, got 2; update netgraph to read it"),
        ('"format": "netgraph"', '"format": "other"', "its format is 'other'"),
        ('"offset": 3', '"offset": 300', "'u': element 300 is outside its 5 elements"),
        ('"offset": 5', '"offset": 3', "'w': element -1 is outside its 6 elements"),
        ('"source": "h"', '"source": "nowhere"', "no layer 'nowhere'"),
        ('"rows": 2', '"rows": -2', "damaged|negative"),
        ('["w", [3, 2], "edge"]', '["w", [2, 2], "edge"]', "'w': element 5 is outside its 4 elements"),
        ('["bias", [3], "constant"]', '["bias", [2], "constant"]', "'bias': element 2 is outside"),
        ('"factor": 0', '"facto": 0', "damaged, or not a graph saved by netgraph"),
        ('"array": "array5"', '"array": "array99"', "damaged, or not a graph saved by netgraph"),
    ],
)
def test_a_changed_head_is_refused(old: str, new: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "graph.npz", change=(old, new))

    with pytest.raises(ng.GraphFileError, match=message) as error:
        ng.load(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY", b"some text\n", b"\x80\x04K\x01."])
def test_foreign_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)

    with pytest.raises(ng.GraphFileError, match="not a graph saved by netgraph"):
        ng.load(tmp_path / "file")


def test_another_npz_is_refused_and_no_pickle_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", weights=np.ones(2))
    np.savez(tmp_path / "b.npz", head=np.array([{}], dtype=object))

    with pytest.raises(ng.GraphFileError, match="an npz file with weights"):
        ng.load(tmp_path / "a.npz")
    with pytest.raises(ng.GraphFileError, match="allow_pickle=False"):
        ng.load(tmp_path / "b.npz")


def test_a_missing_file_stays_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ng.load(tmp_path / "none.npz")


def test_cut_and_bent_files_never_give_another_graph(tmp_path: Path) -> None:
    path, graph = tmp_path / "graph.npz", every_kind()
    ng.save(graph, path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(whole), 300).tolist():
        bent = bytearray(whole)
        bent[position] ^= int(rng.integers(1, 256))
        for content in (bytes(bent), whole[:position]):
            path.write_bytes(content)
            with suppress(ng.GraphFileError):
                assert_same(ng.load(path), graph)
