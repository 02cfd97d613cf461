"""Channel groups against those of Torch-Pruning; where they differ the pruned model decides who is right."""

import copy
import warnings

import pytest
from torch import Tensor, nn

import prune_adapters as pa
from compacting import error, randomized
from networks import CASES, NextNet, NormedStream
from networks.cases import real
from test_remove import silenced

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    tp = pytest.importorskip("torch_pruning")

NETS = {name: (CASES[name].build, CASES[name].inputs) for name in ("vgg_bn", "resnet18", "mobilenet_v2", "densenet")}
NETS |= {name: (CASES[name].build, CASES[name].inputs) for name in ("se_resnet", "group_norm")}
NETS |= {"stream": (NormedStream, real(5, 6)), "next": (NextNet, real(1, 3, 8, 8))}

Members = dict[tuple[str, str], tuple[int, ...]]


def peer_group(model: nn.Module, x: Tensor, path: str, channel: int) -> object:
    layer = model.get_submodule(path)
    prune = tp.prune_linear_out_channels if isinstance(layer, nn.Linear) else tp.prune_conv_out_channels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = tp.DependencyGraph().build_dependency(model, x, verbose=False)
        return graph.get_pruning_group(layer, prune, idxs=[channel])


def peer_members(model: nn.Module, x: Tensor, path: str, channel: int) -> Members:
    """Return the channels of their group by layer and side; what has one list of channels is counted as outputs."""
    names = {module: name for name, module in model.named_modules()}
    found: dict[tuple[str, str], set[int]] = {}
    for dependency, channels in peer_group(model, x, path, channel):
        module = dependency.target.module
        if module in names:
            both = "Norm" in type(module).__name__ or getattr(module, "groups", 1) > 1
            side = "out" if both or "out" in dependency.handler.__name__ else "in"
            found.setdefault((names[module], side), set()).update(channels)
    return {key: tuple(sorted(channels)) for key, channels in found.items()}


def own_members(model: nn.Module, group: pa.ChannelGroup) -> Members:
    found = {(path, "out"): channels for path, channels in group.outputs.items()}
    for path, channels in group.inputs.items():
        if getattr(model.get_submodule(path), "groups", 1) == 1:
            found[path, "in"] = channels
    return found


def group_of(model: nn.Module, x: Tensor, path: str, channel: int) -> pa.ChannelGroup:
    return next(g for g in pa.coupled_channels(model, x) if channel in g.outputs.get(path, ()))


@pytest.mark.parametrize("name", NETS)
def test_both_couple_the_same_channels(name):
    model, x = NETS[name][0]().eval(), NETS[name][1]()
    groups = {(path, c): g for g in pa.coupled_channels(model, x) for path, cs in g.outputs.items() for c in cs}
    first = {g.layers: (path, 1) for (path, c), g in reversed(groups.items()) if c == 1 and g.removable}
    weighted = [(p, c) for p, c in first.values() if isinstance(model.get_submodule(p), (nn.Linear, nn.Conv2d))]

    assert weighted
    for path, channel in weighted:
        expected = peer_members(model, x, path, channel)
        assert own_members(model, groups[path, channel]) == expected, path


def test_a_layer_norm_keeps_its_statistics_here_and_loses_them_there():
    """The groups are the same; without the original number of channels the output is off by far more than rounding."""
    model, x = randomized(NormedStream().eval(), 0), real(5, 6)()
    group = group_of(model, x, "entry", 1)
    expected, ours = silenced(model, [group]), pa.remove_channels(model, [group], x)
    theirs = copy.deepcopy(model)
    peer_group(theirs, x, "entry", 1).prune()

    assert error(expected, ours, x) < 1e-6
    assert error(expected, theirs, x) > 1e-2


def test_a_grouped_convolution_loses_whole_groups_here_and_breaks_there():
    """Their group of one channel leaves groups of different sizes, which no convolution of torch computes."""
    model = randomized(CASES["resnext50"].model(), 0)
    x, path = CASES["resnext50"].inputs(), "stages.0.0.conv1.0"
    group = group_of(model, x, path, 1)
    expected, ours = silenced(model, [group]), pa.remove_channels(model, [group], x)
    theirs = copy.deepcopy(model)
    peer_group(theirs, x, path, 1).prune()

    assert error(expected, ours, x) < 1e-5
    with pytest.raises(RuntimeError):
        theirs(x)


def test_a_channel_shuffle_is_followed_here_and_an_error_there():
    model, x = CASES["shufflenet_v2"].model(), CASES["shufflenet_v2"].inputs()
    groups = pa.coupled_channels(model, x)

    assert any(group.removable for group in groups)
    with pytest.raises(ZeroDivisionError):
        peer_group(model, x, "stem.0", 1)
