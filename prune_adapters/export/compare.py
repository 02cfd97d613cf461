"""Whether what was exported gives the outputs of the model."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from prune_adapters.compact.constants import run
from prune_adapters.errors import ExportError
from prune_adapters.export.inputs import Inputs

__all__ = ["TOLERANCES", "check_same", "difference", "first_line", "outputs", "trials"]

TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""Largest max|dy| / max|y| of an output, by its dtype; integers must be the same."""


def outputs(model: nn.Module, inputs: Inputs) -> list[torch.Tensor]:
    """Return the tensors that a model gives in eval mode, in the order of its outputs."""
    given = tree_leaves(run(model, inputs.args, dict(inputs.kwargs)))
    return [leaf for leaf in given if isinstance(leaf, torch.Tensor)]


def trials(inputs: Inputs, seed: int = 0) -> Iterator[tuple[str, Inputs]]:
    """Yield inputs to compare on, with words for each: the example, random ones, and other batch sizes."""
    yield "the example inputs", inputs
    yield "random inputs", inputs.drawn(seed)
    if inputs.batch is not None:
        for size in sorted({1, inputs.batch + 2} - {inputs.batch}):
            yield f"random inputs with a batch of {size}", inputs.sized(size).drawn(seed + size)


def difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return max|dy| / max|y|; 0 where both are the same, inf where shapes or places of NaN and inf differ.

    Parameters
    ----------
    found, expected : Tensor

    Returns
    -------
    float

    Examples
    --------
    >>> difference(torch.tensor([1.0, 5.0]), torch.tensor([1.0, 4.0]))
    0.25
    """
    if found.shape != expected.shape:
        return float("inf")
    if not expected.is_floating_point():
        return 0.0 if torch.equal(found, expected) else float("inf")
    wide = [tensor.detach().double() for tensor in (found, expected)]
    finite = wide[1].isfinite()
    if not torch.equal(*(t.masked_fill(finite, 0.0).nan_to_num(nan=7.0) for t in wide)):
        return float("inf")
    new, old = (t[finite] for t in wide)
    if not old.numel():
        return 0.0
    apart = float((new - old).abs().max())
    return apart / max(float(old.abs().max()), 1e-30) if apart else 0.0


def check_same(
    what: str,
    model: nn.Module,
    given: Callable[[Inputs], Sequence[torch.Tensor]],
    inputs: Inputs,
    *,
    tolerance: float | None,
    explain: Callable[[Inputs], str] = lambda _: "",
) -> None:
    """Raise `ExportError` unless `given` gives the outputs of `model`, whatever the inputs.

    Parameters
    ----------
    what : str
        For the message.
    model : Module
    given : callable
        Returns the outputs of what was exported.
    inputs : Inputs
    tolerance : float or None
        Largest max|dy| / max|y|; None: `TOLERANCES`.
    explain : callable
        Returns words about where the outputs come apart.
    """
    for words, tried in trials(inputs):
        try:
            expected, found = outputs(model, tried), given(tried)
        except Exception as error:  # whatever the runtime raises
            raise ExportError(f"{what}: it does not run on {words}: {first_line(error)}{_fix(inputs)}") from error
        if len(found) != len(expected):
            raise ExportError(f"{what}: expected {len(expected)} outputs, got {len(found)}")
        for number, (new, old) in enumerate(zip(found, expected, strict=True)):
            bound = TOLERANCES.get(old.dtype, 0.0) if tolerance is None else tolerance
            apart = difference(new, old)
            if not apart <= bound:
                raise ExportError(
                    f"{what}: output {number} on {words} differs from the model's by {apart:.3g} of its largest value, "
                    f"expected at most {bound:.3g}{explain(tried)}"
                )


def first_line(error: BaseException) -> str:
    """Return the type of an error and the first line of its text."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


def _fix(inputs: Inputs) -> str:
    return "" if inputs.batch is None else "; if the model works for one batch size only, pass dynamic_batch=False"
