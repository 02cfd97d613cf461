"""Command lines in this process, and the small models that they are about."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from prune_adapters.cli import app

NETS = """
import torch
from torch import nn


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def pair():
    return net(), torch.zeros(1, 8)


def deep():
    layers = [nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)]
    return nn.Sequential(*layers), torch.zeros(1, 8)


def normed():
    layers = [nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4)]
    return nn.Sequential(*layers), torch.zeros(1, 8)


def batch():
    return torch.ones(6, 8), torch.arange(6) % 4


def squares():
    return (torch.ones(6, 8),), torch.zeros(6, 4), nn.functional.mse_loss


def half():
    return torch.ones(6, 8)


def labels():
    return torch.ones(6, 8), [0, 1, 2, 3, 0, 1]


def short():
    return torch.ones(6, 8), torch.arange(5) % 4


class Choosing(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        return self.fc(x) if x.sum() < 1 else x


def choosing():
    return Choosing(), torch.zeros(1, 8)


def cut():
    model = net()
    nn.init.zeros_(model[2].weight)
    return model, torch.zeros(1, 8)


def nothing():
    return 3


def broken():
    raise RuntimeError("out of paper")


def train(model, prepare):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    method = prepare(optimizer, steps=4)
    for _ in range(4):
        optimizer.zero_grad()
        (model(torch.randn(8, 8)).square().mean() + method.penalty()).backward()
        method.after_backward()
        optimizer.step()
        method.after_step()
    return {"loss": 0.5}


def idle(model, prepare):
    return None


def twice(model, prepare):
    prepare(None, steps=1)
    prepare(None, steps=1)


def accuracy(masks, seed):
    return sum(int(mask.sum()) for mask in masks.values()) / 1000 + seed / 100


def words(masks, seed):
    return "good"
"""


def folder_of_nets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder, now the current one, with `nets.py` in it."""
    (folder / "nets.py").write_text(NETS, encoding="utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("NETGRAPH_DEBUG", raising=False)
    return folder


def called(*line: object) -> Result:
    """Return what a command line does."""
    return CliRunner().invoke(app, [str(part) for part in line])


def good(*line: object) -> Result:
    """Return what a command line does that ends well."""
    result = called(*line)
    assert result.exit_code == 0, result.output
    return result


def document(*line: object) -> dict:
    """Return the JSON that a command line prints; nothing else may be on stdout."""
    return json.loads(good(*line, "--json").stdout)
