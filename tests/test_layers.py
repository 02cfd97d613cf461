"""Sparse and regular layers beside torch's dense ones with zeros: outputs, gradients, state, copies, training."""

import copy
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

import netgraph as ng
import prune_adapters as pa

pytestmark = pytest.mark.filterwarnings("ignore:Using padding=.same.:UserWarning")  # of torch, with even kernels


def whole_kernels(layer: nn.Module, density: float = 0.4) -> torch.Tensor:
    """Return a mask that keeps or removes the kernels of pairs of channels."""
    weight = layer.get_parameter("weight")
    pairs = torch.rand(weight.shape[:2]) < density
    return pairs.reshape(*pairs.shape, *[1] * (weight.dim() - 2)).expand(weight.shape).clone()


def taps(layer: nn.Module, density: float = 0.4) -> torch.Tensor:
    """Return a mask of any form."""
    return torch.rand(layer.get_parameter("weight").shape) < density


def blocks(layer: nn.Module) -> torch.Tensor:
    """Return a mask of blocks of four outputs and three inputs."""
    weight = layer.get_parameter("weight")
    kept = torch.rand(weight.shape[0] // 4, weight.shape[1] // 3) < 0.5
    pairs = kept.repeat_interleave(4, 0).repeat_interleave(3, 1)
    return pairs.reshape(*pairs.shape, *[1] * (weight.dim() - 2)).expand(weight.shape).clone()


CASES: dict[str, tuple[type, Callable[[], nn.Module], Callable, tuple[int, ...]]] = {
    "linear": (pa.SparseLinear, lambda: nn.Linear(12, 8), taps, (5, 12)),
    "linear, no bias, more dimensions": (pa.SparseLinear, lambda: nn.Linear(12, 8, bias=False), taps, (2, 3, 12)),
    "regular linear": (pa.RegularLinear, lambda: nn.Linear(12, 8), blocks, (5, 12)),
    "conv": (pa.SparseConv2d, lambda: nn.Conv2d(6, 8, 3, padding=1), whole_kernels, (2, 6, 7, 5)),
    "conv, taps": (pa.SparseConv2d, lambda: nn.Conv2d(6, 8, (3, 2), stride=(2, 1)), taps, (2, 6, 7, 5)),
    "conv, groups": (pa.SparseConv2d, lambda: nn.Conv2d(6, 8, 3, groups=2, dilation=2), taps, (2, 6, 9, 8)),
    "conv, same": (pa.SparseConv2d, lambda: nn.Conv2d(6, 8, (4, 3), padding="same"), taps, (2, 6, 7, 5)),
    "conv, valid": (pa.SparseConv2d, lambda: nn.Conv2d(6, 8, 3, padding="valid"), taps, (2, 6, 7, 5)),
    "conv, reflect": (
        pa.SparseConv2d,
        lambda: nn.Conv2d(6, 8, 3, padding=(1, 2), padding_mode="reflect", bias=False),
        whole_kernels,
        (2, 6, 7, 5),
    ),
    "conv, one image": (pa.SparseConv2d, lambda: nn.Conv2d(6, 8, 3), taps, (6, 7, 5)),
    "regular conv": (pa.RegularConv2d, lambda: nn.Conv2d(6, 8, 3, padding=1, stride=2), blocks, (2, 6, 7, 5)),
    "conv1d": (pa.SparseConv1d, lambda: nn.Conv1d(6, 8, 3, padding=1, groups=2), taps, (2, 6, 9)),
    "conv1d, circular": (
        pa.SparseConv1d,
        lambda: nn.Conv1d(6, 8, 3, padding=2, padding_mode="circular"),
        whole_kernels,
        (2, 6, 9),
    ),
    "regular conv1d": (pa.RegularConv1d, lambda: nn.Conv1d(6, 8, 3), blocks, (6, 9)),
}
"""The class, the dense layer, the mask, the shape of the input."""


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, pa.SparseLayer, torch.Tensor]:
    """A dense layer with zeros, the sparse one made of it, and an input."""
    kind, build, mask_of, shape = CASES[request.param]
    torch.manual_seed(len(request.param))
    dense = build().double()
    pa.apply_masks(dense, {"weight": mask_of(dense)})
    return dense, kind.from_dense(dense), torch.randn(shape, dtype=torch.float64)


def test_outputs_and_gradients_are_those_of_the_dense_layer(case) -> None:
    dense, sparse, x = case
    inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    outputs = [layer(i) for layer, i in zip((dense, sparse), inputs, strict=True)]
    torch.testing.assert_close(outputs[1], outputs[0])
    grad = torch.randn_like(outputs[0])
    for output in outputs:
        output.backward(grad)

    torch.testing.assert_close(inputs[1].grad, inputs[0].grad)
    torch.testing.assert_close(sparse.values.grad, sparse.kept(dense.weight.grad))
    if dense.bias is not None:
        torch.testing.assert_close(sparse.bias.grad, dense.bias.grad)


