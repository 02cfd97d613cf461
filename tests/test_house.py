"""The layers of the house: inside each package a file imports only files above it, read from the source with ast."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ORDER = {
    "netgraph": """errors bits native connection notebook describe structure graph node_graph reference compiled storage
        convert paths generators relational degree reach weights incremental size walks flow spectrum why repair search
        plot backend __init__""",
    "prune_adapters": """errors database ops plans sweeps schedules shards masks kept keep apply soft torch_prune layers
        trace counts budgets ranking prefixes select scores patterns store prune groups regular methods compact train
        report path_length graph_pruning checkpoint explain collapse html sparsify export integrations public cli
        __init__""",
}
LAZY = {"matplotlib", "networkx", "igraph", "onnx", "onnxruntime", "onnxscript"}
"""Imported inside the functions that need them, so that `import netgraph` stays light."""


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(statements: ast.AST, *, module_level: bool = False) -> Iterator[str]:
    """Yield the dotted name of every import that runs; those for type checkers only do not."""
    for node in ast.iter_child_nodes(statements):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: import by the full name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        elif not (module_level and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            yield from imports(node, module_level=module_level)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def room(package: str, path: Path) -> str:
    """Return the name under which ORDER lists a file: its own, or that of the folder it lies in."""
    return path.relative_to(ROOT / package).parts[0].removesuffix(".py")


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def module_of(name: str, modules: set[str]) -> str | None:
    """Return the module that `name` is, or is defined in."""
    return next((module for module in (name, name.rpartition(".")[0]) if module in modules), None)


def wrong_imports(package: str, path: Path) -> list[str]:
    order = ORDER[package].split()
    below = order[order.index(room(package, path)) :]
    own = room(package, path) if path.parent != ROOT / package else None
    used = [name.split(".")[1] for name in imports(tree(path)) if name.split(".")[0] == package and "." in name]
    return [name for name in used if name in below and name != own]


@pytest.mark.parametrize("package", ORDER)
def test_every_file_has_its_place_in_the_order(package: str) -> None:
    rooms = {room(package, path) for path in files(package)}

    assert rooms - set(ORDER[package].split()) == set()


@pytest.mark.parametrize("package", ORDER)
def test_a_file_imports_only_files_above_it(package: str) -> None:
    wrong = {path.name: names for path in files(package) if (names := wrong_imports(package, path))}

    assert wrong == {}


@pytest.mark.parametrize("package", ORDER)
def test_no_import_goes_round_in_a_circle(package: str) -> None:
    names = {dotted(path) for path in files(package)} | {"netgraph._native"}
    used = {dotted(path): {module_of(name, names) for name in imports(tree(path))} - {None} for path in files(package)}

    list(TopologicalSorter(used).static_order())


def test_netgraph_knows_neither_torch_nor_the_adapters() -> None:
    known = {name.split(".")[0] for path in files("netgraph") for name in imports(tree(path))}

    assert known & {"torch", "torchvision", "prune_adapters"} == set()


@pytest.mark.parametrize("package", ORDER)
def test_heavy_libraries_are_imported_inside_functions(package: str) -> None:
    heavy = {
        path.name: names
        for path in files(package)
        if (names := LAZY & {name.split(".")[0] for name in imports(tree(path), module_level=True)})
    }

    assert heavy == {}


def test_the_reader_of_imports_sees_what_runs() -> None:
    source = "import a.b\nif TYPE_CHECKING:\n    import c\ndef f():\n    from d import e\n"

    assert list(imports(ast.parse(source))) == ["a.b", "d.e"]
    assert list(imports(ast.parse(source), module_level=True)) == ["a.b"]
