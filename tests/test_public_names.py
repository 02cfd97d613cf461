"""Public names: they exist, `__all__` lists them all, each is documented and annotated."""

import ast
import enum
import importlib
import inspect
import re
from collections.abc import Iterable, Iterator
from types import ModuleType

import pytest

import importable
import netgraph
import prune_adapters

PROMISED = {
    netgraph: """NetGraph accessible co_accessible trim dead_units constant_units density sparsity effective_sparsity
        compression_ratio to_networkx from_networkx""",
    prune_adapters: "to_graph to_masks masks_from_scores apply_masks keep_masks remove_masks report",
}
MODULES = [importlib.import_module(name) for name in importable.MODULES]


def public(module: ModuleType) -> Iterator[str]:
    """Yield the functions and classes without an underscore that the module defines."""
    for name, value in vars(module).items():
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__ and callable(value):
            yield name


def is_rule_file(module: ModuleType) -> bool:
    """Tell whether the functions of the module are found through the registry of operators, not by name."""
    return module.__name__.startswith("prune_adapters.trace.rules.")


def listed(modules: Iterable[ModuleType]) -> dict[str, object]:
    """Return every function and class in `__all__` of the modules, by its full name."""
    every = {f"{module.__name__}.{name}": getattr(module, name) for module in modules for name in module.__all__}
    return {name: value for name, value in every.items() if inspect.isfunction(value) or inspect.isclass(value)}


def each(values: dict[str, object]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("value", values.values(), ids=list(values))


def methods(cls: type) -> Iterator[tuple[str, object]]:
    for name, value in vars(cls).items():
        inner = getattr(value, "fget", None) or getattr(value, "func", value)
        if not name.startswith("_") and inspect.isfunction(inner):
            yield name, inner


def is_generated(cls: type) -> bool:
    """Tell whether the constructor takes what Python or a base class gives it: nothing of ours to explain."""
    return issubclass(cls, BaseException | enum.Enum) or "__init__" not in vars(cls)


def sections_that_apply(value: object) -> Iterator[str]:
    """Yield the numpydoc headings that the signature asks for."""
    if inspect.isclass(value) and is_generated(value):
        return
    signature = inspect.signature(value)
    if signature.parameters:
        yield "Parameters"
    if inspect.isfunction(value) and signature.return_annotation not in (None, "None"):
        yield "Yields" if inspect.isgeneratorfunction(value) else "Returns"
    if inspect.isfunction(value):
        yield "Examples"


def missing_sections(value: object) -> list[str]:
    text = inspect.getdoc(value) or ""
    return [s for s in sections_that_apply(value) if not re.search(rf"^{s}\n-{{{len(s)}}}$", text, re.MULTILINE)]


def undescribed(value: object) -> list[str]:
    """Return the parameters that the section of that name leaves out."""
    if "Parameters" not in list(sections_that_apply(value)):
        return []
    section = re.split(r"\n\w[\w ]+\n-{3,}\n", (inspect.getdoc(value) or "") + "\n")
    text = "\n".join(section[1:2])
    return [name for name in inspect.signature(value).parameters if not re.search(rf"\b{name}\b", text)]


def public_functions(statements: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the functions without an underscore, and those of classes without one."""
    for node in statements:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body)


def is_loose(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether something in the signature is not annotated, or annotated with Any."""
    a = function.args
    given = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
    notes = [argument.annotation for argument in given if argument.arg not in ("self", "cls")] + [function.returns]
    return any(note is None or re.search(r"\bAny\b", ast.unparse(note)) for note in notes)


@pytest.mark.parametrize("package", PROMISED, ids=lambda package: package.__name__)
def test_promised_names_exist(package: ModuleType) -> None:
    missing = set(PROMISED[package].split()) - set(package.__all__)

    assert missing == set()


@pytest.mark.parametrize("module", [*PROMISED, *MODULES], ids=lambda module: module.__name__)
def test_all_is_complete_and_true(module: ModuleType) -> None:
    unlisted = set() if is_rule_file(module) else set(public(module)) - set(module.__all__)
    unknown = [name for name in module.__all__ if not hasattr(module, name)]

    assert unlisted == set()
    assert unknown == []


@each(listed(PROMISED))
def test_docstring_has_the_sections_that_apply(value: object) -> None:
    assert missing_sections(value) == []
    assert undescribed(value) == []


@each(listed(MODULES))
def test_everything_says_in_one_line_what_comes_out(value: object) -> None:
    inside = dict(methods(value)) if inspect.isclass(value) else {}
    lines = {name: (inspect.getdoc(v) or "").partition("\n")[0] for name, v in [("itself", value), *inside.items()]}
    unfinished = {name: line for name, line in lines.items() if not line.endswith((".", ":"))}

    assert unfinished == {}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_signatures_are_annotated_without_any(module: ModuleType) -> None:
    body = ast.parse(inspect.getsource(module)).body
    loose = [function.name for function in public_functions(body) if is_loose(function)]

    assert loose == []
