"""What pruning has gained where a network is shipped: sizes of files, multiply-adds, latency, before and after."""

import os
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from prune_adapters.compact.held_state import held_state
from prune_adapters.counts import count_macs, count_parameters
from prune_adapters.errors import ExportError
from prune_adapters.export.onnx_file import OnnxSession, export_onnx, missing_libraries
from prune_adapters.export.program import plain_twin
from prune_adapters.export.sparse import export_sparse
from prune_adapters.graph_pruning.space.timing import measured_latency
from prune_adapters.report.text import aligned
from prune_adapters.trace.example import ExampleInputs

__all__ = ["ExportReport", "ExportRow", "export_report"]

CHUNK = 1 << 20
UNITS = {
    "": (("", 1.0),),
    "bytes": (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)),
    "s": (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)),
}
"""What each unit is printed in: the first that is not too large, or else the last."""
Figures = dict[tuple[str, str], float]
"""By what it is and its unit."""


@dataclass(frozen=True)
class ExportRow:
    """One figure before and after.

    Parameters
    ----------
    name : str
    unit : {"", "bytes", "s"}
        Empty for numbers.
    before, after : float or None
        None where it could not be had; a note of the report says why.
    """

    name: str
    unit: str
    before: float | None
    after: float | None

    @property
    def ratio(self) -> float | None:
        """Before / after, more than 1 is a gain; None where a side is missing or nothing is left."""
        return self.before / self.after if self.before is not None and self.after else None


