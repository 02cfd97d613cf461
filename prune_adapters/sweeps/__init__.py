"""Sweeps over weights that stay where they are: on the host by the kernels of netgraph, elsewhere by operators."""

from prune_adapters.sweeps.supervise import Supervision
from prune_adapters.sweeps.sweep import TensorSweep, consistent_elements, sweep_on_device

__all__ = ["Supervision", "TensorSweep", "consistent_elements", "sweep_on_device"]
