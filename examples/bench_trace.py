"""How long `to_graph` takes, against the one step it cannot do without: torch.export of the same model.

    python examples/bench_trace.py            the networks at true size, about two minutes
    python examples/bench_trace.py --quick    ResNet-20 alone

Target: tracing ResNet-50 takes at most 1.5 times as long as its export.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

import networks
import prune_adapters as pa

TARGET = 1.5
SIZES = {"resnet20": 32, "resnet18": 224, "resnet50": 224, "mobilenet_v2": 224, "vit_b": 224}


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def compare(model: nn.Module, picture: torch.Tensor, *, repeats: int) -> tuple[float, float]:
    """Return the median seconds of an export and of a trace, taken in turn so that both see the same machine."""
    export = lambda: torch.export.export(model, (picture,), strict=False)  # noqa: E731
    trace = lambda: pa.to_graph(model, picture)  # noqa: E731
    export(), trace()
    pairs = [(seconds(export), seconds(trace)) for _ in range(repeats)]
    return tuple(statistics.median(column) for column in zip(*pairs, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="ResNet-20 alone, once")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    sizes = {"resnet20": 32} if args.quick else SIZES
    print(f"torch {torch.__version__}, one thread, medians of {1 if args.quick else args.repeats}")
    print(f"{'network':14}{'weights':>12}{'units':>9}{'export s':>10}{'trace s':>9}{'ratio':>7}")
    for name, size in sizes.items():
        model, picture = getattr(networks, name)().eval(), torch.zeros(1, 3, size, size)
        graph = pa.to_graph(model, picture)
        export, trace = compare(model, picture, repeats=1 if args.quick else args.repeats)
        weights = sum(c.size for c in graph.weighted)
        note = f"  target {TARGET}" if name == "resnet50" else ""
        print(f"{name:14}{weights:>12,}{graph.n_units:>9,}{export:>10.3f}{trace:>9.3f}{trace / export:>7.2f}{note}")


if __name__ == "__main__":
    main()
