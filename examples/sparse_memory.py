"""What the memory benchmarks of sparse layers share: the highest memory of a process that builds a layer and trains it.

Each figure comes from a Python of its own, whose memory before the layer is subtracted.
"""

import multiprocessing
import re
import sys
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils import prune

import prune_adapters as pa
from benchmark import Row

__all__ = ["MEGA", "forget_peak", "held_bytes", "memory_rows", "status_bytes"]

MEGA = 1e6
FORMS = ("dense, keep_masks", "torch.nn.utils.prune", "sparse")


def status_bytes(what: str) -> int:
    """Return what the kernel says of this process: "VmHWM", the highest memory since `forget_peak`, or "VmRSS"."""
    found = re.search(rf"{what}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def forget_peak() -> None:
    """Let the highest memory start from what is in use now."""
    Path("/proc/self/clear_refs").write_text("5")


def held_bytes(model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Return the bytes of parameters, gradients, masks, tables of plans, and of the optimizer's state."""
    tensors = [*model.parameters(), *model.buffers(), *(p.grad for p in model.parameters() if p.grad is not None)]
    for module in model.modules():
        if isinstance(module, pa.SparseLayer):
            tensors += module.plan.tables
    tensors += [t for state in optimizer.state.values() for t in state.values() if isinstance(t, torch.Tensor)]
    return sum({t.data_ptr(): t.numel() * t.element_size() for t in tensors}.values())


def prepared(form: str, mask: torch.Tensor) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Return a linear layer in one form, with its optimizer."""
    rows, columns = mask.shape
    if form == "sparse":
        sparse = pa.SparseLinear(columns, rows, mask, bias=False)
        return sparse, torch.optim.AdamW(sparse.parameters())
    layer = nn.Linear(columns, rows, bias=False)
    if form == "torch.nn.utils.prune":
        prune.custom_from_mask(layer, "weight", mask)
        return layer, torch.optim.AdamW(layer.parameters())
    optimizer = torch.optim.AdamW(pa.apply_masks(layer, {"weight": mask}).parameters())
    pa.keep_masks(layer, optimizer)
    return layer, optimizer


def trained(form: str, features: int, batch: int, sparsity: float) -> dict[str, int]:
    """Return the bytes that two steps of a layer take in this process, which has just been started."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    _train(*prepared(form, torch.eye(8).bool()), torch.randn(2, 8))  # what torch imports and sets up is not the layer's
    mask, x = torch.rand(features, features) >= sparsity, torch.randn(batch, features)
    before = status_bytes("VmRSS")
    forget_peak()
    model, optimizer = prepared(form, mask)
    built = status_bytes("VmHWM") - before
    forget_peak()
    _train(model, optimizer, x)
    peak = status_bytes("VmHWM") - before
    return {"peak of building": built, "peak of training": peak, "weights, tables, AdamW": held_bytes(model, optimizer)}


def _train(model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor) -> None:
    for _ in range(2):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()


def memory_rows(features: int, batch: int, sparsities: Iterable[float]) -> list[Row]:
    """Return the bytes of a sparse layer beside those of the dense layer masked in two ways."""
    rows = []
    for sparsity in sparsities if sys.platform == "linux" else ():
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            found = {form: pool.apply(trained, (form, features, batch, sparsity)) for form in FORMS}
        ours = found.pop("sparse")
        case = f"{features}, batch {batch}, {100 * sparsity:g} %"
        rows += [
            Row(f"{case}: {what}", ours[what] / MEGA, "MB", form, sizes[what] / MEGA)
            for form, sizes in found.items()
            for what in ours
        ]
    return rows
