"""The python blocks of a page run in order, as a reader would run them, and print what the page says.

A block of the language ``output`` right behind a block of ``python`` is what that one prints; ``...`` stands for any
text, as in a doctest. Behind ``output about`` the words have to agree and the numbers may differ: what training gives
is not the same on every processor. ``python docs/pages.py PAGE ...`` runs pages and writes what they print.
"""

import contextlib
import doctest
import io
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt

__all__ = ["Block", "blocks_of", "check_page", "draw_pictures", "run_page", "with_outputs"]

NUMBER = re.compile(r"[+-]?\d[\d,.]*(?:e[+-]?\d+)?")
BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```\n(?:\n```output(?P<about> about)?\n(?P<output>.*?)^```$)?",
    re.DOTALL | re.MULTILINE,
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    """A block of code of a page.

    Parameters
    ----------
    code : str
    line : int
        Of its first line of code.
    output : str or None
        What the page says that it prints; None where it says nothing.
    place : tuple of int
        First and last character of that text in the page.
    about : bool
        Whether its numbers may differ.
    """

    code: str
    line: int
    output: str | None
    place: tuple[int, int]
    about: bool

    def prints(self, found: str) -> bool:
        """Tell whether the page says so."""
        if self.output is None:
            return True
        wanted = self.output
        if self.about:
            wanted, found = NUMBER.sub("0", wanted), NUMBER.sub("0", found)
        return doctest.OutputChecker().check_output(wanted, found, FLAGS)


def blocks_of(text: str) -> list[Block]:
    """Return the python blocks of a page in order."""
    return [
        Block(m["code"], text.count("\n", 0, m.start("code")) + 1, m["output"], m.span("output"), bool(m["about"]))
        for m in BLOCK.finditer(text)
    ]


def run_page(path: Path, folder: Path) -> list[tuple[Block, str]]:
    """Run the blocks of a page in a folder; return each with what it printed."""
    names: dict[str, object] = {"__name__": "__main__"}
    blocks, before = blocks_of(path.read_text(encoding="utf-8")), Path.cwd()
    os.chdir(folder)
    try:
        return [(block, _printed(block, path, names)) for block in blocks]
    finally:
        os.chdir(before)
        plt.close("all")


def check_page(path: Path, folder: Path) -> list[tuple[Block, str]]:
    """Run a page as `run_page` does; raise AssertionError where it prints something else than it says."""
    results = run_page(path, folder)
    for block, printed in results:
        if not block.prints(printed):
            place = f"{path.name}, block at line {block.line}"
            remedy = f"if this is right: python docs/pages.py {path}"
            raise AssertionError(f"{place}: expected\n{block.output}\ngot\n{printed}\n{remedy}")
    return results


def with_outputs(path: Path, results: list[tuple[Block, str]]) -> str:
    """Return the text of a page with what it printed, where it says something else or leaves the numbers open."""
    text = path.read_text(encoding="utf-8")
    for block, found in reversed(results):
        if block.output is not None and (block.about or not block.prints(found)):
            start, stop = block.place
            text = text[:start] + found + text[stop:]
    return text


def draw_pictures(docs: Path, pictures: Path) -> dict[str, str]:
    """Run the pages that save pictures, checked, and leave these in a folder; return the pages as this run prints them.

    So what a page says about a network is about the network in its pictures.
    """
    shutil.rmtree(pictures, ignore_errors=True)
    pictures.mkdir()
    texts = {}
    for page in _pages_with_pictures(docs):
        with tempfile.TemporaryDirectory() as folder:
            name = page.relative_to(docs).with_suffix("").as_posix()
            texts[name] = with_outputs(page, check_page(page, Path(folder)))
            for picture in Path(folder).glob("*.png"):
                shutil.copy(picture, pictures)
    return texts


def _pages_with_pictures(docs: Path) -> Iterator[Path]:
    for page in sorted(docs.glob("**/*.md")):
        if ".savefig(" in page.read_text(encoding="utf-8"):
            yield page


def _printed(block: Block, path: Path, names: dict[str, object]) -> str:
    out = io.StringIO()
    # Blank lines in front: a traceback then shows the line of the page.
    code = compile("\n" * (block.line - 1) + block.code, str(path), "exec")
    with contextlib.redirect_stdout(out):
        exec(code, names)
    return "".join(line.rstrip() + "\n" for line in out.getvalue().splitlines())


if __name__ == "__main__":
    plt.switch_backend("Agg")
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            text = with_outputs(Path(name), run_page(Path(name), Path(folder)))
        Path(name).write_text(text, encoding="utf-8")