def test_the_way_to_the_dense_layer_and_back_is_exact(case) -> None:
    dense, sparse, _ = case
    back = sparse.to_dense()

    assert type(back) is type(dense)
    assert str(back) == str(dense)
    torch.testing.assert_close(dict(back.state_dict()), dict(dense.state_dict()), rtol=0, atol=0)
    torch.testing.assert_close(sparse.mask, pa.remembered_masks(dense)["weight"])
    again = type(sparse).from_dense(back, sparse.mask)
    assert again.plan == sparse.plan
    torch.testing.assert_close(again.values, sparse.values, rtol=0, atol=0)
    assert str(again) == str(sparse)


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_either_state_is_loaded(case, form: str) -> None:
    _, sparse, x = case
    other = copy.deepcopy(sparse)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.normal_()
    other.sparse_state = form == "sparse"
    sparse.load_state_dict(other.state_dict())

    torch.testing.assert_close(sparse(x), other(x), rtol=0, atol=0)


def test_the_state_is_that_of_the_dense_layer(case) -> None:
    dense, sparse, x = case
    state = sparse.state_dict()
    assert list(state) == list(dense.state_dict())
    fresh = copy.deepcopy(dense)
    fresh.load_state_dict(state)
    torch.testing.assert_close(fresh(x), dense(x), rtol=0, atol=0)


def test_removed_weights_of_a_dense_checkpoint_are_left_out(case) -> None:
    dense, sparse, x = case
    unmasked = pa.remove_masks(copy.deepcopy(dense))
    nn.init.normal_(unmasked.weight)
    sparse.load_state_dict(unmasked.state_dict())
    dense.load_state_dict(unmasked.state_dict())

    torch.testing.assert_close(sparse(x), dense(x))


def test_copies_and_pickles_compute_the_same(case) -> None:
    _, sparse, x = case
    y = sparse(x)
    torch.testing.assert_close(copy.deepcopy(sparse)(x), y, rtol=0, atol=0)
    torch.testing.assert_close(pickle.loads(pickle.dumps(sparse))(x), y, rtol=0, atol=0)
    twin = copy.deepcopy(sparse)
    assert twin.values is not sparse.values
    assert twin.plan is sparse.plan


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_narrow_floats_are_multiplied_in_float32(case, dtype: torch.dtype) -> None:
    _, sparse, x = case
    narrow, x = sparse.to(dtype), x.to(dtype).requires_grad_()
    y = narrow(x)
    y.float().square().sum().backward()
    exact = copy.deepcopy(narrow).float()(x.float())

    assert y.dtype == x.grad.dtype == narrow.values.grad.dtype == dtype
    torch.testing.assert_close(y, exact.to(dtype), rtol=0, atol=0)


def test_autocast_computes_in_float32(case) -> None:
    _, sparse, x = case
    sparse, x = sparse.float(), x.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = sparse(x.bfloat16())
    y.sum().backward()

    torch.testing.assert_close(y, sparse(x.bfloat16().float()))
    assert sparse.values.grad.dtype == torch.float32


def test_layers_are_compiled_and_exported_as_wholes(case) -> None:
    _, sparse, x = case
    y = sparse(x)
    torch._dynamo.reset()  # all layers share one frame, which may not be compiled for ever more of them
    compiled = torch.compile(sparse, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), y)
    compiled(x).sum().backward()
    assert sparse.values.grad is not None
    torch.testing.assert_close(torch.export.export(sparse, (x,)).module()(x), y)


def test_data_parallel_training_is_that_of_the_layer(case, tmp_path: Path) -> None:
    _, sparse, x = case
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        parallel = nn.parallel.DistributedDataParallel(copy.deepcopy(sparse))
        for layer in (parallel, sparse):
            layer(x).square().sum().backward()
        torch.testing.assert_close(parallel.module.values.grad, sparse.values.grad)
        assert list(parallel.module.state_dict()) == list(sparse.state_dict())
    finally:
        parallel = layer = None  # torch 2.13 may wait for ever for a group that a module holds
        torch.distributed.destroy_process_group()


