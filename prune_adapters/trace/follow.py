"""Capture by running: a dispatch mode records what a model does on real tensors.

It follows whatever runs, data-dependent Python included, but only along the path that these inputs take.
"""

import traceback
import warnings
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.weak import WeakIdRef

from prune_adapters.trace.tape import Tape, named_tensors, outputs_of

__all__ = ["capture_by_running", "failing_line", "is_data_dependent"]

WHOLE = frozenset(
    ["linear", "bilinear", "matmul", "einsum"]
    + [f"{kind}{form}" for kind in ("lstm", "gru", "rnn_tanh", "rnn_relu") for form in ("", "_cell")]
)
"""Operators recorded as one call, as torch.export gives them.

Below autograd a linear layer on more than two dimensions lines up its positions in ways that depend on strides, and a
recurrent layer is unrolled step by step, or is a kernel of the machine.
"""

READS_VALUES = ("_local_scalar_dense", "item", "nonzero", "equal", "is_nonzero")


def capture_by_running(model: nn.Module, args: tuple, kwargs: dict) -> Tape:
    """Return the tape of one run of ``model(*args, **kwargs)`` on real tensors.

    Parameters
    ----------
    model : Module
        In eval mode, not on the meta device.
    args, kwargs : tuple, dict
        Example inputs.
    """
    tape = Tape()
    recorder = _Recorder(tape, model)
    for name, tensor in [*_named("input", args), *(pair for k, v in kwargs.items() for pair in _named(k, v, "_"))]:
        tape.inputs[name] = tape.bind(recorder.key(tensor), tape.new(tensor))
    fast_path = torch.backends.mha.get_fastpath_enabled()
    # The fused encoder kernel would hide the attention inside from the recorder.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with recorder.following_modules(), torch.no_grad(), recorder, _WholeOperators(recorder):
            result = model(*args, **kwargs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    refs = {name: tape.of(recorder.key(tensor)) for name, tensor in named_tensors(result)}
    tape.outputs = {name: ref for name, ref in refs.items() if ref is not None}
    return tape


def _named(name: str, value: object, joint: str = "") -> list[tuple[str, torch.Tensor]]:
    """Return the tensors in nested arguments with a name for each; of a packed sequence only the data is an input."""
    leaves = tree_leaves(value, is_leaf=lambda item: isinstance(item, PackedSequence))
    tensors = [leaf.data if isinstance(leaf, PackedSequence) else leaf for leaf in leaves]
    found = [tensor for tensor in tensors if isinstance(tensor, torch.Tensor)]
    return [(name if len(found) == 1 else f"{name}{joint}{i}", tensor) for i, tensor in enumerate(found)]


class _Recorder(TorchDispatchMode):
    """Writes every operator call on a tape."""

    def __init__(self, tape: Tape, model: nn.Module) -> None:
        super().__init__()
        self.tape = tape
        self.model = model
        self.paths = {id(module): path for path, module in model.named_modules()}
        self.stack: list[str] = []
        self.keys: dict[WeakIdRef, WeakIdRef] = {}
        self.parameters = {WeakIdRef(p): name for name, p in model.named_parameters()}
        self.buffers = {WeakIdRef(b): name for name, b in model.named_buffers()}

    def key(self, tensor: torch.Tensor) -> WeakIdRef:
        """Return the one key of a tensor; two keys of a tensor that is gone would not be equal."""
        key = WeakIdRef(tensor)
        return self.keys.setdefault(key, key)

    def following_modules(self) -> "_ModulePaths":
        """Return the context in which the recorder knows which module runs."""
        return _ModulePaths(self)

    def __torch_dispatch__(
        self, func: torch._ops.OpOverload, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        kwargs = kwargs or {}
        moves_nothing = _moves_nothing(func, args)
        result = func(*args, **kwargs)
        if not moves_nothing:
            with _disable_current_modes():
                self.record(func, args, kwargs, result)
        return result

    def record(self, func: torch._ops.OpOverload, args: tuple, kwargs: dict, result: object) -> None:
        """Write one call on the tape."""
        if func.overloadpacket.__name__ in READS_VALUES:
            line = _user_line(traceback.extract_stack())
            note = f"a value was read at {line}: the graph follows the path that the example took"
            if note not in self.tape.notes:
                self.tape.notes.append(note)
        outputs = outputs_of(result)
        if not outputs:
            return
        known_args, known_kwargs = tree_map(self._ref, args), tree_map(self._ref, kwargs)
        keys = [self.key(o) for o in outputs]
        first = next((self.key(a) for a in tree_leaves(args) if isinstance(a, torch.Tensor)), None)
        module = self.stack[-1] if self.stack else ""
        line = _user_line(traceback.extract_stack())
        self.tape.record(func, known_args, known_kwargs, keys, outputs, first, module, line)

    def _ref(self, item: object) -> object:
        if not isinstance(item, torch.Tensor):
            return item
        key = self.key(item)
        known = self.tape.of(key)
        if known is not None:
            return known
        ref = self.tape.bind(key, self.tape.new(item))
        if key in self.parameters:
            self.tape.parameters[ref.number] = self.parameters[key]
        else:
            self.tape.constants[ref.number] = item
            if key in self.buffers:
                self.tape.buffers[ref.number] = self.buffers[key]
        return ref


class _WholeOperators(TorchFunctionMode):
    """Lets the recorder see linear and recurrent layers as one call each."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(self, func: Callable, types: object, args: tuple = (), kwargs: dict | None = None) -> object:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").strip("_")
        if name not in WHOLE or isinstance(func, torch._ops.OpOverload):
            return func(*args, **kwargs)
        with _disable_current_modes(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the kernel that torch picks on this machine
            result = func(*args, **kwargs)
            self.recorder.record(_overload(name, args), _schema_order(name, args), kwargs, result)
        return result


def _overload(name: str, args: tuple) -> torch._ops.OpOverload:
    packet = getattr(torch.ops.aten, name)
    if "default" in packet.overloads():
        return packet.default
    return packet.data if isinstance(args[3], (list, tuple)) else packet.input


def _schema_order(name: str, args: tuple) -> tuple:
    """Return the arguments as the operator takes them: einsum has its operands in a list."""
    if name != "einsum" or isinstance(args[1], (list, tuple)):
        return args
    return (args[0], list(args[1:]))


def _moves_nothing(func: torch._ops.OpOverload, args: tuple) -> bool:
    """Return whether a call only gives new strides to dimensions of size 1.

    Global average pooling of channels-last images does so (torch 2.13); a rule could not tell, ids have no strides.
    """
    if func is not torch.ops.aten.as_strided_.default or tuple(args[1]) != tuple(args[0].shape):
        return False
    tensor, size, stride, *offset = args
    same = all(old == new for n, old, new in zip(size, tensor.stride(), stride, strict=True) if n > 1)
    return same and offset in ([], [None], [tensor.storage_offset()])


class _ModulePaths:
    """Keeps the path of the module that runs on the recorder's stack."""

    def __init__(self, recorder: _Recorder) -> None:
        self.recorder = recorder

    def __enter__(self) -> None:
        stack, paths = self.recorder.stack, self.recorder.paths

        def enter(module: nn.Module, _: object) -> None:
            stack.append(paths.get(id(module), stack[-1] if stack else ""))

        def leave(module: nn.Module, _: object, __: object) -> None:
            stack.pop()

        self.handles = [
            nn.modules.module.register_module_forward_pre_hook(enter),
            nn.modules.module.register_module_forward_hook(leave, always_call=True),
        ]

    def __exit__(self, *exception: object) -> None:
        for handle in self.handles:
            handle.remove()


def is_data_dependent(error: BaseException | None) -> bool:
    """Return whether torch.export gave up because Python read the value of a tensor."""
    from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException
    from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

    kinds = (GuardOnDataDependentSymNode, DataDependentOutputException, DynamicOutputShapeException)
    while error is not None:
        if isinstance(error, kinds):
            return True
        error = error.__cause__ or error.__context__
    return False


def failing_line(error: BaseException) -> str:
    """Return the last line of user code that an error came through: file name, number and text."""
    return _user_line(traceback.extract_tb(error.__traceback__))


def _user_line(frames: traceback.StackSummary) -> str:
    homes = [torch.__file__.rpartition("/")[0] + "/", __file__.rpartition("/trace/")[0] + "/"]
    for frame in reversed(frames):
        if not frame.filename.startswith((*homes, "<")):
            return f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}: {frame.line}"
    return "an unknown line"
