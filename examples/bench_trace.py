"""How long `to_graph` takes, against the one step it cannot do without: torch.export of the same model.

    python examples/bench_trace.py [--quick] [--rounds N] [--json FILE]

One thread, eval mode, true sizes. Tracing ResNet-50 should take at most 1.5 times as long as its export.
"""

import torch

import benchmark
import models
import prune_adapters as pa

SIZES = {"resnet50": 224, "resnet18": 224, "mobilenet_v2": 224, "vit_b": 224, "resnet20": 32}
TARGETS = {"resnet50": 1 / 1.5}


def cases(name: str) -> list[benchmark.Case]:
    """Return the export and the trace of one network, which share nothing but the model."""
    model, picture = getattr(models, name)().eval(), torch.zeros(1, 3, SIZES[name], SIZES[name])
    return [
        benchmark.Case(f"{name} export", lambda: torch.export.export(model, (picture,), strict=False)),
        benchmark.Case(f"{name} to_graph", lambda: pa.to_graph(model, picture)),
    ]


def rows(name: str, times: dict[str, float]) -> list[benchmark.Row]:
    """Return how long a trace takes beside the export that it contains."""
    export, trace = times[f"{name} export"], times[f"{name} to_graph"]
    return [benchmark.Row(f"{name}: to_graph", trace, "s", "torch.export alone", export, TARGETS.get(name))]


def main() -> None:
    options = benchmark.arguments(__doc__.partition("\n")[0])
    rounds = options.rounds or (1 if options.quick else 5)
    torch.set_num_threads(1)
    names = ["resnet20"] if options.quick else list(SIZES)
    times = benchmark.measure([case for name in names for case in cases(name)], rounds)
    told = [row for name in names for row in rows(name, times)]
    benchmark.report("bench_trace", options, told, benchmark.versions("torch"))


if __name__ == "__main__":
    main()
