"""Networks on several ranks: how they are spread and trained, and what then holds on every rank."""

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint import state_dict as checkpoints
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel

import prune_adapters as pa
from prune_adapters.shards import whole

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


WHOLE = checkpoints.StateDictOptions(full_state_dict=True)
