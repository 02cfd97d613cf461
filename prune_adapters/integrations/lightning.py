"""A method of pruning as a callback of Lightning.

    method = partial(GradualPruning, sparsity=0.95)
    trainer = lightning.Trainer(max_epochs=20, callbacks=[PruningCallback(method)])

Needs the package lightning; nothing else of prune_adapters imports this file.
"""

from collections.abc import Callable

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim import Optimizer

from prune_adapters.methods import Method
from prune_adapters.methods.method import State
from prune_adapters.select import Selection

__all__ = ["PruningCallback"]


class PruningCallback(Callback):
    """Prunes while a Trainer trains: the four calls of a method, at the right places, and its state in checkpoints.

    Parameters
    ----------
    make_method : callable
        Called as ``make_method(module, optimizer=..., steps=...)`` when training begins; returns a `Method`. A method
        with its settings bound by `functools.partial` will do. `steps` is what the Trainer expects to take.
    optimizer : int
        Which of several optimizers steps the pruned weights.

    Notes
    -----
    Works with gradient accumulation and scaling. The method sees gradients before Lightning clips them. After training
    the masks are in `masks`, and the module remembers them.

    Examples
    --------
    >>> from functools import partial
    >>> import lightning
    >>> from prune_adapters import GradualPruning
    >>> callback = PruningCallback(partial(GradualPruning, sparsity=0.95))
    >>> trainer = lightning.Trainer(callbacks=[callback], logger=False, barebones=True)
    """

    def __init__(self, make_method: Callable[..., Method], *, optimizer: int = 0) -> None:
        self.make_method = make_method
        self.optimizer = optimizer
        self.method: Method | None = None
        self.masks: Selection | None = None
        self._state: State | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the method, and go on from the state of a checkpoint."""
        optimizer: Optimizer = trainer.optimizers[self.optimizer]
        self.method = self.make_method(pl_module, optimizer=optimizer, steps=int(trainer.estimated_stepping_batches))
        if self._state is not None:
            self.method.load_state_dict(self._state)
        method = self.method
        self._hook = optimizer.register_step_post_hook(lambda *_: method.after_step())

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: torch.Tensor) -> None:
        """Add the penalty to the loss, a share for each of the batches whose gradients are accumulated."""
        assert self.method is not None
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        factor = (1.0 if scaler is None else scaler.get_scale()) / trainer.accumulate_grad_batches
        loss += factor * self.method.penalty().to(loss.dtype)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Let the method read and change the gradients."""
        assert self.method is not None
        if optimizer is trainer.optimizers[self.optimizer]:
            self.method.after_backward()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finish: the module remembers the final masks."""
        assert self.method is not None
        self._hook.remove()
        self.masks = self.method.finish()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Let go of the optimizer."""
        if self.method is not None:
            self._hook.remove()

    def state_dict(self) -> State:
        """Return the state of the method, for the checkpoints of the Trainer."""
        return {} if self.method is None else self.method.state_dict()

    def load_state_dict(self, state_dict: State) -> None:
        """Keep the state until the method is made."""
        self._state = state_dict or None
