"""netgraph/_native.pyi names exactly what the compiled module has: functions, classes, parameters in their order."""

import ast
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files

import pytest

from netgraph import native

pytestmark = pytest.mark.skipif(native.kernels is None, reason="the compiled kernels are missing")
Signature = tuple[tuple[str, ...], str]
"""Names of the parameters, and the type of the result; a property has no parameters and no type."""


def stub() -> ast.Module:
    return ast.parse((files("netgraph") / "_native.pyi").read_text(encoding="utf-8"))


def declared(function: ast.FunctionDef) -> Signature:
    if function.decorator_list:
        return (), ""
    assert function.returns is not None
    return tuple(argument.arg for argument in function.args.args), ast.unparse(function.returns)


def members(cls: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> dict[str, Signature]:
    """Return what a class has, with what bases that only the stub has give it."""
    inherited = [members(classes[ast.unparse(base)], classes) for base in cls.bases]
    own = {node.name: declared(node) for node in cls.body if isinstance(node, ast.FunctionDef)}
    return {name: each for found in [*inherited, own] for name, each in found.items()}


def in_stub() -> dict[str, Signature]:
    body = stub().body
    classes = {node.name: node for node in body if isinstance(node, ast.ClassDef)}
    names = {node.name: declared(node) for node in body if isinstance(node, ast.FunctionDef)}
    for name, cls in classes.items():
        if not name.startswith("_"):
            names |= {f"{name}.{member}": each for member, each in members(cls, classes).items()}
    return names


def compiled(value: object) -> Signature:
    """Return the signature that nanobind keeps of a function."""
    if isinstance(value, property):
        return (), ""
    text = value.__nb_signature__[0][0]
    inside, _, result = text.partition("(")[2].rpartition(") -> ")
    names = re.findall(r"(?:^|, )(\w+)(?=: |$|, |\))", re.sub(r"\[[^\]]*\]", "", inside))
    return tuple(names), result


def in_module() -> Iterator[tuple[str, Signature]]:
    for name, value in vars(native.kernels).items():
        if name.startswith("_"):
            continue
        if not isinstance(value, type):
            yield name, compiled(value)
            continue
        for member, inner in vars(value).items():
            if member == "__init__" or not member.startswith("_"):
                yield f"{name}.{member}", compiled(inner)


def test_the_stub_names_what_the_module_has():
    assert in_stub() == dict(in_module())


def test_the_reader_of_the_module_sees_parameters():
    found = dict(in_module())

    assert found["use_isa"] == (("name",), "None")
    assert found["Counters.change"] == (("self", "connection", "elements", "keep"), "None")
    assert found["Counters.consistent"] == ((), "")
    assert len(found["sweep"][0]) == 6
