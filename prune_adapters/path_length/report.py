"""What trainings with graphs of one degree say about path length."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite

import numpy as np

import netgraph as ng
from prune_adapters.path_length.estimate import (
    Accuracies,
    Estimate,
    accuracy_slope,
    checked_accuracies,
    rank_correlation,
)
from prune_adapters.report.text import aligned

__all__ = ["PathLengthReport", "path_length_report"]

FEW = 5
"""Graphs and seeds below which nothing is concluded."""
HEAD = ("path length", "spectral gap", "accuracy, %", "spread over seeds")


@dataclass(frozen=True, eq=False, repr=False)
class PathLengthReport:
    """Path length against accuracy, over graphs of one degree; print it.

    Parameters
    ----------
    lengths, gaps : ndarray of float, shape (n_graphs,)
        Mean path length in hops, and normalised spectral gap of each graph.
    accuracies : ndarray of float, shape (n_graphs, n_seeds)
        In [0, 1]; seed j is the same in each row.

    Raises
    ------
    ValueError
        There are fewer than 2 graphs, the shapes do not fit, or an accuracy is missing.

    Examples
    --------
    >>> report = PathLengthReport([4.0, 3.0], [0.1, 0.3], [[0.8, 0.7], [0.9, 0.8]])
    >>> print(report.slope)
    -10.00 [-10.00, -10.00]
    >>> report.conclusion
    'The shortest graph is +10.00 points from the longest. With fewer than 5 graphs or seeds the intervals say ...
    """

    lengths: np.ndarray
    gaps: np.ndarray
    accuracies: np.ndarray

    def __post_init__(self) -> None:
        lengths, gaps = (np.asarray(own, dtype=float) for own in (self.lengths, self.gaps))
        if len(lengths) < 2:
            raise ValueError(f"graphs: expected at least 2, got {len(lengths)}")
        if lengths.shape != gaps.shape:
            raise ValueError(f"gaps: expected as many as lengths, shape {lengths.shape}, got {gaps.shape}")
        fields = {"lengths": lengths, "gaps": gaps, "accuracies": checked_accuracies(lengths, self.accuracies)}
        for name, own in fields.items():
            object.__setattr__(self, name, own)

    @property
    def means(self) -> np.ndarray:
        """Accuracy of each graph over seeds, in [0, 1]."""
        return self.accuracies.mean(axis=1)

    @property
    def spreads(self) -> np.ndarray:
        """Standard deviation of the accuracy over seeds, in [0, 1]; 0 for a single seed."""
        own = self.accuracies
        return own.std(axis=1, ddof=1) if own.shape[1] > 1 else np.zeros(len(own))

    @property
    def correlation(self) -> Estimate:
        """Rank correlation of path length with mean accuracy; negative where shorter paths do better."""
        return rank_correlation(self.lengths, self.accuracies)

    @property
    def gap_correlation(self) -> Estimate:
        """Rank correlation of the spectral gap with mean accuracy."""
        return rank_correlation(self.gaps, self.accuracies)

    @property
    def slope(self) -> Estimate:
        """Slope of accuracy over path length, in points (0.01) of accuracy per hop."""
        return accuracy_slope(self.lengths, 100 * self.accuracies)

    @property
    def conclusion(self) -> str:
        """In words what the intervals say."""
        found = self.correlation
        ends = 100 * (self.accuracies[self.lengths.argmin()] - self.accuracies[self.lengths.argmax()]).mean()
        text = f"The shortest graph is {ends:+.2f} points from the longest."
        if min(self.accuracies.shape) < FEW:
            return f"{text} With fewer than {FEW} graphs or seeds the intervals say nothing yet."
        if not isfinite(found.value):
            what = "have one path length" if np.ptp(self.lengths) == 0 else "reach the same"
            return f"{text} All graphs {what}: path length does not tell which is better."
        if holding := [name for name, own in (("correlation", found), ("slope", self.slope)) if own.holds_zero]:
            which = "intervals hold" if len(holding) == 2 else f"interval of the {holding[0]} holds"
            return f"{text} The {which} 0: here path length does not tell which graph is better."
        better = "shorter" if found.high < 0 else "longer"
        return f"{text} Graphs with {better} paths do better here; another task can differ."

    @property
    def words(self) -> str:
        """Correlations and slope with their intervals, and the conclusion."""
        n_graphs, n_seeds = self.accuracies.shape
        over = f"{n_graphs} graphs and {n_seeds} seed{'s' * (n_seeds > 1)}"
        return (
            f"Spearman with accuracy over {over}, and 95 % bootstrap interval over seeds (the graphs being as they "
            f"are):\n  path length  {self.correlation}\n  spectral gap {self.gap_correlation}\n"
            f"Slope: {self.slope} points of accuracy per hop\n{self.conclusion}"
        )

    def to_dict(self) -> dict[str, object]:
        """Return what is found as plain dicts, strings and numbers; the slope is in points per hop."""
        n_graphs, n_seeds = self.accuracies.shape
        found = {"spearman": self.correlation, "spearman_of_gap": self.gap_correlation, "points_per_hop": self.slope}
        numbers = {name: asdict(own) for name, own in found.items()}
        return {"graphs": n_graphs, "seeds": n_seeds} | numbers | {"conclusion": self.conclusion}

    def __str__(self) -> str:
        rows = zip(self.lengths, self.gaps, 100 * self.means, 100 * self.spreads, strict=True)
        cells = [(f"{length:.3f}", f"{gap:.3f}", f"{mean:.2f}", f"{spread:.2f}") for length, gap, mean, spread in rows]
        return f"{aligned([HEAD, *cells], left=0)}\n\n{self.words}"

    __repr__ = __str__


def path_length_report(graphs: Sequence[ng.NodeGraph], accuracies: Accuracies) -> PathLengthReport:
    """Return what trainings with graphs of one degree say about path length.

    Parameters
    ----------
    graphs : sequence of NodeGraph
        Connected, at least 2, as `graphs_of_all_lengths` finds them.
    accuracies : ndarray, shape (n_graphs, n_seeds)
        What `accuracy` returns of a network with the masks of that graph, in [0, 1]; seed j is the same in each row.

    Returns
    -------
    PathLengthReport

    Raises
    ------
    ValueError
        There are fewer than 2 graphs, the shapes do not fit, or an accuracy is missing.

    Examples
    --------
    >>> from prune_adapters.path_length import graphs_of_all_lengths
    >>> graphs = graphs_of_all_lengths(16, 3, 2, steps=1000, seed=0)
    >>> print(path_length_report(graphs, [[0.8, 0.7], [0.9, 0.8]]))
    path length  spectral gap  accuracy, %  spread over seeds
          2.750         0.058        75.00               7.07
          2.200         0.293        85.00               7.07
    <BLANKLINE>
    Spearman with accuracy over 2 graphs and 2 seeds, and 95 % bootstrap interval over seeds (the graphs being as ...
      path length  -1.00 [-1.00, -1.00]
      spectral gap +1.00 [+1.00, +1.00]
    Slope: -18.18 [-18.18, -18.18] points of accuracy per hop
    The shortest graph is +10.00 points from the longest. With fewer than 5 graphs or seeds the intervals say ...
    """
    measures = (ng.average_shortest_path_length, ng.spectrum.normalised_gap)
    lengths, gaps = (np.array([measure(graph) for graph in graphs]) for measure in measures)
    return PathLengthReport(lengths, gaps, np.asarray(accuracies))
