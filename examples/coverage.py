"""Which model families `to_graph` follows, and whether the graph agrees with the gradient, family by family.

    python examples/coverage.py [--quick] [--family LIBRARY] [--only TEXT] [--json FILE [--resume]] [--seconds N]
    python examples/coverage.py --classifiers [--only TEXT] [--json FILE]

Every model is small, random and built without a download, and runs in a process of its own, within limits of time and
memory. Masks drawn at random leave few weights (embedding tables stay whole, as in every default of the package). What
`drop_dead` then keeps is compared with what has a gradient in float64 (`oracle.py`), element by element, once without
and once with biases, running means and tables:

- exact: the same elements. "exact, split": the same once positions are told apart (``positions="split"``), as a class
  token or weights between positions ask for; otherwise the graph keeps more.
- wider: the graph keeps more, so nothing that works is ever removed.
- WRONG: an element that has a gradient is called dead.

``--classifiers`` traces torchvision's 80 classifiers instead, at true size on the meta device. The JSON file holds
``{"machine": {...}, "rows": [{"library", "family", "model", "verdict", ...}]}``.
"""

import argparse
import json
import multiprocessing
import resource
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import nn

import benchmark
import netgraph as ng
from agreement import compared
from coverage_models import LIBRARIES, Entry, classifier, classifiers, entries
from oracle import random_masks
from prune_adapters.trace.options import Options
from prune_adapters.trace.tracer import capture, graph_of_tape

SETTINGS = ((0.2, 0.0, 0), (0.02, 2.0, 1), (0.01, 1.3, 2))
"""Density, least mean number of elements in a row, seed."""

MANY = 20_000_000
"""Models with more parameters than this are compared under the last setting only."""

QUICK = ("TransformerEncoder", "U-Net", "VAE")
MEMORY = 14 << 30
"""Bytes of address space that one model may take."""

Row = dict[str, object]


def check(entry: Entry) -> Row:
    """Return what tracing one model gives, and how its graph compares with the gradient."""
    torch.manual_seed(0)
    model, inputs = entry.build().eval(), entry.inputs()
    whole = {name: torch.ones_like(p, dtype=torch.bool) for name, p in model.named_parameters()}
    start = time.thread_time()
    tape = capture(model, inputs)
    captured = time.thread_time()
    graph = graph_of_tape(tape, model, whole, {}, Options())
    row = {"export_s": captured - start, "trace_s": time.thread_time() - start} | size(model, graph)
    row |= {"notes": list(graph.notes), "join": disagreement(model, inputs, graph)}
    if row["join"]["where"]:
        split = graph_of_tape(tape, model, whole, {}, Options(positions="split"))
        row["split"] = disagreement(model, inputs, split)
    return row | {"verdict": verdict(row)}


def size(model: nn.Module, graph: ng.NetGraph) -> Row:
    """Return the units, the weights with edges, and all weights (parameters that are no vectors)."""
    edges = sum(torch.Size(graph.parameters[name].shape).numel() for name in graph.edge_parameters)
    weights = sum(p.numel() for p in model.parameters() if p.dim() > 1)
    return {"units": graph.n_units, "edges": edges, "weights": weights}


def disagreement(model: nn.Module, inputs: object, graph: ng.NetGraph) -> Row:
    """Return how many elements with a gradient the graph lacks, how many it keeps without one, and where."""
    infos = graph.parameters | graph.buffers
    roles = {name: info.role for name, info in infos.items() if info.role in ("gate", "constant")}
    many = sum(p.numel() for p in model.parameters()) > MANY
    missing = wider = kept = 0
    where: dict[str, tuple[int, int]] = {}
    for density, least, seed in SETTINGS[-1:] if many else SETTINGS:
        masks = random_masks(model, graph.edge_parameters, density, seed=seed, least=least)
        masks |= {name: torch.ones_like(masks[name]) for name in tables(model) & masks.keys()}
        for question in ("bare", "drop_dead"):
            counts = compared(model, inputs, graph, masks, question, roles=roles)
            kept += sum(int(mask.sum()) for mask in masks.values())
            missing += sum(count[0] for count in counts.values())
            wider += sum(count[1] for count in counts.values())
            where |= {f"{question}, seed {seed}: {name}": count for name, count in counts.items()}
    return {"missing": missing, "wider": wider, "kept": kept, "where": where}


def tables(model: nn.Module) -> set[str]:
    """Return the names of the embedding tables."""
    paths = (path for path, module in model.named_modules() if isinstance(module, nn.Embedding))
    return {f"{path}.weight".removeprefix(".") for path in paths}


