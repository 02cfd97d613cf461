"""The models of the coverage table are followed, and their graphs agree with the gradient.

The rows of torchvision, timm and transformers need those libraries. All rows take minutes, so they are run by hand.
"""

import time
from importlib import util
from pathlib import Path
from types import ModuleType

import pytest
import torch

import prune_adapters as pa
from coverage_models import LIBRARIES, classifier, entries
from prune_adapters.trace.tracer import capture, graph_of_tape

WIDER = {"GRU two ways": ("wider",)}
"""Families whose graph may keep more than has a gradient."""


def table() -> ModuleType:
    """Return examples/coverage.py, whose plain name belongs to a well-known package."""
    spec = util.spec_from_file_location("coverage_table", Path(__file__).parents[1] / "examples" / "coverage.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("library", LIBRARIES)
def test_every_family_is_followed_exactly(library):
    pytest.importorskip(library)
    check = table()
    rows = {e.family: check.apart(lambda e=e: check.check(e), 600) for e in entries() if e.library == library}
    verdicts = {family: row["verdict"] for family, row in rows.items()}
    expected = {family: ("exact", "exact, split", *WIDER.get(family, ())) for family in verdicts}

    assert {family: verdict for family, verdict in verdicts.items() if verdict not in expected[family]} == {}


@pytest.mark.slow
def test_all_80_classifiers_of_torchvision_are_followed():
    """Issues 474, 527 and 525 of Torch-Pruning: swin, maxvit and others took hours or all memory."""
    models = pytest.importorskip("torchvision.models")
    names = models.list_models(module=models)
    for name in names:
        model, picture = classifier(name)

        assert pa.to_graph(model, picture).n_units > 1000, name
    assert len(names) >= 80


def test_rules_take_less_than_a_second_for_a_swin_transformer():
    """Issue 474 of Torch-Pruning: ten hours."""
    pytest.importorskip("torchvision")
    model, picture = classifier("swin_t")
    tape = capture(model, picture)
    start = time.thread_time()
    graph = graph_of_tape(tape, model, None, {}, table().Options())

    assert time.thread_time() - start < 1.0
    assert graph.parameters["features.1.0.attn.relative_position_bias_table"].role == "constant"
    assert torch.Size(graph.parameters["head.weight"].shape).numel() == 768_000
