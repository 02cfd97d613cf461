"""What test_distributed.py runs in several processes: ``python tests/ranks.py FOLDER N`` starts N of them.

Starting a process is slow, so each makes all the checks for its number of ranks. They are forked where that is safe,
as they then share what was imported here.
"""

import copy
import sys
import warnings
from collections.abc import Callable
from datetime import timedelta
from functools import cache, partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint import state_dict as checkpoints
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.multiprocessing import start_processes
from torch.nn.parallel import DistributedDataParallel

import prune_adapters as pa
from prune_adapters.methods import DynamicSparseTraining, GradualPruning
from prune_adapters.methods.method import Method
from prune_adapters.shards import is_spread, local, own_part, whole

Masks = dict[str, torch.Tensor]
FOLDER, RANKS = Path(sys.argv[1]), int(sys.argv[2])
SPLIT = {"0": ColwiseParallel(), "2": RowwiseParallel(), "4": ColwiseParallel(output_layouts=Replicate())}
FULL = checkpoints.StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)


def network() -> nn.Module:
    """Return the same network on every rank; 10, 6, 5 and 2 rows do not divide evenly."""
    torch.manual_seed(0)
    layers = [nn.Linear(8, 10), nn.Tanh(), nn.Linear(10, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2)]
    return nn.Sequential(*layers)


def images() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Unflatten(1, (2, 2, 2)), nn.Conv2d(2, 4, 2), nn.Flatten(), nn.Linear(4, 3))


def sharded(model: nn.Module, mesh: dist.DeviceMesh | None = None) -> nn.Module:
    for module in model:
        if isinstance(module, nn.Linear):
            fully_shard(module, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def inputs(part: int = 0, of: int = 1) -> torch.Tensor:
    return torch.randn(12, 8, generator=torch.Generator().manual_seed(1)).chunk(of)[part]


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1, amsgrad=True)


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)


def smallest_removed(model: nn.Module, sparsity: float) -> Masks:
    return dict(pa.masks_from_scores(pa.magnitude_scores(model), sparsity=sparsity))


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, number: int = 2) -> None:
    for _ in range(number):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()


def trained(model: nn.Module, x: torch.Tensor, make: Callable[[nn.Module], torch.optim.Optimizer] = adamw) -> Masks:
    """Remove half of the weights, train, look at the outputs, remove more, and train on; return the last masks."""
    optimizer = make(model)
    steps(model, optimizer, x, 1)  # there is state when the first masks come
    for sparsity in (0.5, 0.7):
        masks = smallest_removed(model, sparsity)
        if sparsity == 0.5:
            pa.apply_masks(model, masks)
            pa.keep_masks(model, optimizer)
        else:
            pa.apply_masks(model, masks)
        steps(model, optimizer, x)
        with torch.no_grad():
            model(x)  # FSDP2 leaves parameters gathered
    assert_state_is_zero(model, masks, optimizer)
    return masks


@cache
def alone(make_model: Callable[[], nn.Module] = network, make: Callable[..., torch.optim.Optimizer] = adamw) -> tuple:
    """Return what one process makes of all the data: the model and its masks."""
    model = make_model()
    return model, trained(model, inputs(), make)


