"""What users of other pruning tools reported, each held here with the number of the report: masks that never surprise.

The reports are about torch.nn.utils.prune where they are from pytorch/pytorch.
"""

import copy
import gc
import io
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn

import prune_adapters as pa
from networks import CASES

Inputs = torch.Tensor


class Recurrent(nn.Module):
    """Two layers of LSTM, read at all steps."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 6, num_layers=2, bidirectional=True, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x)[0]


class Attention(nn.Module):
    """Self-attention, whose forward pass reads the weight of ``out_proj`` without calling it."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


def recurrent() -> tuple[nn.Module, Inputs]:
    return Recurrent(), torch.randn(3, 5, 4)


def attention() -> tuple[nn.Module, Inputs]:
    return Attention(), torch.randn(3, 5, 8)


def tied() -> tuple[nn.Module, Inputs]:
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6))
    model[2].weight = model[0].weight
    return model, torch.randn(4, 6)


def parametrized() -> tuple[nn.Module, Inputs]:
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 5)), nn.Linear(5, 2)), torch.randn(4, 6)


def residual() -> tuple[nn.Module, Inputs]:
    return CASES["resnet20_a"].model().train(), torch.randn(2, 3, 32, 32)


def perceptron() -> tuple[nn.Module, Inputs]:
    return nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 10)), torch.randn(4, 20)


KINDS = [perceptron, residual, attention, recurrent, tied, parametrized]
Built = tuple[nn.Module, Inputs]


@pytest.fixture(params=KINDS, ids=lambda build: build.__name__)
def built(request: pytest.FixtureRequest) -> Built:
    torch.manual_seed(0)
    return request.param()


def masks_for(model: nn.Module, *, sparsity: float = 0.6, seed: int = 0) -> dict[str, torch.Tensor]:
    return dict(pa.masks_from_scores(pa.random_scores(model, seed=seed), sparsity=sparsity, scope="layer"))


def backward(model: nn.Module, x: Inputs) -> None:
    model(x).square().mean().backward()


def at_moment(moment: str, model: nn.Module, x: Inputs) -> None:
    """Bring the model to a moment of its life: masked just now, after a forward pass, after a backward pass."""
    if moment == "after forward":
        model(x)
    elif moment == "after backward":
        backward(model, x)


def assert_obeys(model: nn.Module, masks: dict[str, torch.Tensor]) -> None:
    """Hold that removed weights are +0.0 to the bit while kept ones are not."""
    for name, mask in masks.items():
        weight = model.get_parameter(name).detach()
        assert not weight[~mask].any()
        assert not torch.signbit(weight[~mask]).any()
        assert weight[mask].any()


def saved_bytes(model: nn.Module, x: Inputs) -> int:
    """Return the bytes that a forward pass keeps for the backward pass, each tensor once."""
    sizes: dict[tuple[int, int], int] = {}

    def count(tensor: torch.Tensor) -> torch.Tensor:
        sizes[tensor.data_ptr(), tensor.numel()] = tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        output = model(x)
    assert output.requires_grad
    return sum(sizes.values())


def alive() -> int:
    """Return the bytes of all masks, packed or not, that are held anywhere in this process; views count once."""
    gc.collect()
    tensors = [t for t in gc.get_objects() if type(t) is torch.Tensor and t.dtype in (torch.bool, torch.uint8)]
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


@pytest.mark.parametrize("moment", ["fresh", "after forward", "after backward"])
def test_1_deep_copies(built: Built, moment: str) -> None:
    """pytorch/pytorch#37322, Lightning-AI/pytorch-lightning#21717, VainF/Torch-Pruning#374, intel/torch-xpu-ops#3794.

    Reported right after pruning, after a forward and after a backward pass.
    """
    model, x = built
    masks = masks_for(model)
    at_moment(moment, pa.apply_masks(model, masks), x)
    twin = copy.deepcopy(model)

    torch.testing.assert_close(pa.remembered_masks(twin), masks)
    torch.testing.assert_close(twin.eval()(x), model.eval()(x))


@pytest.mark.parametrize("moment", ["fresh", "after forward", "after backward"])
def test_1_pickles(built: Built, moment: str) -> None:
    """VainF/Torch-Pruning#428, microsoft/nni#3527."""
    model, x = built
    if any(isinstance(module, nn.utils.parametrize.ParametrizationList) for module in model.modules()):
        pytest.skip("torch does not pickle parametrized modules")
    masks = masks_for(model)
    at_moment(moment, pa.apply_masks(model, masks), x)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)

    torch.testing.assert_close(pa.remembered_masks(loaded), masks)
    torch.testing.assert_close(loaded.eval()(x), model.eval()(x))


