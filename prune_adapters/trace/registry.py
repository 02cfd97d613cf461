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
from prune_adapters.trace.values import ZERO, Constant, Units, Value

if TYPE_CHECKING:
    from prune_adapters.trace.builder import GraphBuilder

__all__ = [
    "Move",
    "Operation",
    "Options",
    "Rule",
    "RuleEntry",
    "checked_options",
    "find_rule",
    "known_operators",
    "operator_name",
    "register_rule",
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


@dataclass(frozen=True)
class Options:
    """The modelling choices of one trace (see `to_graph`)."""

    positions: str = "join"
    norm: str = "mix"
    unknown: str | None = None


def checked_options(positions: str, norm: str, unknown: str | None, follow: str | None = None) -> Options:
    """Return the modelling choices of a trace; an unknown word is an error."""
    choices = {
        "positions": ("join", "split"),
        "norm": ("mix", "through"),
        "unknown": (None, "mix"),
        "follow": (None, "example"),
    }
    given = {"positions": positions, "norm": norm, "unknown": unknown, "follow": follow}
    for name, allowed in choices.items():
        if given[name] not in allowed:
            raise ValueError(f"{name}: expected {' or '.join(map(repr, allowed))}, got {given[name]!r}")
    return Options(positions, norm, unknown)


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
            return Constant.zeros(shape)
        if ids.numel() and bool((ids < 0).all()):
            return Constant(shape)
        return Units(ids, shape)

    def error(self, problem: str, remedy: str) -> TraceError:
        """Return the error that names operator, module path, line and remedy."""
        place = f"in module {self.module!r}" if self.module else "in the model's own forward"
        line = f" ({self.line})" if self.line else ""
        return TraceError(f"operator {self.packet} {place}{line}: {problem}; {remedy}")


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

    Examples
    --------
    >>> from prune_adapters.trace import register_rule
    >>> @register_rule("mylib.scale_by_two")
    ... def scale_by_two(op):
    ...     return op.first
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
