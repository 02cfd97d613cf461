"""What masks cost on ResNet-18 and ResNet-50, beside ``torch.nn.utils.prune``, a parametrization and a loop by hand.

    python examples/bench_masks.py

One training step (batch 16, 96 x 96 pixels, SGD with momentum, 90 % of the weights removed) in each way of masking:
time, bytes kept for the backward pass, bytes of masks, highest memory of a process that takes one step, file sizes.
"""

import gc
import io
import multiprocessing
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import torch
from torch import nn
from torch.nn.utils import parametrize, prune

import prune_adapters as pa
from bench_keep import OPTIMIZERS, Masks, Optimize, by_hand, clocked, dense, kept, training_step
from benchmark import Case, Row, arguments, measure, report, versions
from models import resnet18, resnet20, resnet50

SPARSITY = 0.9
OURS = "keep_masks"
MEGA = 1e6


class Masked(nn.Module):
    """The parametrization that many write."""

    def __init__(self, mask: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight * self.mask


def places(model: nn.Module, masks: Masks) -> Iterator[tuple[nn.Module, str]]:
    """Yield module and attribute of each masked parameter."""
    for name in masks:
        path, _, key = name.rpartition(".")
        yield model.get_submodule(path), key


def prune_globally(model: nn.Module, masks: Masks, optimize: Optimize) -> torch.optim.Optimizer:
    """Prepare the model with one threshold for all layers, by torch."""
    prune.global_unstructured(list(places(model, masks)), pruning_method=prune.L1Unstructured, amount=SPARSITY)
    return optimize(model)


def prune_by_layer(model: nn.Module, masks: Masks, optimize: Optimize) -> torch.optim.Optimizer:
    """Prepare the model with the same sparsity in each layer, by torch."""
    for module, key in places(model, masks):
        prune.l1_unstructured(module, key, amount=SPARSITY)
    return optimize(model)


def parametrized(model: nn.Module, masks: Masks, optimize: Optimize) -> torch.optim.Optimizer:
    """Prepare the model with a parametrization of each weight."""
    for (module, key), mask in zip(places(model, masks), masks.values(), strict=True):
        parametrize.register_parametrization(module, key, Masked(mask))
    return optimize(model)


VARIANTS = {
    "dense": dense,
    OURS: kept,
    "float masks by hand": by_hand,
    "prune, global": prune_globally,
    "prune, per layer": prune_by_layer,
    "parametrize": parametrized,
}
NETWORKS: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "ResNet-18": (resnet18, 16, 96),
    "ResNet-50": (resnet50, 16, 96),
}
QUICK: dict[str, tuple[Callable[[], nn.Module], int, int]] = {"ResNet-20": (resnet20, 2, 32)}


def prepared(network: str, variant: str) -> tuple[nn.Module, torch.optim.Optimizer, torch.Tensor]:
    """Return a network masked in one way, with its optimizer and a batch; the same for all ways."""
    build, batch, size = (NETWORKS | QUICK)[network]
    torch.manual_seed(0)
    model = build().train()
    masks = dict(pa.masks_from_scores(pa.magnitude_scores(model), sparsity=SPARSITY))
    optimizer = VARIANTS[variant](model, masks, OPTIMIZERS["SGD"])
    return model, optimizer, torch.randn(batch, 3, size, size)


def stepping(model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor) -> Callable[[], None]:
    """Return the function that trains on the batch."""
    return training_step(model, optimizer, x, torch.arange(len(x)) % 10)


def times(network: str, rounds: int, quick: bool) -> list[Row]:
    """Return the step in each way, and what `keep_masks` does by itself inside of a step."""
    hook: list[float] = []
    model, _, x = prepared(network, "dense")
    masks = dict(pa.masks_from_scores(pa.magnitude_scores(model), sparsity=SPARSITY))
    optimizer = clocked(model, masks, OPTIMIZERS["SGD"], hook)
    cases = [Case(name, stepping(*prepared(network, name))) for name in VARIANTS]
    found = measure([*cases, Case("clocked", stepping(model, optimizer, x))], rounds)
    ours = 1000 * found[OURS]
    rows = [
        Row(f"{network}: step", ours, "ms", name, 1000 * found[name], 0.98 if name == "dense" and not quick else None)
        for name in VARIANTS
        if name != OURS
    ]
    share = 100 * median(hook) / found["dense"]
    return [*rows, Row(f"{network}: keep_masks alone, share of a step", share, "%", target=None if quick else 2)]


