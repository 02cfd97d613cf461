"""Channels leave through layer, RMS and group norm, which go on counting them."""

import pytest
import torch
from torch import Tensor, nn

import prune_adapters as pa
from compacting import BOUNDS, compacted, drawn, error, masked, n_parameters, randomized, whole_masks
from networks import GroupNormNet, NextNet, NormedStream
from oracle import random_masks


def stream(bias: tuple[float, float], norm: nn.Module | None = None) -> tuple[nn.Sequential, dict[str, Tensor]]:
    """The last two of eight channels before a layer norm are these constants, and nobody reads what comes after."""
    model = nn.Sequential(nn.Linear(3, 8), norm or nn.LayerNorm(8), nn.Linear(8, 4)).double()
    with torch.no_grad():
        model[0].bias[6:] = torch.tensor(bias)
    masks = whole_masks(model)
    masks["0.weight"][6:] = masks["2.weight"][:, 6:] = False
    return model, masks


@pytest.mark.parametrize("norm", [nn.LayerNorm(8), nn.RMSNorm(8), nn.GroupNorm(2, 8), nn.GroupNorm(4, 8)])
@pytest.mark.parametrize("bias", [(0.0, 0.0), (0.7, -2.0)])
def test_known_channels_leave_a_norm(bias, norm):
    """Removal without care moves the output by 4 % (Torch-Pruning on a residual perceptron)."""
    model, masks = stream(bias, norm)
    x = torch.randn(4, 3, dtype=torch.float64)
    small = compacted(model, masks, x)

    assert error(masked(model, masks), small, x) < 1e-12
    assert (small[0].out_features, len(small[1].weight), small[2].in_features) == (6, 6, 6)
    assert pa.compact_report(small).kept == ()
    assert pa.compact_report(small).changes[1] == pa.LayerChange("1", (8, 6), (8, 6))


def test_zeros_leave_no_trace_in_the_state():
    model, masks = stream((0.0, 0.0))
    small = compacted(model, masks, torch.ones(1, 3, dtype=torch.float64))

    assert small.state_dict().keys() == model.state_dict().keys()


def test_a_live_channel_stays_in_the_statistics():
    """Channel 7 reads an input though nobody reads it; a second layer that writes it is masked, and could go."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.norm, self.head = (
                nn.Linear(3, 8),
                nn.Linear(3, 8),
                nn.LayerNorm(8),
                nn.Linear(8, 4),
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.norm(self.first(x) + self.second(x)))

    model = Two().double()
    masks = whole_masks(model)
    masks["second.weight"][7] = masks["head.weight"][:, 7] = False
    x = torch.randn(4, 3, dtype=torch.float64)
    small = compacted(model, masks, x)

    assert small.norm.normalized_shape == (8,)
    assert pa.compact_report(small).kept == (pa.KeptChannels("second", (7,), "it is live in the statistics of 'norm'"),)


def test_a_channel_that_is_read_after_the_norm_stays():
    model, masks = stream((0.0, 0.0))
    masks["2.weight"][0, 7] = True
    small = compacted(model, masks, torch.ones(1, 3, dtype=torch.float64))

    assert small[1].normalized_shape == (7,)
    assert pa.compact_report(small).kept == (
        pa.KeptChannels("0", (7,), "'2' reads a channel that is needed in its place"),
    )


def test_a_constant_that_differs_between_positions_stays():
    """The middle convolution pads, so its channel 0 is another constant beside the border."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.Conv2d(4, 2, 1))
    masks = whole_masks(model)
    masks["0.weight"][1] = masks["1.weight"][0, 0] = masks["3.weight"][:, 0] = False
    small = compacted(model.double(), masks, torch.ones(1, 1, 8, 8, dtype=torch.float64))

    assert small[2].num_channels == 4
    assert pa.compact_report(small).kept[-1] == pa.KeptChannels(
        "1", (0,), "its constant in the statistics of '2' may differ between positions or image sizes"
    )


def test_a_group_that_nobody_reads_goes_with_its_live_channels():
    model = nn.Sequential(nn.Conv2d(2, 8, 3), nn.GroupNorm(4, 8), nn.ReLU(), nn.Conv2d(8, 2, 1)).double()
    masks = whole_masks(model)
    masks["3.weight"][:, 2:4] = False
    x = torch.randn(2, 2, 6, 6, dtype=torch.float64)
    small = compacted(model, masks, x)

    assert error(masked(model, masks), small, x) < 1e-12
    assert type(small[1]) is nn.GroupNorm
    assert (small[0].out_channels, small[1].num_groups) == (6, 3)