def verdict(row: Row) -> str:
    """Return in a word how the graph compares with the gradient."""
    found = [row["join"], *([row["split"]] if "split" in row else [])]
    if any(each["missing"] for each in found):
        return "WRONG"
    if not found[0]["wider"]:
        return "exact"
    return "wider" if found[1]["wider"] else "exact, split"


def build(name: str) -> Row:
    """Return the seconds that tracing a classifier of torchvision takes, at true size without memory."""
    model, picture = classifier(name)
    start = time.thread_time()
    tape = capture(model, picture)
    captured = time.thread_time()
    graph = graph_of_tape(tape, model, None, {}, Options())
    return {
        "export_s": captured - start,
        "trace_s": time.thread_time() - start,
        "verdict": "built",
        **size(model, graph),
    }


def apart(work: Callable[[], Row], seconds: float) -> Row:
    """Return what `work` returns, run in a process of its own, or why it failed."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_guarded, args=(work, there))
    with warnings.catch_warnings():
        # A fork of a process with threads is warned of since Python 3.12; torch has started none of its own here.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    there.close()
    try:
        return here.recv() if here.poll(seconds) else _failed(f"took longer than {seconds:.0f} s")
    except EOFError:
        return _failed("the process died")
    finally:
        process.kill()
        process.join()


def _guarded(work: Callable[[], Row], there: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    try:
        there.send(work())
    except Exception as error:
        text = str(error).strip().splitlines() or [""]
        there.send(_failed(f"{type(error).__name__}: {text[0]}"))


def _failed(reason: str) -> Row:
    return {"verdict": "FAILED", "error": reason}


def line(row: Row) -> str:
    """Return a row of the table as text."""
    head = f"{row['library']:12} {row['family']:20} {row['model']:32} {row['verdict']:12}"
    if "error" in row:
        return f"{head} {row['error']}"
    times = f"{row['trace_s']:6.2f} s, export {row['export_s']:6.2f} s"
    sizes = f"{row['units']:8} units {row['edges']:10} of {row['weights']:10} weights are edges"
    found = [f"{place} keeps {row[place]['wider']} more" for place in ("join", "split") if _differs(row, place)]
    return f"{head} {times} {sizes} {'; '.join(found)}".rstrip()


def _differs(row: Row, place: str) -> bool:
    return place in row and bool(row[place]["wider"] or row[place]["missing"])


def summary(rows: list[Row]) -> str:
    """Return the counts of verdicts, and the rows that are not exact."""
    traced = sum(row["verdict"] != "FAILED" for row in rows)
    exact = sum(str(row["verdict"]) in ("exact", "exact, split") for row in rows)
    split = sum(row["verdict"] == "exact, split" for row in rows)
    others = [f"{row['family']} {row['verdict']}" for row in rows if row["verdict"] in ("wider", "WRONG", "FAILED")]
    text = f"{traced} of {len(rows)} traced"
    if any(row["verdict"] != "built" for row in rows):
        text += f", {exact} exact ({split} of them with positions told apart)"
    return text + (f"; not: {', '.join(others)}" if others else "")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="three models: shows that it runs")
    parser.add_argument("--family", choices=LIBRARIES, help="models of one library only")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose names hold this")
    parser.add_argument("--classifiers", action="store_true", help="torchvision's classifiers at true size")
    parser.add_argument("--seconds", type=float, default=600, metavar="N", help="limit for one model")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the table there, row by row")
    parser.add_argument("--resume", action="store_true", help="keep the rows that the file holds already")
    return parser.parse_args()


def jobs(options: argparse.Namespace) -> Iterator[tuple[Row, Callable[[], Row]]]:
    """Yield the names of every row that is asked for, and the work that fills it."""
    if options.classifiers:
        for name in classifiers():
            yield {"library": "torchvision", "family": "classifier", "model": name}, lambda name=name: build(name)
        return
    for entry in entries():
        if options.family in (None, entry.library) and (not options.quick or entry.family in QUICK):
            names = {"library": entry.library, "family": entry.family, "model": entry.name}
            yield names, lambda entry=entry: check(entry)


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    libraries = [name for name in LIBRARIES if find_spec(name)]
    about = benchmark.machine() | {"quick": options.quick} | benchmark.versions(*libraries)
    held = json.loads(options.json.read_text())["rows"] if options.resume and options.json.exists() else []
    known = {(row["library"], row["family"], row["model"]): row for row in held}
    rows: list[Row] = []
    for names, work in jobs(options):
        if options.only.lower() not in f"{names['family']} {names['model']}".lower():
            continue
        rows.append(known.get(tuple(names.values())) or names | apart(work, options.seconds))
        print(line(rows[-1]), flush=True)
        if options.json:
            options.json.write_text(json.dumps({"machine": about, "rows": rows}, indent=1) + "\n")
    print(summary(rows))


if __name__ == "__main__":
    main()
