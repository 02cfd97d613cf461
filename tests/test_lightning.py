"""A method inside Lightning's Trainer does what it does in a plain loop."""

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import prune_adapters as pa

lightning = pytest.importorskip("lightning")
callbacks = pytest.importorskip("prune_adapters.integrations.lightning")

X = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


class Squared(pa.OneShotPruning):
    """A method with a penalty, so that its gradient is seen to arrive."""

    def penalty(self) -> torch.Tensor:
        return 0.01 * self.model.net[0].weight.square().sum()


def build() -> "lightning.LightningModule":
    class Classifier(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))

        def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)

    return Classifier()


def trainer(callback: object, **options) -> "lightning.Trainer":
    options = {"max_epochs": 3, "logger": False, "enable_checkpointing": False, **options}
    return lightning.Trainer(
        callbacks=[callback], accelerator="cpu", enable_progress_bar=False, enable_model_summary=False, **options
    )


def loader() -> DataLoader:
    return DataLoader(TensorDataset(X, Y), 16)


def by_hand(make: object, *, accumulate: int = 1) -> tuple[nn.Module, pa.Selection]:
    model = build()
    optimizer = model.configure_optimizers()
    method = make(model, optimizer=optimizer, steps=12 // accumulate)
    batches = list(zip(X.split(16), Y.split(16), strict=True)) * 3
    for start in range(0, 12, accumulate):
        optimizer.zero_grad()
        for x, y in batches[start : start + accumulate]:
            (nn.functional.cross_entropy(model.net(x), y) / accumulate).backward()
        method.penalty().backward() if method.penalty().requires_grad else None
        method.after_backward()
        optimizer.step()
        method.after_step()
    return model, method.finish()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("cls", [pa.GradualPruning, pa.DynamicSparseTraining, Squared])
def test_the_same_masks_and_weights_as_in_a_plain_loop(cls: type, accumulate: int) -> None:
    make = partial(cls, sparsity=0.75, **({} if cls is Squared else {"every": 2}))
    model = build()
    callback = callbacks.PruningCallback(make)
    trainer(callback, accumulate_grad_batches=accumulate).fit(model, loader())
    expected, masks = by_hand(make, accumulate=accumulate)

    torch.testing.assert_close(dict(callback.masks), dict(masks), rtol=0, atol=0)
    torch.testing.assert_close(model.state_dict(), expected.state_dict(), rtol=1e-5, atol=1e-6)
    assert callback.method.step == 12 // accumulate


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("cls", [pa.GradualPruning, pa.DynamicSparseTraining])
def test_a_checkpoint_resumes_to_the_same_bits(cls: type, tmp_path: Path) -> None:
    make = partial(cls, sparsity=0.75, every=2)
    whole, again = build(), build()
    saving = lightning.pytorch.callbacks.ModelCheckpoint(tmp_path, every_n_train_steps=4, save_top_k=-1)
    first, second = callbacks.PruningCallback(make), callbacks.PruningCallback(make)
    run = trainer(first, enable_checkpointing=True)
    run.callbacks.append(saving)
    run.fit(whole, loader())
    path = next(path for path in tmp_path.iterdir() if "step=8" in path.name)
    trainer(second).fit(again, loader(), ckpt_path=str(path))

    torch.testing.assert_close(dict(second.masks), dict(first.masks), rtol=0, atol=0)
    torch.testing.assert_close(again.state_dict(), whole.state_dict(), rtol=0, atol=0)
