"""What the README shows runs as written."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_python_blocks_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "readme"}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)

    assert blocks


def test_files_it_names_exist() -> None:
    named = re.findall(r"\b(?:examples|tests|netgraph|prune_adapters)/[\w./]*\w", README)
    missing = [name for name in named if not (Path(__file__).parents[1] / name).exists()]

    assert named
    assert missing == []
