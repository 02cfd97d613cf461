"""The heads of `torch.nn.MultiheadAttention`, each of which can be removed."""

from collections.abc import Sequence

import torch
from torch import nn

from prune_adapters.trace.tape import Tape, refs_in

__all__ = ["attention_layers", "columns_of_heads"]


def attention_layers(tape: Tape, model: nn.Module) -> dict[str, nn.MultiheadAttention]:
    """Return the attention layers whose heads can be removed, by module path.

    They are of torch's own type, with one joint projection, run once, share no parameter and give nothing but their
    output: weights of the heads, once they are read, are an average over all of them.

    Parameters
    ----------
    tape : Tape
    model : Module
    """
    modules = {path: module for path, module in model.named_modules() if type(module) is nn.MultiheadAttention}
    return {path: module for path, module in modules.items() if _is_plain(module) and _runs_once(tape, path)}


def _is_plain(attention: nn.MultiheadAttention) -> bool:
    return attention._qkv_same_embed_dim and attention.bias_k is None and not attention.add_zero_attn


def _runs_once(tape: Tape, path: str) -> bool:
    names = {f"{path}.{name}".lstrip(".") for name in ("in_proj_weight", "out_proj.weight")}
    numbers = [number for number, name in tape.parameters.items() if name in names]
    users = [call for call in tape.calls for ref in refs_in((call.args, call.kwargs)) if ref.number in numbers]
    inside = [call for call in tape.calls if call.module == path]
    made = {ref.number for call in inside for ref in call.outputs}
    read = {r.number for call in tape.calls if call.module != path for r in refs_in((call.args, call.kwargs))}
    given = made & (read | {ref.number for ref in tape.outputs.values()})
    return len(numbers) == len(users) == 2 and all(call.module == path for call in users) and len(given) == 1


def columns_of_heads(attention: nn.MultiheadAttention, heads: Sequence[int]) -> torch.Tensor:
    """Return the columns of the output projection that read some heads: Tensor of int64.

    Examples
    --------
    >>> columns_of_heads(nn.MultiheadAttention(6, 3), [0, 2])
    tensor([0, 1, 4, 5])
    """
    return torch.arange(attention.embed_dim).reshape(attention.num_heads, -1)[list(heads)].flatten()
