"""MODEL on the command line: the sources that need a library, with stand-ins for the libraries."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from torch import nn

from cli_calls import called, document, folder_of_nets


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return folder_of_nets(tmp_path, monkeypatch)


def convolution() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 7, stride=7), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


class Embedded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(10, 4), nn.Linear(4, 2)

    def forward(self, input_ids: object) -> object:
        return self.head(self.table(input_ids))


def stand_in(name: str, **values: object) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(values)
    return module


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    vision = stand_in(
        "torchvision.models",
        list_models=lambda: ["resnet50", "resnet18", "vgg16"],
        get_model=lambda name, weights: convolution(),
    )

    def timm_model(name: str, pretrained: bool) -> nn.Module:
        model = convolution()
        model.pretrained_cfg = {"input_size": (3, 64, 64)}  # type: ignore[assignment]
        return model

    def from_pretrained(name: str) -> object:
        raise OSError(f"{name} is not a local folder\nand more lines")

    configs = SimpleNamespace(for_model=lambda name: SimpleNamespace(vocab_size=10), from_pretrained=from_pretrained)
    models = SimpleNamespace(from_config=lambda config: Embedded())
    for module in (
        stand_in("torchvision", models=vision),
        vision,
        stand_in("timm", list_models=lambda: ["resnet26", "vit_tiny"], create_model=timm_model),
        stand_in("transformers", CONFIG_MAPPING={"bert": 0, "gpt2": 0}, AutoConfig=configs, AutoModel=models),
    ):
        monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.parametrize("source", ["torchvision:resnet18", "timm:resnet26", "hf:bert"])
@pytest.mark.usefixtures("libraries")
def test_models_of_libraries_know_their_inputs(source: str) -> None:
    assert document("inspect", source)["connected"]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("torchvision:resnet5", "did you mean resnet50"),
        ("timm:resnet25", "did you mean resnet26"),
        ("hf:berd", "no configuration of that name; did you mean bert? (berd is not a local folder)"),
    ],
)
@pytest.mark.usefixtures("libraries")
def test_an_unknown_name_is_answered_with_the_closest(source: str, told: str) -> None:
    result = called("inspect", source)

    assert result.exit_code == 2
    assert told in result.stderr


@pytest.mark.parametrize("library", ["torchvision", "timm", "transformers"])
def test_a_missing_library_is_told_with_its_pip_line(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    result = called("inspect", f"{library.replace('transformers', 'hf')}:anything")

    assert result.exit_code == 2
    assert f"{library} is not installed; pip install {library}" in result.stderr


@pytest.mark.usefixtures("libraries")
def test_the_input_that_was_assumed_is_told_where_it_does_not_suit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["torchvision.models"], "get_model", lambda name, weights: nn.Linear(3, 2))
    result = called("inspect", "torchvision:vgg16")

    assert result.exit_code == 2
    assert "was given an input of 1x3x224x224; --input SHAPE gives it another" in result.stderr


def test_a_library_with_kernels_for_another_torch_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "timm.py").write_text("raise RuntimeError('operator vision::nms does not exist')\n")
    monkeypatch.syspath_prepend(here)
    monkeypatch.delitem(sys.modules, "timm", raising=False)

    done = called("inspect", "timm:resnet26")

    assert done.exit_code == 2
    assert "timm is installed, but cannot be imported: RuntimeError: operator vision::nms" in done.stderr
    assert "from the same index" in done.stderr
