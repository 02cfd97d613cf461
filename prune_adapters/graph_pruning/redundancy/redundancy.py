"""How much of a residual block's channels the blocks before it foretell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import nn

from prune_adapters.graph_pruning.net.calibration import recalibrate
from prune_adapters.graph_pruning.redundancy.residual import residual_branches
from prune_adapters.graph_pruning.redundancy.sampling import Grid, chosen_batches, grid_of, sampled
from prune_adapters.graph_pruning.smaller.fresh import fresh_copy
from prune_adapters.graph_pruning.smaller.reconstruct import NormalEquations
from prune_adapters.masks import bare_module

__all__ = ["Redundancy", "Scores", "explained", "redundancy"]

Scores = Mapping[tuple[int, int], np.ndarray]
"""R2 of each channel of the later block of a pair, by the numbers of both blocks."""


@dataclass(frozen=True, eq=False, repr=False)
class Redundancy:
    """How well the channels of later residual branches are linear in those of earlier ones.

    Parameters
    ----------
    names : tuple of str
        Module paths of the blocks, in the order in which they run.
    stages : tuple of int
        Of each block; blocks of one stage have outputs of one shape, joined by short-cuts.
    scores, twin : mapping of (int, int) to ndarray of float64
        For each pair of blocks, the earlier one first: R2 of each channel of the later one, on held-out inputs. NaN for
        a channel that does not change. Of the model, and of the same network with weights that nothing has trained.
    threshold : float
        R2 above which a channel counts as foretold.
    """

    names: tuple[str, ...]
    stages: tuple[int, ...]
    scores: Scores
    twin: Scores
    threshold: float

    @property
    def shares(self) -> np.ndarray:
        """Share of the channels that are foretold: ndarray of float64, (later blocks, earlier blocks), else NaN."""
        return self._matrix(self.scores)

    @property
    def twin_shares(self) -> np.ndarray:
        """The same of the untrained network."""
        return self._matrix(self.twin)

    def mean(self, *, same_stage: bool, twin: bool = False) -> float:
        """Return the mean share over the pairs of blocks of one stage, or of different stages; NaN without a pair."""
        shares = self.twin_shares if twin else self.shares
        own = np.array([shares[later, earlier] for earlier, later in self._pairs(same_stage)])
        return float(own[~np.isnan(own)].mean()) if not np.isnan(own).all() else float("nan")

    def pooled(self, *, same_stage: bool, twin: bool = False) -> np.ndarray:
        """Return R2 of all channels in all pairs of blocks of one stage, or of different stages: ndarray of float64."""
        scores = self.twin if twin else self.scores
        own = np.concatenate([np.empty(0), *(scores[pair] for pair in self._pairs(same_stage))])
        return own[~np.isnan(own)]

    def __str__(self) -> str:
        """Return the shares over all pairs, with the median of R2, and the matrix of the model's shares in per cent."""
        lines = [
            f"R2 of the channels of residual blocks in a ridge regression on earlier blocks, {len(self.names)} blocks"
        ]
        lines.append(f"{'':<20} {f'R2 > {self.threshold:g}':>9} {'median':>7} {'untrained':>10} {'median':>7}")
        for name, same in (("blocks of one stage", True), ("of different stages", False)):
            shares = [self.mean(same_stage=same, twin=twin) for twin in (False, True)]
            medians = [_median(self.pooled(same_stage=same, twin=twin)) for twin in (False, True)]
            lines.append(f"{name:<20} {shares[0]:>9.1%} {medians[0]:>7.2f} {shares[1]:>10.1%} {medians[1]:>7.2f}")
        width = max(map(len, self.names))
        for place, name in enumerate(self.names):
            own = " ".join("   ." if np.isnan(share) else f"{100 * share:4.0f}" for share in self.shares[place, :place])
            lines.append(f"{name:<{width}} | {own}".rstrip())
        return "\n".join(lines)

    def _pairs(self, same_stage: bool) -> list[tuple[int, int]]:
        return [(a, b) for a, b in self.scores if (self.stages[a] == self.stages[b]) == same_stage]

    def _matrix(self, scores: Scores) -> np.ndarray:
        matrix = np.full((len(self.names), len(self.names)), np.nan)
        for (earlier, later), found in scores.items():
            known = found[~np.isnan(found)]
            if len(known):
                matrix[later, earlier] = (known > self.threshold).mean()
        return matrix


