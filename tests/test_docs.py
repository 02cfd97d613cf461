"""What the pages in docs/ show runs and prints what they say, names what exists, and leaves no public name out."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import matplotlib.pyplot as plt
import pytest
import torch

import netgraph as ng
import prune_adapters as pa
from netgraph import flow, generators, spectrum
from prune_adapters import ops

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.glob("**/*.md"))
PACKAGES = [ng, generators, flow, spectrum, pa, ops]
BUILT = ("auto_gallery/", "pictures/")
"""What links lead to that is made with the pages."""


def load(path: Path) -> ModuleType:
    """Return the module of a file that is in no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pages = load(DOCS / "pages.py")


def name_of(path: Path) -> str:
    return path.relative_to(DOCS).as_posix()


def has_blocks(path: Path) -> bool:
    return "```python\n" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [*filter(has_blocks, PAGES)], ids=name_of)
def test_python_blocks_run_and_print_what_the_page_says(path: Path, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    plt.switch_backend("Agg")
    try:
        pages.check_page(path, tmp_path)
    finally:
        torch.set_num_threads(threads)


def test_a_page_that_says_something_else_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1)\n```\n\n```output\n2\n```\n", encoding="utf-8")

    with pytest.raises(AssertionError, match=r"page.md, block at line 2: expected\n2"):
        pages.check_page(page, tmp_path)


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_files_and_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"\b(?:examples|tests|netgraph|prune_adapters)/[\w./]*\w", text)
    missing = [name for name in named if not (DOCS.parent / name).exists()]
    links = [link for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if not link.startswith("http")]
    built = [link for link in links if link.removeprefix("../").startswith(BUILT)]
    missing += [link for link in links if link not in built and not (path.parent / link).exists()]

    assert missing == []


def test_each_picture_is_saved_by_a_page() -> None:
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    shown = {name for text in texts for name in re.findall(r"pictures/([\w.]+)\)", text)}
    saved = {name for text in texts for name in re.findall(r"savefig\(\"([\w.]+)\"", text)}

    assert shown == saved


@pytest.mark.parametrize("module", PACKAGES, ids=lambda module: module.__name__)
def test_every_public_name_is_in_the_reference(module: ModuleType) -> None:
    listed: set[str] = set()
    for page in (DOCS / "api").glob("*.md"):
        for current, names in re.findall(
            r"currentmodule:: (\S+)\n.*?nosignatures:\n\n(.*?)```", page.read_text(), re.S
        ):
            listed |= {f"{current}.{name}" for name in names.split()}
    reexported = {f"{module.__name__}.{name}" for name in ("explain", "Explanation")} if module is pa else set()
    submodules = {f"{module.__name__}.{name}" for name in ("flow", "generators", "spectrum")} if module is ng else set()
    public = {f"{module.__name__}.{name}" for name in module.__all__}

    assert public - reexported - submodules - listed == set()


def test_every_benchmark_is_told_of() -> None:
    text = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    files = {path.name for path in (DOCS.parent / "examples").glob("bench_*.py")}

    assert set(re.findall(r"examples/(bench_\w+\.py)", text)) == files
