"""Recurrent layers and cells: LSTM, GRU and plain RNN, with a unit for each gate, product and state.

Units are shared over time steps, as over all positions. What a step reads from the step before is a layer of its own
(``state``, and ``memory`` for the cell of an LSTM): the initial state feeds it, and the new state feeds it back, which
closes the cycle. So a sequence is taken to be long enough for every path; a cell that is called once has no cycle.

References
----------
S. Hochreiter, J. Schmidhuber, "Long short-term memory", 1997; K. Cho et al., "Learning phrase representations using
RNN encoder-decoder", 2014; the equations are those of torch.nn.LSTM and torch.nn.GRU.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from prune_adapters.trace.acting import act, ids_of
from prune_adapters.trace.meeting import meet, reduce
from prune_adapters.trace.registry import Operation, register_rule
from prune_adapters.trace.rules.elementwise import as_units
from prune_adapters.trace.values import Constant, Tokens, Units, Value, Weight
from prune_adapters.trace.weights import connect, connect_all, slots_of

__all__ = ["cell", "layers", "packed", "padded"]


@dataclass(frozen=True, eq=False)
class Step:
    """One time step of one direction of one layer: its parameters, its input, and the name that its units bear."""

    op: Operation
    name: str
    inputs: torch.Tensor
    input_weight: Weight
    hidden_weight: Weight
    biases: tuple[Weight, ...]
    projection: Weight | None

    def summed(self, name: str, state: torch.Tensor, position: int = 0, count: int = 1) -> torch.Tensor:
        """Return the ids of one chunk of ``W x + b + U h + d``."""
        weights = [(self.input_weight, self.inputs), (self.hidden_weight, state)]
        terms = [(weight.chunk(position, count), slots) for weight, slots in weights]
        ids = connect_all(self.op.graph, terms, f"{self.name}.{name}", self.name)
        return self.shifted(name, ids, [bias.chunk(position, count) for bias in self.biases])

    def shifted(self, name: str, ids: torch.Tensor, biases: Sequence[Weight | Constant]) -> torch.Tensor:
        """Return the ids after constants were added."""
        acted = act(self.op.graph, ids, [(bias, "shift") for bias in biases], f"{self.name}.{name}") if biases else ids
        return acted.expand(ids.shape)

    def gate(self, name: str, state: torch.Tensor, position: int, count: int) -> torch.Tensor:
        """Return the ids of the sigmoid of one chunk, which is never 0."""
        return self.shifted(name, self.summed(name, state, position, count), [Constant(())])

    def times(self, name: str, *factors: torch.Tensor) -> torch.Tensor:
        """Return the ids of products."""
        return meet(self.op.graph, factors, f"{self.name}.{name}", product=True).expand(factors[0].shape)

    def plus(self, name: str, *terms: torch.Tensor) -> torch.Tensor:
        """Return the ids of sums."""
        return meet(self.op.graph, terms, f"{self.name}.{name}").expand(terms[0].shape)


def lstm_step(step: Step, hidden: torch.Tensor, memory: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """c = f * c + i * tanh(g), h = o * tanh(c), projected if the layer has a projection."""
    opened, forgotten = (step.gate(name, hidden, position, 4) for position, name in enumerate("if"))
    written = step.summed("g", hidden, 2, 4)
    shown = step.gate("o", hidden, 3, 4)
    kept, added = step.times("f*c", forgotten, memory), step.times("i*g", opened, written)
    memory = step.plus("c", kept, added)
    hidden = step.times("h", shown, memory)
    if step.projection is not None:
        hidden = connect(step.op.graph, step.projection, hidden, f"{step.name}.projected", "oi")
    return hidden, memory


def gru_step(step: Step, hidden: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """n = tanh(W x + b + r * (U h + d)), h = (1 - z) * n + z * h; neither z nor 1 - z is ever 0."""
    reset, update = (step.gate(name, hidden, position, 3) for position, name in enumerate("rz"))
    ways = [("n.input", step.input_weight, step.inputs), ("n.hidden", step.hidden_weight, hidden)]
    sums = [connect(step.op.graph, w.chunk(2, 3), slots, f"{step.name}.{name}", "oi") for name, w, slots in ways]
    for way, bias in enumerate(step.biases):
        sums[way] = step.shifted(ways[way][0], sums[way], [bias.chunk(2, 3)])
    new = step.plus("n", sums[0], step.times("r*n", reset, sums[1]))
    return (step.plus("h", step.times("(1-z)*n", update, new), step.times("z*h", update, hidden)),)


def rnn_step(step: Step, hidden: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """h = f(W x + b + U h + d) with f(0) = 0."""
    return (step.summed("h", hidden),)


STEPS: dict[str, Callable[..., tuple[torch.Tensor, ...]]] = {
    "lstm": lstm_step,
    "gru": gru_step,
    "rnn_tanh": rnn_step,
    "rnn_relu": rnn_step,
}
STATES = ("state", "memory")


@register_rule(*(f"aten.{kind}" for kind in STEPS))
def layers(op: Operation) -> Value | tuple[Value, ...]:
    """Stacked layers, in one or two directions; padded batches and packed ones."""
    units, sides = op.args[0], 2 if op.argument("bidirectional") else 1
    initial = _listed(op.argument("hx"))
    inputs = _features(op, _as_units(op, units))
    last: list[tuple[torch.Tensor, ...]] = []
    for layer in range(op.number("num_layers")):
        for side in range(sides):
            name = f"{op.module or op.name}.l{layer}{'_reverse' * side}"
            step = _step(op, name, inputs, _parameters(op, len(last), sides))
            last.append(_run(step, [_row(op, state, len(last)) for state in initial]))
        inputs = torch.cat([states[0] for states in last[-sides:]])
    output = op.units(inputs.reshape([1] * (len(op.shape) - 1) + [-1]))
    return (output, *(_final(rows, shape) for rows, shape in zip(zip(*last, strict=True), op.shapes[1:], strict=True)))


def _run(step: Step, initial: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Return the ids of the states of one direction of one layer, fed back."""
    graph = step.op.graph
    before, numbers = [], []
    for name, ids in zip(STATES, initial, strict=False):
        before.append(graph.new_layer(f"{step.name}.{name}", len(ids)))
        numbers.append(len(graph.layers) - 1)
        graph.wire(ids.numpy(), torch.arange(len(ids)).numpy(), numbers[-1])
    after = STEPS[_kind(step.op)](step, *before)
    for number, ids in zip(numbers, after, strict=True):
        graph.feed_back(ids.numpy(), number)
    return after