def parameters(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the whole parameters; state_dict has FSDP2 put its own in place."""
    return {name.removeprefix("module."): whole(value) for name, value in model.state_dict().items()}


def assert_state_is_zero(model: nn.Module, masks: Masks, optimizer: torch.optim.Optimizer) -> None:
    model.state_dict()
    for name, weight in model.named_parameters():
        kept = masks.get(name.removeprefix("module."))
        for state in optimizer.state[weight].values() if kept is not None else ():
            if state.shape == kept.shape:
                assert not whole(state)[~kept].any()
                assert whole(state)[kept].any()


def assert_obeys(model: nn.Module, masks: Masks) -> None:
    """Hold that removed weights are +0.0 to the bit, kept ones are not, and that the model remembers the masks."""
    own = parameters(model)
    for name, mask in masks.items():
        assert not own[name][~mask].any()
        assert not torch.signbit(own[name][~mask]).any()
        assert own[name][mask].all()
    torch.testing.assert_close(pa.remembered_masks(model), masks)
    pa.check_ranks_agree(pa.remembered_masks(model))


def assert_as_alone(model: nn.Module, x: torch.Tensor, make_model: Callable = network, make: Callable = adamw) -> None:
    """Train; hold that masks are those of one process, and weights up to rounding."""
    one, masks = alone(make_model, make)

    torch.testing.assert_close(trained(model, x, make), masks)
    assert_obeys(model, masks)
    torch.testing.assert_close(parameters(model), dict(one.state_dict()))


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


WHOLE = checkpoints.StateDictOptions(full_state_dict=True)


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


def scores(rank: int) -> None:
    """Scores are whole and those of one process, and so is a selection in a graph from before sharding."""
    plain, model = network(), sharded(network())
    graph = pa.to_graph(plain, inputs())
    for score in (pa.magnitude_scores, lambda m, **given: pa.random_scores(m, seed=3, **given)):
        torch.testing.assert_close(score(model), score(plain), rtol=0, atol=0)
        assert list(score(model)) == list(score(plain))
    masks = dict(pa.consistent_masks(pa.magnitude_scores(model, graph=graph), graph, sparsity=0.6))
    torch.testing.assert_close(dict(pa.prune(plain, inputs(), sparsity=0.6)), masks)
    pa.apply_masks(model, masks)

    assert_obeys(model, masks)


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


def agreement(rank: int) -> None:
    masks = {"a": torch.ones(3, dtype=torch.bool), "b": torch.arange(4) < 2, "c": torch.zeros(2, 0).bool()}
    pa.check_ranks_agree(masks)
    other = masks | {"b": torch.arange(4) == rank % 2, "c": torch.zeros(0, 2 + (rank == 1)).bool()}
    with pytest.raises(pa.MaskError, match="differ from those of rank 0: 'b' on rank 1, 'c' on rank 1; compute them"):
        pa.check_ranks_agree(other)
    with pytest.raises(pa.MaskError, match="rank 0: 'a' on rank 1; compute"):
        pa.check_ranks_agree({name: mask for name, mask in masks.items() if (name, rank) != ("a", 1)})
    pa.check_ranks_agree({"mine": torch.tensor(rank)}, group=dist.new_subgroups(1)[0])


def averages(rank: int) -> None:
    """Gradients of parts of the data become those of all data; the same bits on each rank."""
    model, one = network(), network()
    model(inputs(rank, RANKS)).square().mean().backward()
    one(inputs()).square().mean().backward()
    own = {name: weight.grad for name, weight in model.named_parameters()}
    before = copy.deepcopy(own)
    mean = pa.average_scores(own)

    pa.check_ranks_agree(mean)
    torch.testing.assert_close(mean, {name: weight.grad for name, weight in one.named_parameters()})
    torch.testing.assert_close(own, before, rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"average_scores: expected \('w', .* on every rank, got \('v', .* on rank 1"):
        pa.average_scores({"v" if rank == 1 else "w": torch.ones(2)})


def methods(rank: int) -> None:
    """Methods find on FSDP2 the masks that they find in one process, and go on from their state."""
    graph, x = pa.to_graph(network(), inputs()), inputs(rank, RANKS)
    gradual = partial(GradualPruning, sparsity=0.7, steps=8, begin=0.0, end=0.75, every=2, graph=graph)
    dynamic = partial(DynamicSparseTraining, sparsity=0.7, steps=8, every=2, graph=graph, consistent=True)
    for make in (gradual, dynamic):
        one, model, other = network(), sharded(network()), sharded(network())
        masks = run_method(make(one, optimizer=sgd(one)), inputs())
        method = make(model, optimizer=sgd(model))
        run_method(method, x, 5)
        resumed = make(other, optimizer=sgd(other))
        states = copy.deepcopy(checkpoints.get_state_dict(model, method.optimizer, options=WHOLE))
        checkpoints.set_state_dict(
            other, resumed.optimizer, model_state_dict=states[0], optim_state_dict=states[1], options=WHOLE
        )
        resumed.load_state_dict(copy.deepcopy(method.state_dict()))
        for each in (method, resumed):
            torch.testing.assert_close(run_method(each, x, 3), masks)
            assert_obeys(each.model, masks)
            torch.testing.assert_close(parameters(each.model), dict(one.state_dict()))


def run_method(method: Method, x: torch.Tensor, number: int = 8) -> Masks:
    for _ in range(number):
        method.optimizer.zero_grad()
        (method.model(x).square().mean() + method.penalty()).backward()
        method.after_backward()
        method.optimizer.step()
        method.after_step()
    return dict(method.finish()) if method.step == method.steps else {}


def example(rank: int) -> None:
    """The script of the README ends, and rank 0 has written the masks."""
    from train_distributed import network as perceptron
    from train_distributed import prune_and_train

    prune_and_train(FOLDER, fsdp=True, sparsity=0.9, epochs=1)
    dist.barrier()
    masks = pa.load_masks(FOLDER / "masks.safetensors", model=perceptron())

    assert sum(int(mask.sum()) for mask in masks.values()) == 5020


ALWAYS = [parts, ddp, fsdp]
CHECKS = {
    2: [
        *ALWAYS,
        fsdp_of_a_convolution,
        fsdp_of_a_masked_model,
        fsdp_while_parameters_are_gathered,
        fsdp_state_dicts,
        fsdp_built_without_memory,
        fsdp_resumed,
        tensor_parallel,
        tensor_parallel_masked_before_backward,
        all_of_a_layer,
        scores,
        what_spread_weights_cannot_do,
        agreement,
        averages,
        methods,
        example,
    ],
    3: [*ALWAYS, fsdp_of_a_masked_model, fsdp_state_dicts, tensor_parallel_uneven],
    4: [parts, fsdp_and_tensor_parallel, fsdp_with_replicas],
}


def check(rank: int) -> None:
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    dist.init_process_group(
        "gloo", f"file://{FOLDER / 'meeting'}", rank=rank, world_size=RANKS, timeout=timedelta(seconds=60)
    )
    for one in CHECKS[RANKS]:
        one(rank)
        dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    start_processes(check, nprocs=RANKS, start_method="fork" if sys.platform == "linux" else "spawn")
