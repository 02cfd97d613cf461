"""Sub-networks as a search sees them: how many channels each width keeps, and what that was worth."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from netgraph.notebook import html_table
from prune_adapters.graph_pruning.search.picture import losses_svg
from prune_adapters.graph_pruning.space.widths import Counts

__all__ = ["REWARDS", "Evaluation", "Objective", "SearchResult", "best_of", "reward_of"]

REWARDS = ("loss", "accuracy")


class Evaluation(NamedTuple):
    """What a sub-network reached on data that were held out.

    Parameters
    ----------
    loss : float
        Mean over the examples, in nats; lower is better.
    accuracy : float
        Fraction of the examples in [0, 1]; higher is better.

    Examples
    --------
    >>> Evaluation(loss=0.7, accuracy=0.75)
    Evaluation(loss=0.7, accuracy=0.75)
    """

    loss: float
    accuracy: float


class Objective(Protocol):
    """What a search asks of a sub-network: the same counts must always get the same answer."""

    def __call__(self, counts: Counts, /) -> Evaluation:
        """Return the loss and the accuracy of a sub-network."""
        ...


@dataclass(frozen=True)
class SearchResult:
    """What a search has found.

    Parameters
    ----------
    best : tuple of int
        Counts of the best candidate, the first of equally good ones.
    evaluation : Evaluation
        What it reached. It was chosen for that: on other data expect a little less.
    history : tuple of (tuple of int, Evaluation)
        Every candidate in the order in which the search asked for them.

    Examples
    --------
    >>> history = (((2, 1), Evaluation(0.7, 0.5)), ((1, 2), Evaluation(0.6, 0.5)))
    >>> SearchResult((1, 2), Evaluation(0.6, 0.5), history).losses
    [0.7, 0.6]
    """

    best: Counts
    evaluation: Evaluation
    history: tuple[tuple[Counts, Evaluation], ...]

    @property
    def losses(self) -> list[float]:
        """The loss of every candidate, in order."""
        return [evaluation.loss for _, evaluation in self.history]

    def _repr_html_(self) -> str:
        others = sorted((c for c in self.history if c[0] != self.best), key=lambda candidate: candidate[1].loss)
        shown = list(dict([(self.best, self.evaluation), *others]).items())[:5]
        rows = [(_listed(counts), f"{e.loss:.4g}", f"{100 * e.accuracy:.1f} %") for counts, e in shown]
        title = (
            f"Best of {len(self.history):,} candidates: loss {self.evaluation.loss:.4g}, "
            f"accuracy {100 * self.evaluation.accuracy:.1f} %"
        )
        head = ("channels that each width keeps", "loss", "accuracy")
        below = ["Loss of each candidate in order, and the best so far:"] if self.history else []
        return html_table(title, head, rows, left=head[:1], below=below) + "\n" + losses_svg(self.losses)


def _listed(counts: Counts, most: int = 12) -> str:
    more = f", and {len(counts) - most} more" if len(counts) > most else ""
    return ", ".join(map(str, counts[:most])) + more


def reward_of(evaluation: Evaluation, reward: str) -> float:
    """Return what a search makes as large as it can.

    Parameters
    ----------
    evaluation : Evaluation
    reward : {"loss", "accuracy"}
        The loss with its sign turned, or the accuracy.

    Returns
    -------
    float

    Examples
    --------
    >>> reward_of(Evaluation(0.7, 0.75), "loss"), reward_of(Evaluation(0.7, 0.75), "accuracy")
    (-0.7, 0.75)
    """
    return -evaluation.loss if reward == "loss" else evaluation.accuracy


def best_of(history: tuple[tuple[Counts, Evaluation], ...], *, reward: str = "loss") -> SearchResult:
    """Return the result of a search with that history.

    Parameters
    ----------
    history : tuple of (tuple of int, Evaluation)
        At least one candidate.
    reward : {"loss", "accuracy"}

    Returns
    -------
    SearchResult

    Examples
    --------
    >>> best_of((((2, 1), Evaluation(0.7, 0.5)), ((1, 2), Evaluation(0.6, 0.5)))).best
    (1, 2)
    """
    best, evaluation = max(history, key=lambda candidate: reward_of(candidate[1], reward))
    return SearchResult(best, evaluation, history)
