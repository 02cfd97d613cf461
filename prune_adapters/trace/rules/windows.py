"""Windows of an image as channels and back, and sampling at positions that may be computed.

Units are shared over positions, so a window of a channel is that channel once for each of its places.
"""

from math import prod

from prune_adapters.trace.meeting import reduce
from prune_adapters.trace.registry import Operation, register_rule
from prune_adapters.trace.rules.picking import chosen_by
from prune_adapters.trace.values import Units, Value

__all__ = ["grid", "joined_windows", "sampled", "unpooled", "windows"]


@register_rule("aten.im2col")
def windows(op: Operation) -> Value:
    """Each channel becomes one channel for each place of the window."""
    places = prod(op.numbers("kernel_size"))
    units = op.first
    image = reduce(op.graph, units.ids, [-2, -1], op.name, keepdim=False)
    channels = image.expand([*image.shape[:-1], units.shape[-3]])
    return op.units(channels.repeat_interleave(places, -1).unsqueeze(-1))


@register_rule("aten.col2im")
def joined_windows(op: Operation) -> Value:
    """The places of a window are added up."""
    places = prod(op.numbers("kernel_size"))
    units = op.first
    columns = reduce(op.graph, units.ids, [-1], op.name + ".columns", keepdim=False)
    channels = columns.expand([*columns.shape[:-1], units.shape[-2]]).reshape([*columns.shape[:-1], -1, places])
    ids = reduce(op.graph, channels, [-1], op.name, keepdim=False)
    return op.units(ids[..., None, None])


@register_rule("aten.affine_grid_generator")
def grid(op: Operation) -> Value:
    """Coordinate i of every position depends on row i of the matrix."""
    ids = reduce(op.graph, op.first.ids, [-1], op.name, keepdim=False)
    return op.units(ids.reshape([ids.shape[0], *[1] * (len(op.shape) - 2), ids.shape[-1]]))


@register_rule("aten.grid_sampler", "aten.grid_sampler_2d", "aten.grid_sampler_3d", "aten.cudnn_grid_sampler")
def sampled(op: Operation) -> Value:
    """The channel goes on; a computed grid decides which of its positions is read."""
    image, grid_values = op.args[:2]
    if not isinstance(image, Units):
        raise op.error("its image is a constant", "pass unknown='mix'")
    ids = reduce(op.graph, image.ids, range(2, len(op.shape)), op.name)
    return op.units(chosen_by(op, ids, [grid_values] if isinstance(grid_values, Units) else []))


@register_rule("aten.max_unpool2d", "aten.max_unpool3d")
def unpooled(op: Operation) -> Value:
    """The channel goes on, to positions that came from a pooling."""
    units, places = op.first, op.args[1]
    first = len(op.shape) - (2 if op.packet == "aten.max_unpool2d" else 3)
    ids = reduce(op.graph, units.ids, range(first, len(op.shape)), op.name)
    return op.units(chosen_by(op, ids, [places] if isinstance(places, Units) else []))
