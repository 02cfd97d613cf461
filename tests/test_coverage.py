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

NO_RULE_YET = ("RNN", "LSTM", "GRU", "Bilinear", "volo", "tnt")
"""Families that may lack a rule for an operator (recurrence, bilinear form, unfolding); then they are refused."""


def table() -> ModuleType:
    """Return examples/coverage.py, whose plain name belongs to a well-known package."""
    spec = util.spec_from_file_location("coverage_table", Path(__file__).parents[1] / "examples" / "coverage.py")
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def refused(family: str, row: dict[str, object]) -> bool:
    return family.startswith(NO_RULE_YET) and "no rule says how units pass through it" in str(row.get("error"))


@pytest.mark.slow
@pytest.mark.parametrize("library", LIBRARIES)
def test_every_family_is_followed_exactly(library):
    pytest.importorskip(library)
    check = table()
    rows = {e.family: check.apart(lambda e=e: check.check(e), 600) for e in entries() if e.library == library}
    verdicts = {family: row["verdict"] for family, row in rows.items() if not refused(family, row)}

    assert {family: v for family, v in verdicts.items() if v not in ("exact", "exact, split")} == {}


@pytest.mark.slow
def test_all_80_classifiers_of_torchvision_are_followed():
    models = pytest.importorskip("torchvision.models")
    names = models.list_models(module=models)
    for name in names:
        model, picture = classifier(name)

        assert pa.to_graph(model, picture).n_units > 1000, name
    assert len(names) >= 80


def test_rules_take_less_than_a_second_for_a_swin_transformer():
    pytest.importorskip("torchvision")
    model, picture = classifier("swin_t")
    tape = capture(model, picture)
    start = time.thread_time()
    graph = graph_of_tape(tape, model, None, {}, table().Options())

    assert time.thread_time() - start < 1.0
    assert graph.parameters["features.1.0.attn.relative_position_bias_table"].role == "constant"
    assert torch.Size(graph.parameters["head.weight"].shape).numel() == 768_000
