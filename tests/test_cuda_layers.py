"""Sparse and regular layers on a GPU: results, training, compiled, in autocast, and how a model gets them."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import netgraph as ng
import prune_adapters as pa
from cuda_device import ON_HOST

pytestmark = pytest.mark.cuda
DEVICE = "cpu" if ON_HOST else "cuda"
RING = ng.generators.circulant(4, degree=2)


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def half(*shape: int) -> torch.Tensor:
    """Return a mask of taps."""
    return drawn(*shape) < 0


def pairs(*shape: int) -> torch.Tensor:
    """Return a mask of whole kernels."""
    return (drawn(*shape[:2]) < 0)[..., None, None].expand(shape)


@dataclass
class Kind:
    """A layer, and the shape of what goes in."""

    build: Callable[[], pa.SparseLayer]
    shape: tuple[int, ...]


KINDS = {
    "regular linear": Kind(lambda: pa.RegularLinear(128, 64, RING), (9, 128)),
    "shared linear": Kind(lambda: pa.RegularLinear(128, 128, RING, share_neighbours=2), (2, 9, 128)),
    "sparse linear": Kind(lambda: pa.SparseLinear(96, 40, half(40, 96)), (9, 96)),
    "regular conv": Kind(lambda: pa.RegularConv2d(64, 64, 3, RING, padding=1, stride=2), (2, 64, 7, 6)),
    "sparse conv, pairs": Kind(lambda: pa.SparseConv2d(6, 8, 3, pairs(8, 6, 3, 3), padding=1), (2, 6, 7, 6)),
    "sparse conv, taps": Kind(lambda: pa.SparseConv2d(6, 8, 3, half(8, 6, 3, 3)), (2, 6, 7, 6)),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    torch.manual_seed(0)
    return KINDS[request.param]


def gradients(layer: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Return the output and the gradients of all that has some."""
    own = x.clone().requires_grad_()
    y = layer(own)
    weights = drawn(*y.shape).to(y)
    return [y.detach(), *torch.autograd.grad((y * weights).sum(), [own, *layer.parameters()])]


def near(found: list[torch.Tensor], wanted: list[torch.Tensor], bound: float) -> None:
    for one, right in zip(found, wanted, strict=True):
        right = right.to(one.device, torch.float64)
        torch.testing.assert_close(one.double(), right, rtol=0, atol=bound * max(1.0, float(right.abs().max())))


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 5e-3), (torch.bfloat16, 4e-2)])
def test_a_layer_computes_what_the_dense_one_does_on_the_cpu(kind: Kind, dtype: torch.dtype, bound: float) -> None:
    if DEVICE == "cpu" and dtype == torch.bfloat16:
        pytest.skip("kernels for a CPU take float32 and float64")
    layer, x = kind.build().to(dtype), drawn(*kind.shape).to(dtype)
    dense, own = copy.deepcopy(layer).double().to_dense(), layer.to(DEVICE)
    assert own.plan.device.type == DEVICE
    y, dx, dv, db = gradients(own, x.to(DEVICE))
    wanted = gradients(dense, x.double())
    wanted[2] = layer.kept(wanted[2].to(DEVICE))

    near([y, dx, dv, db], wanted, bound)
    assert {one.dtype for one in (y, dx, dv, db)} == {dtype}


def test_training_goes_as_on_the_cpu(kind: Kind) -> None:
    host = kind.build().double()
    device = copy.deepcopy(host).to(DEVICE)
    x = drawn(*kind.shape)
    losses = []
    for layer in (host, device):
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
        own = x.to(layer.values.device)
        for _ in range(4):
            loss = layer(own).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    torch.testing.assert_close(losses[4:], losses[:4])
    assert losses[3] < losses[0]
    near([device.values.detach()], [host.values.detach()], 1e-9)
    torch.testing.assert_close(dict(device.to("cpu").state_dict()), dict(host.state_dict()))
    again = device.to("cpu")
    assert again.plan == host.plan


def test_layers_compile_in_one_graph(kind: Kind) -> None:
    layer, x = kind.build().to(DEVICE), drawn(*kind.shape).float().to(DEVICE)
    torch._dynamo.reset()
    compiled = torch.compile(lambda given: layer(given).relu(), backend="aot_eager", fullgraph=True)
    found, wanted = ((run(x).sum(), layer.values) for run in (compiled, lambda given: layer(given).relu()))
    (dv,), (right,) = (torch.autograd.grad(*pair) for pair in (found, wanted))

    near([found[0].detach(), dv], [wanted[0].detach(), right], 5e-3)


@pytest.mark.skipif(DEVICE == "cpu", reason="autocast on a CPU keeps float32")
def test_autocast_multiplies_in_bfloat16(kind: Kind) -> None:
    layer, x = kind.build().to(DEVICE), drawn(*kind.shape).float().to(DEVICE).requires_grad_()
    with torch.autocast("cuda", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    y.float().square().sum().backward()
    assert {x.grad.dtype, layer.values.grad.dtype, layer.bias.grad.dtype} == {torch.float32}
    near([y.detach()], [layer(x).detach()], 4e-2)


def test_states_load_on_the_device(kind: Kind) -> None:
    layer, x = kind.build().double().to(DEVICE), drawn(*kind.shape).to(DEVICE)
    for sparse in (False, True):
        other = kind.build().double().to(DEVICE)
        layer.sparse_state = sparse
        other.load_state_dict(layer.state_dict())
        near([other(x).detach()], [layer(x).detach()], 1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_a_model_is_measured_and_exchanged_on_the_device(training: bool) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 16, 128), nn.Linear(128, 64)
    ).double()
    masks = {"0.weight": half(64, 3, 3, 3), "3.weight": half(128, 1024), "4.weight": blocks(64, 128, 32)}
    x = drawn(4, 3, 6, 6).to(DEVICE)
    dense = copy.deepcopy(net).to(DEVICE)
    pa.apply_masks(dense, {name: mask.to(DEVICE) for name, mask in masks.items()})
    for policy in ("measure", "sparse", "regular", "predict"):
        own = copy.deepcopy(net).to(DEVICE)
        record = pa.sparsify(
            own, {name: mask.to(DEVICE) for name, mask in masks.items()}, policy=policy, example_inputs=x,
            training=training,
        )  # fmt: skip
        near([own(x).detach()], [dense(x).detach()], 1e-10)
        assert record.machine.startswith(DEVICE)
        if policy == "measure":
            assert all(time > 0 for layer in record.layers for time in layer.seconds.values())
    assert pa.densify(own) is own
    near([own(x).detach()], [dense(x).detach()], 1e-10)


def blocks(rows: int, columns: int, side: int) -> torch.Tensor:
    """Return a mask of square blocks, every other one kept."""
    kept = (torch.arange(rows // side)[:, None] + torch.arange(columns // side)) % 2 == 0
    return kept.repeat_interleave(side, 0).repeat_interleave(side, 1)
