"""What ranks agree on: scores, their averages, masks, whole methods, and the script of the README."""

import copy
from functools import partial

import pytest
import torch
import torch.distributed as dist
from torch.distributed.checkpoint import state_dict as checkpoints

import prune_adapters as pa
from prune_adapters.methods import (
    TCMP,
    DynamicSparseTraining,
    GradualPruning,
    SelectiveChannelDecay,
    SelectiveWeightDecay,
)
from prune_adapters.methods.method import Method
from rank_networks import FOLDER, RANKS, WHOLE, Masks, assert_obeys, inputs, network, parameters, sgd, sharded


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
    decay = partial(SelectiveWeightDecay, sparsity=0.7, steps=8, a_max=1e3, graph=graph, consistent=True)
    tcmp = partial(TCMP, sparsity=0.7, steps=8, every=2, graph=graph)
    for make in (gradual, dynamic, decay, tcmp):
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


def normed() -> torch.nn.Sequential:
    """Return layers with a batch norm in eval mode, where what a rank computes depends on no other."""
    torch.manual_seed(0)
    layers = torch.nn.Linear(8, 6), torch.nn.BatchNorm1d(6), torch.nn.ReLU(), torch.nn.Linear(6, 3)
    model = torch.nn.Sequential(*layers).eval()
    torch.nn.init.uniform_(model[1].weight, 0.5, 1.5, generator=torch.Generator().manual_seed(2))
    return model


def channel_decay(rank: int) -> None:
    """Channels that go are those of one process; of the term each rank adds its part."""
    one, model = normed(), sharded(normed())
    pa.check_ranks_agree(dict(one.state_dict()))
    make = partial(
        SelectiveChannelDecay, sparsity=0.4, steps=8, a_max=1e3, groups=pa.coupled_channels(normed(), inputs()[:1])
    )
    alone = make(one, optimizer=sgd(one))
    masks = run_method(alone, inputs())
    method = make(model, optimizer=sgd(model))

    torch.testing.assert_close(run_method(method, inputs(rank, RANKS)), masks)
    assert [group.outputs for group in method.removed] == [group.outputs for group in alone.removed] != []
    torch.testing.assert_close(parameters(model), dict(one.state_dict()))
    with pytest.raises(ValueError, match=r"term: expected 'gradient' or 'decoupled' for parameters that are spread"):
        make(model, optimizer=sgd(model), term="loss")


def norm_decay(rank: int) -> None:
    """Scales of units that lose every path are those of one process, by thresholds and on the graph."""
    graph = pa.to_graph(normed(), inputs()[:1])
    for consistent in (False, True):
        make = partial(SelectiveWeightDecay, sparsity=0.9, steps=8, a_max=1e3, graph=graph, norms=True)
        one, model = normed(), sharded(normed())
        alone = make(one, optimizer=sgd(one), consistent=consistent)
        masks = run_method(alone, inputs())
        method = make(model, optimizer=sgd(model), consistent=consistent)

        torch.testing.assert_close(run_method(method, inputs(rank, RANKS)), masks)
        torch.testing.assert_close(parameters(model), dict(one.state_dict()))
        assert "1.weight" in alone._kept  # where parts of it are not


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
