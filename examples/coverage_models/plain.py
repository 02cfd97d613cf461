"""torch's own modules between linear layers, and networks that no library holds."""

from collections.abc import Iterator

import torch
from torch import nn

from coverage_models import nets
from coverage_models.entry import Entry, picture, tokens

__all__ = ["plain"]


def plain() -> Iterator[Entry]:
    """Yield torch's own modules between linear layers, and networks of `coverage_nets`."""
    sequence, other, flat = picture(1, 5, 6), picture(1, 7, 5), picture(2, 6)
    for kind in (nn.RNN, nn.LSTM, nn.GRU):
        for extra in ({}, {"bidirectional": True, "num_layers": 2}):
            label = kind.__name__ + (" two ways" if extra else "")
            yield Entry("torch", label, label, lambda k=kind, e=extra: nets.Recurrent(k, **e), sequence)
    both = lambda: (sequence(), other())  # noqa: E731
    yield Entry("torch", "MultiheadAttention", "MultiheadAttention", nets.Attending, both)
    yield Entry("torch", "TransformerEncoder", "TransformerEncoder", nets.Encoding, sequence)
    yield Entry("torch", "Transformer", "Transformer", nets.Translating, both)
    yield Entry("torch", "Bilinear", "Bilinear", nets.Bilinear, lambda: (flat(), torch.ones(2, 5)))
    yield Entry("torch", "EmbeddingBag", "EmbeddingBag", nets.Bags, tokens(20))
    yield Entry("torch", "graph convolution", "A X W", nets.GraphNet, picture(2, 7, 3))
    yield Entry("torch", "graph convolution + ring", "(B + A) X W", lambda: nets.GraphNet(ring=True), picture(2, 7, 3))
    yield Entry("torch", "U-Net", "U-Net", nets.UNet, picture(1, 3, 16, 16))
    yield Entry("torch", "VAE", "VAE", nets.VAE, picture(2, 1, 8, 8))
    yield Entry("torch", "diffusion", "Denoiser", nets.Denoiser, lambda: (torch.ones(1, 3, 16, 16), torch.ones(1)))
