"""The networks of the tests are the networks they are named after."""

import pytest
import torch

from networks import (
    CASES,
    DenseNet,
    MobileNetV2,
    ShuffleNetV2,
    ViT,
    edge_names,
    lenet_300_100,
    resnet18,
    resnet20,
    resnet50,
    resnext50,
)

COUNTS = {
    lenet_300_100: 266_610,
    resnet18: 11_689_512,
    resnet20: 269_722,
    resnet50: 25_557_032,
    resnext50: 25_028_904,
    MobileNetV2: 3_504_872,
    ShuffleNetV2: 2_278_604,
    DenseNet: 7_978_856,
    ViT: 86_567_656,
}


@pytest.mark.parametrize("build", COUNTS, ids=lambda build: build.__name__)
def test_default_sizes_have_the_published_number_of_parameters(build):
    with torch.device("meta"):
        model = build()

    assert sum(p.numel() for p in model.parameters()) == COUNTS[build]


@pytest.mark.parametrize("name", CASES)
def test_every_case_runs_and_has_edges(name):
    case = CASES[name]
    model, again = case.model(seed=1), case.model(seed=1)

    assert edge_names(model)
    assert all(bool((a == b).all()) for a, b in zip(model.parameters(), again.parameters(), strict=True))