def redundancy(
    model: nn.Module,
    data: torch.Tensor,
    *,
    threshold: float = 0.9,
    samples: int = 4000,
    positions: int = 8,
    ridge: float = 1e-4,
    batch_size: int = 50,
    seed: int | np.random.Generator | None = 0,
) -> Redundancy:
    """Return which share of each residual block's channels is nearly linear in those of the blocks before.

    ``R2 = 1 - sum (y - foretold)^2 / sum (y - mean)^2`` over held-out inputs, where a ridge regression on all channels
    of the earlier block, at the same position, foretells a channel y of the later one. What a block gives is the
    branch, before the sum. Between blocks of different sizes the positions are those of the later one and, in the
    earlier one, where a convolution with a stride has its centre. Reconstructed from the abstract of [1]_, which says
    that the deeper layers of residual networks have many filters that filters of former layers can represent; how that
    was measured there is not known.

    Parameters
    ----------
    model : Module
        Any residual network that `to_graph` can follow; not changed.
    data : Tensor, shape (n, ...)
        Inputs; as many as are needed are drawn.
    threshold : float
    samples : int
        Pairs of an input and a position. Half of the inputs serve for the regression, the others for R2.
    positions : int
        Of each input.
    ridge : float
        Relative to the variance of a channel.
    batch_size : int
        Inputs at a time.
    seed : int, numpy Generator or None
        Draws inputs and positions, and the weights of the untrained twin. The batch norms of the twin get the
        statistics of the inputs.

    Returns
    -------
    Redundancy

    Raises
    ------
    ValueError
        The model has fewer than two residual sums, `data` fewer inputs than `batch_size` or two batches, or a number
        is out of range.
    TraceError
        The model cannot be followed.

    References
    ----------
    .. [1] Zhang et al., Graph Pruning for Model Compression, Applied Intelligence 52, 2022.

    Examples
    --------
    The second block adds what the first one adds, the third something else:

    >>> class Block(nn.Module):
    ...     def __init__(self, row):
    ...         super().__init__()
    ...         self.body = nn.Linear(2, 2, bias=False)
    ...         self.body.weight.data = torch.tensor([row, [0.0, 0.0]])
    ...     def forward(self, x):
    ...         return x + self.body(x)
    >>> model = nn.Sequential(Block([0.0, 1.0]), Block([0.0, 3.0]), Block([1.0, -4.0]))
    >>> x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    >>> print(redundancy(model, x).shares)
    [[nan nan nan]
     [ 1. nan nan]
     [ 0.  0. nan]]
    """
    _check_numbers(threshold, samples, positions, ridge)
    rng = np.random.default_rng(seed)
    bare, chosen = bare_module(model), chosen_batches(data, -(-samples // positions), batch_size, rng)
    branches = residual_branches(bare, chosen[0])
    if len(branches.names) < 2:
        raise ValueError(f"redundancy: expected at least two residual sums in the model, found {len(branches.names)}")
    twin = fresh_copy(bare, seed=rng)
    recalibrate(twin, chosen)
    places = rng.random((len(chosen), positions, 2))
    halves = np.repeat(np.arange(len(chosen)) % 2 == 0, batch_size * positions)
    found = []
    for own in (bare, twin):
        values = sampled(own, branches, chosen, places)
        found.append(_all_pairs(values, [grid_of(shape) for shape in branches.shapes], halves, ridge))
    return Redundancy(branches.names, branches.stages, found[0], found[1], threshold)


def explained(earlier: np.ndarray, later: np.ndarray, *, halves: np.ndarray, ridge: float = 1e-4) -> np.ndarray:
    """Return how well a ridge regression on some columns foretells others: R2 on the rows that it has not seen.

    Parameters
    ----------
    earlier, later : ndarray of float, shape (n, c), (n, d)
    halves : ndarray of bool, shape (n,)
        The rows that the regression is made with.
    ridge : float

    Returns
    -------
    ndarray of float64, shape (d,)
        At most 1; below 0 where the mean would foretell better. NaN where a column does not change.

    Examples
    --------
    >>> x = np.arange(6.0)[:, None]
    >>> explained(x, np.hstack([2 * x + 1, 0 * x]), halves=x[:, 0] % 2 == 0).round(3)
    array([ 1., nan])
    """
    rows, wanted = (_standardised(part, halves) for part in (earlier, later))
    equations = NormalEquations(rows.shape[1], wanted.shape[1])
    equations.add(rows[halves], wanted[halves])
    held_out = wanted[~halves]
    missed = (held_out - rows[~halves] @ equations.solved(ridge)).square().sum(0)
    spread = (held_out - held_out.mean(0)).square().sum(0)
    # What float32 makes of a constant is no change.
    constant = later.std(axis=0) <= 1e-6 * np.abs(later).max(axis=0, initial=0.0)
    scores = 1 - missed / spread.clamp_min(1e-30)
    return np.where(constant, np.nan, scores.numpy())


def _standardised(values: np.ndarray, halves: np.ndarray) -> torch.Tensor:
    mean, spread = values[halves].mean(axis=0), values[halves].std(axis=0)
    return torch.from_numpy((values - mean) / np.where(spread > 0, spread, 1.0)).double()


def _all_pairs(
    values: Mapping[tuple[int, Grid], np.ndarray], grids: Sequence[Grid], halves: np.ndarray, ridge: float
) -> Scores:
    """Return the scores of every pair; all blocks of one size behind a block are regressed on it at once."""
    scores = {}
    for (earlier, grid), found in values.items():
        behind = [later for later in range(earlier + 1, len(grids)) if grids[later] == grid]
        if not behind:
            continue
        wanted = [values[later, grid] for later in behind]
        r2 = explained(found, np.hstack(wanted), halves=halves, ridge=ridge)
        parts = np.split(r2, np.cumsum([own.shape[1] for own in wanted])[:-1])
        scores.update({(earlier, later): part for later, part in zip(behind, parts, strict=True)})
    return {pair: scores[pair] for pair in combinations(range(len(grids)), 2)}


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _check_numbers(threshold: float, samples: int, positions: int, ridge: float) -> None:
    if not 0 < threshold < 1:
        raise ValueError(f"threshold: expected a number in (0, 1), got {threshold}")
    if min(samples, positions) < 1 or ridge < 0:
        raise ValueError(
            f"expected samples and positions of at least 1 and ridge of at least 0, got "
            f"{samples}, {positions} and {ridge}"
        )
