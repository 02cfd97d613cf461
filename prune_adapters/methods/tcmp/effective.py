"""The weights that a network sees under TCMP, as a function of its own weights: values, penalty and gradients."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from prune_adapters.ops import band_stop
from prune_adapters.sweeps import Supervision

__all__ = ["Band", "Effective"]

Tensors = dict[str, torch.Tensor]
KEPT = 0.5
"""The value above which psi is crisp 1."""
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
    own : mapping of str to Tensor
        The weights; not copied.
    band : Band
    supervision : Supervision
    pull : float
        Factor of the gradient that goes through what joins.
    """

    def __init__(
        self, own: Mapping[str, torch.Tensor], band: Band, supervision: Supervision, pull: float = 1.0
    ) -> None:
        self.own = {name: weight.detach().requires_grad_() for name, weight in own.items()}
        self._band, self._supervision, self._pull = band, supervision, pull
        with torch.enable_grad():
            found = {name: band.psi(name, weight) for name, weight in self.own.items()}
            self._psi = {name: psi if psi.dtype == torch.float64 else psi.float() for name, (_, psi) in found.items()}
            self._joins = self._joined()
            self.weights = {name: own * self._joins[name].to(own.dtype) for name, (own, _) in found.items()}
            """What the layers see."""
        self._penalty: torch.Tensor | None = None

    def __deepcopy__(self, memo: dict) -> "Effective":
        """Make it again: torch copies no tensors in the middle of a graph."""
        own = {name: weight.detach().clone() for name, weight in self.own.items()}
        return Effective(own, copy.deepcopy(self._band, memo), copy.deepcopy(self._supervision, memo), self._pull)

    def _joined(self) -> dict[str, torch.Tensor]:
        with torch.set_grad_enabled(self._pull > 0):
            joins = self._supervision(self._psi)
            if self._pull in (0, 1):
                return joins
            return {name: self._pull * own + (1 - self._pull) * own.detach() for name, own in joins.items()}

    def penalty(self, wanted: int, lam: float, eta: float) -> torch.Tensor:
        """Return what Eq. 4 adds to the loss, with both terms as shares of the number of weights.

        ``lam * ((kept - wanted) / n) ** 2 + eta * (sum of psi off the paths) / n``, where `kept` counts the
        crisp weights on paths. From now on `gradients` has a part for it.

        Parameters
        ----------
        wanted : int
        lam, eta : float
            The factors.

        Returns
        -------
        Tensor, shape ()
            Without a gradient.
        """
        if self._penalty is None:
            n = sum(psi.numel() for psi in self._psi.values())
            with torch.enable_grad():
                kept, off = torch.stack([self._counted(name) for name in self._psi]).sum(0)
                self._penalty = lam * ((kept - wanted) / n) ** 2 + eta * off / n
        return self._penalty.detach()

    def _counted(self, name: str) -> torch.Tensor:
        """Return the number of crisp weights on paths, with the gradient of soft ones, and the sum of psi off them."""
        psi, joins = self._psi[name], self._joins[name]
        crisp = psi + ((psi > KEPT).to(psi.dtype) - psi).detach()
        return torch.stack([(crisp * joins).sum(), (psi * (1 - joins)).sum()])

    def gradients(self, pulls: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the gradients of the weights from those of what the layers see; to be called once.

        Parameters
        ----------
        pulls : mapping of str to Tensor
            For some of the parameters, or all.

        Returns
        -------
        dict of str to Tensor
        """
        ends = [self.weights[name] for name in pulls]
        grads = list(pulls.values())
        if self._penalty is not None:
            ends.append(self._penalty)
            grads.append(torch.ones_like(self._penalty))
        found = torch.autograd.grad(ends, list(self.own.values()), grads, allow_unused=True, materialize_grads=True)
        return dict(zip(self.own, found, strict=True))
