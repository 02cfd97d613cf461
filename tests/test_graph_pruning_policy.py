"""The environment of the widths, and agents that learn in it, on landscapes with a known answer."""

import random
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("gymnasium")
pytest.importorskip("stable_baselines3")

from gymnasium.utils.env_checker import check_env

from landscape import Sizes, Slopes, slopes
from prune_adapters.errors import SearchLogError
from prune_adapters.graph_pruning.search.agents import FadingNoise
from prune_adapters.graph_pruning.search.candidate import Evaluation
from prune_adapters.graph_pruning.search.drawn import random_search
from prune_adapters.graph_pruning.search.environment import WidthEnvironment
from prune_adapters.graph_pruning.search.policy import policy_search
from prune_adapters.graph_pruning.space.budget import WidthBudget
from prune_adapters.graph_pruning.space.widths import Counts


def noisy(objective: Slopes, after: int = 10**9) -> Callable[[Counts], Evaluation]:
    """Return an objective that draws random numbers of its own, and fails once it has answered so often."""
    calls = iter(range(after))

    def answer(counts: Counts) -> Evaluation:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        _ = torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002 - those of everybody
        return objective(counts)

    return answer


@pytest.mark.filterwarnings("ignore:.*infinity")  # features have no bounds that are known
@pytest.mark.parametrize("mode", ["project", "wall"])
def test_the_environment_is_one_of_gymnasium(mode: str) -> None:
    objective, budget = slopes(n=3)

    check_env(WidthEnvironment(objective, budget, mode=mode), skip_render_check=True)


def test_an_episode_step_by_step() -> None:
    space = Sizes((10, 20), (4, 3))
    budget = WidthBudget(space, space.macs, 60, lowest=0.2)
    asked: list[Counts] = []

    def state(counts: Counts) -> np.ndarray:
        return np.array([[7.0, counts[0]], [8.0, counts[0]]])

    def objective(counts: Counts) -> Evaluation:
        asked.append(counts)
        return Evaluation(1.5, 0.25)

    environment = WidthEnvironment(objective, budget, state=state, center=-1.0, spread=0.5)
    first, _ = environment.reset()
    second, reward, finished, cut, _ = environment.step(np.array([0.0], dtype=np.float32))

    np.testing.assert_allclose(first, [0, 1, 0.2, 0, 7, 10])
    np.testing.assert_allclose(second, [0.5, (24 + 60) / 100, (24 + 12) / 100, 0, 8, 6])  # 0 is the ratio 0.6
    assert (reward, finished, cut, asked) == (0.0, False, False, [])

    last, reward, finished, cut, told = environment.step(np.array([1.0], dtype=np.float32))

    np.testing.assert_allclose(last, [1, 0.84, 0.84, 1, 8, 6], rtol=1e-6)
    assert (reward, finished, cut) == (-1.0, True, False)  # (-1.5 - -1.0) / 0.5
    assert asked == [(4, 14)] == [told["counts"]]
    assert told["evaluation"] == Evaluation(1.5, 0.25)
    np.testing.assert_array_equal(environment.reset()[0], first)


def test_the_wall_lowers_a_ratio_at_once() -> None:
    space = Sizes((10, 20), (4, 3))
    budget = WidthBudget(space, space.macs, 40, lowest=0.2)
    environment = WidthEnvironment(lambda counts: Evaluation(0.0, 0.5), budget, mode="wall", reward="accuracy")
    environment.reset()
    state, *_ = environment.step(np.array([1.0], dtype=np.float32))
    _, reward, _, _, told = environment.step(np.array([1.0], dtype=np.float32))

    assert state[2] == np.float32(0.4)  # seven channels of four, and the rest at the lowest
    assert told["counts"] == (7, 4)
    assert reward == 0.5


@pytest.mark.parametrize("mode", ["project", "wall"])
def test_no_episode_exceeds_the_budget(mode: str) -> None:
    rng = np.random.default_rng(0)
    space = Sizes((9, 30, 4, 17), (1, 1, 1, 1))
    budget = WidthBudget(space, space.chained, 0.3 * space.chained(space.full))
    environment = WidthEnvironment(lambda counts: Evaluation(0.0, 0.0), budget, mode=mode)
    for _ in range(50):
        environment.reset()
        *_, (_, _, finished, _, told) = [environment.step(rng.uniform(-1, 1, 1)) for _ in range(4)]

        assert finished
        assert budget.fits(told["counts"])


