"""Candidates evaluated for a search: each once, logged at once, in worker processes where that is asked for."""

import math
import os
import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path

from prune_adapters.errors import SearchLogError
from prune_adapters.graph_pruning.search.candidate import Evaluation, Objective
from prune_adapters.graph_pruning.search.log import LoggedCandidate, SearchLog
from prune_adapters.graph_pruning.space.budget import WidthBudget
from prune_adapters.graph_pruning.space.widths import Counts

__all__ = ["Evaluations"]

History = tuple[tuple[Counts, Evaluation], ...]


class Evaluations:
    """The history of a search, which grows as candidates are asked for; a context that holds the worker processes.

    What the log has of this search is not evaluated again, but for its first candidate: the answer shows whether the
    objective is the one that the log is of. A candidate that comes again counts again and keeps its first answer.

    Parameters
    ----------
    objective : callable
    budget : WidthBudget
    limit : int
        Candidates in all.
    log : path, optional
    description : mapping of str to object
        What the history depends on, for the log.
    n_jobs : int
        Processes that evaluate at a time, as joblib counts them.
    told : callable
        Given each candidate's place and evaluation once it is there.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> space = SimpleNamespace(widths=[0], full=(4,), counts=lambda ratios: tuple(int(4 * r) for r in ratios))
    >>> budget = WidthBudget(space, lambda counts: counts[0], limit=4)
    >>> with Evaluations(lambda counts: Evaluation(1 / counts[0], 0.5), budget, limit=3) as evaluations:
    ...     print(evaluations([(4,), (2,)]), evaluations.left)
    [Evaluation(loss=0.25, accuracy=0.5), Evaluation(loss=0.5, accuracy=0.5)] 1
    """

    def __init__(
        self,
        objective: Objective,
        budget: WidthBudget,
        *,
        limit: int,
        log: str | os.PathLike[str] | None = None,
        description: Mapping[str, object] | None = None,
        n_jobs: int = 1,
        told: Callable[[int, Evaluation], None] = lambda place, evaluation: None,
    ) -> None:
        self.limit = limit
        self.history: History = ()
        self._objective, self._budget, self._n_jobs, self._told = objective, budget, n_jobs, told
        self._log = None if log is None else SearchLog(log)
        self._search = "" if self._log is None else self._log.begin(description or {})
        self._logged = {} if self._log is None else self._log.candidates(self._search)
        self._known = {candidate.counts: candidate.evaluation for candidate in self._logged.values()}
        self._open = ExitStack()
        self._workers = None if n_jobs == 1 else _workers(n_jobs)
        self._file: str | None = None

    def __enter__(self) -> "Evaluations":
        return self

    def __exit__(self, *reason: object) -> None:
        self._open.close()

    @property
    def left(self) -> int:
        """How many more candidates may be asked for."""
        return self.limit - len(self.history)

    def __call__(self, batch: Sequence[Counts]) -> list[Evaluation]:
        """Return what the candidates of a batch reached, in order; they are in the history then.

        Parameters
        ----------
        batch : sequence of tuple of int
            At most `left`.
        """
        assert len(batch) <= self.left
        start = len(self.history)
        places: dict[Counts, list[int]] = {}
        for place, counts in enumerate(batch, start):
            self._check_place(place, counts)
            places.setdefault(counts, []).append(place)
        self._record(places, [(counts, self._known[counts]) for counts in places if counts in self._known])
        missing = [counts for counts in places if counts not in self._known]
        self._record(places, zip(missing, self._computed(missing), strict=True))
        found = [self._known[counts] for counts in batch]
        self.history = (*self.history, *zip(batch, found, strict=True))
        return found

    def _record(self, places: Mapping[Counts, list[int]], answers: Iterable[tuple[Counts, Evaluation]]) -> None:
        """Log the answers as they come, so that a search that is stopped has all that were finished."""
        for counts, answer in answers:
            evaluation = self._known[counts] = _checked(counts, answer)
            if self._log is not None:
                candidate = LoggedCandidate(counts, evaluation, float(self._budget.cost(counts)))
                new = [(place, candidate) for place in places[counts] if place not in self._logged]
                if new:
                    self._log.add(self._search, new)
            for place in places[counts]:
                self._told(place, evaluation)

    def _computed(self, missing: Sequence[Counts]) -> Iterator[Evaluation]:
        if self._workers is None or len(missing) < 2:
            return (self._objective(counts) for counts in missing)
        return self._workers(_answer, self._objective_file(), missing)

    def _objective_file(self) -> str:
        """Return where the objective lies, for the workers to read once: it may hold a network and its data."""
        if self._file is None:
            from joblib import wrap_non_picklable_objects

            path = Path(self._open.enter_context(tempfile.TemporaryDirectory()), "objective")
            path.write_bytes(pickle.dumps(wrap_non_picklable_objects(self._objective)))
            self._file = os.fspath(path)
        return self._file

    def _check_place(self, place: int, counts: Counts) -> None:
        logged = self._logged.get(place)
        if logged is None:
            return
        if logged.counts != counts:
            raise SearchLogError(
                f"{self._where()}: candidate {place} is {list(logged.counts)} there, and {list(counts)} is asked for "
                "now: another version, machine or source of the state; give the search a label= or another log="
            )
        if place == 0:
            self._check_answer(counts, logged.evaluation.loss, _checked(counts, self._objective(counts)).loss)

    def _check_answer(self, counts: Counts, logged: float, found: float) -> None:
        if not math.isclose(logged, found, rel_tol=1e-3, abs_tol=1e-6):
            raise SearchLogError(
                f"{self._where()}: {list(counts)} has loss {logged:.6g} there, and the objective gives {found:.6g} "
                "now: another objective, or one that is not the same twice; give the search a label= or another log="
            )

    def _where(self) -> str:
        assert self._log is not None
        return f"{self._log.path}, search {self._search}"


def _checked(counts: Counts, evaluation: Evaluation) -> Evaluation:
    try:
        loss, accuracy = evaluation
        answer = Evaluation(float(loss), float(accuracy))
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"objective({list(counts)}): expected an Evaluation(loss, accuracy), got {evaluation!r}"
        ) from error
    if not all(map(math.isfinite, answer)):
        raise ValueError(
            f"objective({list(counts)}): expected finite numbers, got {answer}; give a sub-network that fails a large "
            "loss instead"
        )
    return answer


Workers = Callable[[Callable[[str, Counts], Evaluation], str, Sequence[Counts]], Iterator[Evaluation]]


def _workers(n_jobs: int) -> Workers:
    """Return what evaluates a batch in processes of joblib, in order and each as soon as it is there."""
    try:
        from joblib import Parallel, delayed
    except ImportError as error:
        raise ImportError(
            f"n_jobs={n_jobs}: joblib is not installed; pip install netgraph-pruning[search], or take n_jobs=1"
        ) from error
    parallel = Parallel(n_jobs=n_jobs, return_as="generator")
    return lambda answer, file, batch: parallel(delayed(answer)(file, counts) for counts in batch)


def _answer(file: str, counts: Counts) -> Evaluation:
    return _read(file)(counts)


@lru_cache(maxsize=1)
def _read(file: str) -> Objective:
    return pickle.loads(Path(file).read_bytes())
