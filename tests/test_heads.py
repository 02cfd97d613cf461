"""Attention heads: without those that nothing listens to the function stays."""

import copy

import pytest
import torch
from torch import Tensor, nn

import prune_adapters as pa
from compacting import compacted, error, masked, randomized, whole_masks
from networks import CASES
from prune_adapters.compact.heads import FewerHeads
from prune_adapters.compact.rebuild import shrink

DEAD = torch.tensor([False, True, False, True])


def pair(**options: bool) -> tuple[nn.MultiheadAttention, nn.MultiheadAttention]:
    """Return attention with four heads, two of which nothing listens to, and the same without these."""
    dense = randomized(nn.MultiheadAttention(12, 4, **options), 0).double().eval()
    dense.out_proj.weight.data[:, DEAD.repeat_interleave(3)] = 0
    small = copy.deepcopy(dense)
    shrink(small, (~DEAD).numpy(), (~DEAD).numpy())
    shrink(small.out_proj, (~DEAD).repeat_interleave(3).numpy(), torch.ones(12, dtype=torch.bool).numpy())
    return dense, small


def tokens(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


PADDING = torch.tensor([[False, False, True, True, True], [False, False, False, False, True]])
CAUSAL = torch.ones(5, 5, dtype=torch.bool).triu(1)
MASKS = {
    "none": {},
    "causal": {"attn_mask": CAUSAL},
    "a hint": {"attn_mask": CAUSAL, "is_causal": True},
    "added": {"attn_mask": tokens(5, 5)},
    "for each head": {"attn_mask": tokens(8, 5, 5)},
    "padding": {"key_padding_mask": PADDING},
    "both": {"attn_mask": CAUSAL, "key_padding_mask": PADDING},
}


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("name", MASKS)
def test_fewer_heads_give_what_all_gave(name, batch_first, need_weights):
    dense, small = pair(batch_first=batch_first)
    x = tokens(2, 5, 12) if batch_first else tokens(5, 2, 12)
    expected, found = (layer(x, x, x, need_weights=need_weights, **MASKS[name]) for layer in (dense, small))

    torch.testing.assert_close(found[0], expected[0], rtol=1e-12, atol=1e-12)
    assert (found[1] is None) == (expected[1] is None)
    assert not need_weights or found[1].shape == expected[1].shape


def test_other_keys_and_no_batch_and_no_bias():
    dense, small = pair(bias=False)
    x, memory = tokens(5, 12), tokens(7, 12, seed=1)

    torch.testing.assert_close(small(x, memory, memory)[0], dense(x, memory, memory)[0], rtol=1e-12, atol=1e-12)


def test_weights_of_each_head_are_those_of_the_heads_left():
    dense, small = pair(batch_first=True)
    x = tokens(2, 5, 12)
    expected, found = (layer(x, x, x, average_attn_weights=False)[1] for layer in (dense, small))

    torch.testing.assert_close(found, expected[:, ~DEAD], rtol=1e-12, atol=1e-12)


def dead_head(model: nn.Module) -> dict[str, Tensor]:
    """Return masks of the vision transformer of torch's layers without the second head of the first layer."""
    masks = whole_masks(model)
    masks["layers.0.self_attn.out_proj.weight"][:, 8:] = False
    return masks


def test_a_dead_head_goes_from_an_encoder_layer():
    """The fused path of the layer must not be taken any more."""
    model, x = randomized(CASES["torch_vit"].model(), 0).double(), CASES["torch_vit"].inputs().double()
    masks = dead_head(model)
    small = compacted(model, masks, x)
    attention = small.layers[0].self_attn

    assert isinstance(attention, FewerHeads)
    assert (attention.num_heads, attention.in_proj_weight.shape, attention.out_proj.in_features) == (1, (24, 16), 8)
    assert type(small.layers[1].self_attn) is nn.MultiheadAttention
    assert error(masked(model, masks), small, torch.randn_like(x)) < 1e-12
    assert pa.compact_report(small).changes == (
        pa.LayerChange("layers.0.self_attn", (2, 1), (2, 1)),
        pa.LayerChange("layers.0.self_attn.out_proj", (16, 8), (16, 16)),
    )
    assert pa.compact_report(small).kept == ()


def test_an_encoder_of_torch_runs_without_a_head():
    layer = nn.TransformerEncoderLayer(12, 4, dim_feedforward=8, batch_first=True)
    model = randomized(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), 0).double().eval()
    masks = whole_masks(model)
    for number in range(2):
        masks[f"layers.{number}.self_attn.out_proj.weight"][:, 3:6] = False
    x = tokens(2, 5, 12)
    small = compacted(model, masks, x)

    assert [layer.self_attn.num_heads for layer in small.layers] == [3, 3]
    assert error(masked(model, masks), small, tokens(3, 4, 12, seed=2)) < 1e-12


