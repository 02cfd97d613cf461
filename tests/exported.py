"""Models to export: compacted networks, types of ours, masks and sparse layers, each with example inputs."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import prune_adapters as pa
from compacting import compacted, randomized, whole_masks
from networks import CASES, MobileNetV2, ResNet, TorchViT, ViT, edge_names
from networks.residual import BasicBlock
from oracle import random_masks
from prune_adapters.compact.border import ConstantConv2d
from prune_adapters.compact.counted import CountedGroupNorm, CountedLayerNorm, CountedRMSNorm
from prune_adapters.compact.heads import FewerHeads
from prune_adapters.compact.rebuild import shrink
from prune_adapters.export.onnx_file import missing_libraries
from smaller import padded_pair

needs_onnx = pytest.mark.skipif(bool(missing_libraries()), reason=f"not installed: {missing_libraries()}")
Subject = tuple[nn.Module, object, set[type]]
"""A model, example inputs, and types of ours that it must hold."""


def pruned(model: nn.Module, inputs: object, density: float = 0.3) -> Subject:
    """Return a network compacted under random masks."""
    model = randomized(model, 0).eval()
    return compacted(model, random_masks(model, edge_names(model), density, seed=0), inputs), inputs, set()


def network(name: str) -> Subject:
    """Return a network of the list, compacted."""
    return pruned(CASES[name].model(0), CASES[name].inputs())


def residual() -> Subject:
    return pruned(ResNet(BasicBlock, (1, 1), width=8, stem="cifar"), torch.randn(1, 3, 12, 12))


def mobile() -> Subject:
    model = MobileNetV2(((1, 8, 1, 1), (4, 8, 1, 2)), stem=8, head=24, classes=10)
    return pruned(model, torch.randn(1, 3, 16, 16))


def vision() -> Subject:
    model = ViT(image=8, patch=4, dim=16, depth=1, heads=2, hidden=24, classes=5)
    return pruned(model, torch.randn(1, 3, 8, 8))


def constants() -> Subject:
    """Return a convolution that has lost a constant channel behind its zero padding."""
    model, masks = padded_pair()
    x = torch.randn(1, 1, 5, 5)
    return compacted(model.float(), masks, x), x, {ConstantConv2d}


def heads() -> Subject:
    """Return an encoder layer of torch that has lost a head."""
    model, x = randomized(TorchViT(depth=1), 0).eval(), torch.randn(1, 3, 8, 8)
    masks = whole_masks(model)
    masks["layers.0.self_attn.out_proj.weight"][:, 8:] = False
    return compacted(model, masks, x), x, {FewerHeads}


class Norms(nn.Module):
    """Norms that have lost channels: of a layer and of its root mean square on vectors, of groups on images."""

    def __init__(self) -> None:
        super().__init__()
        keep = torch.tensor([1, 0, 1, 1, 0, 1, 0, 0, 1, 1, 1, 1], dtype=torch.bool).numpy()
        self.layer, self.rms, self.group = nn.LayerNorm(12), nn.RMSNorm(12), nn.GroupNorm(4, 12)
        for norm in (self.layer, self.rms, self.group):
            shrink(norm, keep, keep, torch.linspace(-1, 3, 12).double().numpy())

    def forward(self, x: Tensor, image: Tensor) -> dict[str, Tensor]:
        return {"layer": self.layer(x), "rms": self.rms(x), "group": self.group(image)}


def norms() -> Subject:
    types = {CountedGroupNorm, CountedLayerNorm, CountedRMSNorm}
    return randomized(Norms(), 0).eval(), (torch.randn(2, 8), torch.randn(2, 8, 3, 4)), types


def dense_with_masks() -> Subject:
    model, x = randomized(CASES["lenet"].model(0), 0), CASES["lenet"].inputs()
    return pa.apply_masks(model, random_masks(model, edge_names(model), 0.2, seed=0)), x, set()


def sparsified() -> Subject:
    """Return sparse and regular layers, a convolution among them."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 4)]
    model, x = nn.Sequential(*layers), torch.randn(1, 3, 4, 4)
    blocks = torch.eye(4, dtype=torch.bool).repeat_interleave(8, 0).repeat_interleave(16, 1)
    masks = {"0.weight": torch.rand(16, 3, 3, 3) < 0.3, "3.weight": blocks, "5.weight": torch.rand(4, 32) < 0.2}
    pa.sparsify(model, masks, policy={"0": "sparse", "3": "regular", "5": "sparse"})
    return model, x, {pa.SparseConv2d, pa.RegularLinear, pa.SparseLinear}


SUBJECTS: dict[str, Callable[[], Subject]] = {
    "mlp": lambda: network("mlp"),
    "resnet": residual,
    "mobilenet": mobile,
    "vit": vision,
    "two inputs": lambda: network("two_inputs"),
    "named inputs": lambda: network("named_inputs"),
    "tied embedding": lambda: network("tied_embedding"),
    "constants": constants,
    "heads": heads,
    "norms": norms,
    "masked": dense_with_masks,
    "sparsified": sparsified,
}


class Counting(nn.Module):
    """Gives something else at each call."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        Counting.calls += 1
        return x * Counting.calls
