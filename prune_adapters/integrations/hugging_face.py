"""A method of pruning as a callback of the Hugging Face Trainer.

    method = partial(GradualPruning, sparsity=0.8)
    trainer = transformers.Trainer(model, arguments, train_dataset=data, callbacks=[PruningCallback(method)])

Needs the package transformers; nothing else of prune_adapters imports this file.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from prune_adapters.methods import Method, load_method, save_method
from prune_adapters.select import Selection

__all__ = ["FILE", "PruningCallback"]

FILE = "pruning.safetensors"
"""Name of the method's state in a checkpoint folder of the Trainer."""


class PruningCallback(TrainerCallback):
    """Prunes while a Trainer trains: the four calls of a method, at the right places, and its state in checkpoints.

    Parameters
    ----------
    make_method : callable
        Called as ``make_method(model, optimizer=..., steps=...)`` when training begins; returns a `Method`. A method
        with its settings bound by `functools.partial` will do. `steps` is the Trainer's ``max_steps``.

    Notes
    -----
    A callback cannot change the loss, so the gradient of a penalty is added before the step of the optimizer, after
    the Trainer has accumulated, unscaled and clipped gradients. After training the masks are in `masks`, and the model
    remembers them. A run with ``resume_from_checkpoint`` goes on from the file `FILE` of the checkpoint.

    Examples
    --------
    >>> from functools import partial
    >>> from prune_adapters import GradualPruning
    >>> callback = PruningCallback(partial(GradualPruning, sparsity=0.8))
    """

    def __init__(self, make_method: Callable[..., Method]) -> None:
        self.make_method = make_method
        self.method: Method | None = None
        self.masks: Selection | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Make the method, and go on from the state in the checkpoint that the Trainer goes on from."""
        model, optimizer = kwargs["model"], kwargs["optimizer"]
        assert isinstance(model, nn.Module)
        bare = getattr(optimizer, "optimizer", optimizer)  # accelerate wraps it
        self.method = self.make_method(model, optimizer=bare, steps=state.max_steps)
        stored = _checkpoint(args, state) / FILE
        if state.global_step and stored.exists():
            load_method(stored, self.method)

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Add the gradient of the penalty, and let the method read and change all gradients."""
        assert self.method is not None
        penalty = self.method.penalty()
        if penalty.requires_grad:
            penalty.backward()
        self.method.after_backward()

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Count the step, and remove what is due."""
        assert self.method is not None
        self.method.after_step()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object) -> None:
        """Put the state of the method into the checkpoint."""
        assert self.method is not None
        if state.is_world_process_zero:
            save_method(_checkpoint(args, state) / FILE, self.method)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        """Finish: the model remembers the final masks."""
        assert self.method is not None
        with torch.no_grad():
            self.masks = self.method.finish()


def _checkpoint(args: TrainingArguments, state: TrainerState) -> Path:
    return Path(args.output_dir or ".") / f"checkpoint-{state.global_step}"
