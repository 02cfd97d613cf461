"""The training loop: seeded, resumable to the bit, and careful with its file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import prune_adapters as pa
from prune_adapters.apply import remembered_masks
from prune_adapters.train import accuracy, train

Data = tuple[torch.Tensor, torch.Tensor]


@pytest.fixture(scope="module")
def data() -> Data:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(96, 4, generator=draw)
    return x, (x[:, 0] > x[:, 1]).long()


class Setup:
    """A masked network with dropout and norm, AdamW and a schedule; each one begins with the same weights."""

    def __init__(self, masked: bool = True, width: int = 8) -> None:
        torch.manual_seed(1)
        self.model = nn.Sequential(
            nn.Linear(4, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.2), nn.Linear(width, 2)
        )
        if masked:
            pa.apply_masks(self.model, pa.masks_from_scores(pa.magnitude_scores(self.model), sparsity=0.5))
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.05)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=6)

    def train(self, data: Data, **options) -> list[float]:
        options = {"epochs": 6, "batch_size": 32, "progress": False} | options
        return train(self.model, data, optimizer=self.optimizer, scheduler=self.scheduler, **options)

    def state(self) -> dict:
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()["state"]}


class Interrupting:
    """A loss that behaves like Ctrl-C after some steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return nn.functional.cross_entropy(output, target)


def assert_same(one: dict, other: dict) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_it_learns(data: Data) -> None:
    setup = Setup()
    losses = setup.train(data, epochs=20)

    assert len(losses) == 20
    assert losses[-1] < 0.6 * losses[0]
    assert accuracy(setup.model, *data) > 0.9


def test_same_seed_same_bits_and_the_callers_random_numbers_are_left_alone(data: Data) -> None:
    first, second, other = Setup(), Setup(), Setup()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    losses = [setup.train(data, seed=seed) for setup, seed in ((first, 3), (second, 3), (other, 4))]

    torch.testing.assert_close(torch.rand(3), expected, rtol=0, atol=0)
    assert_same(first.state(), second.state())
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("steps", [0, 2, 7, 17])
def test_interrupted_and_resumed_equals_uninterrupted(data: Data, tmp_path: Path, steps: int) -> None:
    path = tmp_path / "run.pt"
    whole = Setup()
    expected = whole.train(data)
    with pytest.raises(KeyboardInterrupt):
        Setup().train(data, checkpoint=path, loss=Interrupting(steps))
    assert path.exists() == (steps >= 3)
    resumed = Setup(masked=steps != 7)
    losses = resumed.train(data, checkpoint=path)

    assert losses == expected
    assert_same(resumed.state(), whole.state())
    assert remembered_masks(resumed.model).keys() == remembered_masks(whole.model).keys() or steps == 0
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


def gradual(setup: Setup, **settings) -> pa.GradualPruning:
    settings = {"sparsity": 0.75, "steps": 18, "begin": 0.0, "end": 0.9, "every": 2} | settings
    return pa.GradualPruning(setup.model, optimizer=setup.optimizer, **settings)


@pytest.mark.parametrize("steps", [0, 7, 17])
def test_a_method_prunes_on_the_way_and_resumes(data: Data, tmp_path: Path, steps: int) -> None:
    path = tmp_path / "run.pt"
    whole, begun, resumed = (Setup(masked=False) for _ in range(3))
    method, again = gradual(whole), gradual(resumed)
    expected = whole.train(data, method=method)
    with pytest.raises(KeyboardInterrupt):
        begun.train(data, method=gradual(begun), checkpoint=path, loss=Interrupting(steps))
    losses = resumed.train(data, method=again, checkpoint=path)

    assert losses == expected
    assert_same(resumed.state(), whole.state())
    assert_same(dict(again.finish()), dict(method.finish()))
    assert again.finish().direct == 12


def test_a_checkpoint_of_another_method_is_refused(data: Data, tmp_path: Path) -> None:
    setup, other = Setup(masked=False), Setup(masked=False)
    setup.train(data, epochs=1, method=gradual(setup), checkpoint=tmp_path / "run.pt")

    with pytest.raises(pa.CheckpointError, match=r"does not fit: .*sparsity=0\.75 instead of 0\.5"):
        other.train(data, method=gradual(other, sparsity=0.5), checkpoint=tmp_path / "run.pt")
    with pytest.raises(pa.CheckpointError, match=r"expected .*'model'"):
        Setup(masked=False).train(data, checkpoint=tmp_path / "run.pt")


def test_a_loader_resumes_too(data: Data, tmp_path: Path) -> None:
    def loader() -> DataLoader:
        return DataLoader(TensorDataset(*data), 32, shuffle=True, generator=torch.Generator())

    whole, resumed = Setup(), Setup()
    expected = whole.train(loader())
    Setup().train(loader(), epochs=2, checkpoint=tmp_path / "run.pt")

    assert resumed.train(loader(), checkpoint=tmp_path / "run.pt") == expected
    assert_same(resumed.state(), whole.state())


