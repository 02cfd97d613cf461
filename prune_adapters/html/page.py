"""`html_report`: the page put together from its parts, which lie beside this file."""

import base64
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files
from string import Template

import netgraph as ng
from netgraph.storage import replacing
from prune_adapters.html.difference import check_same_network, difference
from prune_adapters.html.facts import Record, graph_facts
from prune_adapters.html.words import in_words

__all__ = ["html_report"]

SCRIPTS = ("page.js", "table.js", "network.js", "pointing.js", "charts.js", "compare.js", "start.js")
"""In the order in which they run; they share one function's scope."""

WARNING = '<dd class="warning">'


def html_report(
    graph: ng.NetGraph,
    path: str | os.PathLike[str] | None = None,
    *,
    compare: ng.NetGraph | None = None,
    title: str = "Connectivity of the pruned network",
    names: tuple[str, str] = ("first", "second"),
) -> str:
    """Return one self-contained HTML page about a graph; with `path`, write it there.

    The page loads nothing from anywhere. It holds a summary in words, a table of layers that sorts and filters, a
    drawing of the layers to zoom into, sparsity and units by layer, and degrees; with `compare`, how the masks differ.

    Parameters
    ----------
    graph : NetGraph
        From `to_graph`, with masks given there or in place.
    path : path-like, optional
        An older file of that name is replaced only once the new one is complete.
    compare : NetGraph, optional
        A second graph of the same network, with other masks.
    title : str
    names : tuple of two str
        What to call the two graphs if there are two.

    Returns
    -------
    str
        The page. The same graphs give the same page.

    Raises
    ------
    ValueError
        `compare` is the graph of another network, or the two names are the same.

    Notes
    -----
    The size grows with the number of layers and not with that of units; ResNet-50 takes about 0.1 MB. Finding the
    bottleneck and explaining units takes most of the time, a few seconds for ResNet-50.

    Examples
    --------
    >>> import netgraph as ng
    >>> page = html_report(ng.from_biadjacency([[[1], [1]], [[1, 0]]]), title="A small one")
    >>> page.splitlines()[0], "<title>A small one</title>" in page, "http" in page.replace("http-equiv", "")
    ('<!DOCTYPE html>', True, False)
    """
    if compare is not None:
        check_same_network(graph, compare)
        if names[0] == names[1]:
            raise ValueError(f"names: expected two different names, got {names[0]!r} twice")
    graphs = {"": graph} if compare is None else dict(zip(names, (graph, compare), strict=True))
    page = _page(graphs, title)
    if path is not None:
        with replacing(path, "w") as file:
            file.write(page)
    return page


def _page(graphs: Mapping[str, ng.NetGraph], title: str) -> str:
    facts: Record = {
        "graphs": [graph_facts(graph, name) for name, graph in graphs.items()],
        "difference": difference(*graphs.values()) if len(graphs) == 2 else None,
    }
    script = _one_function(_part(name) for name in SCRIPTS)
    return Template(_part("page.html")).substitute(
        title=escape(title),
        style=_part("page.css"),
        policy=_policy(script),
        words="\n".join(_words(graph, name) for name, graph in graphs.items()),
        data=_json(facts),
        script=script,
    )


def _words(graph: ng.NetGraph, name: str) -> str:
    """Return the summary of a graph as HTML: it is there without the script."""
    lines = [
        f"<dt>{escape(heading)}</dt>{WARNING if warning else '<dd>'}{escape(text)}</dd>"
        for heading, text, warning in in_words(graph)
    ]
    return "\n".join([*([f"<h3>{escape(name)}</h3>"] if name else []), '<dl class="words">', *lines, "</dl>"])


def _part(name: str) -> str:
    return files("prune_adapters.html").joinpath(name).read_text(encoding="utf-8").rstrip()


def _one_function(scripts: Iterable[str]) -> str:
    return "\n".join(["", "(function () {", '"use strict";', *scripts, "})();", ""])


def _policy(script: str) -> str:
    """Return a content security policy: nothing is loaded, and no script runs but this one."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'"


def _json(facts: Record) -> str:
    """Return JSON that no name in it can end: "<" and "&" are written as escapes."""
    text = json.dumps(facts, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