def test_what_an_environment_cannot_be_made_of() -> None:
    objective, budget = slopes(n=3)

    with pytest.raises(ValueError, match="mode: expected one of project, wall, got 'fence'"):
        WidthEnvironment(objective, budget, mode="fence")
    with pytest.raises(ValueError, match="reward: expected one of"):
        WidthEnvironment(objective, budget, reward="speed")
    with pytest.raises(ValueError, match="spread: expected a number above 0"):
        WidthEnvironment(objective, budget, spread=0.0)
    with pytest.raises(ValueError, match=r"state: expected an array of shape \(3, n_features\), got shape \(4, 2\)"):
        WidthEnvironment(objective, budget, state=lambda counts: np.zeros((4, 2)))


def test_noise_fades_with_the_episodes() -> None:
    torch.manual_seed(0)
    noise = FadingNoise(1.0, 0.5)
    for _ in range(20):
        noise.reset()

    assert abs(noise()[0]) < 1e-4


def test_a_policy_search_is_the_same_with_the_same_seed_and_after_a_stop(tmp_path: Path) -> None:
    objective, budget = slopes(n=4)
    log = tmp_path / "search.db"
    whole = policy_search(objective, budget, evaluations=15, warmup=6, progress=False)
    with pytest.raises(KeyboardInterrupt):
        policy_search(noisy(objective, 9), budget, evaluations=15, warmup=6, log=log, progress=False)
    resumed = policy_search(noisy(objective), budget, evaluations=15, warmup=6, log=log, progress=False)
    other = policy_search(objective, budget, evaluations=15, warmup=6, seed=1, progress=False)

    assert len(whole.history) == 15
    assert all(budget.fits(counts) for counts, _ in whole.history)
    assert resumed == whole
    assert other.history != whole.history


@pytest.mark.parametrize("settings", [{"algorithm": "td3", "mode": "wall"}, {"algorithm": "sac"}], ids=str)
def test_other_agents_and_modes_run(settings: dict[str, str]) -> None:
    objective, budget = slopes(n=3)
    found = policy_search(objective, budget, evaluations=8, warmup=4, progress=False, **settings)

    assert len(found.history) == 8
    assert all(budget.fits(counts) for counts, _ in found.history)


def test_a_policy_search_leaves_the_random_numbers_of_the_caller_alone() -> None:
    objective, budget = slopes(n=2)
    torch.manual_seed(5)
    random.seed(5)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    policy_search(objective, budget, evaluations=4, warmup=2, progress=False)

    torch.testing.assert_close(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]  # noqa: NPY002


def test_warm_up_alone_needs_no_agent() -> None:
    objective, budget = slopes(n=2)

    assert len(policy_search(objective, budget, evaluations=3, warmup=3, progress=False).history) == 3


def test_an_agent_is_not_given_the_answers_of_another_state(tmp_path: Path) -> None:
    objective, budget = slopes(n=3)
    options = {"evaluations": 12, "warmup": 4, "log": tmp_path / "search.db", "progress": False}
    policy_search(objective, budget, **options)

    with pytest.raises(SearchLogError, match="another version, machine or source of the state"):
        policy_search(objective, budget, state=lambda counts: np.eye(3)[::-1], **options)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"algorithm": "ppo"}, "algorithm: expected one of ddpg, td3, sac, got 'ppo'"),
        ({"mode": "fence"}, "mode: expected one of"),
        ({"warmup": 11}, "warmup: expected 1 to evaluations = 10, got 11"),
        ({"noise": -1.0}, "noise and fade: expected"),
        ({"fade": 0.0}, "noise and fade: expected"),
        ({"updates": 0}, "updates: expected at least 1"),
        ({"learning_rate": 0.0}, "learning_rate: expected a number above 0"),
        ({"evaluations": 0}, "evaluations: expected at least 1, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object], message: str) -> None:
    objective, budget = slopes(n=2)

    with pytest.raises(ValueError, match=message):
        policy_search(objective, budget, **{"evaluations": 10, "progress": False, **wrong})


def test_without_the_extra_the_message_names_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    objective, budget = slopes(n=2)
    monkeypatch.setitem(sys.modules, "prune_adapters.graph_pruning.search.agents", None)

    with pytest.raises(ImportError, match=r"not installed; pip install netgraph-pruning\[search\]"):
        policy_search(objective, budget, evaluations=4, progress=False)


@pytest.mark.slow
def test_an_agent_learns_what_random_candidates_do_not_know() -> None:
    objective, budget = slopes()
    drawn = random_search(objective, budget, evaluations=200, progress=False).losses
    learned = policy_search(objective, budget, evaluations=200, progress=False).losses[-20:]

    assert np.mean(learned) < np.mean(drawn) - 2 * np.std(drawn) / np.sqrt(20)
