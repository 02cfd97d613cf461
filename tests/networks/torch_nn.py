"""Every class of torch.nn in a small network: a projection, the module, a projection.

Modules with two operands (distances, losses) get two projections.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

__all__ = ["CASES", "FLAT", "IMAGE", "Around", "Case", "fixed_labels"]

FLAT, SEQUENCE, IMAGE, VOLUME = (2, 6), (2, 6, 8), (2, 6, 8, 8), (2, 6, 4, 4, 4)
PROJECTIONS = {2: nn.Linear, 3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}
SHUT = "a ReLU behind a layer norm may be shut in all draws of the oracle"
LABEL = "a label picks one class, another label another"


@dataclass(frozen=True)
class Case:
    """How a class is built, what shape it reads, and what it is compared with."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...] = FLAT
    lifts: bool = False
    wider: str = ""
    call: Callable[..., object] = field(default=lambda module, x: module(x))


class Around(nn.Module):
    """A projection to what the module reads (twice, for a second operand), the module, and a readout."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case = case
        self.first, self.module = self.projection(4, case.shape[1], len(case.shape)), case.build()
        self.n_operands = len(inspect.signature(case.call).parameters) - 1
        if self.n_operands > 1:
            self.second = self.projection(4, case.shape[1], len(case.shape))
        with torch.no_grad():
            made = self.eval().hidden(torch.rand(case.shape[0], 4, *case.shape[2:]))
        self.out = self.projection(made.shape[1], 3, made.dim()) if made.dim() > 1 else nn.Identity()

    @staticmethod
    def projection(sources: int, targets: int, rank: int) -> nn.Module:
        """Return a layer of weights between channels."""
        return nn.Linear(sources, targets) if rank == 2 else PROJECTIONS[rank](sources, targets, 1)

    def hidden(self, x: Tensor) -> Tensor:
        operands = [self.first(x)] + ([self.second(x)] if self.n_operands > 1 else [])
        result = self.case.call(self.module, *operands)
        return result[0] if isinstance(result, tuple) else result

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.hidden(x))


def sequence_last(module: nn.Module, x: Tensor) -> Tensor:
    """Call a module that reads (batch, time, features) and return (batch, features, time)."""
    result = module(x.mT)
    return (result[0] if isinstance(result, tuple) else result).mT


def attended(module: nn.Module, x: Tensor) -> Tensor:
    return module(x.mT, x.mT, x.mT, need_weights=False)[0].mT


def fixed_labels() -> Tensor:
    return torch.tensor([1, 7])


def against_labels(module: nn.Module, x: Tensor) -> Tensor:
    return module(x, torch.tensor([1, 4])).reshape(1, 1)


def against_signs(module: nn.Module, x: Tensor) -> Tensor:
    return module(x, torch.ones(x.shape, dtype=x.dtype)).reshape(1, 1)


def pair(module: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return module(x, y).reshape(-1, 1)


def probabilities(module: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return module(x.sigmoid(), y.sigmoid()).reshape(1, 1)


def lazily(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> Callable[[], nn.Module]:
    """Return a builder of a lazy module that has seen its first input."""

    def made() -> nn.Module:
        module = build()
        module(torch.rand(shape))
        return module

    return made


def unpooled(number: int) -> Callable[..., Tensor]:
    pool = getattr(nn, f"MaxPool{number}d")(2, return_indices=True)
    return lambda module, x: module(*pool(x))


KEEPING = """ReLU ReLU6 GELU SiLU Mish Tanh Hardswish LeakyReLU RReLU ELU SELU CELU Tanhshrink Softsign Hardtanh
Identity Dropout AlphaDropout PReLU"""
LIFTING = "Sigmoid Hardsigmoid Softplus LogSigmoid"
RANKS = {1: SEQUENCE, 2: IMAGE, 3: VOLUME}

CASES: dict[str, Case] = {
    **{name: Case(getattr(nn, name)) for name in KEEPING.split()},
    **{name: Case(getattr(nn, name), lifts=True) for name in LIFTING.split()},
    "Hardshrink": Case(lambda: nn.Hardshrink(1e-9)),
    "Softshrink": Case(lambda: nn.Softshrink(1e-9)),
    "Threshold": Case(lambda: nn.Threshold(-1, 0)),
    "GLU": Case(lambda: nn.GLU(1)),
    **{name: Case(lambda name=name: getattr(nn, name)(1), lifts=True) for name in ("Softmax", "Softmin", "LogSoftmax")},
    "Softmax2d": Case(nn.Softmax2d, IMAGE, lifts=True),
    "Dropout1d": Case(nn.Dropout1d, SEQUENCE),
    "Dropout2d": Case(nn.Dropout2d, IMAGE),
    "Dropout3d": Case(nn.Dropout3d, VOLUME),
    "FeatureAlphaDropout": Case(nn.FeatureAlphaDropout, IMAGE),
    "Linear": Case(lambda: nn.Linear(6, 5)),
    "Bilinear": Case(lambda: nn.Bilinear(6, 6, 5), call=lambda m, x, y: m(x, y)),
    "Sequential": Case(lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU())),
    "ModuleList": Case(lambda: nn.ModuleList([nn.Linear(6, 6), nn.Linear(6, 6)]), call=lambda m, x: m[1](m[0](x))),
    "ModuleDict": Case(lambda: nn.ModuleDict({"a": nn.Linear(6, 6)}), call=lambda m, x: m["a"](x)),
    "ParameterList": Case(lambda: nn.ParameterList([torch.rand(6, 6)]), call=lambda m, x: x @ m[0]),
    "ParameterDict": Case(lambda: nn.ParameterDict({"a": torch.rand(6, 6)}), call=lambda m, x: x @ m["a"]),
    "DataParallel": Case(lambda: nn.DataParallel(nn.Linear(6, 5))),
    **{
        f"Conv{n}d": Case(lambda n=n: getattr(nn, f"Conv{n}d")(6, 4, 3, padding=1, groups=2), shape)
        for n, shape in RANKS.items()
    },
    **{
        f"ConvTranspose{n}d": Case(lambda n=n: getattr(nn, f"ConvTranspose{n}d")(6, 4, 3, groups=2), shape)
        for n, shape in RANKS.items()
    },
    **{
        f"{kind}{n}d": Case(lambda kind=kind, n=n: getattr(nn, f"{kind}{n}d")(2), shape)
        for n, shape in RANKS.items()
        for kind in ("MaxPool", "AvgPool", "AdaptiveAvgPool", "AdaptiveMaxPool")
    },
    **{f"LPPool{n}d": Case(lambda n=n: getattr(nn, f"LPPool{n}d")(2, 2), shape) for n, shape in RANKS.items()},
    **{
        f"{kind}Pad{n}d": Case(lambda kind=kind, n=n: getattr(nn, f"{kind}Pad{n}d")(1), shape)
        for n, shape in RANKS.items()
        for kind in ("Reflection", "Replication", "Circular", "Zero")
    },
    **{
        f"ConstantPad{n}d": Case(lambda n=n: getattr(nn, f"ConstantPad{n}d")(1, 0.5), shape, lifts=True)
        for n, shape in RANKS.items()
    },
    **{
        f"MaxUnpool{n}d": Case(lambda n=n: getattr(nn, f"MaxUnpool{n}d")(2), shape, call=unpooled(n))
        for n, shape in RANKS.items()
    },
    "FractionalMaxPool2d": Case(lambda: nn.FractionalMaxPool2d(2, output_size=3), IMAGE),
    "FractionalMaxPool3d": Case(lambda: nn.FractionalMaxPool3d(2, output_size=2), VOLUME),
    **{f"BatchNorm{n}d": Case(lambda n=n: getattr(nn, f"BatchNorm{n}d")(6), shape) for n, shape in RANKS.items()},
    **{f"InstanceNorm{n}d": Case(lambda n=n: getattr(nn, f"InstanceNorm{n}d")(6), shape) for n, shape in RANKS.items()},
    "SyncBatchNorm": Case(lambda: nn.SyncBatchNorm(6), IMAGE),
    "LayerNorm": Case(lambda: nn.LayerNorm(6)),
    "RMSNorm": Case(lambda: nn.RMSNorm(6)),
    "GroupNorm": Case(lambda: nn.GroupNorm(2, 6), IMAGE),
    "LocalResponseNorm": Case(lambda: nn.LocalResponseNorm(3), IMAGE),
    "Flatten": Case(nn.Flatten, IMAGE),
    "Unflatten": Case(lambda: nn.Unflatten(1, (3, 2)), SEQUENCE),
    "Fold": Case(lambda: nn.Fold((4, 4), (2, 2), stride=2), (2, 8, 4)),
    "Unfold": Case(lambda: nn.Unfold(2), IMAGE),
    "PixelShuffle": Case(lambda: nn.PixelShuffle(2), (2, 8, 4, 4)),
    "PixelUnshuffle": Case(lambda: nn.PixelUnshuffle(2), IMAGE),
    "ChannelShuffle": Case(lambda: nn.ChannelShuffle(3), IMAGE),
    "Upsample": Case(lambda: nn.Upsample(scale_factor=2), IMAGE),
    "UpsamplingNearest2d": Case(lambda: nn.UpsamplingNearest2d(scale_factor=2), IMAGE),
    "UpsamplingBilinear2d": Case(lambda: nn.UpsamplingBilinear2d(scale_factor=2), IMAGE),
    "LSTM": Case(lambda: nn.LSTM(6, 3, 2, batch_first=True), (2, 6, 10), call=sequence_last),
    "GRU": Case(lambda: nn.GRU(6, 3, batch_first=True), (2, 6, 10), call=sequence_last),
    "RNN": Case(lambda: nn.RNN(6, 3, batch_first=True), (2, 6, 10), call=sequence_last),
    "LSTMCell": Case(lambda: nn.LSTMCell(6, 4), call=lambda m, x, y: m(x, (y[:, :4], y[:, 2:]))),
    "GRUCell": Case(lambda: nn.GRUCell(6, 4), call=lambda m, x, y: m(x, y[:, :4])),
    "RNNCell": Case(lambda: nn.RNNCell(6, 4), call=lambda m, x, y: m(x, y[:, :4])),
    "MultiheadAttention": Case(
        lambda: nn.MultiheadAttention(6, 2, batch_first=True), (2, 6, 4), lifts=True, call=attended
    ),
    "CosineSimilarity": Case(nn.CosineSimilarity, lifts=True, call=pair),
    "PairwiseDistance": Case(nn.PairwiseDistance, lifts=True, call=pair),
    "MSELoss": Case(nn.MSELoss, lifts=True, call=pair),
    "L1Loss": Case(nn.L1Loss, lifts=True, call=pair),
    "SmoothL1Loss": Case(nn.SmoothL1Loss, lifts=True, call=pair),
    "HuberLoss": Case(nn.HuberLoss, lifts=True, call=pair),
    "PoissonNLLLoss": Case(nn.PoissonNLLLoss, lifts=True, call=pair),
    "KLDivLoss": Case(
        lambda: nn.KLDivLoss(reduction="batchmean"), lifts=True, call=lambda m, x, y: m(x, y.exp()).reshape(1, 1)
    ),
    "BCELoss": Case(nn.BCELoss, lifts=True, call=probabilities),
    "BCEWithLogitsLoss": Case(nn.BCEWithLogitsLoss, lifts=True, call=lambda m, x, y: m(x, y.sigmoid()).reshape(1, 1)),
    "SoftMarginLoss": Case(nn.SoftMarginLoss, lifts=True, call=against_signs),
    "HingeEmbeddingLoss": Case(nn.HingeEmbeddingLoss, lifts=True, call=against_signs),
    "MultiLabelSoftMarginLoss": Case(nn.MultiLabelSoftMarginLoss, lifts=True, call=against_signs),
    "MarginRankingLoss": Case(
        lambda: nn.MarginRankingLoss(1.0),
        lifts=True,
        call=lambda m, x, y: m(x, y, torch.ones(x.shape, dtype=x.dtype)).reshape(1, 1),
    ),
    "CosineEmbeddingLoss": Case(
        nn.CosineEmbeddingLoss,
        lifts=True,
        call=lambda m, x, y: m(x, y, torch.ones(2, dtype=x.dtype)).reshape(1, 1),
    ),
    "CrossEntropyLoss": Case(nn.CrossEntropyLoss, lifts=True, call=against_labels),
    "NLLLoss": Case(nn.NLLLoss, lifts=True, call=against_labels, wider=LABEL),
    "MultiMarginLoss": Case(nn.MultiMarginLoss, lifts=True, call=against_labels),
    "MultiLabelMarginLoss": Case(
        nn.MultiLabelMarginLoss,
        lifts=True,
        call=lambda m, x: m(x, torch.tensor([[1, 4, -1, 0, 0, 0], [2, -1, 0, 0, 0, 0]])).reshape(1, 1),
    ),
    "TripletMarginLoss": Case(nn.TripletMarginLoss, lifts=True, call=lambda m, x, y: m(x, y, x.flip(1)).reshape(1, 1)),
    "TripletMarginWithDistanceLoss": Case(
        nn.TripletMarginWithDistanceLoss,
        lifts=True,
        call=lambda m, x, y: m(x, y, x.flip(1)).reshape(1, 1),
    ),
    "LazyLinear": Case(lazily(lambda: nn.LazyLinear(5), FLAT)),
    **{f"LazyConv{n}d": Case(lazily(lambda n=n: getattr(nn, f"LazyConv{n}d")(4, 1), s), s) for n, s in RANKS.items()},
    **{
        f"LazyConvTranspose{n}d": Case(lazily(lambda n=n: getattr(nn, f"LazyConvTranspose{n}d")(4, 1), s), s)
        for n, s in RANKS.items()
    },
    **{
        f"Lazy{kind}Norm{n}d": Case(lazily(lambda kind=kind, n=n: getattr(nn, f"Lazy{kind}Norm{n}d")(), s), s)
        for n, s in RANKS.items()
        for kind in ("Batch", "Instance")
    },
    "TransformerEncoderLayer": Case(
        lambda: nn.TransformerEncoderLayer(6, 2, 8, batch_first=True),
        (2, 6, 4),
        lifts=True,
        call=sequence_last,
        wider=SHUT,
    ),
    "TransformerEncoder": Case(
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(6, 2, 8, batch_first=True), 2, enable_nested_tensor=False
        ),
        (2, 6, 4),
        lifts=True,
        call=sequence_last,
        wider=SHUT,
    ),
    "TransformerDecoderLayer": Case(
        lambda: nn.TransformerDecoderLayer(6, 2, 8, batch_first=True),
        (2, 6, 4),
        lifts=True,
        call=lambda m, x, y: m(x.mT, y.mT).mT,
        wider=SHUT,
    ),
    "TransformerDecoder": Case(
        lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(6, 2, 8, batch_first=True), 1),
        (2, 6, 4),
        lifts=True,
        call=lambda m, x, y: m(x.mT, y.mT).mT,
        wider=SHUT,
    ),
    "Transformer": Case(
        lambda: nn.Transformer(6, 2, 1, 1, 8, batch_first=True),
        (2, 6, 4),
        lifts=True,
        wider=SHUT,
        call=lambda m, x, y: m(x.mT, y.mT).mT,
    ),
}

if hasattr(nn, "LinearCrossEntropyLoss"):  # torch 2.13
    CASES["LinearCrossEntropyLoss"] = Case(
        lambda: nn.LinearCrossEntropyLoss(6, 5), lifts=True, call=against_labels, wider=LABEL
    )
