"""`netgraph doctor`: what is native here, which path the processor takes, what is installed and what is not."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from prune_adapters.cli.console import answer, table
from prune_adapters.cli.options import Json

__all__ = ["doctor", "extras", "found_here", "version_of"]

LIBRARIES = ("torch", "numpy", "scipy", "networkx", "matplotlib", "safetensors", "rich", "typer")
EXTRAS = {
    "examples": ("sklearn", "joblib"),
    "export": ("onnx", "onnxscript", "onnxruntime"),
    "search": ("gymnasium", "stable_baselines3", "joblib"),
    "models": ("torchvision", "timm", "transformers"),
    "lightning": ("lightning",),
    "huggingface": ("transformers", "accelerate"),
}
"""Extras of the distribution, and the modules that they bring in."""


def doctor(json: Json = False) -> None:
    """Print what is native here, which path the processor takes, CUDA, versions, and extras that are missing."""
    found = found_here()
    rows = [(name, _cell(value)) for name, value in found.items() if name != "extras"]
    rows += [(f"extra {name}", line) for name, line in _lines(extras()).items()]
    answer(table(("what", "found"), rows, left=2), found, as_json=json)


def found_here() -> dict[str, object]:
    """Return what this computer and this installation have, by name."""
    import torch

    from netgraph import native
    from prune_adapters.ops.compiled import kernels

    serving = kernels()
    cuda = torch.cuda.is_available()
    return {
        "netgraph": version_of("netgraph-pruning") or "run from its sources",
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "threads of torch": torch.get_num_threads(),
        "graph kernels": "numpy alone" if native.kernels is None else f"native, {native.kernels.isa()}",
        "torch operators": "torch alone" if serving["cpu"] == "reference" else f"native, {serving['cpu']}",
        "CUDA": torch.cuda.get_device_name() if cuda else _no_cuda(torch.version.cuda),
        "CUDA operators": serving["cuda"] if cuda else "none",
        **{name: version_of(name) or "missing" for name in LIBRARIES},
        "settings": {name: own for name, own in os.environ.items() if name.startswith("NETGRAPH_")},
        "extras": extras(),
        "executable": sys.executable,
    }


def extras() -> dict[str, list[str]]:
    """Return the modules that are missing, for each extra of the distribution."""
    return {extra: [name for name in modules if find_spec(name) is None] for extra, modules in EXTRAS.items()}


def version_of(distribution: str) -> str | None:
    """Return the version of an installed distribution, or None.

    Parameters
    ----------
    distribution : str
    """
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _no_cuda(built_with: str | None) -> str:
    return "none: torch is built for the CPU" if built_with is None else f"none found; torch is built for {built_with}"


def _lines(missing: dict[str, list[str]]) -> dict[str, str]:
    return {
        extra: f"without {', '.join(names)}: pip install 'netgraph-pruning[{extra}]'" if names else "complete"
        for extra, names in missing.items()
    }


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={own}" for name, own in value.items()) or "none"
    return str(value)