def saved_bytes(model: nn.Module, x: torch.Tensor) -> int:
    """Return the bytes that a forward pass keeps for the backward pass, without the model's own tensors."""
    own = {tensor.data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    sizes: dict[int, int] = {}

    def count(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in own:
            sizes[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        output = model(x)
    assert output.requires_grad
    return sum(sizes.values())


def tensor_bytes() -> int:
    """Return the bytes of all tensors in the process, wherever they are held; views count once."""
    gc.collect()
    tensors = [held for held in gc.get_objects() if issubclass(type(held), torch.Tensor)]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def stored_bytes(model: nn.Module, *, whole: bool) -> int | None:
    """Return the size of a file with the ``state_dict`` or the pickled model; None where torch cannot write it."""
    file = io.BytesIO()
    try:
        torch.save(model if whole else model.state_dict(), file)
    except RuntimeError:
        return None
    return file.tell()


def peak_bytes(network: str, variant: str) -> int:
    """Return the highest memory of this process, which has just been started, after one training step."""
    torch.set_num_threads(1)
    stepping(*prepared(network, variant))()
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def in_a_new_process(function: Callable[[str, str], int], network: str, variant: str) -> int:
    """Return what `function` returns in a Python of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, (network, variant))


def sizes(network: str, variant: str) -> dict[str, float]:
    """Return what one way of masking takes, in megabytes; what cannot be measured is left out."""
    before = tensor_bytes()
    model, _, x = prepared(network, variant)
    found: dict[str, int | None] = {"tensors held": tensor_bytes() - before}
    found["kept for backward"] = saved_bytes(model, x)
    found["state_dict file"] = stored_bytes(model, whole=False)
    found["file of the pickled model"] = stored_bytes(model, whole=True)
    if sys.platform == "linux" and network not in QUICK:
        found["peak of a process"] = in_a_new_process(peak_bytes, network, variant)
    return {what: count / MEGA for what, count in found.items() if count is not None}


def beyond_dense(network: str) -> list[Row]:
    """Return what each way of masking takes more than the dense network does."""
    plain, rows = sizes(network, "dense"), []
    for variant in VARIANTS:
        for what, size in sizes(network, variant).items() if variant != "dense" else ():
            target = 0 if variant == OURS and what in ("kept for backward", "state_dict file") else None
            rows.append(Row(f"{network}: {what} beyond dense, {variant}", size - plain[what], "MB", target=target))
    return sorted(rows, key=lambda row: list(plain).index(row.case.split(": ")[1].split(" beyond")[0]))


def bits_a_weight(network: str) -> list[Row]:
    """Return what a mask of ours takes for each weight, in the model and in a file."""
    model, _, _ = prepared(network, "dense")
    masks = dict(pa.masks_from_scores(pa.magnitude_scores(model), sparsity=SPARSITY))
    weights = sum(mask.numel() for mask in masks.values())
    before = tensor_bytes()
    pa.apply_masks(model, masks)
    held = tensor_bytes() - before
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "masks.safetensors")
        pa.save_masks(path, masks)
        stored = path.stat().st_size
    return [
        Row(f"{network}: mask in the model, a weight", 8 * held / weights, "bit", target=1),
        Row(
            f"{network}: mask in a file, a weight",
            8 * stored / weights,
            "bit",
            target=1.01 if network in NETWORKS else None,
        ),
    ]


def main() -> None:
    """Compare the ways of masking on each network."""
    options = arguments(__doc__.partition("\n")[0])
    options.rounds = options.rounds or (1 if options.quick else 15)
    torch.set_num_threads(1)
    rows: list[Row] = []
    for network in QUICK if options.quick else NETWORKS:
        rows += [*times(network, options.rounds, options.quick), *beyond_dense(network), *bits_a_weight(network)]
    notes = [
        "90 % of the weights removed; CPU times of the thread, medians; --quick: ResNet-20, batch 2, no speed target"
    ]
    report("bench_masks", options, rows, versions("torch"), notes)


if __name__ == "__main__":
    main()
