"""Capture of a model as a tape with torch.export (non-strict, the un-decomposed ATen graph).

Non-strict export follows 22 of 24 hard patterns and keeps linear, attention and einsum whole; what it cannot follow
goes through `prune_adapters.trace.follow`.
"""

import contextlib
import io
import logging
import operator
import warnings
from collections.abc import Iterator, Mapping

import torch
from torch import nn
from torch.utils._pytree import tree_map

from prune_adapters.trace.tape import Ref, Tape, named_tensors, outputs_of

__all__ = ["capture_by_export"]


def capture_by_export(model: nn.Module, args: tuple, kwargs: dict) -> Tape:
    """Return the tape of ``model(*args, **kwargs)``.

    Parameters
    ----------
    model : Module
        In eval mode.
    args, kwargs : tuple, dict
        Example inputs.

    Raises
    ------
    Exception
        Whatever torch.export raises where it cannot follow the model.
    """
    with _quiet(), _only_tensors_out(model) as names:
        program = torch.export.export(model, args, kwargs, strict=False)
    tape = Tape()
    _bind_placeholders(tape, program)
    _record_graph(tape, program.graph_module, program.graph, "")
    nodes = {node.name: node for node in program.graph.output_node().all_input_nodes}
    refs = [tape.of(nodes.get(str(output))) for output in program.graph_signature.user_outputs]
    tape.outputs = {name: ref for name, ref in zip(names, refs, strict=False) if ref is not None}
    return tape


@contextlib.contextmanager
def _only_tensors_out(model: nn.Module) -> Iterator[list[str]]:
    """Let the model return the tensors of its outputs only: torch.export refuses caches and other objects in them.

    Yields the names of the outputs, known once the model has run.
    """
    names: list[str] = []

    def keep_tensors(_module: nn.Module, _args: tuple, out: object) -> list[torch.Tensor]:
        found = dict(named_tensors(out))
        names[:] = found
        return list(found.values())

    handle = model.register_forward_hook(keep_tensors)
    try:
        yield names
    finally:
        handle.remove()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch from warning and from printing its graph where it fails: the error says what a user needs."""
    symbolic_shapes = logging.getLogger("torch.fx.experimental.symbolic_shapes")
    level = symbolic_shapes.level
    printed = io.StringIO()
    symbolic_shapes.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(printed):
            warnings.simplefilter("ignore")
            yield
    finally:
        symbolic_shapes.setLevel(level)


def _bind_placeholders(tape: Tape, program: torch.export.ExportedProgram) -> None:
    signature = program.graph_signature
    held: Mapping[str, str] = {**signature.inputs_to_buffers, **signature.inputs_to_lifted_tensor_constants}
    values = {**program.constants, **program.state_dict}
    for node in program.graph.find_nodes(op="placeholder"):
        value = node.meta.get("val")
        if not isinstance(value, torch.Tensor):
            continue
        ref = tape.bind(node, tape.new(value))
        if node.name in signature.inputs_to_parameters:
            tape.parameters[ref.number] = signature.inputs_to_parameters[node.name]
        elif node.name in held:
            tape.constants[ref.number] = values[held[node.name]]
            if node.name in signature.inputs_to_buffers:
                tape.buffers[ref.number] = held[node.name]
        else:
            tape.inputs[node.name] = ref


def _record_graph(tape: Tape, owner: nn.Module, graph: torch.fx.Graph, outer: str) -> None:
    """Record the calls of a graph; sub-graphs (no_grad regions, checkpoints) are recorded in place."""
    for node in graph.nodes:
        if node.op == "get_attr":
            _bind_attribute(tape, owner, node)
        elif node.op == "call_function":
            _record_node(tape, owner, node, outer)


def _bind_attribute(tape: Tape, owner: nn.Module, node: torch.fx.Node) -> None:
    value: object = owner
    for name in str(node.target).split("."):
        value = getattr(value, name)
    if isinstance(value, torch.Tensor):
        ref = tape.bind(node, tape.new(value))
        tape.constants[ref.number] = value


def _record_node(tape: Tape, owner: nn.Module, node: torch.fx.Node, outer: str) -> None:
    if node.target is operator.getitem:
        source, position = node.args
        _alias(tape, node, tape.of((source, position)))
        return
    module = _module_path(node) or outer
    for position, argument in enumerate(node.args):
        body = _sub_graph(owner, argument)
        if body is not None:
            _record_body(tape, node, body, node.args[position + 1 :], module)
            return
    value = node.meta.get("val")
    outputs = outputs_of(value)
    if not outputs or not callable(node.target):
        return
    keys = [(node, i) for i in range(len(outputs))] if isinstance(value, (list, tuple)) else [node]
    first = next((a for a in node.args if isinstance(a, torch.fx.Node)), None)
    args, kwargs = (tree_map(lambda a: _ref(tape, a), part) for part in (tuple(node.args), dict(node.kwargs)))
    tape.record(node.target, args, kwargs, keys, outputs, first, module, _line(node))


def _record_body(tape: Tape, node: torch.fx.Node, inner: torch.fx.GraphModule, actuals: tuple, module: str) -> None:
    """Record the calls of a sub-graph with its actual arguments."""
    for placeholder, actual in zip(inner.graph.find_nodes(op="placeholder"), actuals, strict=False):
        _alias(tape, placeholder, _ref(tape, actual))
    _record_graph(tape, inner, inner.graph, module)
    output = inner.graph.output_node().args[0]
    results = list(output) if isinstance(output, (list, tuple)) else [output]
    for i, result in enumerate(results):
        _alias(tape, (node, i), _ref(tape, result))
    _alias(tape, node, _ref(tape, results[0]))


def _alias(tape: Tape, key: object, ref: object) -> None:
    if isinstance(ref, Ref):
        tape.bind(key, ref)


def _ref(tape: Tape, argument: object) -> object:
    if not isinstance(argument, torch.fx.Node):
        return argument
    ref = tape.of(argument)
    return argument.meta.get("val") if ref is None else ref


def _sub_graph(owner: nn.Module, argument: object) -> torch.fx.GraphModule | None:
    if not isinstance(argument, torch.fx.Node) or argument.op != "get_attr":
        return None
    value = getattr(owner, str(argument.target), None)
    return value if isinstance(value, torch.fx.GraphModule) else None


def _module_path(node: torch.fx.Node) -> str:
    stack = node.meta.get("nn_module_stack")
    return next(reversed(stack.values()))[0] if stack else ""


def _line(node: torch.fx.Node) -> str:
    """Return the last user line of the call: file name, line number and source text."""
    lines = [line.strip() for line in (node.meta.get("stack_trace") or "").splitlines() if line.strip()]
    place = [i for i, line in enumerate(lines) if line.startswith("File ")]
    if not place:
        return ""
    parts = lines[place[-1]].split('"')
    text = lines[place[-1] + 1] if place[-1] + 1 < len(lines) else ""
    return f"{parts[1].rsplit('/', 1)[-1]}{parts[2].split(', in')[0].replace(', line ', ':')}: {text}"
