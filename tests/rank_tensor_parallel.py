"""What ranks hold of tensor parallelism, alone and with FSDP2, and what spread weights cannot do."""

import copy

import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, distribute_tensor
from torch.distributed.tensor.parallel import parallelize_module

import prune_adapters as pa
from rank_networks import RANKS, SPLIT, alone, assert_as_alone, assert_obeys, inputs, network, sharded, smallest_removed


def tensor_parallel_uneven(rank: int) -> None:
    """Five rows on three ranks."""
    assert_as_alone(parallelize_module(network(), init_device_mesh("cpu", (RANKS,)), {"4": SPLIT["4"]}), inputs())


def tensor_parallel(rank: int) -> None:
    """Weights in columns, in rows, and the rest on every rank."""
    model = parallelize_module(network(), init_device_mesh("cpu", (RANKS,)), SPLIT)
    twin = copy.deepcopy(model)
    assert_as_alone(model, inputs())
    pa.apply_masks(twin, pa.remembered_masks(model))

    torch.testing.assert_close(pa.remembered_masks(copy.deepcopy(twin)), alone()[1])


def tensor_parallel_masked_before_backward(rank: int) -> None:
    """What would give wrong gradients is an error, as for plain weights."""
    model = parallelize_module(network(), init_device_mesh("cpu", (RANKS,)), SPLIT)
    loss = model(inputs()).sum()
    pa.apply_masks(model, {"2.weight": torch.zeros(6, 10, dtype=torch.bool)})

    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def all_of_a_layer(rank: int) -> None:
    """Biases can be masked with their rows, and a mask may come as a DTensor."""
    mesh = init_device_mesh("cpu", (RANKS,))
    model = parallelize_module(network(), mesh, SPLIT)
    rows = torch.tensor([True, False] * 5)
    spread = distribute_tensor(rows[:, None].expand(10, 8).contiguous(), mesh, [Replicate()])
    pa.apply_masks(model, {"0.weight": spread, "0.bias": rows})

    assert_obeys(model, {"0.weight": rows[:, None].expand(10, 8), "0.bias": rows})


def fsdp_and_tensor_parallel(rank: int) -> None:
    """Rows that are split twice, once each way."""
    mesh = init_device_mesh("cpu", (2, RANKS // 2), mesh_dim_names=("data", "tensor"))
    model = sharded(parallelize_module(network(), mesh["tensor"], SPLIT), mesh["data"])
    part = mesh["data"].get_local_rank()

    assert_as_alone(model, inputs(part, 2))


def what_spread_weights_cannot_do(rank: int) -> None:
    model = parallelize_module(network(), init_device_mesh("cpu", (RANKS,)), SPLIT)
    masks = pa.remembered_masks(pa.apply_masks(model, smallest_removed(model, 0.5)))

    with pytest.raises(pa.TraceError, match=r"parameter '0.weight' is spread over ranks \(DTensor\); trace before"):
        pa.to_graph(model, inputs())
    with pytest.raises(pa.MaskError, match="the weight is spread over ranks"):
        pa.sparsify(model, policy="sparse")
    pa.remove_masks(model)
    with pytest.raises(pa.MaskError, match=r"mask for '0.weight': spread over ranks .* or mask before fully_shard"):
        pa.apply_soft_masks(model, masks)
    pa.apply_masks(model, masks)
    model[0].weight = nn.Parameter(model[0].weight.redistribute(placements=[Replicate()]))
    with pytest.raises(pa.MaskError, match=r"a part of a mask for 'weight', which has been spread .* in another way"):
        pa.remembered_masks(model)
