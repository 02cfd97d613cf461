"""Every class of torch.nn alone in a small network: traced as autograd says, or refused in words; none silently wrong.

A projection, the module, a projection. Modules with two operands (distances, losses) get two projections. Where the
graph keeps more than the gradient shows, the table says why; it never keeps less.
"""

import inspect

import pytest
import torch
from torch import nn

import prune_adapters as pa
from agreement import check_against_gradients
from networks.torch_nn import CASES, IMAGE, Around, Case

REFUSED = {
    "CrossMapLRN2d": (Case(lambda: nn.CrossMapLRN2d(3), IMAGE), r"aten\.resize_as_"),
    "AdaptiveLogSoftmaxWithLoss": (
        Case(
            lambda: nn.AdaptiveLogSoftmaxWithLoss(6, 9, [3]), call=lambda m, x: m(x, torch.tensor([1, 7]))[0][:, None]
        ),
        r"depends on a value|how many elements are left depends on values",
    ),
}

VALUES = r"the path through the model depends on a value at test_nn_modules.py"
REFUSED |= {
    "GaussianNLLLoss": (Case(nn.GaussianNLLLoss, call=lambda m, x, y: m(x, x.flip(1), y.exp()).reshape(1, 1)), VALUES),
    "CTCLoss": (
        Case(
            nn.CTCLoss,
            (8, 6),
            call=lambda m, x: m(x.log_softmax(1), torch.tensor([1, 2]), torch.tensor(8), torch.tensor(2)).reshape(1, 1),
        ),
        VALUES,
    ),
}

ELSEWHERE = {
    "Embedding": "tests/test_exactness.py",
    "EmbeddingBag": "test_bags_of_tokens below",
    "Module": "the base class",
    "Container": "a deprecated base class",
    "RNNBase": "the base class of LSTM, GRU and RNN",
    "RNNCellBase": "the base class of the cells",
    "NLLLoss2d": "a deprecated name of NLLLoss",
}


def test_every_class_is_in_a_table():
    classes = {n for n, c in vars(nn).items() if inspect.isclass(c) and issubclass(c, nn.Module)}
    known = {*CASES, *REFUSED, *ELSEWHERE}

    assert classes - known == set()


@pytest.mark.filterwarnings("ignore:Lazy modules")
@pytest.mark.parametrize("name", CASES)
def test_kept_elements_are_those_with_a_gradient(name):
    case = CASES[name]
    torch.manual_seed(0)
    model = Around(case).eval()
    inputs = torch.ones(case.shape[0], 4, *case.shape[2:])
    graph = pa.to_graph(model, inputs, masks={}, unit_dims={"x": 1})
    questions = ("drop_dead",) if case.lifts else ("trim", "drop_dead")

    assert "first.weight" in graph.edge_parameters
    check_against_gradients(
        model, inputs, graph, densities=(0.3,), seeds=(0, 1), questions=questions, wider=bool(case.wider)
    )


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why(name):
    case, words = REFUSED[name]
    with pytest.raises(pa.TraceError, match=words):
        pa.to_graph(Around(case).eval(), torch.ones(case.shape[0], 4, *case.shape[2:]))


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags_of_tokens(mode):
    torch.manual_seed(0)
    model = nn.Sequential(nn.EmbeddingBag(6, 5, mode=mode), nn.Linear(5, 3)).eval()
    tokens = torch.arange(6).reshape(2, 3)
    graph = pa.to_graph(model, tokens, masks={})

    assert graph.edge_parameters == ("0.weight", "1.weight")
    check_against_gradients(model, tokens, graph, wider=mode == "max")
