"""Prune a network, make it smaller and write it in every format: what does each file take, and how fast does it run?

A convolutional network learns scikit-learn's handwritten digits (1,797 pictures of 8 x 8). Then most of its weights are
removed, what is left lies on paths from input to output, and after more training it is compacted and exported:

    python examples/export_pruned.py
    python examples/export_pruned.py --sparsity 0.98 --folder digits

prints the accuracies and the tables of `export_report` (dense against masked, dense against compacted), and writes
out/network.safetensors (without its zeros), out/network.pt2 and, where onnx, onnxscript and onnxruntime are installed,
out/network.onnx.
"""

import argparse
import copy
from pathlib import Path

import torch
from rich.console import Console
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

import prune_adapters as pa

Data = tuple[Tensor, Tensor]


def digits() -> tuple[Data, Data]:
    """Return training and test data: pictures of 1 x 8 x 8 pixels in [0, 1], and their classes."""
    pictures, classes = (torch.tensor(part) for part in load_digits(return_X_y=True))
    train, test = train_test_split(range(len(classes)), test_size=0.25, stratify=classes, random_state=0)
    pictures = pictures.float().reshape(-1, 1, 8, 8) / 16
    return (pictures[train], classes[train]), (pictures[test], classes[test])


def network(seed: int) -> nn.Sequential:
    """Return two convolutions with batch norm and two linear layers."""
    torch.manual_seed(seed)
    features = [
        *(nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)),
    ]
    return nn.Sequential(*features, nn.Flatten(), nn.Linear(1024, 128), nn.ReLU(), nn.Linear(128, 10))


def learn(model: nn.Module, train: Data, *, epochs: int, seed: int) -> None:
    """Train a network in place; masks that it remembers are kept."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    pa.train(model, train, epochs=epochs, optimizer=optimizer, batch_size=32, seed=seed, progress=False)


def pruned(dense: nn.Module, train: Data, *, sparsity: float, epochs: int, seed: int) -> nn.Module:
    """Return a copy that has lost most of its weights, keeps only those on paths, and has learned again."""
    model = copy.deepcopy(dense)
    graph = pa.to_graph(model, train[0][:1])
    scores = pa.magnitude_scores(model, graph=graph)
    pa.apply_masks(model, pa.consistent_masks(scores, graph, sparsity=sparsity))
    learn(model, train, epochs=epochs, seed=seed)
    return model


def written(model: nn.Module, example: Tensor, folder: Path) -> list[Path]:
    """Write the network in every format that can be written here; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    pa.export_sparse(model, folder / "network.safetensors")
    pa.export_program(model, example, folder / "network.pt2")
    files = [folder / "network.safetensors", folder / "network.pt2"]
    try:
        files += pa.export_onnx(model, example, folder / "network.onnx")
    except ImportError as error:
        print(error)
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sparsity", type=float, default=0.95)
    parser.add_argument("--epochs", type=int, default=10, help="before pruning, and again after it")
    parser.add_argument("--folder", type=Path, default=Path("out"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="one epoch, one table: shows that it runs")
    options = parser.parse_args()
    epochs, repeats = (1, 3) if options.quick else (options.epochs, 15)
    train, test = digits()
    example = test[0][:1]
    with Console(stderr=True).status("training"):
        dense = network(options.seed)
        learn(dense, train, epochs=epochs, seed=options.seed)
        masked = pruned(dense, train, sparsity=options.sparsity, epochs=epochs, seed=options.seed)
    small = pa.compact(masked, pa.to_graph(masked, example, masks=pa.remembered_masks(masked)), example)
    for name, model in (("dense", dense), ("masked", masked), ("compacted", small)):
        print(f"{name}: {pa.accuracy(model, *test):.1%} of the test pictures right")
    subjects = {"masked": masked, "compacted": small}
    for name, model in list(subjects.items())[-1:] if options.quick else subjects.items():
        print(f"\ndense -> {name}")
        print(pa.export_report(dense, model, example, repeats=repeats))
    print()
    for path in written(small, example, options.folder):
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
