"""Every operator with a rule, between two layers: the graph says what autograd says.

Each entry is a function of two hidden tensors of shape (batch, 6), one computed by `first`, one by `second`; what it
returns is read by a linear layer over its last dimension. Where the graph keeps more than the gradient shows, the table
says why; it never keeps less.
"""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import prune_adapters as pa
from agreement import check_against_gradients
from networks.between import Between, Pair, assigned, image, pooled, signal, transformed
from prune_adapters.trace.rules.elementwise import KEEPS_ZERO, LIFTS_ZERO, SUMS

TRIM = ("trim", "drop_dead")
LIFTED = ("drop_dead",)
"""f(0) is not 0: the constant is there in `trim`'s oracle too, so only `drop_dead` can be compared."""

NO_GRADIENT = "an index or a comparison has no gradient, but it changes the output"
PARTS = "the two parts of a complex number share a unit"
CHOICE = "the gradient goes to the element that was picked, and another input may pick another"


def fixed(*numbers: int) -> Tensor:
    return torch.tensor(numbers)


MET: dict[str, Pair] = {
    "lerp": lambda a, b: torch.lerp(a, b, 0.3),
    "lerp_tensor": lambda a, b: torch.lerp(a, a.flip(1), b),
    "where": lambda a, b: torch.where(torch.tensor([True, False, True, False, True, True]), a, b * 2),
    "where_zero": lambda a, b: torch.where(torch.tensor([True, False, True, False, True, True]), a, 0.0) + b,
    "nan_to_num": lambda a, b: torch.nan_to_num(a) + b,
    "view_as_complex": lambda a, b: torch.view_as_complex(torch.stack([a, b], -1)).abs(),
}
PRODUCTS: dict[str, Pair] = {
    "mul_mask": lambda a, b: a * torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 1.0]) + b,
    "addcmul": lambda a, b: torch.addcmul(a, b, b.flip(1)),
    "addcdiv": lambda a, b: torch.addcdiv(a, b, b.exp()),
    "bmm": lambda a, b: torch.bmm(a[:, :, None], b[:, None]).flatten(1),
    "baddbmm": lambda a, b: torch.baddbmm(a[:, :, None], a[:, :, None], b[:, None]).flatten(1),
    "outer": lambda a, b: torch.outer(a[0], b[0]).reshape(1, -1),
    "addr": lambda a, b: torch.addr(a[0][:, None].expand(6, 6), a[0], b[0]).reshape(1, -1),
    "dot": lambda a, b: torch.dot(a[0], b[0]).reshape(1, 1),
    "vdot": lambda a, b: torch.vdot(a[0], b[0]).reshape(1, 1),
    "mv": lambda a, b: torch.mv(a, b[0])[None],
    "addmv": lambda a, b: torch.addmv(a[0], torch.outer(b[0], b[0]), a[0])[None],
    "addbmm": lambda a, b: torch.addbmm(a[0][:, None].expand(6, 6), a[:, :, None], b[:, None]).reshape(1, -1),
    "kron": lambda a, b: torch.kron(a[0], b[0])[None],
    "inner": lambda a, b: torch.inner(a[0], b[0]).reshape(1, 1),
    "tensordot": lambda a, b: torch.tensordot(a.reshape(2, 3, 2), b.reshape(2, 3, 2), ([0, 1], [0, 1])).reshape(1, -1),
    "chain": lambda a, b: torch.linalg.multi_dot([a[0][:, None], b[0][None], a[0][:, None]]).T,
    "vecdot": lambda a, b: torch.linalg.vecdot(a, b)[:, None],
    "einsum_outer": lambda a, b: torch.einsum("bi,bj->bij", a, b).flatten(1),
    "einsum_three": lambda a, b: torch.einsum("bi,bj,bi->bj", a, b, a),
    "einsum_dots": lambda a, b: torch.einsum("...i,...i->...", a, b)[:, None],
    "einsum_implicit": lambda a, b: torch.einsum("zi,zj", a[:1], b[:1]),
    "einsum_diagonal": lambda a, b: torch.einsum("bii->bi", a[:, :, None] * b[:, None]),
    "cosine": lambda a, b: F.cosine_similarity(a, b)[:, None],
    "polar": lambda a, b: torch.view_as_real(torch.polar(a, b)).sum(-1),
}
LIFTS: dict[str, Pair] = {
    "hypot": lambda a, b: torch.hypot(a + 1, b + 1),
    "logaddexp": torch.logaddexp,
    "logaddexp2": torch.logaddexp2,
    "sinc": lambda a, b: torch.sinc(a + 0.5) + b,
    "xlogy": lambda a, b: torch.xlogy(a, b + 2),
    "ldexp": torch.ldexp,
    "log_sigmoid": lambda a, b: F.logsigmoid(a) * b,
    "logit": lambda a, b: torch.logit(a + 0.5) * b,
    "softplus": lambda a, b: F.softplus(a) * b,
    "pairwise_distance": lambda a, b: F.pairwise_distance(a, b)[:, None],
    "logcumsumexp": lambda a, b: a.logcumsumexp(1) * b,
    "atan2": lambda a, b: torch.atan2(a, b + 1),
}
MOVES: dict[str, Pair] = {
    "tril": lambda a, b: torch.tril(a[:, :, None] * b.new_ones(1, 1, 6)).sum(1) + b,
    "triu": lambda a, b: torch.triu(a[0][:, None].expand(6, 6), 1).sum(0)[None] + b[:1],
    "diagonal": lambda a, b: a[0][:, None].expand(6, 6).diagonal()[None] + b[:1],
    "diag_embed": lambda a, b: torch.diag_embed(a).sum(1) * b,
    "diag": lambda a, b: torch.diag(a[0]).sum(0)[None] * b[:1],
    "trace": lambda a, b: torch.trace(torch.outer(a[0], b[0])).reshape(1, 1),
    "roll": lambda a, b: torch.roll(a, 2, 1) * b,
    "flip": lambda a, b: a.flip(1) * b,
    "rot90": lambda a, b: torch.rot90(a.reshape(2, 2, 3), 1, (1, 2)).flatten(1) * b,
    "tile": lambda a, b: a.tile(1, 2) * b.repeat(1, 2),
    "repeat_interleave": lambda a, b: a.repeat_interleave(2, 1) * b.repeat(1, 2),
    "repeat_interleave_counts": lambda a, b: a.repeat_interleave(fixed(1, 0, 2, 1, 1, 1), 1) * b,
    "hstack": lambda a, b: torch.hstack([a, b.flip(1)]),
    "vstack": lambda a, b: torch.vstack([a[:1], b[:1]]).reshape(1, -1),
    "column_stack": lambda a, b: torch.column_stack([a[0], b[0]]).reshape(1, -1),
    "dstack": lambda a, b: torch.dstack([a, b]).flatten(1),
    "block_diag": lambda a, b: torch.block_diag(a[:1], b[:1]).reshape(1, -1),
    "meshgrid": lambda a, b: (lambda g: (g[0] * g[1]).reshape(1, -1))(torch.meshgrid(a[0], b[0], indexing="ij")),
    "index": lambda a, b: a[:, [3, 0, 0, 5]] * b[:, :4],
    "index_select": lambda a, b: a.index_select(1, fixed(5, 4, 1)) * b[:, :3],
    "gather": lambda a, b: a.gather(1, fixed(0, 2, 2, 4).expand(a.shape[0], 4)) * b[:, 2:],
    "take_along_dim": lambda a, b: torch.take_along_dim(a, fixed(1, 1, 5)[None].expand(2, 3), 1) * b[:, 3:],
    "take": lambda a, b: torch.take(a, fixed(3, 9, 2))[None] * b[:1, 3:],
    "unfold": lambda a, b: a.unfold(1, 3, 1).flatten(1) * b.repeat(1, 2),
    "masked_fill": lambda a, b: a.masked_fill(torch.tensor([True, False, False, True, False, False]), 0.0) + b[:, :1],
    "channel_shuffle": lambda a, b: pooled(F.channel_shuffle(image(a), 3)) * b,
    "pixel_unshuffle": lambda a, b: pooled(F.pixel_unshuffle(image(a), 2)) * b.repeat_interleave(4, 1),
}
SCATTERS: dict[str, Pair] = {
    "scatter": lambda a, b: a.scatter(1, fixed(0, 3, 4).expand(2, 3), b[:, :3]),
    "scatter_value": lambda a, b: a.scatter(1, fixed(0, 3, 4).expand(2, 3), 0.0) + b[:, :1],
    "scatter_add": lambda a, b: a.scatter_add(1, fixed(0, 3, 3).expand(2, 3), b[:, :3]),
    "scatter_reduce": lambda a, b: a.scatter_reduce(1, fixed(5, 1, 1).expand(2, 3), b[:, :3], "sum"),
    "scatter_zeros": lambda a, b: torch.zeros_like(a).scatter(1, fixed(0, 1, 3).expand(2, 3), b[:, :3]) + a[:, :1],
    "index_add": lambda a, b: a.index_add(1, fixed(2, 2, 0), b[:, :3]),
    "index_copy": lambda a, b: a.index_copy(1, fixed(2, 5, 0), b[:, :3]),
    "index_fill": lambda a, b: a.index_fill(1, fixed(2, 5), 0.0) + b[:, :1],
    "index_put": lambda a, b: torch.index_put(a, (fixed(0, 1), fixed(2, 2)), b[:, 0]),
    "index_put_add": lambda a, b: torch.index_put(a, (fixed(0, 0), fixed(2, 2)), b[:, 0], accumulate=True),
    "slice_scatter": lambda a, b: torch.slice_scatter(a, b[:, :2], 1, 1, 5, 2),
    "select_scatter": lambda a, b: torch.select_scatter(a, b[:, 0], 1, 4),
    "diagonal_scatter": lambda a, b: torch.diagonal_scatter(a[:, :2].repeat(1, 1), b[:, 0]),
    "new_zeros": lambda a, b: torch.cat([a, a.new_zeros(2, 2), b[:, :1]], 1),
    "fill": lambda a, b: torch.cat([torch.fill(a, b[0, 1]), b], 1),
    "slice_assignment": lambda a, b: assigned(a, b),
}
ALONG: dict[str, Pair] = {
    "cumsum": lambda a, b: a.cumsum(1) * b,
    "cumprod": lambda a, b: (a * 1e3).cumprod(1)[:, :2] + b[:, :2],
    "diff": lambda a, b: a.diff(dim=1, n=2) + b[:, :4],
    "trapezoid": lambda a, b: torch.trapezoid(a, dim=1)[:, None] + b,
    "cumulative_trapezoid": lambda a, b: torch.cumulative_trapezoid(a, dim=1) + b[:, :5],
    "renorm": lambda a, b: a + F.normalize(b + 1),
    "linalg_norm": lambda a, b: torch.linalg.norm(a, dim=1, keepdim=True) * b,
    "vector_norm": lambda a, b: torch.linalg.vector_norm(a, dim=1, keepdim=True) + b,
    "fft": lambda a, b: torch.view_as_real(torch.fft.fft(a)).flatten(1) + b[:, :1],
    "rfft": lambda a, b: torch.view_as_real(torch.fft.rfft(a)).sum(-1) + b[:, :4],
    "fft_of_positions": lambda a, b: torch.fft.rfft(signal(a), dim=1).abs().mean(1) + b,
    "fft2": lambda a, b: torch.fft.ifft2(torch.fft.fft2(image(a))).real.mean((-2, -1)) + b,
    "cdist": lambda a, b: torch.cdist(a[:, None], b[:, None]).flatten(1),
    "dist": lambda a, b: torch.dist(a, b).reshape(1, 1),
    "pdist": lambda a, b: F.pdist(torch.stack([a[0], b[0]]))[None],
    "inverse": lambda a, b: torch.linalg.inv(torch.eye(6, dtype=a.dtype) + torch.outer(a[0], b[0])).reshape(1, -1),
    "det": lambda a, b: torch.det(torch.eye(6, dtype=a.dtype) + torch.diag(a[0])).reshape(1, 1) + b,
}
IMAGES: dict[str, Pair] = {
    "fold": lambda a, b: pooled(F.fold(F.unfold(image(a), 2), (4, 4), 2)) * b,
    "unfold_image": lambda a, b: F.unfold(image(a), 2).mean(-1) * b.repeat_interleave(4, 1),
    "grid_sample": lambda a, b: pooled(
        F.grid_sample(image(a), b[:, None, None, :2].expand(-1, 3, 3, -1), align_corners=False)
    ),
    "affine_grid": lambda a, b: transformed(a, b),
    "avg_pool_over_units": lambda a, b: F.avg_pool1d(a[:, None], 3, 2, padding=1)[:, 0] * b[:, :3],
    "pool_with_ceil": lambda a, b: F.avg_pool1d(a[:, None], 4, 3, ceil_mode=True)[:, 0] * b[:, :2],
    "pool_over_rows": lambda a, b: F.avg_pool2d(a.reshape(-1, 1, 2, 3), (1, 2), 1)[:, 0].flatten(1) * b[:, :4],
    "upsample": lambda a, b: pooled(F.interpolate(image(a), scale_factor=2, mode="bicubic")) * b,
    "upsample_linear": lambda a, b: F.interpolate(signal(a).mT, scale_factor=2, mode="linear").mean(-1) * b,
    "circular_pad": lambda a, b: pooled(F.pad(image(a), (1, 1, 1, 1), "circular")) * b,
}
CHOSEN: dict[str, tuple[Pair, str]] = {
    "argmax": (lambda a, b: F.one_hot(a.argmax(1), 6).to(b) * b, NO_GRADIENT),
    "sort": (lambda a, b: a.sort(1)[0] * b, CHOICE),
    "topk": (lambda a, b: a.topk(3)[0] * b[:, :3], CHOICE),
    "comparison": (lambda a, b: (a > b).to(a) + a, NO_GRADIENT),
    "where_computed": (lambda a, b: torch.where(a > b, a, b), NO_GRADIENT),
    "bucketize": (lambda a, b: torch.bucketize(a, torch.tensor([0.0, 1.0], dtype=a.dtype)).to(a) + b, NO_GRADIENT),
    "gather_computed": (lambda a, b: a.gather(1, b.argmax(1, keepdim=True)), NO_GRADIENT),
    "index_computed": (lambda a, b: a[torch.arange(2), b.argmax(1)][:, None], NO_GRADIENT),
    "scatter_computed": (lambda a, b: a.scatter(1, b.argmax(1, keepdim=True), 0.0), NO_GRADIENT),
    "cummax": (lambda a, b: a.cummax(1)[0] * b, CHOICE),
    "copysign": (lambda a, b: torch.copysign(a, b), NO_GRADIENT),
    "fmod": (lambda a, b: torch.fmod(a + 1, b + 0.3), NO_GRADIENT),
    "logical": (lambda a, b: ((a > 0) & (b > 0)).to(a) + a, NO_GRADIENT),
    "median": (lambda a, b: a.median(1)[0][:, None] * b, CHOICE),
    "maximum": (torch.maximum, CHOICE),
    "max_pool": (lambda a, b: F.max_pool1d(a[:, None], 2, 1, dilation=2)[:, 0] + b[:, :4], CHOICE),
    "minimum": (torch.minimum, CHOICE),
    "fmax": (torch.fmax, CHOICE),
    "fmin": (torch.fmin, CHOICE),
    "clamp_tensor": (lambda a, b: torch.clamp(a, -b - 1, b + 1), CHOICE),
    "complex": (lambda a, b: torch.view_as_real(torch.complex(a, b)).flatten(1), PARTS),
    "real_imag": (lambda a, b: torch.complex(a, b).real + torch.complex(b, a.flip(1)).imag, PARTS),
    "cross": (
        lambda a, b: torch.linalg.cross(a.reshape(2, 2, 3), b.reshape(2, 2, 3)).flatten(1),
        "every element of one vector is taken to meet every element of the other",
    ),
    "masked_scatter": (
        lambda a, b: a.masked_scatter(torch.tensor([True, False, False, True, False, False]), b),
        "any element of the source may come to any place",
    ),
}
QUESTIONS = {
    **dict.fromkeys(LIFTS, LIFTED),
    **dict.fromkeys(["renorm", "inverse", "det", "cosine", "clamp_tensor", "view_as_complex"], LIFTED),
}
PLAIN = {**MET, **PRODUCTS, **LIFTS, **MOVES, **SCATTERS, **ALONG, **IMAGES}
WIDER = {name: why for name, (_, why) in CHOSEN.items()}
OPERATORS = {**PLAIN, **{name: pair for name, (pair, _) in CHOSEN.items()}}


