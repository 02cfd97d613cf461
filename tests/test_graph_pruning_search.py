"""Budgets, the log and the searches that draw candidates, on landscapes with a known answer."""

import sqlite3
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from landscape import Sizes, Slopes, slopes
from prune_adapters.errors import SearchLogError
from prune_adapters.graph_pruning.search.candidate import Evaluation, SearchResult
from prune_adapters.graph_pruning.search.cross_entropy import cross_entropy_search
from prune_adapters.graph_pruning.search.drawn import random_search, uniform_search
from prune_adapters.graph_pruning.search.evolution import evolution_search
from prune_adapters.graph_pruning.search.log import LoggedCandidate, SearchLog
from prune_adapters.graph_pruning.space.budget import WidthBudget
from prune_adapters.graph_pruning.space.widths import Counts

Searched = Callable[..., SearchResult]
SEARCHES = [random_search, evolution_search, cross_entropy_search]
each_search = pytest.mark.parametrize("search", SEARCHES, ids=lambda search: search.__name__)


def budgets(seed: int) -> Iterator[tuple[WidthBudget, np.random.Generator]]:
    """Yield random spaces with random budgets that hold something, of separate prices and of layers in a row."""
    rng = np.random.default_rng(seed)
    for _ in range(30):
        n = int(rng.integers(1, 8))
        space = Sizes(tuple(rng.integers(1, 90, n).tolist()), tuple(rng.integers(1, 9, n).tolist()))
        cost = space.macs if rng.random() < 0.5 else space.chained
        lowest = float(rng.choice([0.02, 0.1, 0.5]))
        smallest, whole = cost(space.counts([lowest] * n)), cost(space.full)
        yield WidthBudget(space, cost, float(rng.uniform(smallest, 1.1 * whole)), lowest), rng


def interrupted(objective: Slopes, after: int) -> Callable[[Counts], Evaluation]:
    """Return an objective that fails once it has answered so often."""
    calls = iter(range(after))

    def answer(counts: Counts) -> Evaluation:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return objective(counts)

    return answer


class Counted:
    def __init__(self, objective: Slopes) -> None:
        self.objective, self.calls = objective, 0

    def __call__(self, counts: Counts) -> Evaluation:
        self.calls += 1
        return self.objective(counts)


def test_projection_goes_as_near_to_the_limit_as_one_factor_does() -> None:
    for budget, rng in budgets(0):
        ratios = rng.uniform(0.05, 1, len(budget.space.widths))
        counts = budget.project(ratios.tolist())
        factors = np.linspace(0, 1 / ratios.min(), 2001)
        scaled = {budget.space.counts(np.clip(f * ratios, budget.lowest, 1).tolist()) for f in factors}
        best = max((c for c in scaled if budget.fits(c)), key=sum)

        assert budget.fits(counts)
        assert np.all(np.array(counts) >= best)
        assert all(counts == c or not budget.fits(c) for c in scaled if np.all(np.array(c) >= counts))


def test_projection_gives_the_room_that_is_left_to_the_earlier_of_equal_widths() -> None:
    space = Sizes((8, 8, 8), (1, 1, 1))

    assert WidthBudget(space, space.macs, 14).project([1.0] * 3) == (5, 5, 4)
    assert WidthBudget(space, space.macs, 14).project([0.01] * 3) == (5, 5, 4)
    assert WidthBudget(space, space.macs, 100).project([0.5, 0.1, 0.1]) == (8, 8, 8)


def test_projection_keeps_the_proportions() -> None:
    space = Sizes((100, 100), (1, 1))

    assert WidthBudget(space, space.macs, 60).project([0.4, 0.2]) == (40, 20)
    assert WidthBudget(space, space.macs, 60).project([0.9, 0.001]) == (50, 10)


def test_behind_the_wall_the_rest_always_fits() -> None:
    for budget, rng in budgets(1):
        earlier: list[float] = []
        for place in range(len(budget.space.widths)):
            wanted = float(rng.uniform(0, 1.2))
            ratio = budget.wall(place, earlier, wanted)
            later = [budget.lowest] * (len(budget.space.widths) - place - 1)

            assert budget.lowest <= ratio <= max(budget.lowest, min(wanted, 1))
            more = min(ratio * (1 + 1e-9) + 1e-9, 1.0)
            if ratio < min(max(wanted, budget.lowest), 1):
                assert not budget.fits(budget.space.counts([*earlier, more, *later]))
            earlier.append(ratio)

        assert budget.fits(budget.space.counts(earlier))


def test_a_budget_that_nothing_fits_says_what_to_do() -> None:
    space = Sizes((10, 10), (3, 2))

    with pytest.raises(ValueError, match=r"limit 4: .* lowest ratio 0.1 cost 5 already \(the full network 50\); raise"):
        WidthBudget(space, space.macs, 4)
    with pytest.raises(ValueError, match=r"lowest: expected a ratio in \(0, 1\], got 0"):
        WidthBudget(space, space.macs, 40, lowest=0)
    with pytest.raises(ValueError, match="limit: expected a number above 0"):
        WidthBudget(space, space.macs, float("nan"))


