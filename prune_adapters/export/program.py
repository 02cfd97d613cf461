"""Models as programs of torch.export, in memory and in .pt2 files."""

import copy
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from torch.export import Dim, ExportedProgram
from torch.utils._pytree import tree_leaves

from prune_adapters.apply import remove_masks
from prune_adapters.compact.constants import without_fast_path
from prune_adapters.errors import ExportError
from prune_adapters.export.compare import check_same, first_line
from prune_adapters.export.inputs import Inputs
from prune_adapters.layers.base import put_dense
from prune_adapters.masks import bare_module
from prune_adapters.trace.example import ExampleInputs

__all__ = ["export_program", "placing", "plain_twin", "program_of", "quiet"]


def export_program(
    model: nn.Module,
    example_inputs: ExampleInputs,
    path: str | os.PathLike[str],
    *,
    check: bool = True,
    dynamic_batch: bool = True,
    tolerance: float | None = None,
) -> None:
    """Write a model as a program of torch.export, which runs without its source code.

    ``torch.export.load(path).module()`` is the model again. It holds operators of torch alone: sparse and regular
    layers are written as dense ones. Neither the example inputs nor file names of the source are in the file.

    Parameters
    ----------
    model : Module
        Masked, compacted, sparsified or none of it; not changed. Its eval mode is written, on the CPU.
    example_inputs : Tensor, tuple or dict
        As for `to_graph`.
    path : path-like
        Should end with ".pt2", which ``torch.export.load`` asks for. An older file is replaced only once the new one is
        complete and checked.
    check : bool
        Load the file again and compare its outputs with those of `model`: on the example, on random inputs, and on
        other batch sizes where these are allowed.
    dynamic_batch : bool
        Allow any size of the first dimension of the first input, and of each input whose first dimension is as large.
    tolerance : float, optional
        Largest max|dy| / max|y| of an output. Default: 1e-9 in float64, 1e-4 in float32, 1e-2 in float16, 5e-2 in
        bfloat16.

    Raises
    ------
    ExportError
        torch.export cannot follow the model, or the program computes something else. An older file is as it was.

    Examples
    --------
    >>> import tempfile
    >>> model = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_program(model, torch.ones(1, 3), folder + "/model.pt2")
    ...     again = torch.export.load(folder + "/model.pt2").module()
    >>> again(torch.ones(5, 3)).shape
    torch.Size([5, 2])
    """
    twin = plain_twin(model)
    inputs = Inputs.of(example_inputs, twin, dynamic_batch=dynamic_batch)
    with quiet(), placing(path) as made:
        program = program_of(twin, inputs, "export_program")
        with open(made, "wb") as file:
            torch.export.save(program, file)
        if check:
            with open(made, "rb") as file:
                again = torch.export.load(file)
            check_same("export_program", twin, _runner(again), inputs, tolerance=tolerance)


def plain_twin(model: nn.Module) -> nn.Module:
    """Return a copy on the CPU, in eval mode, without masks and with dense layers in the places of sparse ones."""
    return put_dense(remove_masks(copy.deepcopy(bare_module(model)))).to("cpu").eval()


def program_of(twin: nn.Module, inputs: Inputs, what: str) -> ExportedProgram:
    """Return the program of a model that `plain_twin` returned.

    Parameters
    ----------
    twin : Module
    inputs : Inputs
        One example becomes two where the batch size is free: torch.export takes a size of 1 for a fixed one.
    what : str
        For the message.

    Raises
    ------
    ExportError
        torch.export cannot follow the model.
    """
    given = inputs.sized(2) if inputs.batch == 1 else inputs
    shapes = None if inputs.batch is None else given.marked(Dim("batch"))
    try:
        with quiet(), torch.no_grad(), without_fast_path():
            program = torch.export.export(twin, given.args, dict(given.kwargs), dynamic_shapes=shapes)
    except Exception as error:  # torch.export lets through whatever a forward raises
        fix = "; or pass dynamic_batch=False" if inputs.batch is not None else ""
        raise ExportError(f"{what}: torch.export cannot follow the model ({first_line(error)}){fix}") from error
    program.example_inputs = None
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


@contextmanager
def placing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a name to write under, in a new folder beside `path`; all files there move beside `path` in the end.

    The file called as `path` moves last, so that it never speaks of another that is missing. After an error nothing
    has moved, and an older file is as it was.
    """
    final = Path(path)
    folder = Path(tempfile.mkdtemp(prefix=f".{final.name}.", suffix=".tmp", dir=final.parent))
    try:
        yield folder / final.name
        for made in sorted(folder.iterdir(), key=lambda each: each.name == final.name):
            os.replace(made, final.parent / made.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out the warning that torch 2.13's exporter causes itself, by ``isinstance(_, LeafSpec)``."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
        yield


def _runner(program: ExportedProgram) -> Callable[[Inputs], list[torch.Tensor]]:
    module = program.module()

    def given(inputs: Inputs) -> list[torch.Tensor]:
        with torch.no_grad():
            leaves = tree_leaves(module(*inputs.args, **inputs.kwargs))
        return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]

    return given
