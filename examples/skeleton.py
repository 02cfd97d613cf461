"""A graph convolutional network for skeletons whose adjacency is learned, and can be pruned like its filters."""

import torch
from torch import Tensor, nn

__all__ = ["SkeletonGCN"]


class SkeletonGCN(nn.Module):
    """``f(sum over heads k of A_k U W_k)`` over the joints of a skeleton, then one dense layer.

    The block of Sahbi (arXiv:2306.17590) with learned matrices A_k between joints. In the traced graph each channel of
    each joint is a unit: the input comes flat, and A_k and W_k are expanded over filters and joints, so that every
    element of both is an edge between such units, used once for each filter or joint.

    Parameters
    ----------
    joints : int
    channels : int
        Numbers that describe a joint: its trajectory in chunks.
    heads : int
        Pairs of an adjacency and filters.
    filters : int
    classes : int
    encoded : int, optional
        Channels to which each joint is encoded first; None: none, the filters see the trajectory.
    """

    def __init__(
        self,
        joints: int = 30,
        channels: int = 24,
        *,
        heads: int = 4,
        filters: int = 32,
        classes: int = 8,
        encoded: int | None = None,
    ) -> None:
        super().__init__()
        self.joints, self.channels = joints, channels
        self.encode = nn.Identity() if encoded is None else nn.Linear(channels, encoded, bias=False)
        width = channels if encoded is None else encoded
        around = torch.eye(joints) + torch.randn(heads, joints, joints) / joints
        self.adjacency = nn.Parameter(around)
        self.filters = nn.Parameter(torch.randn(heads, width, filters) * (2 / (heads * width)) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(filters))
        self.dense = nn.Linear(joints * filters, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of the classes for trajectories of shape (batch, joints * channels).

        Two batched products: one filters each joint, the other adds up, in each filter, joints over all heads.
        """
        nodes = self.encode(x.unflatten(1, (self.joints, self.channels))).transpose(0, 1)
        filters = self.filters.transpose(0, 1).flatten(1)  # (channels, heads * filters)
        mixing = self.adjacency.transpose(1, 2).flatten(0, 1)  # (heads * joints, joints)
        filtered = nodes @ filters.expand(self.joints, -1, -1)
        by_filter = filtered.unflatten(2, self.filters.shape[::2]).permute(3, 1, 2, 0).flatten(2)
        mixed = by_filter @ mixing.expand(len(by_filter), -1, -1)
        return self.dense(torch.relu(mixed.permute(1, 2, 0) + self.bias).flatten(1))
