"""One chain of a search: stages, rounds, blocks of steps at one temperature. It can stop and go on at any block."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace

import numpy as np

from netgraph.node_graph import NodeGraph
from netgraph.search.algebraic import algebraic_seed
from netgraph.search.cayley_starts import graph_of_generators, grown, random_generators
from netgraph.search.plan import Stage
from netgraph.search.score import Score, is_connected, score_of
from netgraph.search.tables import Annealer, graph_of_arcs, graph_of_table, open_annealer, random_arcs, table_of

__all__ = ["Annealing", "Budget", "ChainState", "Report", "run_chain", "weigh"]

BLOCKS = 2000
"""Most blocks of a round in steps: each has one temperature."""

BLOCK_STEPS = 20
"""Least steps of a block, so that short searches are not all bookkeeping."""

BLOCK_SECONDS = 0.01
"""What a block should take where seconds are given."""

SAMPLES = 200
"""Random moves from which the first temperature is taken."""

clock = time.monotonic
"""Measures seconds; benchmarks of a busy machine put `time.thread_time` here."""

Report = Callable[["ChainState", float, int], None]
"""Takes a chain, the share of its budget that is used, and the energy of the present graph."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a chain runs: steps, or seconds where `steps` is None.

    Parameters
    ----------
    steps : int or None
    seconds : float
    """

    steps: int | None = None
    seconds: float = 0.0


@dataclass(slots=True)
class ChainState:
    """Where a chain stands: enough to go on as if it had never stopped.

    Parameters
    ----------
    seed : int
        Of the starts that are drawn.
    best : NodeGraph
        The shortest graph of all finished rounds.
    score : tuple of int
        Of `best`.
    stage, round, block : int
        What comes next.
    steps, accepted : int
        What is done, over all stages.
    used : float
        Seconds that are spent.
    until : float
        Steps or seconds at which the stage under way ends.
    trace : list of (steps, stage, energy)
        Whenever the best energy of a stage fell; for Cayley graphs the sum of hops, whenever one was the shortest.
    annealing : Annealing or None
        The stage under way.
    """

    seed: int
    best: NodeGraph
    score: Score
    stage: int = 0
    round: int = 0
    block: int = 0
    steps: int = 0
    accepted: int = 0
    used: float = 0.0
    until: float = 0.0
    trace: list[tuple[int, int, int]] = field(default_factory=list)
    annealing: "Annealing | None" = None


@dataclass(slots=True)
class Annealing:
    """The part of the state that an annealer holds, and what its round began with.

    Parameters
    ----------
    cells, best_cells : ndarray
        Of the present and the best graph of the stage.
    random, best, at_best, accepted
        As the annealer has them.
    hot : float
        First temperature of the round.
    steps : int
        Of the round.
    first_second, seconds : float
        When the round began, in seconds spent, and how long it may take.
    """

    cells: np.ndarray
    best_cells: np.ndarray
    random: int
    best: int
    at_best: bool
    accepted: int
    hot: float
    steps: int
    first_second: float
    seconds: float


def run_chain(
    stages: tuple[Stage, ...],
    state: ChainState,
    budget: Budget,
    *,
    stop: threading.Event | None = None,
    report: Report | None = None,
) -> ChainState:
    """Return the state after the budget is spent, or at the first block after `stop` is set."""
    state = replace(state, trace=list(state.trace), annealing=deepcopy(state.annealing))
    for share, energy in _blocks(stages, state, budget):
        if report is not None:
            report(state, share, energy)
        if stop is not None and stop.is_set():
            break
    return state


def _blocks(stages: tuple[Stage, ...], state: ChainState, budget: Budget) -> Iterator[tuple[float, int]]:
    """Go on block by block, leaving `state` complete at each: yield the share of the budget and the present energy."""
    while state.stage < len(stages) and _spent(state, budget) < _whole(budget):
        stage = stages[state.stage]
        if state.annealing is None and state.round == 0:
            spent = _spent(state, budget)
            until = spent + stage.share * (_whole(budget) - spent)
            state.until = until if budget.steps is None else math.ceil(until)
        yield from _round(stage, state, budget)
        _close_round(stage, state, budget)


def _whole(budget: Budget) -> float:
    return budget.seconds if budget.steps is None else budget.steps


def _spent(state: ChainState, budget: Budget) -> float:
    return state.used if budget.steps is None else state.steps


def _round(stage: Stage, state: ChainState, budget: Budget) -> Iterator[tuple[float, int]]:
    """Run the blocks of the round that the state is in."""
    start = clock()
    annealer = _open(stage, state, budget)
    now = state.annealing
    assert now is not None
    pace = BLOCK_STEPS
    while (done := _done(now, state, budget)) < 1 and annealer.best > stage.enough:
        steps = _block_steps(now, state, budget, pace)
        temperature = now.hot * (stage.cold / now.hot) ** done if now.hot else 0.0
        before, accepted = annealer.best, annealer.accepted
        ran = annealer.run(steps, temperature, stage.enough)
        taken, start = clock() - start, clock()
        pace = max(1, min(4 * steps, round(steps * BLOCK_SECONDS / max(taken, 1e-6))))
        state.steps, state.block, state.used = state.steps + ran, state.block + 1, state.used + taken
        state.accepted += annealer.accepted - accepted
        _keep(annealer, now)
        if annealer.best < before and stage.kind != "Cayley":
            state.trace.append((state.steps, state.stage, annealer.best))
        yield _share(state, budget), annealer.energy


def _share(state: ChainState, budget: Budget) -> float:
    return min(1.0, _spent(state, budget) / _whole(budget))


def _done(now: Annealing, state: ChainState, budget: Budget) -> float:
    """Return the share of the round that is done."""
    if budget.steps is None:
        return (state.used - now.first_second) / now.seconds
    return state.block / _n_blocks(now.steps)


def _n_blocks(steps: int) -> int:
    return max(1, min(BLOCKS, steps // BLOCK_STEPS))


def _block_steps(now: Annealing, state: ChainState, budget: Budget, pace: int) -> int:
    if budget.steps is None:
        return pace
    blocks = _n_blocks(now.steps)
    return now.steps * (state.block + 1) // blocks - now.steps * state.block // blocks


def _open(stage: Stage, state: ChainState, budget: Budget) -> Annealer:
    """Return the annealer of the round, anew or as it was left."""
    now = state.annealing
    if now is not None and state.block > 0:
        annealer = open_annealer(stage.kind, now.cells, stage.option, now.random)
        annealer.restore(now.best_cells, now.best, now.accepted, now.at_best)
        return annealer
    rng = np.random.default_rng([state.seed, state.stage, state.round])
    cells = now.best_cells if now is not None else _start(stage, state, rng)
    annealer = open_annealer(stage.kind, cells, stage.option, int(rng.integers(1 << 63)))
    start = clock()
    rise = annealer.rise(SAMPLES)
    hot = stage.hot or 0.5 * rise
    left = max(0.0, state.until - _spent(state, budget))
    wanted = stage.round_steps * ((clock() - start) / SAMPLES if budget.steps is None else 1)
    rounds = max(1, round(left / wanted)) if wanted else 1
    state.annealing = Annealing(
        cells=cells,
        best_cells=cells.copy(),
        random=annealer.random,
        best=annealer.best,
        at_best=True,
        accepted=0,
        hot=max(hot, stage.cold) if hot else 0.0,
        steps=0 if budget.steps is None else math.ceil(left / rounds),
        first_second=state.used,
        seconds=left / rounds,
    )
    return annealer


def _start(stage: Stage, state: ChainState, rng: np.random.Generator) -> np.ndarray:
    """Return the cells that a stage begins with."""
    n_nodes, degree = state.best.n_nodes, int(state.best.degrees.max())
    if stage.start == "algebraic":
        return table_of(algebraic_seed(n_nodes, degree, rng))
    if stage.start == "graph":
        return table_of(state.best)
    while True:
        if stage.kind == "Cayley":
            cells = random_generators(n_nodes, degree, rng)
        else:
            cells = random_arcs(n_nodes, degree, stage.option, rng)
        if is_connected(_graph_of(stage, cells)):
            return cells


def _graph_of(stage: Stage, cells: np.ndarray) -> NodeGraph:
    if stage.kind == "Cayley":
        return graph_of_generators(cells)
    return graph_of_arcs(cells, stage.option) if stage.kind == "Lifts" else graph_of_table(cells)


def _keep(annealer: Annealer, now: Annealing) -> None:
    """Copy the state of the annealer."""
    annealer.cells(now.cells)
    annealer.best_cells(now.best_cells)
    now.random, now.best, now.accepted = annealer.random, annealer.best, annealer.accepted
    now.at_best = annealer.at_best


def _close_round(stage: Stage, state: ChainState, budget: Budget) -> None:
    """Weigh the best graph of the round, and go on to the next round or stage."""
    now = state.annealing
    assert now is not None
    weigh(stage, state)
    state.block = 0
    state.round += 1
    again = stage.round_steps and now.best > stage.enough and _spent(state, budget) < state.until
    if not again:
        state.stage, state.round = state.stage + 1, 0
    if not again or stage.anew:
        state.annealing = None


def weigh(stage: Stage, state: ChainState) -> None:
    """Take the best graph of a round if it is shorter than the best so far."""
    now = state.annealing
    if now is None:
        return
    found = _graph_of(stage, now.best_cells)
    if stage.kind == "Cayley":
        if now.best * state.best.n_nodes > state.score[0]:
            return  # with fewer nodes it is longer already
        found = grown(found, state.best.n_nodes, np.random.default_rng([state.seed, state.stage, state.round, 1]))
    if not is_connected(found):
        return
    score = score_of(found)
    if score < state.score:
        state.best, state.score = found, score
        if stage.kind == "Cayley":
            state.trace.append((state.steps, state.stage, score[0]))