@pytest.mark.parametrize("moment", ["fresh", "after forward", "after backward"])
def test_1_weights_and_masks_load_without_pickle(built: Built, moment: str, tmp_path) -> None:
    """VainF/Torch-Pruning#29, #436, jacobgil/pytorch-pruning#26, StijnVerdenius/SNIP-it#6, pytorch/ao#143."""
    model, x = built
    other = copy.deepcopy(model)
    at_moment(moment, pa.apply_masks(model, masks_for(model)), x)
    pa.save_masks(tmp_path / "masks.safetensors", pa.remembered_masks(model))
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    pa.apply_masks(other, pa.load_masks(tmp_path / "masks.safetensors", model=other))

    torch.testing.assert_close(pa.remembered_masks(other), pa.remembered_masks(model))
    torch.testing.assert_close(other.eval()(x), model.eval()(x))


def test_2_names_and_counts_stay_those_of_the_dense_model(built: Built) -> None:
    """pytorch/pytorch#32899, wandb/edu#25, TylerYep/torchinfo#103."""
    model, x = built
    keys, names = list(model.state_dict()), [name for name, _ in model.named_parameters()]
    count = sum(p.numel() for p in model.parameters())
    backward(pa.apply_masks(model, masks_for(model)), x)

    assert list(model.state_dict()) == keys
    assert [name for name, _ in model.named_parameters()] == names
    assert sum(p.numel() for p in model.parameters()) == count


def test_2_dense_checkpoints_load_both_ways(built: Built) -> None:
    """pytorch/pytorch#32899; loading is strict, and the weights of the next forward pass are the new ones."""
    model, x = built
    dense, masks = copy.deepcopy(model), masks_for(model)
    pa.apply_masks(model, masks)
    with torch.no_grad():
        for parameter in dense.parameters():
            parameter.mul_(2)
    model.load_state_dict(dense.state_dict(), strict=True)
    assert_obeys(model, masks)
    dense.load_state_dict(model.state_dict(), strict=True)

    torch.testing.assert_close(dense.eval()(x), model.eval()(x))


def test_3_nothing_more_is_saved_for_the_backward_pass(built: Built) -> None:
    """ultralytics/yolov5#304, Shiweiliuiiiiiii/In-Time-Over-Parameterization#1, IST-DASLab/sparsegpt#1."""
    model, x = built
    dense = saved_bytes(model, x)

    assert saved_bytes(pa.apply_masks(model, masks_for(model)), x) == dense > 0


