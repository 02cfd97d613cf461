"""Training with sparse layers beside the dense network with masks and beside ``torch.nn.utils.prune``.

    NETGRAPH_DATA=FOLDER python examples/bench_sparse_training.py

Two networks: ResNet-20 of width 16 under a regular graph that keeps 1/8 of the weights, VGG of six convolutions with
95 % of the single weights removed. Told are the time of a training step, the memory, and the accuracy after a short
training from three seeds. Before that, 20 steps in each form have to agree, else the benchmark fails. FOLDER holds
CIFAR-10 as cifar10_jpeg_train.npz and cifar10_jpeg_test.npz; without it the bundled digits serve.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, stdev

import torch
from torch import nn
from torch.nn.utils import prune

import netgraph as ng
import prune_adapters as pa
from bench_keep import training_step
from benchmark import Case, Row, arguments, measure, report, versions
from models import resnet20, vgg_small
from path_length_tasks import data
from sparse_memory import MEGA, forget_peak, held_bytes, status_bytes

Masks = dict[str, torch.Tensor]
Ready = tuple[nn.Module, torch.optim.Optimizer]
MILLI = 1000.0
SEEDS, STEPS = 3, 20
DENSE, PRUNED, SPARSE, MEASURED = "dense, keep_masks", "torch.nn.utils.prune", "sparse wherever it fits", "sparsify"
RATE, GENTLE = 0.05, 0.001
AGREE = {torch.float64: 1e-9, torch.float32: 1e-3}


def regular(model: nn.Module, example: torch.Tensor) -> Masks:
    """Return the masks of a ring of 16 nodes: 1/8 of the weights of each layer between."""
    return pa.regular_masks(model, example, ng.generators.circulant(16, degree=2))


def unstructured(model: nn.Module, example: torch.Tensor) -> Masks:
    """Return masks that keep 5 % of the single weights of each layer between the first and the last."""
    scores = pa.magnitude_scores(model)
    names = list(scores)[1:-1]
    return dict(pa.masks_from_scores({name: scores[name] for name in names}, sparsity=0.95, scope="layer"))


@dataclass(frozen=True)
class Network:
    """What is trained.

    Parameters
    ----------
    build, masks : callable
    batch, check : int
        Pictures of a timed step, and of a step of which the losses are compared.
    """

    build: Callable[[], nn.Module]
    masks: Callable[[nn.Module, torch.Tensor], Masks]
    batch: int
    check: int


NETWORKS = {
    "ResNet-20, regular graph, 1/8": Network(partial(resnet20, width=16), regular, 128, 64),
    "VGG-small, 95 % unstructured": Network(vgg_small, unstructured, 64, 16),
}
SHORT = {
    "ResNet-20, regular graph, 1/8": Network(partial(resnet20, width=16), regular, 4, 8),
    "VGG-small, 95 % unstructured": Network(partial(vgg_small, width=16), unstructured, 4, 16),
}
"""The same in small: for --quick, and for the accuracy of VGG."""


def prepared(network: Network, form: str, x: torch.Tensor, seed: int = 0, rate: float = RATE) -> Ready:
    """Return a network in one form with its optimizer, SGD with momentum; the same weights for all forms."""
    torch.manual_seed(seed)
    model = network.build().to(x.dtype).train()
    masks = network.masks(model, x[:1])
    pa.correct_fan_in(model, masks)
    if form == PRUNED:
        for name, mask in masks.items():
            path, _, key = name.rpartition(".")
            prune.custom_from_mask(model.get_submodule(path), key, mask)
    elif form == DENSE:
        pa.apply_masks(model, masks)
    else:
        policy = "sparse" if form == SPARSE else "measure"
        pa.sparsify(model, masks, policy=policy, example_inputs=x)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, weight_decay=5e-4)
    if pa.remembered_masks(model):
        pa.keep_masks(model, optimizer)
    return model, optimizer


def losses(network: Network, form: str, batches: list[tuple[torch.Tensor, torch.Tensor]]) -> list[float]:
    """Return the loss of each of the first steps."""
    model, optimizer = prepared(network, form, batches[0][0], rate=GENTLE)
    found = []
    for x, y in batches:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def agreement(name: str, network: Network, train: tuple[torch.Tensor, torch.Tensor]) -> list[Row]:
    """Return how far the losses of the first steps are from those of the masked dense network, relative to these.

    The rate is small: at a usual one a network with batch norm in float32 leaves by itself, within some ten steps, what
    it does in float64. How far the dense one goes here is told, too.

    Raises
    ------
    AssertionError
        They are too far in float64, where nothing but a mistake takes them apart.
    """
    rows: list[Row] = []
    dense: dict[torch.dtype, list[float]] = {}
    for dtype, bound in AGREE.items():
        order = torch.randperm(len(train[0]), generator=torch.Generator().manual_seed(0)).split(network.check)[:STEPS]
        batches = [(train[0][part].to(dtype), train[1][part]) for part in order]
        dense[dtype] = losses(network, DENSE, batches)
        own = farthest(dense[dtype], dense[torch.float64])
        off = farthest(losses(network, SPARSE, batches), dense[dtype])
        if dtype == torch.float64:
            assert off <= bound, (
                f"{name}: losses of {STEPS} steps in float64 differ by {off:.2g}, more than {bound:.2g}"
            )
        rows.append(Row(f"{name}: {STEPS} losses, largest difference to dense, {dtype}", off, "", target=bound))
    return [*rows, Row(f"{name}: {STEPS} losses, dense in float32 to dense in float64", own, "")]


def farthest(ours: list[float], theirs: list[float]) -> float:
    """Return the largest difference, relative to theirs."""
    return max(abs(a - b) / b for a, b in zip(ours, theirs, strict=True))


def times(name: str, network: Network, train: tuple[torch.Tensor, torch.Tensor], rounds: int) -> list[Row]:
    """Return a training step in each form."""
    x, y = train[0][: network.batch], train[1][: network.batch]
    forms = (DENSE, PRUNED, SPARSE, MEASURED)
    found = measure([Case(form, training_step(*prepared(network, form, x), x, y)) for form in forms], rounds)
    return [
        Row(f"{name}: step, {ours}", MILLI * found[ours], "ms", peer, MILLI * found[peer])
        for ours in (SPARSE, MEASURED)
        for peer in (DENSE, PRUNED)
    ]


def peaks(network: Network, form: str, side: int) -> dict[str, float]:
    """Return the megabytes that two steps take in this process, which has just been started."""
    torch.set_num_threads(1)
    x, y = torch.randn(network.batch, 3, side, side), torch.arange(network.batch) % 10
    small = SHORT["ResNet-20, regular graph, 1/8"]
    training_step(*prepared(small, form, x[:2]), x[:2], y[:2])()  # what torch imports and sets up does not count
    before = status_bytes("VmRSS")
    model, optimizer = prepared(network, form, x)
    forget_peak()
    step = training_step(model, optimizer, x, y)
    step()
    step()
    peak = status_bytes("VmHWM") - before
    return {"peak of training": peak / MEGA, "weights, gradients, tables, SGD": held_bytes(model, optimizer) / MEGA}


def memory(name: str, network: Network, side: int) -> list[Row]:
    """Return what training takes in each form, each in a new process."""
    if sys.platform != "linux":
        return []
    found = {}
    for form in (SPARSE, DENSE, PRUNED):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found[form] = pool.apply(peaks, (network, form, side))
    ours = found.pop(SPARSE)
    return [Row(f"{name}: {what}", ours[what], "MB", p, sizes[what]) for p, sizes in found.items() for what in ours]


def accuracies(
    name: str, network: Network, sets: tuple[tuple[torch.Tensor, torch.Tensor], ...], epochs: int
) -> tuple[list[Row], str]:
    """Return the test accuracy with sparse layers beside that of the masked dense network, over the seeds."""
    train, test = sets
    found: dict[str, list[float]] = {}
    for seed in range(SEEDS):
        for form in (SPARSE, DENSE):
            model, optimizer = prepared(network, form, train[0], seed)
            pa.train(model, train, epochs=epochs, optimizer=optimizer, batch_size=64, seed=seed, progress=False)
            found.setdefault(form, []).append(100 * pa.accuracy(model, *test))
    ours, theirs = found[SPARSE], found[DENSE]
    spread = stdev(theirs)
    text = (
        f"{name}: accuracies {_listed(ours)} sparse, {_listed(theirs)} dense; spread of the dense {spread:.2f} points"
    )
    off = abs(mean(ours) - mean(theirs))
    return [
        Row(f"{name}: accuracy, mean of {SEEDS} seeds", mean(ours), "%", DENSE, mean(theirs), better="high"),
        Row(f"{name}: difference of the means", off, "points", target=spread),
    ], text


def _listed(numbers: list[float]) -> str:
    return ", ".join(f"{number:.2f}" for number in numbers)


def main() -> None:
    """Compare the forms of each network."""
    options = arguments(__doc__.partition("\n")[0], images=("pictures to train on", 4000), epochs=("of them", 4))
    options.rounds = options.rounds or (1 if options.quick else 7)
    torch.set_num_threads(1)
    folder = None if options.quick else os.environ.get("NETGRAPH_DATA")
    train, test = data(folder and Path(folder))
    if folder is None:  # digits
        train, test = ((x[:, None].expand(-1, 3, -1, -1).contiguous(), y) for x, y in (train, test))
    images = 256 if options.quick else options.images
    train = train[0][:images], train[1][:images]
    title = "digits" if folder is None else "CIFAR-10 (JPEG q75)"
    rows, notes = [], [f"trained on {len(train[0])} pictures of {title}"]
    side = train[0].shape[-1]
    for name, network in (SHORT if options.quick else NETWORKS).items():
        rows += agreement(name, network, train)
        rows += times(name, network, train, options.rounds)
        rows += [] if options.quick else memory(name, network, side)
        epochs = 1 if options.quick else options.epochs
        more, text = accuracies(name, SHORT[name], ((train[0], train[1]), test), epochs)
        rows, notes = rows + more, [*notes, text]
    notes.append("CPU times of the thread, medians: on an idle machine those are wall times; the first and the last")
    notes.append("layer stay dense; accuracies of VGG are those of width 16")
    if options.quick:
        rows = [Row(r.case, r.ours, r.unit, r.peer, r.peer_value) for r in rows]
    report("bench_sparse_training", options, rows, versions("torch"), notes)


if __name__ == "__main__":
    main()
