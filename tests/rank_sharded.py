"""What ranks hold of data parallelism: DDP, and FSDP2 with its parts, state dicts and checkpoints."""

import copy

import torch
import torch.distributed as dist
from torch.distributed.checkpoint import state_dict as checkpoints
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import prune_adapters as pa
from prune_adapters.shards import is_spread, local, own_part, whole
from rank_networks import (
    FOLDER,
    FULL,
    RANKS,
    WHOLE,
    Masks,
    adamw,
    assert_as_alone,
    assert_obeys,
    images,
    inputs,
    network,
    parameters,
    sgd,
    sharded,
    smallest_removed,
    steps,
)


def ddp(rank: int) -> None:
    """Acceptance test 8: VainF/Torch-Pruning#252, microsoft/nni#5205, #5242: ranks agree, and nobody wraps anew."""
    model = DistributedDataParallel(network())
    assert_as_alone(model, inputs(rank, RANKS))

    pa.check_ranks_agree(dict(model.named_parameters()))


def fsdp(rank: int) -> None:
    assert_as_alone(sharded(network()), inputs(rank, RANKS))
    assert_as_alone(sharded(network()), inputs(rank, RANKS), make=sgd)


def fsdp_of_a_convolution(rank: int) -> None:
    assert_as_alone(sharded(images()), inputs(rank, RANKS), images)


def fsdp_of_a_masked_model(rank: int) -> None:
    """Masks from before sharding: each rank keeps its part, whatever is asked first."""
    masks = smallest_removed(network(), 0.5)
    first, second = (sharded(pa.apply_masks(network(), masks)) for _ in range(2))
    torch.testing.assert_close(pa.remembered_masks(first), masks)
    optimizer = adamw(second)
    pa.keep_masks(second, optimizer)
    steps(second, optimizer, inputs(rank, RANKS))

    assert_obeys(second, masks)
    for module in second[::2]:
        assert module._kept_bits["weight"].numel() == -(-local(module.weight).numel() // 8)


def fsdp_while_parameters_are_gathered(rank: int) -> None:
    """After an evaluation the outermost module holds gathered parameters, which are thrown away later."""
    model = fully_shard(network())
    with torch.no_grad():
        model(inputs())
    assert not is_spread(model[0].weight)
    masks = smallest_removed(model, 0.5)
    with torch.no_grad():
        model(inputs())
    optimizer = adamw(pa.apply_masks(model, masks))
    assert_obeys(model, masks)
    pa.keep_masks(model, optimizer)
    model(inputs()).square().mean().backward()
    with torch.no_grad():
        model(inputs())
    optimizer.step()
    assert_obeys(model, masks)
    pa.remove_masks(model)

    assert pa.remembered_masks(model) == {}


def fsdp_state_dicts(rank: int) -> None:
    """A dense state is masked again, whole or in parts; what is saved has the zeros."""
    model, masks = sharded(network()), smallest_removed(network(), 0.5)
    dense = checkpoints.get_model_state_dict(model)
    dense = {name: value.clone() for name, value in dense.items()}
    pa.apply_masks(model, masks)
    saved = checkpoints.get_model_state_dict(model, options=checkpoints.StateDictOptions(full_state_dict=True))
    torch.testing.assert_close(saved, network_with_zeros(masks))
    for state, options in ((dense, None), (network().state_dict() if rank == 0 else {}, FULL)):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(7)
        checkpoints.set_model_state_dict(model, state, options=options)
        torch.testing.assert_close(parameters(model), network_with_zeros(masks))
        assert_obeys(model, masks)


def network_with_zeros(masks: Masks) -> dict[str, torch.Tensor]:
    return dict(pa.apply_masks(network(), masks).state_dict())


def fsdp_built_without_memory(rank: int) -> None:
    """The usual way to a large model: built under meta, sharded, filled from rank 0, then masked."""
    masks = smallest_removed(network(), 0.5)
    with torch.device("meta"):
        model = sharded(network())
    state = network().state_dict() if rank == 0 else {}
    checkpoints.set_model_state_dict(model.to_empty(device="cpu"), state, options=FULL)
    optimizer = adamw(pa.apply_masks(model, masks))
    pa.keep_masks(model, optimizer)
    steps(model, optimizer, inputs(rank, RANKS))

    assert_obeys(model, masks)


def fsdp_resumed(rank: int) -> None:
    """Model, optimizer and masks go through a checkpoint, and training goes on to the bit."""
    model = sharded(network())
    optimizer = adamw(pa.apply_masks(model, smallest_removed(model, 0.5)))
    pa.keep_masks(model, optimizer)
    steps(model, optimizer, inputs(rank, RANKS))
    masks = pa.remembered_masks(model)  # on every rank
    if rank == 0:
        pa.save_masks(FOLDER / "masks.safetensors", masks)
    states = copy.deepcopy(checkpoints.get_state_dict(model, optimizer, options=WHOLE))
    steps(model, optimizer, inputs(rank, RANKS))
    dist.barrier()

    other = sharded(network())
    second = adamw(other)
    checkpoints.set_state_dict(other, second, model_state_dict=states[0], optim_state_dict=states[1], options=WHOLE)
    pa.keep_masks(pa.apply_masks(other, pa.load_masks(FOLDER / "masks.safetensors", model=other)), second)
    steps(other, second, inputs(rank, RANKS))

    torch.testing.assert_close(parameters(other), parameters(model), rtol=0, atol=0)
    torch.testing.assert_close(pa.remembered_masks(other), masks)


def fsdp_with_replicas(rank: int) -> None:
    mesh = init_device_mesh("cpu", (2, RANKS // 2), mesh_dim_names=("copies", "shards"))

    assert_as_alone(sharded(network(), mesh), inputs(rank, RANKS))


def parts(rank: int) -> None:
    """The parts that are cut here are those that torch cuts, and there are empty ones."""
    model = sharded(network())
    for name, weight in model.named_parameters():
        full = whole(weight)
        torch.testing.assert_close(full, network().get_parameter(name).detach())
        torch.testing.assert_close(own_part(full, weight), local(weight), rtol=0, atol=0)
        assert local(weight).data_ptr() == weight.to_local().data_ptr()
    assert RANKS == 2 or rank < 2 or local(model[6].weight).numel() == 0
