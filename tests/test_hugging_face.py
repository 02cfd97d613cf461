"""A method inside the Hugging Face Trainer does what it does in a plain loop."""

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

import prune_adapters as pa

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
callbacks = pytest.importorskip("prune_adapters.integrations.hugging_face")

X = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()
ROWS = [{"x": x, "labels": y} for x, y in zip(X, Y, strict=True)]


class Classifier(nn.Module):
    """What the Trainer asks for: keyword arguments in, the loss out."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": nn.functional.cross_entropy(self.net(x), labels)}


class Squared(pa.OneShotPruning):
    """A method with a penalty, so that its gradient is seen to arrive."""

    def penalty(self) -> torch.Tensor:
        return 0.01 * self.model.net[0].weight.square().sum()


def trained(
    make: object, folder: Path, *, resume: str | None = None, accumulate: int = 1
) -> tuple[nn.Module, "callbacks.PruningCallback"]:
    model, callback = Classifier(), callbacks.PruningCallback(make)
    arguments = transformers.TrainingArguments(
        str(folder),
        num_train_epochs=3,
        per_device_train_batch_size=16,
        gradient_accumulation_steps=accumulate,
        save_steps=4,
        max_grad_norm=0.0,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        seed=1,
    )
    transformers.Trainer(model, arguments, train_dataset=ROWS, callbacks=[callback]).train(resume)
    return model, callback


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("cls", [pa.GradualPruning, pa.DynamicSparseTraining])
def test_the_budget_is_met_and_a_checkpoint_resumes(cls: type, accumulate: int, tmp_path: Path) -> None:
    make = partial(cls, sparsity=0.75, every=2)
    whole, first = trained(make, tmp_path, accumulate=accumulate)
    again, second = trained(make, tmp_path, accumulate=accumulate, resume=str(tmp_path / "checkpoint-4"))

    assert first.method.step == 12 // accumulate
    assert first.masks.direct == 32
    torch.testing.assert_close(dict(second.masks), dict(first.masks), rtol=0, atol=0)
    torch.testing.assert_close(again.state_dict(), whole.state_dict(), rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore")
def test_the_gradient_of_a_penalty_arrives(tmp_path: Path) -> None:
    plain, _ = trained(partial(pa.OneShotPruning, sparsity=0.0), tmp_path)
    pulled, _ = trained(partial(Squared, sparsity=0.0), tmp_path)

    assert pulled.net[0].weight.norm() < plain.net[0].weight.norm()
