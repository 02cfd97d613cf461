"""The library of compiled operators: found or missed as the environment says, and bound to any torch."""

import ctypes
import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import netgraph
from netgraph.native import load_compiled
from prune_adapters import ops
from prune_adapters.ops.compiled import CUDA_PATH, PATH, open_library

needs_cuda_library = pytest.mark.skipif(not CUDA_PATH.exists(), reason="the kernels for CUDA are not built")
needs_library = pytest.mark.skipif(ops.library is None, reason="the compiled operators are missing")


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code beside the packages under test: the folder that Python runs in comes first on its path."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("NETGRAPH_")}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(netgraph.__file__).parents[1],
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def hide(message: str) -> str:
    """Return code after which the library cannot be opened."""
    return f"""
import ctypes, torch
def refuse(path): raise OSError({message!r})
ctypes.CDLL = refuse
"""


USE = """
import torch, warnings
import prune_adapters as pa
from prune_adapters import ops
layer = torch.nn.Linear(20, 3)
mask = torch.arange(60).view(3, 20) % 3 == 0
optimizer = torch.optim.SGD(pa.apply_masks(layer, {"weight": mask}).parameters(), lr=0.1, momentum=0.9)
with pa.keep_masks(layer, optimizer):
    layer(torch.ones(2, 20)).sum().backward()
    optimizer.step()
assert torch.equal(layer.weight != 0, mask)
assert torch.equal(pa.remembered_masks(layer)["weight"], mask)
print("compiled" if ops.library else "reference")
"""


def no_library() -> None:
    raise ImportError("no such file")


def test_native_0_forces_the_reference() -> None:
    result = run(USE, NETGRAPH_NATIVE="0")

    assert (result.stdout.strip(), result.stderr) == ("reference", "")


def test_a_missing_library_is_warned_of_once() -> None:
    result = run(hide("no such file") + USE)

    assert result.stdout.strip() == "reference"
    assert result.stderr.count("RuntimeWarning: prune_adapters runs on torch alone: prune_adapters/lib/") == 1


@needs_library
def test_the_library_is_used_with_the_instruction_set_that_is_asked_for() -> None:
    result = run(USE + "print(ops.library.prune_adapters_isa())", NETGRAPH_NATIVE="1", NETGRAPH_ISA="generic")

    assert (result.stdout.split(), result.stderr) == (["compiled", "b'generic'"], "")


def test_native_1_wants_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETGRAPH_NATIVE", "1")

    with pytest.raises(ImportError, match=r"libx.so is missing, and NETGRAPH_NATIVE=1 asks for it") as found:
        load_compiled("libx.so", no_library, without="all runs on paper")
    assert str(found.value.__cause__) == "no such file"


@needs_library
def test_another_library_in_its_place_is_no_library() -> None:
    with pytest.raises(ImportError, match=r"test_ops_compiled.py: .*(invalid ELF header|not a mach-o|file too short)"):
        open_library(Path(__file__))


@needs_library
def test_every_function_that_is_looked_up_is_in_this_torch() -> None:
    names = []
    for name in ops.library.prune_adapters_torch_functions():
        if name is None:
            break
        names.append(name.decode())
    torch_library = ctypes.CDLL(str(next((Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*"))))

    assert len(names) > 15
    assert [name for name in names if not hasattr(torch_library, name)] == []


@needs_library
@pytest.mark.skipif(shutil.which("nm") is None or sys.platform != "linux", reason="needs nm")
def test_the_file_asks_for_neither_torch_nor_python() -> None:
    symbols = subprocess.run(["nm", "-D", "--undefined-only", PATH], capture_output=True, text=True, check=True).stdout

    assert "dlsym" in symbols
    assert not [line for line in symbols.splitlines() if "torch" in line or " Py" in line or " _Py" in line]


def test_what_serves_the_operators_can_be_seen() -> None:
    found = ops.kernels()

    assert found["cpu"] == (ops.library.prune_adapters_isa().decode() if ops.library else "reference")
    assert found["cuda"] == ("compiled" if ops.cuda_library else "reference")
    assert torch.version.cuda is not None or ops.cuda_library is None


@needs_cuda_library
def test_the_kernels_for_cuda_load_without_a_driver_and_miss_what_a_torch_for_the_cpu_has_not() -> None:
    library = ctypes.CDLL(str(CUDA_PATH))
    library.prune_adapters_register.restype = ctypes.c_char_p
    library.prune_adapters_torch_functions.restype = ctypes.POINTER(ctypes.c_char_p)
    names = itertools.takewhile(lambda name: name is not None, library.prune_adapters_torch_functions())
    torch_path = next((Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*"))
    torch_library = ctypes.CDLL(str(torch_path))

    assert [name for name in names if not hasattr(torch_library, name.decode())] == []
    assert library.prune_adapters_register(os.fsencode(torch_path), b"libtorch_gone.so") == b"libtorch_gone.so"


@needs_cuda_library
@pytest.mark.skipif(shutil.which("nm") is None or sys.platform != "linux", reason="needs nm")
def test_the_kernels_for_cuda_ask_for_no_library_of_cuda() -> None:
    command = ["nm", "-D", "--undefined-only", CUDA_PATH]
    symbols = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    assert not [line for line in symbols if any(word in line for word in ("torch", " cuda", " cu", " Py", " _Py"))]
