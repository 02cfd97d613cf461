"""Rules: how units pass through one operator.

A rule is a function of one `Operation`; it returns what the operator's output is (a `Value`, or a tuple of them for an
operator with several outputs). Rules are found by operator packet, so one rule serves every overload and both ways of
capturing a model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from torch._ops import OpOverload

from prune_adapters.errors import TraceError
from prune_adapters.trace.meeting import reduce, renewed
from prune_adapters.trace.options import Options
from prune_adapters.trace.values import ZERO, Constant, Units, Value

if TYPE_CHECKING:
    from prune_adapters.trace.builder import GraphBuilder

__all__ = [
    "Move",
    "Operation",
    "Rule",
    "RuleEntry",
    "find_rule",
    "known_operators",
    "operator_name",
    "register_rule",
    "rule_skeleton",
]

Rule = Callable[["Operation"], "Value | tuple[Value, ...]"]
Move = Callable[..., "torch.Tensor | Sequence[torch.Tensor]"]


@dataclass(frozen=True)
class RuleEntry:
    """What is registered for an operator.

    Parameters
    ----------
    rule : callable
        Called where a unit tensor is among the arguments.
    move : callable or None
        For operators that only move elements: the same movement on any tensor (or list of tensors).
    on_parameters : callable or None
        The rule where the first argument is a parameter and no argument has units.
    """

    rule: Rule
    move: Move | None = None
    on_parameters: Rule | None = None


AnyRule = TypeVar("AnyRule", bound=Rule)

_RULES: dict[str, RuleEntry] = {}


@dataclass(frozen=True, eq=False)
class Operation:
    """One operator call of a traced program.

    Parameters
    ----------
    target : OpOverload
    args, kwargs : tuple, dict
        As called, with every tensor replaced by its `Value`.
    shapes : tuple of shapes
        Shapes of the outputs.
    name : str
        Name for a layer that the rule may add: module path and operator.
    module : str
        Path of the module that made the call, empty for the model itself.
    line : str
        Source line of the call, as far as known.
    graph : GraphBuilder
    options : Options
    """

    target: OpOverload
    args: tuple[object, ...]
    kwargs: dict[str, object]
    shapes: tuple[tuple[int, ...], ...]
    name: str
    module: str
    line: str
    graph: "GraphBuilder"
    options: Options

    @property
    def packet(self) -> str:
        """Name of the operator without overload, e.g. ``aten.add``."""
        return operator_name(self.target)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the (first) output."""
        return self.shapes[0]

    def argument(self, name: str) -> object:
        """Return an argument by its name in the operator's schema, defaults included; None if there is none."""
        for position, described in enumerate(self.target._schema.arguments):
            if described.name == name:
                if position < len(self.args):
                    return self.args[position]
                return self.kwargs.get(name, described.default_value)
        return None

    def value(self, name: str) -> Value | None:
        """Return a tensor argument by name, None if it is absent."""
        found = self.argument(name)
        return found if isinstance(found, Value) else None

    def number(self, name: str) -> int:
        """Return an integer argument by name."""
        found = self.argument(name)
        if not isinstance(found, int):
            raise self.error(f"argument {name!r}: expected an int, got {found!r}", "register a rule of your own")
        return found

    def numbers(self, name: str) -> list[int]:
        """Return an argument of one or several integers by name, empty if it is absent."""
        found = self.argument(name)
        if isinstance(found, int):
            return [found]
        return list(found) if isinstance(found, (list, tuple)) else []

    def dim(self, name: str = "dim") -> int:
        """Return a dimension of the output, counted from the front."""
        return self.number(name) % max(len(self.shape), 1)

    @property
    def first(self) -> Units:
        """The first argument, which must have units."""
        found = self.args[0]
        if not isinstance(found, Units):
            raise self.error("its first operand has no units, another has", "pass unknown='mix'")
        return found

    def tensors(self) -> list[Value]:
        """Return all tensor arguments, those in lists included."""
        found: list[Value] = []
        for argument in (*self.args, *self.kwargs.values()):
            items = argument if isinstance(argument, (list, tuple)) else (argument,)
            found += [item for item in items if isinstance(item, Value)]
        return found

    def units(self, ids: torch.Tensor, shape: Sequence[int] | None = None) -> Units | Constant:
        """Return the output with these ids (of the output's rank), at the output's shape."""
        shape = tuple(self.shape if shape is None else shape)
        if ids.numel() and bool((ids == ZERO).all()):
            return Constant(shape, lambda: torch.zeros(shape))
        if ids.numel() and bool((ids < 0).all()):
            return Constant(shape)
        return Units(ids, shape)

    def mixed(self) -> tuple[Units, ...]:
        """Return outputs that all depend on every unit of every input, and are never zero."""
        rows = [t.ids.reshape(1, -1) for t in self.tensors() if isinstance(t, Units)]
        together = reduce(self.graph, torch.cat(rows, dim=1), [1], self.name)
        unit, layer, _ = renewed(self.graph, together, self.name)
        self.graph.shift(layer, None, None)
        for source in (s for t in self.tensors() for s in t.sources):
            self.graph.note_role(source, "constant")
        return tuple(Units(unit.reshape([1] * len(shape)), shape) for shape in self.shapes)

    def error(self, problem: str, remedy: str) -> TraceError:
        """Return the error that names operator, module path, line and remedy."""
        place = f"in module {self.module!r}" if self.module else "in the model's own forward"
        line = f" ({self.line})" if self.line else ""
        return TraceError(f"operator {self.packet} {place}{line}: {problem}; {remedy}")