class Shown(nn.Module):
    """Attention whose weights are read, or not."""

    def __init__(self, shown: bool) -> None:
        super().__init__()
        self.entry, self.attention, self.shown = nn.Linear(3, 12), nn.MultiheadAttention(12, 4, batch_first=True), shown

    def forward(self, x: Tensor) -> Tensor:
        h = self.entry(x)
        out, weights = self.attention(h, h, h)
        return (out, weights) if self.shown else out


@pytest.mark.parametrize("shown", [False, True])
def test_heads_stay_where_their_average_is_read(shown):
    model, x = Shown(shown).double().eval(), tokens(2, 5, 3)
    masks = whole_masks(model)
    masks["attention.out_proj.weight"][:, :3] = False
    small = compacted(model, masks, x)

    assert small.attention.num_heads == (4 if shown else 3)
    assert error(masked(model, masks), small, x) < 1e-12


def test_heads_are_groups_that_can_be_removed():
    model, x = randomized(CASES["torch_vit"].model(), 0).double(), CASES["torch_vit"].inputs().double()
    heads = [group for group in pa.coupled_channels(model, x) if group.reason.startswith("head")]
    small = pa.remove_channels(model, heads[1:2], x)
    rows = (*range(8, 16), *range(24, 32), *range(40, 48))

    assert [group.reason for group in heads] == [f"head {h} of 'layers.{n}.self_attn'" for n in (0, 1) for h in (0, 1)]
    assert (heads[1].outputs["layers.0.self_attn"], heads[1].inputs) == (
        rows,
        {"layers.0.self_attn.out_proj": tuple(range(8, 16))},
    )
    assert small.layers[0].self_attn.kept_heads == (0,)
    assert error(masked(model, dead_head(model)), small, torch.randn_like(x)) < 1e-12
    with pytest.raises(pa.CompactError, match=r"one head must be left for 'layers.0.self_attn'"):
        pa.remove_channels(model, heads[:2], x)


def test_a_model_without_a_head_is_copied_exported_and_trained():
    model, x = randomized(CASES["torch_vit"].model(), 0), CASES["torch_vit"].inputs()
    small = compacted(model, dead_head(model), x)
    exported = torch.export.export(small, (x,), strict=False).module()
    small(x).sum().backward()

    torch.testing.assert_close(copy.deepcopy(small)(x), small(x), rtol=0, atol=0)
    torch.testing.assert_close(exported(x), small(x), rtol=1e-6, atol=1e-6)
    assert all(p.grad is not None for p in small.parameters())


def test_a_recipe_takes_the_heads_out_again():
    model, x = randomized(CASES["torch_vit"].model(), 0), CASES["torch_vit"].inputs()
    small = compacted(model, dead_head(model), x)
    recipe = pa.Recipe.from_json(pa.compact_recipe(small).to_json())
    again = pa.rebuild(CASES["torch_vit"].model(1), recipe)
    again.load_state_dict(small.state_dict())

    assert [(r.layer, r.kind, r.inputs, r.becomes) for r in recipe.removals] == [
        ("layers.0.self_attn", "MultiheadAttention", (1,), "FewerHeads"),
        ("layers.0.self_attn.out_proj", "NonDynamicallyQuantizableLinear", tuple(range(8, 16)), ""),
    ]
    torch.testing.assert_close(again(x), small(x), rtol=0, atol=0)


def test_an_optimizer_goes_on_without_the_heads():
    model, x = randomized(CASES["torch_vit"].model(), 0), CASES["torch_vit"].inputs()
    optimizer = torch.optim.Adam(model.parameters())
    model(x).sum().backward()
    optimizer.step()
    small = compacted(model, dead_head(model), x)
    momentum = optimizer.state[model.layers[0].self_attn.in_proj_weight]["exp_avg"].clone()
    pa.carry_optimizer(optimizer, model, small)
    carried = optimizer.state[small.layers[0].self_attn.in_proj_weight]["exp_avg"]

    torch.testing.assert_close(carried, momentum.reshape(3, 2, 8, 16)[:, 0].reshape(24, 16), rtol=0, atol=0)
