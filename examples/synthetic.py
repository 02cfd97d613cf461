"""Checkpoints of any size without a model: blocks of random bfloat16 values, most of them zero, over and over."""

import json
import os
from pathlib import Path

import torch
from torch import nn

__all__ = ["random_block", "write_checkpoint"]

BLOCK = (32 << 20) + 8191
"""Elements of a block; odd, so that the rows of a matrix do not repeat."""


def random_block(size: int, *, sparsity: float, seed: int) -> bytes:
    """Return the bytes of `size` random values in bfloat16, a fraction `sparsity` of them 0."""
    generator = torch.Generator().manual_seed(seed)
    kept = torch.rand(size, generator=generator) >= sparsity
    values = (torch.rand(size, generator=generator) + 0.5) * kept
    return values.to(torch.bfloat16).view(torch.uint8).numpy().tobytes()


def write_checkpoint(path: Path, model: nn.Module, *, sparsity: float = 0.9, seed: int = 0) -> int:
    """Write the parameters of a model, which may be on the meta device, as one safetensors file; return its bytes.

    Norms and biases are sparse like everything else: the graph counts them as present whatever their value.
    """
    parameters = dict(model.named_parameters())
    block = random_block(min(BLOCK, sum(p.numel() for p in parameters.values())), sparsity=sparsity, seed=seed)
    records: dict[str, dict[str, object]] = {}
    end = 0
    for name, parameter in parameters.items():
        begin, end = end, end + 2 * parameter.numel()
        records[name] = {"dtype": "BF16", "shape": list(parameter.shape), "data_offsets": [begin, end]}
    head = json.dumps(records).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for start in range(0, end, len(block)):
            file.write(memoryview(block)[: end - start])
        file.flush()
        os.fsync(file.fileno())
    return path.stat().st_size