@pytest.mark.parametrize("norm", [nn.LayerNorm((4, 6)), nn.LayerNorm(6)])
def test_other_norms_keep_what_they_normalise(norm):
    """Over two dimensions, or over positions: channels of the latter go their own way."""
    model = nn.Sequential(nn.Conv1d(2, 4, 1), norm, nn.Flatten(), nn.Linear(24, 2)).double()
    masks = whole_masks(model)
    masks["0.weight"][3] = masks["3.weight"][:, 18:] = False
    x = torch.randn(3, 2, 6, dtype=torch.float64)
    small = compacted(model, masks, x)

    assert error(masked(model, masks), small, x) < 1e-12
    assert type(small[1]) is nn.LayerNorm
    assert small[0].out_channels == (4 if len(norm.normalized_shape) == 2 else 3)


class Attending(nn.Module):
    """A stream without a position table; attention divides its width by the number of heads."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.norm, self.qkv, self.out = nn.Linear(3, 8), nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8)
        self.hidden, self.back, self.head = nn.Linear(8, 6), nn.Linear(6, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x)
        batch, tokens, dim = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(batch, tokens, 3, 2, dim // 2).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, dim)
        x = x + self.out(mixed)
        return self.head(x + self.back(torch.relu(self.hidden(x))))


def test_a_stream_whose_width_is_computed_with_stays_and_the_rest_goes():
    model = Attending().double()
    masks = whole_masks(model)
    for name in ("entry.weight", "out.weight", "back.weight"):
        masks[name][6:] = False
    for name in ("qkv.weight", "hidden.weight", "head.weight"):
        masks[name][:, 6:] = False
    masks["back.weight"][:, 4:] = False
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    small = compacted(model, masks, x)
    reasons = {kept.layer: kept.reason for kept in pa.compact_report(small).kept}

    assert (small.entry.out_features, small.hidden.out_features) == (8, 4)
    assert "does not run: test_compact_norms.py" in reasons["entry"]
    assert error(masked(model, masks), small, x) < 1e-12


NETS = {
    "first": (lambda: NormedStream(), 12, (5, 6)),
    "after": (lambda: NormedStream(first=False), 12, (5, 6)),
    "rms": (lambda: NormedStream(nn.RMSNorm), 12, (2, 5, 6)),
    "rms after": (lambda: NormedStream(nn.RMSNorm, first=False), 12, (5, 6)),
    "bare": (lambda: NormedStream(lambda dim: nn.LayerNorm(dim, elementwise_affine=False)), 12, (5, 6)),
    "groups of units": (lambda: NormedStream(lambda dim: nn.GroupNorm(3, dim)), 12, (5, 6)),
    "next": (NextNet, 12, (2, 3, 8, 8)),
    "groups": (GroupNormNet, 16, (2, 3, 8, 8)),
    "groups of pixels": (lambda: GroupNormNet(kernel=1), 16, (2, 3, 8, 8)),
}


def emptied(model: nn.Module, width: int, seed: int, silent: bool) -> dict[str, Tensor]:
    """Return random masks that leave some channels of the stream without weights; `silent` ones have no bias either."""
    masks = random_masks(model, [name for name, p in model.named_parameters() if p.dim() > 1], 0.5, seed=seed)
    empty = torch.rand(width, generator=torch.Generator().manual_seed(seed)) < 0.4
    for name, mask in masks.items():
        for dim in (0, 1):
            if mask.shape[dim] == width:
                mask.movedim(dim, 0)[empty] = False
        if silent and mask.shape[0] == width:
            model.get_parameter(name.replace("weight", "bias")).data[empty] = 0
    return masks


def check(name: str, dtype: torch.dtype, seed: int, silent: bool) -> float:
    """Hold a compacted network against the masked one at several sizes; return which part of it is left."""
    build, width, shape = NETS[name]
    model = randomized(build().eval(), seed).to(dtype)
    masks = emptied(model, width, seed, silent)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
    small, expected = compacted(model, masks, x), masked(model, masks)
    for longer in (0, 3) if len(shape) == 4 else (0,):
        assert error(expected, small, drawn(x, seed + 1, longer)) < BOUNDS[dtype]
    return n_parameters(small) / n_parameters(model)


@pytest.mark.parametrize("name", NETS)
def test_normed_networks_compute_the_same_and_get_smaller(name):
    number = list(NETS).index(name)
    left = check(name, list(BOUNDS)[number % 2], 0, silent=number % 4 < 2)

    assert left < 1 or "after" in name


@pytest.mark.slow
@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_normed_networks_compute_the_same_with_many_masks(name, silent):
    for seed in range(20):
        for dtype in BOUNDS:
            check(name, dtype, seed, silent)