def rule_skeleton(op: Operation) -> str:
    """Return the text of a rule for an operator, to be pasted and corrected."""
    name = op.packet.rpartition(".")[2].strip("_")
    first = op.args[0] if op.args else None
    alike = isinstance(first, Units) and op.shapes == (first.shape,)
    body = "op.units(op.first.ids)" if alike else "op.mixed()"
    return f"""import prune_adapters as pa

@pa.register_rule({op.packet!r})
def {name}(op):
    # op.units(op.first.ids): each element belongs to the unit of the same element of the input, and is 0 where that is.
    # op.mixed(): every output depends on every input.
    return {body}
"""


def operator_name(target: Callable) -> str:
    """Return the name under which an operator's rule is registered, e.g. ``aten.relu``."""
    packet = getattr(target, "overloadpacket", target)
    return getattr(packet, "_qualified_op_name", getattr(packet, "__name__", str(packet))).replace("::", ".")


def register_rule(
    *operators: str, move: Move | None = None, on_parameters: Rule | None = None
) -> Callable[[AnyRule], AnyRule]:
    """Register a rule for operators, e.g. ``@register_rule("aten.relu", "mylib.my_relu")``.

    Parameters
    ----------
    *operators : str
        Operator names without overload, ``namespace.name``. An in-place form (``aten.relu_``) falls back to the rule of
        the plain one.
    move : callable, optional
        For operators that only move elements: ``move(op, tensor)`` moves those of any tensor, so that parameters can be
        followed through them too.
    on_parameters : callable, optional
        Rule for a parameter as first argument where no argument has units.

    Returns
    -------
    callable
        Decorator that returns the rule unchanged.

    Raises
    ------
    ValueError
        An operator has a rule already.

    Notes
    -----
    A rule reads ``op.first.ids``: a unit id for each element of the first operand, of its rank, size 1 on dimensions
    along which the unit does not change. It returns ``op.units(ids)`` with ids of the rank of the output. So an
    operator that works on each element by itself returns the ids as they are, one that exchanges dimensions does that
    to the ids, and one in which everything depends on everything returns ``op.mixed()``. Arguments are found by the
    names in the operator's schema: ``op.value("weight")``, ``op.number("groups")``, ``op.numbers("dim")``.

    Examples
    --------
    >>> import torch, prune_adapters as pa
    >>> @torch.library.custom_op("mylib::turned", mutates_args=())
    ... def turned(x: torch.Tensor) -> torch.Tensor:
    ...     return x.flip(-1).clone()
    >>> _ = turned.register_fake(torch.empty_like)
    >>> @pa.register_rule("mylib.turned")
    ... def turned_rule(op):
    ...     return op.units(op.first.ids.flip(-1))
    >>> class Net(torch.nn.Linear):
    ...     def forward(self, x):
    ...         return turned(super().forward(x))
    >>> pa.to_graph(Net(3, 2), torch.zeros(1, 3))
    NetGraph: 2 layers, 5 units, 6 of 6 weights kept
      layer   units  weights  kept  from
      x           3        -     -  input
      weight      2        6     6  x, output
    """

    def register(rule: AnyRule) -> AnyRule:
        for name in operators:
            if name in _RULES:
                raise ValueError(f"rule for {name!r}: registered already, as {_RULES[name].rule!r}")
            _RULES[name] = RuleEntry(rule, move, on_parameters)
        return rule

    return register


def find_rule(target: Callable) -> RuleEntry | None:
    """Return what is registered for an operator, or None."""
    name = operator_name(target)
    return _RULES.get(name) or _RULES.get(name.removesuffix("_"))


def known_operators() -> tuple[str, ...]:
    """Return the names of all operators with a rule.

    Returns
    -------
    tuple of str
        Sorted, without overloads.

    Examples
    --------
    >>> "aten.conv2d" in known_operators()
    True
    """
    return tuple(sorted(_RULES))