def test_a_state_of_another_shape_or_pattern_is_refused() -> None:
    mask = torch.tensor([[True, False], [True, True]])
    layer, other = pa.SparseLinear(2, 2, mask), pa.SparseLinear(2, 2, ~mask)
    other.sparse_state = True
    with pytest.raises(RuntimeError, match="size mismatch for values"):
        layer.load_state_dict(other.state_dict())
    with pytest.raises(RuntimeError, match="size mismatch for values"):
        layer.load_state_dict(nn.Linear(3, 2).state_dict())
    with pytest.raises(RuntimeError, match=r"Missing key.*values"):
        layer.load_state_dict({"bias": torch.zeros(2)})
    with pytest.raises(RuntimeError, match=r"Unexpected key.*else"):
        layer.load_state_dict(layer.state_dict() | {"else": torch.zeros(2)})


@pytest.mark.parametrize("optimize", [partial(torch.optim.SGD, momentum=0.9), torch.optim.AdamW], ids=["SGD", "AdamW"])
def test_training_is_that_of_the_masked_layer(case, optimize) -> None:
    dense, sparse, x = case
    averaged = torch.optim.swa_utils.AveragedModel(sparse)
    optimizers = [optimize(layer.parameters(), lr=0.05, weight_decay=0.01) for layer in (dense, sparse)]
    with pa.keep_masks(dense, optimizers[0]):
        for _ in range(3):
            for layer, optimizer in zip((dense, sparse), optimizers, strict=True):
                optimizer.zero_grad()
                layer(x).square().mean().backward()
                nn.utils.clip_grad_value_(layer.parameters(), 1.0)
                optimizer.step()
            averaged.update_parameters(sparse)

    torch.testing.assert_close(sparse.weight, dense.weight)
    states = [s for s in optimizers[1].state[sparse.values].values() if s.dim()]
    assert {state.shape for state in states} == {sparse.values.shape}
    assert averaged.module(x).shape == dense(x).shape


def test_a_fresh_layer_starts_by_the_inputs_that_are_kept() -> None:
    torch.manual_seed(0)
    mask = torch.zeros(400, 400, dtype=torch.bool)
    mask[:, :100] = True
    layer = pa.SparseLinear(400, 400, mask)

    assert layer.values.abs().max() <= 0.1
    assert layer.values.std().item() == pytest.approx(0.1 / 3**0.5, rel=0.02)
    assert layer.bias.abs().max() <= 0.1


def test_a_regular_layer_has_the_masks_of_its_graph() -> None:
    graph = ng.generators.circulant(4, degree=2)
    model = nn.Sequential(nn.Linear(16, 24), nn.Conv2d(16, 24, 3))
    joined = torch.from_numpy(ng.relational_biadjacency(graph, 24, 16))

    assert torch.equal(pa.RegularLinear(16, 24, graph).mask, joined)
    conv = pa.RegularConv2d(16, 24, 3, graph, self_loops=True)
    joined = torch.from_numpy(ng.relational_biadjacency(graph, 24, 16, self_loops=True))
    assert torch.equal(conv.mask, joined[:, :, None, None].expand(model[1].weight.shape))
    shared = pa.RegularLinear(16, 24, graph, share_neighbours=2)
    assert shared.density == 0.25


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: pa.SparseLinear(3, 2, torch.ones(2, 3)),
            pa.MaskError,
            "SparseLinear: mask: expected dtype torch.bool",
        ),
        (lambda: pa.SparseLinear(3, 2, torch.ones(3, 2).bool()), pa.MaskError, r"shape \(2, 3\), got \(3, 2\)"),
        (
            lambda: pa.RegularLinear(9, 8, ng.generators.circulant(4, degree=2)),
            ValueError,
            "RegularLinear: expected outputs that are a multiple of 4 and inputs that are one of 4, got 8 and 9",
        ),
        (lambda: pa.SparseConv2d(4, 6, 3, torch.ones(6, 4, 3, 3).bool(), groups=4), ValueError, "divisible by groups"),
        (
            lambda: pa.SparseLinear.from_dense(nn.Linear(3, 2), torch.ones(3, 2).bool()),
            pa.MaskError,
            "Linear: mask: expected shape",
        ),
    ],
)
def test_errors_say_what_is_wrong(call, error, message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("share", [1, 2, 4])
def test_outputs_that_share_neighbours_are_one_block(share: int) -> None:
    graph = ng.generators.circulant(4, degree=2)
    linear = pa.RegularLinear(128, 64, graph, share_neighbours=share)
    conv = pa.RegularConv2d(128, 64, 3, graph, share_neighbours=share)

    assert linear.plan.block == conv.plan.block == (16, 32 // share)
    assert linear.values.shape == (8, 16, 32 // share)
    assert conv.values.shape == (8, 16, 32 // share, 3, 3)
    masked = torch.nn.Linear(128, 64)
    assert pa.RegularLinear.from_dense(masked, linear.mask).plan == linear.plan
