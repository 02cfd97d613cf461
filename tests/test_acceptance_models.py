"""What users of other pruning tools reported, each held here with the number of the report: models that broke tracers.

Elsewhere: patterns of Python code in tests/test_hard_patterns.py, all model families in tests/test_coverage.py.
"""

import time

import pytest
import torch
from torch import Tensor, nn

import prune_adapters as pa
from agreement import check_against_gradients
from coverage_models import classifier
from llama import SIZES, Llama
from networks import CASES
from prune_adapters.trace.options import Options
from prune_adapters.trace.tracer import capture, graph_of_tape


class Language(nn.Module):
    """A small Llama (grouped queries) that returns what language models of libraries do: logits, cache, mask."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Llama(SIZES["tiny"])

    def forward(self, batch: dict[str, Tensor], use_cache: bool = True) -> dict[str, object]:
        logits = self.body(batch["input_ids"])
        cache = ((logits.mean(dim=1), logits[:, -1]), (logits[:, 0],)) if use_cache else None
        return {"logits": logits, "past_key_values": cache, "attention_mask": batch["attention_mask"]}


@pytest.fixture(scope="module")
def sentence() -> dict[str, Tensor]:
    return {"input_ids": torch.arange(12)[None], "attention_mask": torch.ones(1, 12)}


def test_language_models_with_tuples_and_dictionaries_are_followed(sentence):
    """Issues 467, 461, 455 and 519 of Torch-Pruning, 93 of LLM-Pruner: 'tuple' object has no attribute 'grad_fn'."""
    torch.manual_seed(0)
    model = Language().eval()
    graph = pa.to_graph(model, ({"input_ids": sentence["input_ids"], "attention_mask": sentence["attention_mask"]},))

    weighted = {p for p, module in model.named_modules() if isinstance(module, (nn.Linear, nn.Embedding))}
    assert {f"{path}.weight" for path in weighted} <= set(graph.edge_parameters)
    assert len(graph.uses("body.model.layers.0.self_attn.k_proj.weight")) == 1


def test_grouped_queries_have_exact_edges():
    """Issue 519 of Torch-Pruning: key and value heads that serve several query heads."""
    torch.manual_seed(0)
    model, tokens = Llama(SIZES["tiny"]).eval(), torch.arange(SIZES["tiny"].vocabulary)[None]
    graph = pa.to_graph(model, tokens)

    check_against_gradients(model, tokens, graph, densities=(0.3,), seeds=(0,), questions=("drop_dead",))


@pytest.mark.parametrize("name", ["vit_class", "densenet", "shufflenet_v2"])
def test_rules_take_no_longer_than_the_capture(name):
    """Issues 474 (ten hours), 527, 525 (memory) and 86 of Torch-Pruning: lists of indices that blow up."""
    model, inputs = CASES[name].model().eval(), CASES[name].inputs()
    start = time.thread_time()
    tape = capture(model, inputs)
    captured = time.thread_time()
    graph_of_tape(tape, model, None, {}, Options())

    assert time.thread_time() - captured < 2 * (captured - start) + 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", ["swin_t", "swin_v2_t", "maxvit_t", "vit_b_16", "shufflenet_v2_x1_0"])
def test_models_that_torch_pruning_never_finished(name):
    """Section C1 of the comparison: swin and maxvit have no result after 300 s, shufflenet divides by zero."""
    pytest.importorskip("torchvision")
    model, picture = classifier(name)
    tape = capture(model, picture)
    start = time.thread_time()
    graph_of_tape(tape, model, None, {}, Options())

    assert time.thread_time() - start < 2.0