def test_ratios_that_do_not_go_with_the_widths_are_refused() -> None:
    space = Sizes((10, 10), (1, 1))
    budget = WidthBudget(space, space.macs, 10)

    with pytest.raises(ValueError, match="ratios: expected 2 positive numbers"):
        budget.project([0.5])
    with pytest.raises(ValueError, match="ratios: expected 2 positive numbers"):
        budget.project([0.5, 0.0])
    with pytest.raises(ValueError, match="earlier: expected 1 ratios"):
        budget.wall(1, [], 0.5)
    with pytest.raises(ValueError, match="no ratio of width 1 fits after"):
        budget.wall(1, [1.0], 0.5)


def closed(search: Searched, seed: int, evaluations: int = 200) -> float:
    """Return the share of the way from the uniform candidate to the best one that a search has gone."""
    objective, budget = slopes(seed)
    start = uniform_search(objective, budget, progress=False).evaluation.loss
    found = search(objective, budget, evaluations=evaluations, seed=seed, progress=False).evaluation.loss
    return (start - found) / (start - objective.least(budget))


def test_evolution_and_cross_entropy_close_most_of_the_gap_and_random_does_not() -> None:
    seeds = range(3)
    random, evolution, entropy = (np.mean([closed(search, seed) for seed in seeds]) for search in SEARCHES)

    assert evolution > 0.8
    assert entropy > 0.9
    assert random < min(evolution, entropy) - 0.1
    assert max(evolution, entropy) <= 1.01  # rounding to channels may gain a little on the best ratios


@each_search
def test_every_candidate_fits_and_there_are_exactly_as_many_as_wanted(search: Searched) -> None:
    objective, budget = slopes()
    found = search(objective, budget, evaluations=47, progress=False)
    losses = [evaluation.loss for _, evaluation in found.history]

    assert len(found.history) == 47
    assert all(budget.fits(counts) for counts, _ in found.history)
    assert found.evaluation.loss == min(losses)
    assert found.best == found.history[int(np.argmin(losses))][0]


@each_search
def test_the_same_seed_has_the_same_history(search: Searched) -> None:
    objective, budget = slopes()
    first, again, other = (search(objective, budget, evaluations=45, seed=s, progress=False) for s in (3, 3, 4))

    assert first == again
    assert first.history != other.history


@each_search
def test_a_search_that_was_stopped_ends_with_the_same_history(search: Searched, tmp_path: Path) -> None:
    objective, budget = slopes()
    log = tmp_path / "search.db"
    whole = search(objective, budget, evaluations=70, progress=False)
    for after in (7, 30):
        with pytest.raises(KeyboardInterrupt):
            search(interrupted(objective, after), budget, evaluations=70, log=log, progress=False)
    last = Counted(objective)
    resumed = search(last, budget, evaluations=70, log=log, progress=False)

    assert resumed == whole
    assert last.calls == 70 - 7 - 29 + 1  # the first candidate is asked for again each time
    assert search(objective, budget, evaluations=70, log=log, progress=False) == whole


@each_search
def test_a_longer_search_begins_as_a_shorter_one(search: Searched, tmp_path: Path) -> None:
    objective, budget = slopes()
    log = tmp_path / "search.db"
    short = search(objective, budget, evaluations=33, log=log, progress=False)
    longer = search(objective, budget, evaluations=60, log=log, progress=False)

    assert longer.history[:33] == short.history
    assert len(SearchLog(log).searches()) == 1


