"""Shorter paths by moving edges: the order/degree problem for a given graph or its number of nodes and degree."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import replace

import numpy as np

from netgraph.errors import GraphStructureError, InfeasibleDegreeError
from netgraph.node_graph import NodeGraph
from netgraph.paths import aspl_lower_bound
from netgraph.search.plan import METHODS, stages_of
from netgraph.search.result import SearchProgress, SearchState, Shortened, path_length_of, result_of
from netgraph.search.schedule import Budget, ChainState, Report, run_chain
from netgraph.search.score import is_connected, score_of

__all__ = ["resume", "shorten"]

OBJECTIVES = ("path_length", "four_cycles")


def shorten(
    graph: NodeGraph,
    *,
    steps: int | None = None,
    seconds: float | None = None,
    method: str = "auto",
    symmetry: int | None = None,
    objective: str = "path_length",
    chains: int = 1,
    threads: int | None = None,
    backend: str | None = None,
    seed: int | np.random.Generator | None = None,
    progress: Callable[[SearchProgress], None] | None = None,
) -> Shortened:
    """Return a graph with the degrees of `graph` and a mean path length that is as short as can be found.

    Simulated annealing over double edge swaps, which keep all degrees. The result is never longer than `graph`. An
    interrupt from the keyboard ends the search and keeps what it has found.

    Parameters
    ----------
    graph : NodeGraph
        Connected, of at most 65536 nodes. It is not changed.
    steps : int or None
        Moves that each chain tries. The result depends on `graph`, the options, `seed` and `chains` only: not on the
        number of threads, the processor or whether there are compiled kernels.
    seconds : float or None
        Time for all chains together, in place of `steps`. How many steps that is depends on the machine.
    method : {"auto", "swaps", "pairs", "symmetric", "cayley", "algebraic"}
        - "swaps": the sum of all hops after each swap.
        - "pairs": only the pairs more than two hops apart are counted, which costs the square of the degree and not of
          the nodes; exact for diameters up to 3.
        - "symmetric": starts anew at random graphs with a rotation symmetry and keeps it, for most of the budget; then
          swaps single edges. Best nearly everywhere, for numbers of nodes that a power of two divides.
        - "cayley": looks at Cayley graphs of semidirect products of cyclic groups, of as many nodes or of a few less:
          then nodes are put into edges. Then swaps single edges.
        - "algebraic": starts at an affine polarity graph, for 4^m nodes and degrees near 2^m.
        - "auto": what suits the numbers of nodes and edges. For regular graphs that may be one of the last three, which
          use no more of `graph` than its size and degree, or two of them one after the other.
    symmetry : int or None
        Order of the rotation, 4, 8, 16, 32 or 64; 1 for no symmetry. None: chosen by the method, for about 8 orbits.
    objective : {"path_length", "four_cycles"}
        Path length; once the diameter is 2 it cannot fall any more, and what is left of the budget goes to removing
        4-cycles, which widens the spectral gap. "four_cycles" does that at once, without longer paths.
    chains : int
        Independent searches, of which the best result is kept.
    threads : int or None
        Chains that run at a time; None: as many as there are processors.
    backend : str or None
        Name of a joblib backend ("loky", "dask", ...) that runs the chains in place of threads. It reports no progress,
        and an interrupt keeps nothing.
    seed : int, numpy.random.Generator or None
    progress : callable or None
        Is given a `SearchProgress` after each block of steps, from one thread at a time.

    Returns
    -------
    Shortened

    Raises
    ------
    GraphStructureError
        The graph is not connected.
    InfeasibleDegreeError
        The graph has fewer than two nodes.
    TypeError
        `graph` is no NodeGraph, or `steps` no whole number.
    ValueError
        Neither or both of `steps` and `seconds` are given, an option is unknown, or the graph does not suit the method.

    References
    ----------
    The order/degree problem: Koibuchi et al., "Graph Golf", research.nii.ac.jp/graphgolf. Counting pairs: Shimizu and
    Mori (2016), exact here and kept up to date swap by swap. Cayley graphs and new nodes: Kitasuka, Matsuzaki and Iida
    (2018), IEICE Transactions E101-D.

    Examples
    --------
    Ten nodes of degree 3 on a ring with chords find the Petersen graph, or one as short:

    >>> ring = NodeGraph.from_edges(10, [(i, (i + k) % 10) for i in range(10) for k in (1, 5) if k == 1 or i < 5])
    >>> found = shorten(ring, steps=2000, seed=0)
    >>> found.diameter, found.gap
    (2, 0.0)
    """
    _check(graph, steps, seconds, method, objective)
    if chains < 1 or (threads is not None and threads < 1):
        raise ValueError(f"chains and threads: expected at least 1, got {chains} and {threads}")
    stages = stages_of(graph, method=method, objective=objective, group=symmetry)
    threads = min(chains, threads or os.cpu_count() or 1)
    budget = Budget(steps, (seconds or 0.0) / -(-chains // threads))
    seeds = np.random.default_rng(seed).integers(1 << 63, size=chains).tolist()
    score = score_of(graph)
    state = SearchState(stages, budget, tuple(ChainState(s, graph, score) for s in seeds), threads)
    return resume(state, backend=backend, progress=progress)


def resume(
    search: Shortened | SearchState,
    *,
    backend: str | None = None,
    progress: Callable[[SearchProgress], None] | None = None,
) -> Shortened:
    """Return the result of a search that goes on where it was interrupted, with what was left of its budget.

    A search in steps ends at the same graph as one that was never interrupted.

    Parameters
    ----------
    search : Shortened or SearchState
        The result that `shorten` returned when it was interrupted, or its `state`. It is not changed.
    backend : str or None
        As for `shorten`.
    progress : callable or None
        As for `shorten`.

    Returns
    -------
    Shortened

    Raises
    ------
    TypeError
        `search` is neither.

    Examples
    --------
    >>> ring = NodeGraph.from_edges(10, [(i, (i + k) % 10) for i in range(10) for k in (1, 5) if k == 1 or i < 5])
    >>> def press_ctrl_c(progress):
    ...     raise KeyboardInterrupt
    >>> half = shorten(ring, steps=2000, seed=0, progress=press_ctrl_c)
    >>> half.finished, resume(half).graph == shorten(ring, steps=2000, seed=0).graph
    (False, True)
    """
    state = search.state if isinstance(search, Shortened) else search
    if not isinstance(state, SearchState):
        raise TypeError(f"search: expected a Shortened or its state, got {type(search).__name__}")
    if backend is None:
        chains, stopped = _in_threads(state, progress)
    else:
        chains, stopped = _in_joblib(state, backend), False
    return result_of(replace(state, chains=tuple(chains)), finished=not stopped)


def _check(graph: NodeGraph, steps: int | None, seconds: float | None, method: str, objective: str) -> None:
    if not isinstance(graph, NodeGraph):
        raise TypeError(f"graph: expected a NodeGraph, got {type(graph).__name__}; NodeGraph.from_networkx makes one")
    if (steps is None) == (seconds is None):
        raise ValueError("steps, seconds: expected one of them, steps= for a result that repeats")
    if (steps if steps is not None else seconds or 0) <= 0:
        raise ValueError(f"steps, seconds: expected more than 0, got {steps if steps is not None else seconds}")
    if steps is not None and not isinstance(steps, int | np.integer):
        raise TypeError(f"steps: expected a whole number, got {steps!r}")
    for name, value, known in (("method", method, METHODS), ("objective", objective, OBJECTIVES)):
        if value not in known:
            raise ValueError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
    if graph.n_nodes < 2:
        raise InfeasibleDegreeError(f"graph: expected at least 2 nodes, got {graph.n_nodes}")
    if not is_connected(graph):
        raise GraphStructureError(
            "graph: expected a connected graph, got one in pieces, whose path length has no meaning; join them first"
        )


def _in_threads(state: SearchState, progress: Callable[[SearchProgress], None] | None) -> tuple[list[ChainState], bool]:
    """Run the chains in threads: the calling thread waits, so that an interrupt never meets a chain half way.

    Chains that an interrupt keeps from starting stay as they are.
    """
    stop, lock = threading.Event(), threading.Lock()
    futures: list[Future[ChainState]] = []

    def run(number: int) -> ChainState:
        report = None if progress is None else _reporter(state, number, progress, lock, stop)
        return run_chain(state.stages, state.chains[number], state.budget, stop=stop, report=report)

    with ThreadPoolExecutor(state.threads) as pool:
        try:
            futures.extend(pool.submit(run, number) for number in range(len(state.chains)))
            wait(futures, return_when=FIRST_EXCEPTION)
        except KeyboardInterrupt:
            stop.set()
        chains = _results(futures, stop)
    return [*chains, *state.chains[len(chains) :]], stop.is_set()


def _results(futures: list[Future[ChainState]], stop: threading.Event) -> list[ChainState]:
    try:
        return [future.result() for future in futures]
    except BaseException:
        stop.set()
        raise


def _reporter(
    state: SearchState,
    number: int,
    progress: Callable[[SearchProgress], None],
    lock: threading.Lock,
    stop: threading.Event,
) -> Report:
    n_nodes = state.chains[number].best.n_nodes
    bound = aspl_lower_bound(n_nodes, int(state.chains[number].best.degrees.max()))

    def report(chain: ChainState, share: float, energy: int) -> None:
        stage = state.stages[chain.stage]
        best = chain.annealing.best if chain.annealing is not None else energy
        current, least = (path_length_of(stage, chain.best, value) for value in (energy, best))
        if stage.kind == "Cayley":  # whose energies are those of graphs of several sizes
            current = least = float("nan")
        with lock:
            try:
                progress(SearchProgress(number, share, chain.steps, current, least, bound))
            except KeyboardInterrupt:
                stop.set()

    return report


def _in_joblib(state: SearchState, backend: str) -> list[ChainState]:
    from joblib import Parallel, delayed, parallel_config

    jobs = (delayed(run_chain)(state.stages, chain, state.budget) for chain in state.chains)
    with parallel_config(backend, n_jobs=state.threads):  # which registers dask, and Parallel(backend=) does not
        chains: list[ChainState] = Parallel()(jobs)
    return chains