@register_rule(*(f"aten.{kind}_cell" for kind in STEPS))
def cell(op: Operation) -> Value | tuple[Value, ...]:
    """One step; in a loop of Python each call is a use of the same parameters."""
    inputs = _features(op, _as_units(op, op.args[0]))
    parameters = [op.argument(name) for name in ("w_ih", "w_hh", "b_ih", "b_hh")]
    step = _step(op, op.module or op.name, inputs, parameters)
    after = STEPS[_kind(op)](step, *(_features(op, _as_units(op, state)) for state in _listed(op.argument("hx"))))
    shaped = [ids.reshape([1] * (len(op.shape) - 1) + [-1]) for ids in after]
    return tuple(op.units(ids, shape) for ids, shape in zip(shaped, op.shapes, strict=True))


@register_rule("aten._pack_padded_sequence")
def packed(op: Operation) -> Value | tuple[Value, ...]:
    """Batch and time become one dimension of positions; lengths that are an input decide what is left."""
    units = op.first
    ids = reduce(op.graph, units.ids, [0, 1], op.name).reshape([1, *units.ids.shape[2:]])
    lengths = op.args[1]
    if isinstance(lengths, Tokens):
        chosen = as_units(op, lengths).ids.reshape([1] * ids.dim())
        ids = meet(op.graph, [ids, chosen.expand(ids.shape)], op.name, product=True)
    return op.units(ids), Constant(op.shapes[1])


@register_rule("aten._pad_packed_sequence")
def padded(op: Operation) -> Value | tuple[Value, ...]:
    """Positions become batch and time again."""
    ids = reduce(op.graph, op.first.ids, [0], op.name).unsqueeze(0)
    if op.argument("padding_value"):
        ids = act(op.graph, ids, [(Constant(()), "shift")], op.name)
    return op.units(ids), Constant(op.shapes[1])


def _kind(op: Operation) -> str:
    return op.packet.removeprefix("aten.").removesuffix("_cell")


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _as_units(op: Operation, value: object) -> Units:
    """Return an input or a state as units, constants included."""
    if isinstance(value, Units):
        return value
    if not isinstance(value, (Weight, Constant)):
        raise op.error("an input of integers", "embed it first")
    return Units(ids_of(op.graph, value, op.name + ".initial"), value.shape)


def _features(op: Operation, units: Units) -> torch.Tensor:
    """Return the unit of each feature, which lie along the last dimension."""
    return slots_of(op.graph, units.ids, units.ids.dim() - 1, units.shape[-1], op.name)


def _row(op: Operation, value: object, row: int) -> torch.Tensor:
    """Return the ids of the initial state of one direction of one layer."""
    units = _as_units(op, value)
    ids = units.ids.expand([units.shape[0], *units.ids.shape[1:]])[row]
    return _features(op, Units(ids, units.shape[1:]))


def _parameters(op: Operation, position: int, sides: int) -> list[object]:
    """Return the parameters of one direction of one layer: W, U, biases if any, projection if any."""
    listed = _listed(op.argument("params"))
    each = len(listed) // (op.number("num_layers") * sides)
    own = listed[position * each : (position + 1) * each]
    biases = own[2:4] if op.argument("has_biases") else [None, None]
    return [*own[:2], *biases, *own[4 if op.argument("has_biases") else 2 :]]


def _step(op: Operation, name: str, inputs: torch.Tensor, parameters: Sequence[object]) -> Step:
    given = [p for p in parameters if p is not None]
    weights = [p for p in given if isinstance(p, Weight)]
    if len(weights) < len(given):
        raise op.error("its weights are computed", "use parameters as its weights, or pass unknown='mix'")
    biases = tuple(p for p in parameters[2:4] if isinstance(p, Weight))
    projection = parameters[4] if len(parameters) > 4 else None
    return Step(
        op, name, inputs, weights[0], weights[1], biases, projection if isinstance(projection, Weight) else None
    )


def _final(rows: tuple[torch.Tensor, ...], shape: tuple[int, ...]) -> Units:
    """Return the last states of all layers and directions, stacked."""
    return Units(torch.stack(rows).reshape([len(rows), *[1] * (len(shape) - 2), -1]), shape)
