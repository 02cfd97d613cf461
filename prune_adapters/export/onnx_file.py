"""Models as ONNX files, checked with onnxruntime."""

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from prune_adapters.errors import ExportError
from prune_adapters.export.compare import TOLERANCES, check_same, first_line
from prune_adapters.export.inputs import Inputs
from prune_adapters.export.program import placing, plain_twin, program_of, quiet
from prune_adapters.trace.example import ExampleInputs

if TYPE_CHECKING:
    import onnxruntime
    from torch.onnx import ONNXProgram

__all__ = ["LIBRARIES", "OnnxSession", "export_onnx", "missing_libraries"]

LIBRARIES = ("onnx", "onnxscript", "onnxruntime")


def export_onnx(
    model: nn.Module,
    example_inputs: ExampleInputs,
    path: str | os.PathLike[str],
    *,
    check: bool = True,
    dynamic_batch: bool = True,
    tolerance: float | None = None,
    opset: int | None = None,
    external_data: bool = False,
) -> list[Path]:
    """Write a model as an ONNX file, and check that onnxruntime computes from it what the model computes.

    Sparse and regular layers are written as dense ones with zeros, as `densify` gives them; what shrinks an ONNX file
    and speeds it up is `compact`. The file tells nothing of the source code.

    Parameters
    ----------
    model : Module
        Masked, compacted, sparsified or none of it; not changed. Its eval mode is written, on the CPU.
    example_inputs : Tensor, tuple or dict
        As for `to_graph`.
    path : path-like
        Ends with ".onnx" by custom. An older file is replaced only once the new one is complete and checked.
    check : bool
        Compare the outputs of onnxruntime with those of `model`: on the example, on random inputs, and on other batch
        sizes where these are allowed.
    dynamic_batch : bool
        Allow any size of the first dimension of the first input, and of each input whose first dimension is as large.
    tolerance : float, optional
        Largest max|dy| / max|y| of an output. Default: 1e-9 in float64, 1e-4 in float32, 1e-2 in float16.
    opset : int, optional
        Version of the ONNX operators; torch's choice by default.
    external_data : bool
        Write the weights into a second file, ``<name>.data``, which must stay beside the first. This always happens
        above 2 GB, the most that one ONNX file holds.

    Returns
    -------
    list of Path
        The ONNX file, and the one with its weights if there is one.

    Raises
    ------
    ExportError
        The model cannot be exported, onnxruntime cannot run the file, or it computes something else: the message gives
        the largest difference and the first node that differs. An older file is as it was.
    ImportError
        onnx, onnxscript or onnxruntime is not installed.

    Examples
    --------
    >>> import tempfile
    >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +SKIP
    ...     export_onnx(model, torch.ones(1, 3), folder + "/model.onnx")
    [PosixPath('.../model.onnx')]
    """
    _require("export_onnx", LIBRARIES if check else LIBRARIES[:2])
    twin = plain_twin(model)
    inputs = Inputs.of(example_inputs, twin, dynamic_batch=dynamic_batch)
    with quiet(), _without_notes(), placing(path) as made:
        program = _onnx_program(twin, inputs, opset)
        _forget_source(program)
        program.save(made, external_data=external_data)
        if check:
            session = OnnxSession(made)
            check_same(
                "export_onnx",
                twin,
                session.outputs,
                inputs,
                tolerance=tolerance,
                explain=lambda tried: _first_difference(program, tried, tolerance),
            )
            del session
        names = sorted((each.name for each in made.parent.iterdir()), key=lambda name: name != made.name)
    return [Path(path).parent / name for name in names]


class OnnxSession(nn.Module):
    """An ONNX file that runs as a module, on one thread by default.

    Parameters
    ----------
    path : Path
    threads : int

    Raises
    ------
    ExportError
        onnxruntime cannot run the file.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int = 1) -> None:
        super().__init__()
        runtime = import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # what it would print it raises as well
        options.intra_op_num_threads = threads
        try:
            self.session: onnxruntime.InferenceSession = runtime.InferenceSession(
                os.fspath(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the classes of onnxruntime have no common base
            raise ExportError(
                f"export_onnx: onnxruntime cannot run the model on the CPU ({first_line(error)}); "
                "export it in float32, or pass check=False where another runtime takes it"
            ) from error

    def forward(self, *args: object, **kwargs: object) -> list[torch.Tensor]:
        """Return the outputs, in the order of the model's."""
        return self.outputs(Inputs(args, kwargs, None))

    def outputs(self, inputs: Inputs) -> list[torch.Tensor]:
        """Return the outputs, in the order of the model's."""
        names = [given.name for given in self.session.get_inputs()]
        arrays = [tensor.numpy() for tensor in inputs.tensors]
        found = self.session.run(None, dict(zip(names, arrays, strict=True)))
        return [torch.from_numpy(array) for array in found]


def missing_libraries() -> list[str]:
    """Return which of the libraries for ONNX are not installed."""
    return [name for name in LIBRARIES if not _is_there(name)]


def _is_there(name: str) -> bool:
    try:
        import_module(name)
    except ImportError:
        return False
    return True


def _require(what: str, names: Sequence[str]) -> None:
    missing = [name for name in names if not _is_there(name)]
    if missing:
        raise ImportError(f"{what}: {', '.join(missing)} not installed; pip install netgraph-pruning[export]")


def _onnx_program(twin: nn.Module, inputs: Inputs, opset: int | None) -> "ONNXProgram":
    exported = program_of(twin, inputs, "export_onnx")
    names = None if inputs.batch is None else inputs.marked("batch")
    try:
        with warnings.catch_warnings():
            # All inputs share one batch dimension; torch says so of each but the first.
            warnings.filterwarnings("ignore", message=".*The axis name: batch will not be used", category=UserWarning)
            program = torch.onnx.export(exported, dynamo=True, verbose=False, opset_version=opset, dynamic_shapes=names)
    except Exception as error:  # what is not supported, and the errors of onnxscript
        raise ExportError(f"export_onnx: torch cannot write the model as ONNX ({first_line(error)})") from error
    assert program is not None
    return program


def _forget_source(program: "ONNXProgram") -> None:
    """Remove what the exporter writes for its own tests: a third of a small file, with text from the source."""
    graph = program.model.graph
    graph.metadata_props.clear()
    for value in [*graph.inputs, *graph.initializers.values()]:
        value.metadata_props.clear()
    for node in graph.all_nodes():
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()


def _first_difference(program: "ONNXProgram", inputs: Inputs, tolerance: float | None) -> str:
    """Return in words the first value that onnxruntime computes differently, if torch can tell."""
    verification = import_module("torch.onnx.verification")
    bound = max(TOLERANCES[torch.float32], tolerance or 0.0)
    try:
        infos = verification.verify_onnx_program(program, inputs.args, dict(inputs.kwargs), compare_intermediates=True)
    except Exception:  # it is no more than a hint
        return ""
    makers = {value.name: node for node in program.model.graph for value in node.outputs}
    for info in infos:
        if not info.max_abs_diff <= bound and info.name in makers:
            node = makers[info.name]
            return f"; first at node {node.name!r} ({node.op_type}): value {info.name!r}, by {info.max_abs_diff:.3g}"
    return "; each node computes what the program of torch.export does, so that this differs from the model"


@contextmanager
def _without_notes() -> Iterator[None]:
    """Leave out that optional libraries of the exporter are missing."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
