"""The latency of every sub-network, foretold from the measured times of the layers."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn

from netgraph.storage import replacing
from prune_adapters.graph_pruning.space.layer_times import LayerCase, LayerTimes, layer_cases
from prune_adapters.graph_pruning.space.space import WidthSpace
from prune_adapters.graph_pruning.space.timing import Timer, measured_latency
from prune_adapters.graph_pruning.space.widths import Counts
from prune_adapters.trace.example import ExampleInputs

__all__ = ["LatencyTable"]

FORMAT, VERSION = "prune_adapters.latency", 1
_NUMBERS = ("layers", "fixed", "activations", "error", "worst")


@dataclass(frozen=True, eq=False)
class LatencyTable:
    """Seconds of a forward pass, foretold for every sub-network; a cost for a `WidthBudget`.

    ``seconds(counts) = layers * (sum of the layers' times) + fixed + activations * (share of the activations)``. The
    times of the layers are interpolated between those that were measured; what a whole network costs beyond them
    (calls, activations, sums, pooling) is in the three coefficients, none of them negative. So the seconds never fall
    when a width grows. Reconstructed after the latency of AMC [1] and NetAdapt's look-up tables [2].

    Parameters
    ----------
    space : WidthSpace
    times : mapping of str to LayerTimes
        By module path.
    layers, fixed, activations : float
        The coefficients: a factor, and twice seconds.
    error, worst : float
        Median and largest relative error on random sub-networks that the coefficients were not fitted to.
    machine : str
        What was measured on.

    References
    ----------
    .. [1] He et al., AMC: AutoML for model compression and acceleration on mobile devices, ECCV 2018, section 3.2.
    .. [2] Yang et al., NetAdapt: platform-aware neural network adaptation for mobile applications, ECCV 2018.

    Examples
    --------
    With a clock that counts parameters the table is right, as a linear layer has few:

    >>> from prune_adapters.graph_pruning.space.space import width_space
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> space = width_space(model, torch.ones(1, 4))
    >>> clock = lambda model, x: float(sum(p.numel() for p in model.parameters()))
    >>> table = LatencyTable.measured(space, timer=clock)
    >>> round(table((8,))), round(table((4,))), round(table.error, 6)
    (58, 30, 0.0)
    """

    space: WidthSpace
    times: Mapping[str, LayerTimes]
    layers: float
    fixed: float
    activations: float
    error: float
    worst: float
    machine: str

    @classmethod
    def measured(
        cls,
        space: WidthSpace,
        *,
        points: int = 4,
        networks: int = 12,
        threads: int | None = 1,
        repeats: int = 15,
        seed: int | np.random.Generator | None = 0,
        timer: Timer | None = None,
    ) -> "LatencyTable":
        """Return the table of a space, measured on this machine; takes seconds to a minute.

        Parameters
        ----------
        space : WidthSpace
        points : int
            Widths at which each layer is timed, at least 2: from one channel to all of them. A layer that reads one
            width and writes another is timed at all pairs.
        networks : int
            Random sub-networks that are timed whole, at least 4: half of them for the coefficients, half for the error.
        threads, repeats
            As of `measured_latency`.
        seed : int, numpy Generator or None
            Draws the sub-networks.
        timer : callable, optional
            Instead of `measured_latency`: seconds of a module and its inputs, say on another machine.

        Raises
        ------
        ValueError
            A number is too small, or `timer` returns no positive number.
        """
        if points < 2 or networks < 4:
            raise ValueError(f"expected at least 2 points and 4 networks, got {points} and {networks}")
        clock = _checked(timer or (lambda m, x: measured_latency(m, x, repeats=repeats, threads=threads)))
        shares = [tuple(max(1, round(r * n)) for n in space.full) for r in np.linspace(0, 1, points)]
        times = {path: LayerTimes.timed(case, shares, clock) for path, case in layer_cases(space).items()}
        machine = f"{_device(space.model)}, {threads or torch.get_num_threads()} threads, torch {torch.__version__}"
        bare = cls(space, times, 1.0, 0.0, 0.0, 0.0, 0.0, machine)
        drawn = _drawn(space, networks, np.random.default_rng(seed))
        seconds = np.array([clock(space.narrowed(counts), space.example_inputs) for counts in drawn])
        return bare._fitted(drawn, seconds)

    def __call__(self, counts: Counts) -> float:
        """Return the seconds of a sub-network."""
        return float(self._terms(counts) @ (self.layers, self.fixed, self.activations))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table as JSON; an older file of that name is replaced only once the new one is complete.

        Parameters
        ----------
        path : path-like
        """
        own = {name: getattr(self, name) for name in _NUMBERS}
        times = {name: asdict(own) for name, own in self.times.items()}
        content = {"format": FORMAT, "version": VERSION, "machine": self.machine, **own, "times": times}
        with replacing(path, "w") as file:
            json.dump(content, file, indent=1)

    @classmethod
    def load(cls, path: str | os.PathLike[str], space: WidthSpace) -> "LatencyTable":
        """Return the table that `save` wrote.

        Parameters
        ----------
        path : path-like
        space : WidthSpace
            The one that was measured, or an equal one.

        Raises
        ------
        ValueError
            The file holds no table, or one of another space.
        OSError
            There is no such file, or it cannot be opened.
        """
        with open(path, encoding="utf-8") as file:
            text = file.read()
        try:
            content = json.loads(text)
            if (content["format"], content["version"]) != (FORMAT, VERSION):
                raise ValueError(f"expected {FORMAT} {VERSION}, got {content['format']} {content['version']}")
            times = {name: _times_of(own) for name, own in content["times"].items()}
            numbers = {name: float(content[name]) for name in _NUMBERS}
            machine = str(content["machine"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{os.fspath(path)}: damaged, or no file of LatencyTable.save ({error})") from error
        table = cls(space, times, **numbers, machine=machine)
        table._check_space(os.fspath(path))
        return table

    def __str__(self) -> str:
        """Return the machine, the time of the whole network, the error, and the layers that take longest."""
        full = self.space.full
        own = {path: self.layers * t(*self._cases[path].channels(full)) for path, t in self.times.items()}
        slowest = sorted(own, key=own.__getitem__, reverse=True)[:5]
        width = max(map(len, slowest), default=0)
        lines = [f"LatencyTable on {self.machine}: {1e3 * self(full):.3f} ms for the whole network"]
        lines.append(f"  error on random sub-networks: median {self.error:.1%}, largest {self.worst:.1%}")
        lines += [f"  {path:<{width}}  {1e3 * own[path]:.3f} ms" for path in slowest]
        return "\n".join(lines)

    def _fitted(self, drawn: list[Counts], seconds: np.ndarray) -> "LatencyTable":
        """Return the table with coefficients fitted to every other network and its error on the rest."""
        from scipy.optimize import nnls

        terms = np.array([self._terms(counts) for counts in drawn])
        # Relative errors count, and the terms are of size 1.
        scale = terms.max(axis=0)
        scale[scale == 0] = 1.0
        weighted = terms / scale / seconds[:, None]
        found = nnls(weighted[::2], np.ones(len(weighted[::2])))[0] / scale
        errors = np.abs(terms[1::2] @ found / seconds[1::2] - 1)
        numbers = dict(zip(_NUMBERS, (*found.tolist(), float(np.median(errors)), float(errors.max())), strict=True))
        return LatencyTable(self.space, self.times, **numbers, machine=self.machine)

    def _terms(self, counts: Counts) -> np.ndarray:
        """Return what the coefficients multiply: seconds, 1, and a share."""
        sizes = {path: self._cases[path].channels(counts) for path in self.times}
        elements = sum(own.positions * sizes[path][1] for path, own in self.times.items())
        whole = sum(own.positions * own.sizes[1] for own in self.times.values())
        return np.array([sum(own(*sizes[path]) for path, own in self.times.items()), 1.0, elements / whole])

    @cached_property
    def _cases(self) -> dict[str, LayerCase]:
        return layer_cases(self.space)

    def _check_space(self, path: str) -> None:
        cases = self._cases
        for name in [*cases, *self.times]:
            if name not in cases or name not in self.times:
                raise ValueError(f"{path}: a table of another space: layer {name!r} is in one of them only")
            if cases[name].sizes != self.times[name].sizes:
                raise ValueError(
                    f"{path}: a table of another space: layer {name!r}: expected {cases[name].sizes} input and output "
                    f"channels, got {self.times[name].sizes}"
                )


def _times_of(own: Mapping[str, Sequence]) -> LayerTimes:
    """Return the times that JSON holds, where tuples have become lists."""
    rows = tuple(tuple(float(second) for second in row) for row in own["seconds"])
    sizes, inputs, outputs = (tuple(int(number) for number in own[key]) for key in ("sizes", "inputs", "outputs"))
    return LayerTimes((sizes[0], sizes[1]), int(own["positions"]), inputs, outputs, rows)  # type: ignore[call-overload]


def _drawn(space: WidthSpace, n: int, rng: np.random.Generator) -> list[Counts]:
    """Return the whole network, the narrowest, and random ones of all sizes; each size twice."""
    found = [space.full, space.full, tuple(1 for _ in space.full), tuple(1 for _ in space.full)]
    for place in range(n - 4):
        lowest = (place // 2 + 1) / ((n - 4) // 2 + 1)
        found.append(space.counts(rng.uniform(0.5 * lowest, lowest, len(space.full)).tolist()))
    return found


def _checked(timer: Timer) -> Timer:
    def checked(model: nn.Module, example_inputs: ExampleInputs) -> float:
        seconds = timer(model, example_inputs)
        if not 0 < seconds < float("inf"):
            raise ValueError(f"timer: expected a positive number of seconds, got {seconds}")
        return seconds

    return checked


def _device(model: nn.Module) -> str:
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