def built(name: str) -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    torch.manual_seed(0)
    return Between(OPERATORS[name]).eval(), (torch.rand(2, 4), torch.rand(2, 5))


@pytest.mark.parametrize("name", OPERATORS)
def test_kept_elements_are_those_with_a_gradient(name):
    model, inputs = built(name)
    for follow in (None, "example"):
        graph = pa.to_graph(model, inputs, masks={}, follow=follow)

        assert set(graph.edge_parameters) == {"first.weight", "second.weight", "out.weight"}
        check_against_gradients(
            model,
            inputs,
            graph,
            questions=QUESTIONS.get(name, TRIM) if name in PLAIN else LIFTED,
            wider=name in WIDER,
        )


def aten(name: str) -> object:
    return getattr(torch.ops.aten, name)


def test_every_operator_with_a_rule_exists():
    """A misspelt name would never be found out: its operator is refused as unknown."""
    names = [name.removeprefix("aten.") for name in pa.known_operators() if name.startswith("aten.")]

    assert [name for name in names if not hasattr(torch.ops.aten, name)] == []


ARGUMENTS = {
    **dict.fromkeys(["dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"], (0.5, False)),
    "native_dropout": (0.5, False),
    "fake_quantize_per_tensor_affine": (0.1, 3, 0, 15),
    **dict.fromkeys(["gt", "lt", "greater", "less", "ne", "not_equal"], (-0.5,)),
    **dict.fromkeys(["ge", "le", "eq", "greater_equal", "less_equal"], (0.0,)),
    "bucketize": (torch.tensor([-1.0, 1.0]),),
    **dict.fromkeys(["logaddexp", "logaddexp2", "isclose"], (torch.zeros(3),)),
}
OTHERWISE = {"_conj", "bitwise_not", "mvlgamma", "polygamma", "rrelu_with_noise"}
"""Not for real numbers, or with the number of the function first."""
NEVER = {"lt", "less"}
"""Comparisons that are false for this zero; for another number they are true."""


@pytest.mark.parametrize("name", sorted({*KEEPS_ZERO.split(), *LIFTS_ZERO.split()} - OTHERWISE - NEVER))
def test_functions_of_zero_are_what_the_lists_say(name):
    result = aten(name)(torch.zeros(3), *ARGUMENTS.get(name, ()))
    value = result[0] if isinstance(result, tuple) else result

    assert bool((value == 0).all()) == (name in KEEPS_ZERO.split())


@pytest.mark.parametrize("name", SUMS.split())
def test_sums_of_zeros_are_zero(name):
    dtype = torch.int64 if name.startswith(("bitwise", "__")) else torch.float32

    assert not aten(name)(torch.zeros(3, dtype=dtype), torch.zeros(3, dtype=dtype)).any()
