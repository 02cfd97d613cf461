"""One study of GraphPruning: a network, a budget, the net that holds weights, and what each search finds."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from torch import nn

import prune_adapters as pa
from graphpruning_tasks import NETWORKS, Pictures, fitted, pictures, with_dead_block

__all__ = ["FINALS", "SEARCHES", "STUDIES", "Counts", "Lengths", "Study", "Subject"]

CALIBRATION = 400
Counts = tuple[int, ...]


@dataclass(frozen=True)
class Lengths:
    """How long everything takes: steps of the net that holds weights, evaluations, steps from scratch."""

    supernet: int
    evaluations: int
    scratch: int


@dataclass(frozen=True)
class Subject:
    """A network and a budget: the share of its multiply-adds, and the smallest ratio of a width."""

    title: str
    share: float
    lowest: float
    dead_block: bool = False


STUDIES = {
    "dead": Subject("a block of no effect, six times too wide, 20 % of the multiply-adds", 0.2, 0.15, True),
    "half": Subject("50 % of the multiply-adds", 0.5, 0.15),
    "third": Subject("30 % of the multiply-adds", 0.3, 0.15),
}
SEARCHES: dict[str, Callable[..., pa.SearchResult]] = {
    "random": pa.random_search,
    "evolution": pa.evolution_search,
    "cross entropy": pa.cross_entropy_search,
    "GraphPruning": pa.policy_search,
}
STARTED = ("uniform", "evolution", "GraphPruning")
FINALS = ("uniform", "L1", "L1, its weights", *SEARCHES, *(f"{name}, generated start" for name in STARTED))


@dataclass(frozen=True)
class Study:
    """A subject with everything that is done to it; what is done is kept in a folder, and done once."""

    name: str
    network: str
    folder: Path
    data: Path | None
    lengths: Lengths
    kind: str = "generated"
    sandwich: bool = True
    seed: int = 0

    @property
    def subject(self) -> Subject:
        """What is studied."""
        return STUDIES[self.name]

    @cached_property
    def pictures(self) -> Pictures:
        """The data."""
        return pictures(self.data)

    @cached_property
    def space(self) -> pa.WidthSpace:
        """The widths of the network."""
        return pa.width_space(self._whole(), self.pictures.example)

    @cached_property
    def budget(self) -> pa.WidthBudget:
        """The multiply-adds that a sub-network may have."""
        space = self.space
        return pa.WidthBudget(space, space.macs, self.subject.share * space.macs(space.full), self.subject.lowest)

    @cached_property
    def net(self) -> pa.PruningNet:
        """The net that holds weights, trained."""
        net = pa.PruningNet(self.space, kind=self.kind, seed=self.seed)
        steps, path = self.lengths.supernet, self.folder / f"{self.label}.pt"
        kinds = {"lowest": self.subject.lowest, "sandwich": self.sandwich, "distill": self.sandwich}
        start, was_there = time.process_time(), path.exists()
        pa.train_pruning_net(net, self.pictures.train, steps=steps, seed=self.seed, checkpoint=path, **kinds)
        if not was_there:
            print(f"{self.label}: {1000 * (time.process_time() - start) / steps:.0f} ms of CPU a step")
        return net

    @property
    def label(self) -> str:
        """What tells nets, and so searches, apart."""
        rule = "" if self.sandwich else "-single"
        return f"{self._whole_name}-{self.kind}{rule}-{self.lengths.supernet}-{self.seed}"

    def objective(self, part: int = 0) -> Callable[[Counts], pa.Evaluation]:
        """Return what is asked of a candidate, on the first part of the held-out pictures, or the second."""
        x, y = self.pictures.holdout
        n = 2 * len(x) // 5
        kept = slice(n) if part == 0 else slice(n, None)
        calibration = self.pictures.train[0][:CALIBRATION]
        return partial(pa.evaluate, self.net, calibration=calibration, holdout=(x[kept], y[kept]))

    @cached_property
    def searches(self) -> dict[str, pa.SearchResult]:
        """What each search finds."""
        return {name: self.searched(name) for name in SEARCHES}

    @cached_property
    def found(self) -> dict[str, Counts]:
        """The widths by each way of choosing them."""
        l1 = pa.l1_widths(self._base(self.seed), self.budget)
        return {"uniform": self.budget.uniform, "L1": l1} | {
            name: result.best for name, result in self.searches.items()
        }

    def searched(self, name: str, **more: object) -> pa.SearchResult:
        """Return what a search finds; its log goes on where it was stopped."""
        if SEARCHES[name] is pa.policy_search:
            more = {"state": pa.aggregated_state(self.net)} | more
        label = " ".join([self.label, *(key for key in more if key != "state")])
        options = {"evaluations": self.lengths.evaluations, "seed": self.seed, "log": self.folder / "searches.sqlite"}
        return SEARCHES[name](self.objective(), self.budget, label=label, **options, **more)

    def worth(self, name: str, seed: int) -> pa.Evaluation:
        """Return what is reached on the test pictures after training, all for the same number of steps."""
        counts = self.found[name.partition(",")[0]]
        return self.logged(name, counts, seed, lambda: self._trained(name, counts, seed))

    def from_scratch(self, counts: Counts, seed: int) -> pa.Evaluation:
        """Return what a sub-network reaches on the test pictures after training from scratch."""
        return self.logged("scratch", counts, seed, lambda: self._trained("scratch", counts, seed))

    def logged(self, name: str, counts: Counts, seed: int, train: Callable[[], nn.Module]) -> pa.Evaluation:
        """Return how good a trained network is, from the log if it is there."""
        log = pa.SearchLog(self.folder / "trained.sqlite")
        own = {"network": self._whole_name, "counts": counts, "seed": seed, "steps": self.lengths.scratch}
        if name.endswith("generated start"):
            own |= {"start": self.label}
        elif name.endswith("its weights"):
            own |= {"start": "own"}
        place = log.begin(own)
        known = log.candidates(place)
        if not known:
            evaluation = pa.evaluate_model(train(), self.pictures.test)
            log.add(place, [(0, pa.LoggedCandidate(counts, evaluation, self.space.macs(counts)))])
            known = log.candidates(place)
        return known[0].evaluation

    def _trained(self, name: str, counts: Counts, seed: int) -> nn.Module:
        steps, train = self.lengths.scratch, self.pictures.train
        if name.endswith("generated start"):
            model = pa.sub_network(
                self.space, counts, init="generated", generator=self.net, calibration=train[0][:CALIBRATION]
            )
        elif name.endswith("its weights"):
            model = pa.sub_network(self.space, counts, model=self._base(seed), calibration=train[0][:CALIBRATION])
            steps //= 2
        else:
            model = pa.sub_network(self.space, counts, init="scratch", seed=seed)
        return fitted(model, train, steps=steps, seed=seed)

    @property
    def _whole_name(self) -> str:
        return self.network + ("-dead" if self.subject.dead_block else "")

    def _whole(self) -> nn.Sequential:
        model = NETWORKS[self.network]()
        return with_dead_block(model) if self.subject.dead_block else model

    def _base(self, seed: int) -> nn.Module:
        """Return the whole network after half of the steps; what is cut out of it has the other half."""
        if seed not in self._bases:
            whole = pa.sub_network(self.space, self.space.full, init="scratch", seed=seed)
            self._bases[seed] = fitted(whole, self.pictures.train, steps=self.lengths.scratch // 2, seed=seed)
        return self._bases[seed]

    @cached_property
    def _bases(self) -> dict[int, nn.Module]:
        return {}
