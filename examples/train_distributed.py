"""Prune and train in several processes: DistributedDataParallel, or FSDP2, which spreads the weights over them.

A small network learns scikit-learn's handwritten digits (1,797 pictures of 8 x 8), each process from its part of them.
Then 95 % of the weights are removed, and the rest, all of it on paths from input to output, is trained on.

    torchrun --nproc-per-node 2 examples/train_distributed.py
    torchrun --nproc-per-node 2 examples/train_distributed.py --fsdp

prints the accuracies and writes the masks to out/masks.safetensors. Each process computes the masks from the same
weights, so that nothing is sent around. Without torchrun there is one process.
"""

import argparse
import os
from pathlib import Path

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

import prune_adapters as pa

Data = tuple[Tensor, Tensor]


def digits() -> tuple[Data, Data]:
    """Return training and test data: pictures of 64 pixels in [0, 1], and their classes."""
    pictures, classes = (torch.tensor(part) for part in load_digits(return_X_y=True))
    train, test = train_test_split(range(len(classes)), test_size=0.25, stratify=classes, random_state=0)
    pictures = pictures.float() / 16
    return (pictures[train], classes[train]), (pictures[test], classes[test])


def own_part(data: Data) -> Data:
    """Return the examples of this rank: as many as any other has, so that all take the same number of steps."""
    ranks = dist.get_world_size()
    end = len(data[0]) // ranks * ranks
    return data[0][dist.get_rank() : end : ranks], data[1][dist.get_rank() : end : ranks]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10))


def wrapped(model: nn.Module, *, fsdp: bool) -> nn.Module:
    if not fsdp:
        return DistributedDataParallel(model)
    for layer in model:
        if isinstance(layer, nn.Linear):
            fully_shard(layer)
    return fully_shard(model)


def fit(model: nn.Module, optimizer: torch.optim.Optimizer, data: Data, *, epochs: int) -> None:
    pictures, classes = data
    for epoch in range(epochs):
        order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(epoch))
        for batch in order.split(32):
            optimizer.zero_grad()
            cross_entropy(model(pictures[batch]), classes[batch]).backward()
            optimizer.step()


def prune_and_train(folder: Path, *, fsdp: bool, sparsity: float, epochs: int) -> None:
    train, test = digits()
    own = own_part(train)
    model = network()
    graph = pa.to_graph(model, train[0][:1])  # before the weights are spread; the names stay the same
    model = wrapped(model, fsdp=fsdp)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    fit(model, optimizer, own, epochs=epochs)
    say(f"dense: {pa.accuracy(model, *test):.1%}")

    masks = pa.consistent_masks(pa.magnitude_scores(model, graph=graph), graph, sparsity=sparsity)
    pa.check_ranks_agree(masks)
    say(str(masks))
    pa.apply_masks(model, masks)
    say(f"pruned: {pa.accuracy(model, *test):.1%}")
    pa.keep_masks(model, optimizer)
    fit(model, optimizer, own, epochs=epochs)
    say(f"trained on: {pa.accuracy(model, *test):.1%}")

    remembered = pa.remembered_masks(model)  # on every rank: they put the parts together
    if dist.get_rank() == 0:
        folder.mkdir(exist_ok=True)
        pa.save_masks(folder / "masks.safetensors", remembered, sparsity=sparsity)


def say(line: str) -> None:
    if dist.get_rank() == 0:
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fsdp", action="store_true", help="spread the weights over the processes")
    parser.add_argument("--sparsity", type=float, default=0.95)
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--quick", action="store_true", help="2 epochs before and after, in place of 20")
    given = parser.parse_args()
    alone = {} if "RANK" in os.environ else {"store": dist.HashStore(), "rank": 0, "world_size": 1}
    dist.init_process_group("gloo", **alone)
    prune_and_train(given.out, fsdp=given.fsdp, sparsity=given.sparsity, epochs=2 if given.quick else 20)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
