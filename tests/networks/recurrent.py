"""Recurrent networks: layers, cells in a loop of Python, packed sequences and given initial states."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

__all__ = ["CellLoop", "GivenStates", "LearnedStart", "PackedTagger", "Tagger", "WrittenOut"]


class Tagger(nn.Module):
    """A linear layer, a recurrent one over time, and a readout of its mean over time.

    Parameters
    ----------
    recurrent : Module
        Reads 4 features, batch first.
    width : int
        Features that it gives.
    """

    def __init__(self, recurrent: nn.Module, width: int) -> None:
        super().__init__()
        self.first, self.recurrent, self.out = nn.Linear(4, 4), recurrent, nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden, _ = self.recurrent(self.first(x).relu())
        return self.out(hidden.mean(1))


class CellLoop(nn.Module):
    """One cell called in a loop: one parameter with many uses."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.first, self.cell, self.out = nn.Linear(4, 4), cell, nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        state, seen = None, []
        for time in range(x.shape[1]):
            state = self.cell(self.first(x[:, time]).relu(), state)
            seen.append(state[0] if isinstance(state, tuple) else state)
        return self.out(torch.stack(seen, 1).mean(1))


class GivenStates(nn.Module):
    """Initial states that are computed, and final ones that are read."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(4, 5, batch_first=True)
        self.start, self.memory = nn.Linear(3, 5), nn.Linear(3, 5)
        self.out, self.last = nn.Linear(5, 3), nn.Linear(5, 2)

    def forward(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        states = (self.start(context)[None], self.memory(context)[None])
        hidden, (_, memory) = self.recurrent(x, states)
        return self.out(hidden.mean(1)), self.last(memory[0])


class LearnedStart(nn.Module):
    """The initial state is a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent, self.out = nn.GRU(4, 5, batch_first=True), nn.Linear(5, 3)
        self.scale = nn.Parameter(torch.ones(5))

    def forward(self, x: Tensor) -> Tensor:
        start = self.scale.expand(1, x.shape[0], 5)
        return self.out(self.recurrent(x, start)[0].mean(1))


class PackedTagger(nn.Module):
    """Sequences of several lengths, packed."""

    def __init__(self, lengths: tuple[int, ...] = (14, 11)) -> None:
        super().__init__()
        self.lengths = lengths
        self.first, self.out = nn.Linear(4, 4), nn.Linear(10, 3)
        self.recurrent = nn.LSTM(4, 5, 2, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.first(x), list(self.lengths))
        hidden, _ = pad_packed_sequence(self.recurrent(packed)[0])
        return self.out(hidden.mean(0))


class WrittenOut(nn.Module):
    """A recurrent network in plain Python: the state starts as zeros and is stored in a tensor step by step."""

    def __init__(self, *, bias: bool = True) -> None:
        super().__init__()
        self.inner, self.back = nn.Linear(4, 5, bias=bias), nn.Linear(5, 5, bias=bias)
        self.out = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        state, seen = x.new_zeros(x.shape[0], 5), torch.zeros(x.shape[0], x.shape[1], 5, dtype=x.dtype)
        for time in range(x.shape[1]):
            state = torch.tanh(self.inner(x[:, time]) + self.back(state))
            seen[:, time] = state
        return self.out(seen.mean(1))