def test_3_one_copy_of_each_mask_a_bit_a_weight(built: Built) -> None:
    """pytorch/pytorch#34257, #49332: pruning again and again takes no more memory than once."""
    model, x = built
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    sizes = [mask.numel() for mask in masks_for(model).values()]
    before = alive()
    for seed in range(5):
        pa.apply_masks(model, masks_for(model, seed=seed))
        with pa.keep_masks(model, optimizer):
            backward(model, x)
            optimizer.step()

    assert alive() - before == sum(-(-size // 8) for size in sizes)


def test_4_removed_weights_are_zero_after_momentum_and_decay(built: Built) -> None:
    """ruihangdu/PyTorch-Deep-Compression#2, IntelLabs/distiller#63, facebookresearch/open_lth#6."""
    model, x = built
    masks = masks_for(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    for _ in range(2):
        backward(model, x)
        optimizer.step()
    pa.keep_masks(pa.apply_masks(model, masks), optimizer)
    for _ in range(3):
        optimizer.zero_grad()
        backward(model, x)
        optimizer.step()
        assert_obeys(model, masks)


def test_5_an_optimizer_built_before_masking_trains_what_is_kept(built: Built) -> None:
    """pytorch/pytorch#33618: kept weights of every kind of layer go on training."""
    model, x = built
    masks = masks_for(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    pa.keep_masks(pa.apply_masks(model, masks), optimizer)
    before = {name: model.get_parameter(name).detach().clone() for name in masks}
    backward(model, x)
    optimizer.step()
    pa.remove_masks(model)
    backward(model, x)
    optimizer.step()

    for name, mask in masks.items():
        assert (model.get_parameter(name).detach() != before[name])[mask].any()


def test_6_the_output_is_that_of_zeroed_weights(built: Built) -> None:
    """pytorch/pytorch#33618, #69353, #78109: attention, recurrent, shared and parametrized weights obey at once.

    A second backward pass works, and so does a change of the weights after masking.
    """
    model, x = built
    model.eval()
    by_hand, masks = copy.deepcopy(model), masks_for(model)
    pa.apply_masks(model, masks)
    with torch.no_grad():
        for weight in [*model.parameters(), *by_hand.parameters()]:
            weight.mul_(1.5)
        for name, mask in masks.items():
            by_hand.get_parameter(name)[~mask] = 0
    for network in (model, by_hand, model):
        network.zero_grad()
        backward(network, x)

    torch.testing.assert_close(model(x), by_hand(x))
    for one, other in zip(model.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_6_biases_can_be_masked_with_their_channels() -> None:
    """pytorch/pytorch#38598."""
    layer, x = nn.Conv2d(2, 3, 3), torch.randn(1, 2, 5, 5)
    kept = torch.tensor([True, False, True])
    pa.apply_masks(layer, {"weight": kept[:, None, None, None].expand(3, 2, 3, 3), "bias": kept})

    assert not layer(x)[:, 1].any()
    assert layer(x)[:, kept].all()


def test_6_masks_on_masks_are_removed_as_a_whole(built: Built) -> None:
    """pytorch/pytorch#37138."""
    model, x = built
    calls: list[str] = []
    model.register_forward_pre_hook(lambda *_: calls.append("own"))
    for seed in range(3):
        pa.apply_masks(model, masks_for(model, seed=seed))
    pa.remove_masks(model)
    model(x)

    assert calls == ["own"]
    assert pa.remembered_masks(model) == {}


def test_7_compiles_in_one_graph(built: Built) -> None:
    """microsoft/nni#2225; the step of the optimizer stays outside of the graph."""
    model, x = built
    if isinstance(model, Recurrent):
        pytest.skip("torch.compile breaks at nn.LSTM, dense or masked")
    masks = masks_for(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    pa.keep_masks(pa.apply_masks(model, masks), optimizer)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    for _ in range(2):
        backward(compiled, x)
        optimizer.step()

    assert_obeys(model, masks)
    assert torch._dynamo.explain(model)(x).graph_break_count == 0
    torch.testing.assert_close(compiled(x), model(x))


@pytest.mark.filterwarnings("ignore:The tensor attributes self.lstm._flat_weights:UserWarning")
def test_7_exports_as_the_dense_model_does(built: Built) -> None:
    """ultralytics/ultralytics#16806, microsoft/nni#3089."""
    model, x = built
    model.eval()
    operators = [str(node.target) for node in torch.export.export(model, (x,), strict=False).graph.nodes]
    program = torch.export.export(pa.apply_masks(model, masks_for(model)), (x,), strict=False)
    masked = [str(node.target) for node in program.graph.nodes if not node.name.startswith("b_")]

    assert [op for op in masked if "kept" not in op] == [op for op in operators if not op.startswith("b_")]
    torch.testing.assert_close(program.module()(x), model(x))


@pytest.mark.parametrize(
    ("average", "use_buffers"),
    [(get_swa_multi_avg_fn(), False), (get_ema_multi_avg_fn(0.9), False), (get_ema_multi_avg_fn(0.9), True)],
    ids=["swa", "ema", "ema with buffers"],
)
def test_1_averages_of_weights_obey(average: Callable[..., None], use_buffers: bool) -> None:
    """pytorch/pytorch#37322, Lightning-AI/pytorch-lightning#8542: averages begin with a deep copy."""
    torch.manual_seed(0)
    model, x = residual()
    masks = masks_for(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    pa.keep_masks(pa.apply_masks(model, masks), optimizer)
    averaged = AveragedModel(model, multi_avg_fn=average, use_buffers=use_buffers)
    for _ in range(3):
        optimizer.zero_grad()
        backward(model, x)
        optimizer.step()
        averaged.update_parameters(model)

    assert_obeys(averaged.module, masks)
    torch.testing.assert_close(pa.remembered_masks(averaged.module), masks)
    for one, other in zip(averaged.module.parameters(), model.parameters(), strict=True):
        assert not torch.equal(one, other)