def test_a_finished_run_is_only_read(data: Data, tmp_path: Path) -> None:
    done, again = Setup(), Setup()
    losses = done.train(data, checkpoint=tmp_path / "run.pt")

    assert again.train(data, checkpoint=tmp_path / "run.pt") == losses
    assert_same(again.state(), done.state())


def test_without_a_seed_a_run_is_new_but_resumes_its_own(data: Data, tmp_path: Path) -> None:
    losses = [Setup().train(data, seed=None, epochs=2) for _ in range(2)]
    half = Setup().train(data, seed=None, epochs=2, checkpoint=tmp_path / "run.pt")

    assert losses[0] != losses[1]
    assert Setup().train(data, seed=None, checkpoint=tmp_path / "run.pt")[:2] == half
    with pytest.raises(pa.CheckpointError, match=r"begun with seed \d+, got 0"):
        Setup().train(data, checkpoint=tmp_path / "run.pt")


def test_a_generator_is_a_seed(data: Data) -> None:
    losses = [Setup().train(data, seed=np.random.default_rng(7), epochs=1) for _ in range(2)]

    assert losses[0] == losses[1]


def test_masks_are_kept_and_the_keeper_leaves(data: Data) -> None:
    setup = Setup()
    setup.train(data)

    for name, mask in remembered_masks(setup.model).items():
        assert not setup.model.get_parameter(name)[~mask].any()
        assert setup.model.get_parameter(name)[mask].all()
    assert not setup.optimizer._optimizer_step_post_hooks


def test_mode_is_as_before(data: Data) -> None:
    model = nn.Sequential(nn.Linear(4, 2), nn.Dropout()).eval()
    train(model, data, epochs=1, progress=False)
    assert not model.training
    accuracy(model.train(), *data)

    assert model.training


def test_default_optimizer_and_progress_bar(data: Data, capsys: pytest.CaptureFixture[str]) -> None:
    losses = train(nn.Linear(4, 2), data, epochs=2)
    shown = capsys.readouterr()

    assert shown.out == ""
    assert "2/2" in shown.err
    assert f"loss {losses[-1]:.4f}" in shown.err


def test_a_loss_that_is_not_finite_stops_the_run(data: Data, tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    Setup().train(data, epochs=2, checkpoint=path)
    before = path.read_bytes()

    with pytest.raises(FloatingPointError, match=r"epoch 3: the mean loss is nan; try a lower learning rate"):
        Setup().train(data, checkpoint=path, loss=lambda output, target: output.sum() * float("nan"))
    assert path.read_bytes() == before


def test_a_write_that_fails_leaves_the_old_file(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.pt"
    Setup().train(data, epochs=1, checkpoint=path)
    before = path.read_bytes()

    def full(content: object, file) -> None:
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        Setup().train(data, checkpoint=path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]


@pytest.mark.parametrize(
    ("other", "options", "message"),
    [
        (Setup(width=5), {}, r"run.pt: .*(masks|does not fit)"),
        (Setup(masked=False, width=5), {}, r"run.pt: does not fit: .*size mismatch"),
        (Setup(), {"seed": 1}, r"run.pt: begun with seed 0, got 1"),
        (Setup(), {"batch_size": 16}, r"run.pt: begun with batch_size 32, got 16"),
    ],
)
def test_a_checkpoint_of_another_run(data: Data, tmp_path: Path, other: Setup, options: dict, message: str) -> None:
    Setup().train(data, epochs=1, checkpoint=tmp_path / "run.pt")

    with pytest.raises(pa.CheckpointError, match=f"(?s){message}"):
        other.train(data, checkpoint=tmp_path / "run.pt", **options)


def test_a_checkpoint_with_other_masks(data: Data, tmp_path: Path) -> None:
    Setup(masked=False).train(data, epochs=1, checkpoint=tmp_path / "run.pt")

    with pytest.raises(pa.CheckpointError, match=r"begun with other masks than the model has; use a new file"):
        Setup().train(data, checkpoint=tmp_path / "run.pt")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None], ids=["empty", "text", "another dict"])
def test_a_file_that_is_no_checkpoint(data: Data, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "run.pt"
    path.write_bytes(content) if content is not None else torch.save({"weights": torch.ones(1)}, path)

    with pytest.raises(pa.CheckpointError, match=r"run.pt: (not a checkpoint|expected \['batch_size')"):
        Setup().train(data, checkpoint=path)


def test_bad_data() -> None:
    with pytest.raises(ValueError, match=r"data: expected at least one batch, got none"):
        train(nn.Linear(1, 2), [], epochs=1, progress=False)
    with pytest.raises(ValueError, match=r"data: expected as many targets as inputs and at least one, got 3 and 2"):
        train(nn.Linear(1, 2), (torch.ones(3, 1), torch.zeros(2).long()), epochs=1, progress=False)
    with pytest.raises(ValueError, match=r"at least one, got 0 and 0"):
        accuracy(nn.Linear(1, 2), torch.ones(0, 1), torch.zeros(0).long())