@dataclass(frozen=True)
class ExportReport:
    """Figures of a network before and after pruning; printed as a table.

    Parameters
    ----------
    machine : str
        What the times are of.
    rows : tuple of ExportRow
    notes : tuple of str
        What is missing, and why.

    Examples
    --------
    >>> print(ExportReport("cpu", (ExportRow("safetensors", "bytes", 2e6, 5e5),), ("onnx is not installed",)))
    figure        before     after  ratio
    safetensors  2.00 MB  0.500 MB  4.00x
    times: cpu
    note: onnx is not installed
    """

    machine: str
    rows: tuple[ExportRow, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return a table with one row a figure."""
        cells = [("figure", "before", "after", "ratio")]
        for row in self.rows:
            ratio = "-" if row.ratio is None else f"{row.ratio:.2f}x"
            cells.append((row.name, *_texts(row), ratio))
        return "\n".join([aligned(cells), f"times: {self.machine}", *(f"note: {note}" for note in self.notes)])

    def to_dict(self) -> dict[str, object]:
        """Return the report as plain containers, as JSON holds them."""
        return {
            "machine": self.machine,
            "rows": [asdict(row) | {"ratio": row.ratio} for row in self.rows],
            "notes": list(self.notes),
        }


def export_report(
    dense: nn.Module,
    pruned: nn.Module,
    example_inputs: ExampleInputs,
    *,
    latency: bool = True,
    repeats: int = 15,
    threads: int | None = 1,
) -> ExportReport:
    """Return what a network takes before and after pruning: numbers, bytes of its files, seconds of a forward pass.

    Parameters
    ----------
    dense, pruned : Module
        Not changed. `pruned` is masked, compacted or sparsified.
    example_inputs : Tensor, tuple or dict
        Multiply-adds and times are those of these inputs, batch included.
    latency : bool
        Measure times: in torch as the modules are, sparse kernels included; in onnxruntime from the ONNX files.
    repeats, threads
        As in `measured_latency`.

    Returns
    -------
    ExportReport
        The rows are parameters, multiply-adds, those of both that are not 0, and bytes of safetensors, of the file of
        `export_sparse` and of ONNX, each also zipped; then the times. Rows of ONNX are empty, with a note, where its
        libraries are missing or a network cannot be exported.

    Examples
    --------
    >>> import torch, prune_adapters as pa
    >>> dense, pruned = torch.nn.Linear(64, 64), torch.nn.Linear(64, 64)
    >>> _ = pa.apply_masks(pruned, {"weight": torch.eye(64, dtype=torch.bool)})
    >>> report = export_report(dense, pruned, torch.ones(1, 64), latency=False)
    >>> [(row.name, row.before, row.after) for row in report.rows[:2]]
    [('parameters', 4160, 4160), ('parameters not 0', 4160, 128)]
    """
    notes: list[str] = []
    missing = missing_libraries()
    if missing:
        notes.append(f"{', '.join(missing)} not installed: no ONNX; pip install netgraph-pruning[export]")
    sides: list[Figures] = []
    for words, model in (("dense", dense), ("pruned", pruned)):
        twin = plain_twin(model)
        found = _numbers(twin, example_inputs)
        with tempfile.TemporaryDirectory() as folder:
            found |= _sizes(twin, Path(folder))
            files, note = _onnx_files(twin, example_inputs, Path(folder), missing)
            notes += [f"{words}: {note}"] if note else []
            found |= _both_sizes("ONNX", files)
            if latency:
                found |= _times(model, example_inputs, files, repeats, threads)
        sides.append(found)
    names = sides[0] if len(sides[0]) >= len(sides[1]) else sides[1]
    rows = tuple(ExportRow(name, unit, *(side.get((name, unit)) for side in sides)) for name, unit in names)
    return ExportReport(_machine(dense, threads), rows, tuple(notes))


def _numbers(twin: nn.Module, example_inputs: ExampleInputs) -> Figures:
    counted, (n_parameters, n_kept) = count_macs(twin, example_inputs), count_parameters(twin)
    return {
        ("parameters", ""): n_parameters,
        ("parameters not 0", ""): n_kept,
        ("multiply-adds", ""): counted.macs,
        ("multiply-adds not 0", ""): counted.kept,
    }


def _sizes(twin: nn.Module, folder: Path) -> Figures:
    dense, sparse = folder / "dense.safetensors", folder / "sparse.safetensors"
    save_file(held_state(twin)[0], dense)
    export_sparse(twin, sparse)
    return _both_sizes("safetensors", [dense]) | _both_sizes("sparse safetensors", [sparse])


def _onnx_files(
    model: nn.Module, example_inputs: ExampleInputs, folder: Path, missing: Sequence[str]
) -> tuple[list[Path], str]:
    """Return the files of a network, none where it cannot be exported, and why not."""
    if missing:
        return [], ""
    try:
        return export_onnx(model, example_inputs, folder / "model.onnx", dynamic_batch=False), ""
    except ExportError as error:
        return [], str(error)


def _both_sizes(name: str, files: Sequence[Path]) -> Figures:
    """Return the bytes of files, as they are and zipped."""
    if not files:
        return {}
    return {(name, "bytes"): sum(map(os.path.getsize, files)), (f"{name}, zipped", "bytes"): sum(map(_zipped, files))}


def _zipped(path: Path) -> int:
    """Return the bytes that a file takes in a zip file, without its entry there."""
    deflate = zlib.compressobj()
    return sum(len(deflate.compress(chunk)) for chunk in _chunks(path)) + len(deflate.flush())


def _chunks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _times(
    model: nn.Module, example_inputs: ExampleInputs, files: Sequence[Path], repeats: int, threads: int | None
) -> Figures:
    found = {("torch", "s"): measured_latency(model, example_inputs, repeats=repeats, threads=threads)}
    if files:
        session = OnnxSession(files[0], threads or torch.get_num_threads())
        found["onnxruntime", "s"] = measured_latency(session, example_inputs, repeats=repeats, threads=threads)
    return found


def _machine(model: nn.Module, threads: int | None) -> str:
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    number = threads or torch.get_num_threads()
    versions = [f"torch {torch.__version__}"]
    if "onnxruntime" not in missing_libraries():
        versions.append(f"onnxruntime {metadata.version('onnxruntime')}")
    return f"{device.type} ({where}), {number} thread{'s' * (number > 1)}, {', '.join(versions)}"


def _texts(row: ExportRow) -> tuple[str, str]:
    """Return both sides of a row in one unit, that of the larger."""
    sides = (row.before, row.after)
    most = max([value for value in sides if value is not None], default=0.0)
    name, scale = next((unit for unit in UNITS[row.unit] if most >= unit[1]), UNITS[row.unit][-1])
    return _text(sides[0], name, scale), _text(sides[1], name, scale)


def _text(value: float | None, name: str, scale: float) -> str:
    if value is None:
        return "-"
    if not name:
        return f"{value:,.0f}"
    digits = next((digits for digits in range(3) if value / scale >= 10 ** (2 - digits)), 3)
    return f"{value / scale:,.{digits}f} {name}"
