"""Print which units and weights of a checkpoint still matter, without building its model in memory.

    python examples/inspect_checkpoint.py --model torchvision.models:resnet50 --checkpoint FILE --input 1x3x224x224
    python examples/inspect_checkpoint.py --model llama:llama_7b --checkpoint FOLDER --input ids:1x16
    python examples/inspect_checkpoint.py --synthetic-llama 7B [--folder DIR]

The model is a function without arguments, looked up from the current folder and from here. FILE is what
`prune_adapters.open_checkpoint` takes. The third form writes a checkpoint of that size first (14 GB for 7B), reads it
once to have a time to compare with, inspects it and deletes it.
"""

import argparse
import importlib
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

import llama
import prune_adapters as pa
import synthetic

__all__ = ["example_input", "peak_bytes", "read_plainly", "synthetic_llama"]


def build_function(name: str) -> Callable[[], nn.Module]:
    """Return the function that ``package.module:function`` names."""
    module, _, function = name.partition(":")
    sys.path.append(".")
    return getattr(importlib.import_module(module), function)


def example_input(text: str) -> torch.Tensor:
    """Return zeros of a shape such as ``1x3x224x224``; integers if ``ids:`` stands before it."""
    kind, _, sizes = text.rpartition(":")
    return torch.zeros([int(size) for size in sizes.split("x")], dtype=torch.long if kind == "ids" else None)


def peak_bytes() -> int:
    """Return the most memory that this process has held so far."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the parent process held before this one began
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def read_plainly(path: Path, chunk: int = 4 << 20) -> None:
    """Read a file from the first byte to the last and forget it."""
    memory = bytearray(chunk)
    with open(path, "rb", buffering=0) as file:
        while file.readinto(memory):
            pass


@contextmanager
def synthetic_llama(size: str, folder: Path | None) -> Iterator[tuple[nn.Module, Path]]:
    """Yield a Llama without memory and a checkpoint of it, which is deleted in the end."""
    with torch.device("meta"):
        model = llama.Llama(llama.SIZES[size])
    needed = 2 * sum(p.numel() for p in model.parameters())
    with tempfile.TemporaryDirectory(dir=folder) as inside:
        free = shutil.disk_usage(inside).free
        if free < 1.1 * needed:
            raise SystemExit(f"{inside}: expected {1.1 * needed / 1e9:.1f} GB of free disk, got {free / 1e9:.1f} GB")
        path = Path(inside, "model.safetensors")
        synthetic.write_checkpoint(path, model)
        yield model, path


def inspect_synthetic(size: str, folder: Path | None) -> None:
    """Write, read and inspect a synthetic checkpoint; print the report, the times and the memory."""
    with synthetic_llama(size, folder) as (model, path):
        start = time.perf_counter()
        read_plainly(path)
        middle = time.perf_counter()
        print(pa.inspect_checkpoint(model, example_input("ids:1x16"), path, fold=True))
        end = time.perf_counter()
        print(f"\n{path.stat().st_size / 1e9:.2f} GB: read plainly in {middle - start:.1f} s, ", end="")
        print(f"whole report in {end - middle:.1f} s, at most {peak_bytes() / 1e9:.2f} GB of memory")


def arguments() -> argparse.Namespace:
    """Return the options from the command line."""
    lines = __doc__.splitlines()
    parser = argparse.ArgumentParser(description=lines[0])
    parser.add_argument("--model", metavar="MODULE:FUNCTION", help="builds the architecture")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="file, index or folder")
    parser.add_argument("--input", metavar="SHAPE", help="1x3x224x224, or ids:1x16 for integers")
    parser.add_argument("--synthetic-llama", choices=list(llama.SIZES), metavar="SIZE", help=", ".join(llama.SIZES))
    parser.add_argument("--folder", type=Path, default=None, help="where the synthetic checkpoint is written")
    parser.add_argument("--quick", action="store_true", help="a synthetic checkpoint of the smallest size")
    options = parser.parse_args()
    if not (options.quick or options.synthetic_llama or (options.model and options.checkpoint and options.input)):
        parser.error("expected --model, --checkpoint and --input, or --synthetic-llama")
    return options


def main() -> None:
    options = arguments()
    if options.quick or options.synthetic_llama:
        inspect_synthetic(options.synthetic_llama or "tiny", options.folder)
        return
    build = build_function(options.model)
    print(pa.inspect_checkpoint(build, example_input(options.input), options.checkpoint, fold=True, progress=True))


if __name__ == "__main__":
    main()
