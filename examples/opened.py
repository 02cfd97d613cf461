"""A mode in which no activation saturates and padding wraps around, so that only masks can hide a path.

It changes functions, not structure: what comes out depends on the same elements, and zero still gives the same class.

- A leaky ReLU stands for every ReLU: norms give both signs, and a channel that is always below its group's mean would
  stay shut.
- Sigmoids and the like see values of size 1 at most, where they still have a slope.
- The scores of an attention are brought to size 1: products of small activations would make it uniform to the last bit,
  and then its queries have no gradient.
- A convolution continues its input periodically instead of padding it with zeros.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

__all__ = ["Opened"]

RELUS = (F.relu, F.relu6, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)
SATURATING = (
    *(torch.sigmoid, Tensor.sigmoid, F.sigmoid, torch.tanh, Tensor.tanh, F.tanh),
    *(F.hardsigmoid, F.hardtanh, F.hardswish, F.gelu, F.silu, F.elu, F.mish, F.softplus),
)
SOFTMAXES = (F.softmax, torch.softmax, Tensor.softmax)
CONVOLUTIONS = (torch.conv1d, torch.conv2d, torch.conv3d)
HIDDEN = 1e4
"""Scores beyond this size are masks."""


class Opened(TorchFunctionMode):
    """While it is entered activations stay open.

    Parameters
    ----------
    wrap : bool
        Whether padding wraps around.
    rescale : bool
        Whether arguments of what saturates are divided by their largest value. Not for values: it depends on the input.
    """

    def __init__(self, *, wrap: bool, rescale: bool = True) -> None:
        super().__init__()
        self.wrap, self.rescale = wrap, rescale

    def __torch_function__(self, func: Callable, types: object, args: tuple = (), kwargs: dict | None = None) -> object:
        kwargs = dict(kwargs or {})
        if args or "input" in kwargs:
            x = args[0] if args else kwargs.pop("input")
            args = (x, *args[1:])
        if func in RELUS:
            inplace = bool(kwargs.get("inplace")) or func in (torch.relu_, Tensor.relu_) or args[1:] == (True,)
            return F.leaky_relu(args[0], 0.5, inplace)
        if self.rescale and func in SATURATING:
            kwargs.pop("inplace", None)
            return func(_of_size_one(args[0], most=True), *args[1:], **kwargs)
        if self.rescale and func in SOFTMAXES:
            return func(_of_size_one(args[0]), *args[1:], **kwargs)
        if self.rescale and func is F.scaled_dot_product_attention:
            return _attention(*args, **kwargs)
        if self.wrap and func in CONVOLUTIONS:
            return func(*_wrapped_convolution(*args, **kwargs))
        if self.wrap and func is F.pad and _pads_a_picture(*args, **kwargs):
            left, right, top, bottom = args[1] if len(args) > 1 else kwargs["pad"]
            return _wrapped(args[0], [(top, bottom), (left, right)])
        return func(*args, **kwargs)


def _of_size_one(x: Tensor, *, most: bool = False) -> Tensor:
    """Return `x` divided by its largest absolute value, masks aside; with `most` only if that is above 1."""
    shown = x.detach().abs() < HIDDEN
    largest = (x.detach().abs() * shown).max() if x.numel() else x.new_ones(())
    largest = largest.clamp(min=1.0) if most else torch.where(largest > 0, largest, 1.0)
    return x / largest if most else torch.where(shown, x / largest, x)


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return softmax(q k^T) v with scores of size 1."""
    if query.dim() > 2 and key.shape[-3] not in (1, query.shape[-3]):
        key, value = (part.repeat_interleave(query.shape[-3] // part.shape[-3], -3) for part in (key, value))
    scores = query @ key.transpose(-2, -1)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return _of_size_one(scores).softmax(-1) @ value


def _wrapped_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: object = 1,
    padding: object = 0,
    dilation: int | tuple[int, ...] = 1,
    groups: int = 1,
) -> tuple:
    """Return the arguments of the same convolution on an input that is wide enough already."""
    count = weight.dim() - 2
    steps = (dilation,) * count if isinstance(dilation, int) else tuple(dilation) * (count // len(dilation))
    if isinstance(padding, str):
        reach = [(size - 1) * step * (padding == "same") for size, step in zip(weight.shape[2:], steps, strict=True)]
        widths = [(total // 2, total - total // 2) for total in reach]
    else:
        each = (padding,) * count if isinstance(padding, int) else tuple(padding) * (count // len(padding))
        widths = [(width, width) for width in each]
    return _wrapped(x, widths), weight, bias, stride, 0, dilation, groups


def _wrapped(x: Tensor, widths: list[tuple[int, int]]) -> Tensor:
    """Return `x` continued periodically along its last dimensions."""
    for dim, (before, after) in enumerate(widths, start=x.dim() - len(widths)):
        if before or after:
            x = x.index_select(dim, torch.arange(-before, x.shape[dim] + after) % x.shape[dim])
    return x


def _pads_a_picture(x: Tensor, pad: Iterable[int], mode: str = "constant", value: float | None = None) -> bool:
    return x.dim() == 4 and len(list(pad)) == 4 and mode == "constant" and not value
