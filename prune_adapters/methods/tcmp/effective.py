"""The weights that a network sees under TCMP, as a function of its own weights: values, penalty and gradients."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from prune_adapters.ops import band_stop
from prune_adapters.sweeps import Supervision

__all__ = ["Band", "Effective"]

Tensors = dict[str, torch.Tensor]
TINY = 1e-30
"""Least square of a threshold: a sharpness beyond 1 / TINY is no number of float32."""


@dataclass(frozen=True)
class Band:
    """Where psi stops and lets pass.

    Parameters
    ----------
    thresholds : dict of str to Tensor of shape ()
        For each parameter the magnitude at which psi is about one half.
    sharpness : float
        In units of 1 / threshold^2.
    """

    thresholds: Tensors
    sharpness: float

    def psi(self, name: str, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ``weight * psi(weight)`` and ``psi(weight)``."""
        threshold = self.thresholds[name]
        square = threshold.float().square().clamp(min=TINY)
        return band_stop(weight, threshold, self.sharpness / square)


class Effective:
    """What comes out of weights: ``w * psi(w) * joins``, where `joins` tells which elements lie between live ends.

    Parameters
    ----------
    weights : mapping of str to Tensor
        With a gradient, if one is wanted.
    band : Band
    supervision : Supervision
    """

    def __init__(self, weights: Mapping[str, torch.Tensor], band: Band, supervision: Supervision) -> None:
        found = {name: band.psi(name, weight) for name, weight in weights.items()}
        self._psi = {name: psi if psi.dtype == torch.float64 else psi.float() for name, (_, psi) in found.items()}
        self._joins = supervision(self._psi)
        self.weights = {name: own * self._joins[name].to(own.dtype) for name, (own, _) in found.items()}
        """What the layers see, by parameter."""

    def penalty(self, wanted: int, budget: float, waste: float) -> torch.Tensor:
        """Return what Eq. 4 adds to the loss, with both terms as shares of the number of weights.

        ``budget * ((kept - wanted) / n) ** 2 + waste * (sum of psi off the paths) / n``, where `kept` counts the
        crisp weights on paths.

        Parameters
        ----------
        wanted : int
        budget, waste : float
            The factors lambda and eta.

        Returns
        -------
        Tensor, shape ()
        """
        n = sum(psi.numel() for psi in self._psi.values())
        terms = []
        for name, psi in self._psi.items():
            crisp = psi + ((psi > 0.5).to(psi.dtype) - psi).detach()
            joins = self._joins[name]
            terms.append(torch.stack([(crisp * joins).sum(), (psi * (1 - joins)).sum()]))
        kept, off = torch.stack(terms).sum(0)
        return budget * ((kept - wanted) / n) ** 2 + waste * off / n