@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=pytest.mark.slow)])
def test_workers_change_nothing(backend: str, tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    objective, budget = slopes()
    alone = evolution_search(objective, budget, evaluations=45, progress=False)
    log = tmp_path / "search.db"

    def wrapped(counts: Counts) -> Evaluation:  # plain pickle cannot take a function from here
        return objective(counts)

    with joblib.parallel_config(backend):
        assert evolution_search(wrapped, budget, evaluations=45, n_jobs=2, log=log, progress=False) == alone
    assert evolution_search(objective, budget, evaluations=45, log=log, progress=False) == alone


def test_the_log_has_every_candidate_with_its_cost(tmp_path: Path) -> None:
    objective, budget = slopes()
    found = random_search(objective, budget, evaluations=25, log=tmp_path / "search.db", progress=False)
    log = SearchLog(tmp_path / "search.db")
    ((name, description),) = log.searches().items()

    wanted = {place: LoggedCandidate(c, e, budget.cost(c)) for place, (c, e) in enumerate(found.history)}
    assert log.candidates(name) == wanted
    assert (description["algorithm"], description["seed"], description["limit"]) == ("random", 0, budget.limit)


def test_searches_in_one_file_are_kept_apart(tmp_path: Path) -> None:
    objective, budget = slopes()
    log = tmp_path / "search.db"
    ways = [{"seed": 0}, {"seed": 1}, {"label": "again"}, {"reward": "accuracy"}]
    alone = [random_search(objective, budget, evaluations=9, progress=False, **way) for way in ways]
    logged = [random_search(objective, budget, evaluations=9, progress=False, log=log, **way) for way in ways]

    assert logged == alone
    assert len(SearchLog(log).searches()) == len(ways)


def test_another_objective_is_not_answered_from_the_log(tmp_path: Path) -> None:
    objective, budget = slopes(0)
    log = tmp_path / "search.db"
    random_search(objective, budget, evaluations=9, log=log, progress=False)
    other = Slopes(objective.full, objective.rates, objective.heights)

    with pytest.raises(SearchLogError, match="another objective, or one that is not the same twice; give the search a"):
        random_search(other, budget, evaluations=9, log=log, progress=False)


def test_candidates_that_the_log_does_not_expect_are_refused(tmp_path: Path) -> None:
    objective, budget = slopes(0)
    log = tmp_path / "search.db"
    random_search(objective, budget, evaluations=9, log=log, progress=False)
    with sqlite3.connect(log) as database:
        database.execute("UPDATE candidates SET counts = '[1, 2]' WHERE place = 4")
    database.close()

    with pytest.raises(SearchLogError, match=r"candidate 4 is \[1, 2\] there, and"):
        random_search(objective, budget, evaluations=9, log=log, progress=False)


def test_a_file_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    objective, budget = slopes()
    text, foreign = tmp_path / "notes.txt", tmp_path / "foreign.db"
    text.write_text("no database, and longer than the head of one " * 9)
    with sqlite3.connect(foreign) as database:
        database.execute("CREATE TABLE results (a)")
    database.close()
    before = foreign.read_bytes()

    with pytest.raises(SearchLogError, match="damaged, or no log of a search"):
        random_search(objective, budget, evaluations=3, log=text, progress=False)
    with pytest.raises(SearchLogError, match="the tables of another program"):
        random_search(objective, budget, evaluations=3, log=foreign, progress=False)
    with pytest.raises(SearchLogError, match="cannot be opened"):
        random_search(objective, budget, evaluations=3, log=tmp_path / "none" / "search.db", progress=False)
    assert foreign.read_bytes() == before


def test_what_an_objective_may_not_answer() -> None:
    _, budget = slopes()

    with pytest.raises(ValueError, match=r"objective\(\[.*\]\): expected finite numbers"):
        random_search(lambda counts: Evaluation(float("nan"), 0.5), budget, evaluations=3, progress=False)
    with pytest.raises(TypeError, match=r"expected an Evaluation\(loss, accuracy\), got 0.5"):
        random_search(lambda counts: 0.5, budget, evaluations=3, progress=False)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"evaluations": 0}, "evaluations: expected at least 1, got 0"),
        ({"reward": "speed"}, "reward: expected one of loss, accuracy, got 'speed'"),
        ({"n_jobs": 0}, "n_jobs: expected"),
        ({"population": 1}, "population: expected at least 2, got 1"),
        ({"parents": 21}, "parents: expected 1 to population = 20, got 21"),
        ({"mutation": 0.0}, "mutation: expected a probability"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object], message: str) -> None:
    objective, budget = slopes()

    with pytest.raises(ValueError, match=message):
        evolution_search(objective, budget, **{"evaluations": 5, "progress": False, **wrong})


def test_the_most_accurate_candidate_is_found_where_that_is_asked_for() -> None:
    space = Sizes((10, 10), (1, 1))
    budget = WidthBudget(space, space.macs, 12)
    found = evolution_search(
        lambda counts: Evaluation(counts[0], counts[0] / 10), budget, evaluations=60, reward="accuracy", progress=False
    )

    assert found.best == (10, 2)


def test_without_joblib_the_message_names_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    objective, budget = slopes()
    monkeypatch.setitem(sys.modules, "joblib", None)

    with pytest.raises(ImportError, match=r"n_jobs=2: joblib is not installed; pip install netgraph-pruning\[search\]"):
        random_search(objective, budget, evaluations=3, n_jobs=2, progress=False)


def test_a_space_with_few_candidates_is_gone_through_and_repeated() -> None:
    space = Sizes((3, 3), (1, 1))
    budget = WidthBudget(space, space.macs, 4)
    counted = Counted(Slopes((3, 3), (1.0, 1.0), (1.0, 2.0)))
    found = random_search(counted, budget, evaluations=30, progress=False)

    assert len(found.history) == 30
    assert counted.calls == len({counts for counts, _ in found.history}) <= 3
