"""Small tables as HTML for notebooks: no script, no colours of their own, so that they suit a light and a dark page."""

from collections.abc import Iterable, Sequence
from html import escape

__all__ = ["Markup", "bar", "html_table"]

STYLE = """<style>
.netgraph-table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 0.5em 0; }
.netgraph-table th, .netgraph-table td { text-align: right; padding: 0.15em 0.7em; background: none; border: 0; }
.netgraph-table thead th, .netgraph-table tr.total td { border-bottom: 1px solid; font-weight: 600; }
.netgraph-table tr.total td { border-top: 1px solid; border-bottom: 0; }
.netgraph-table th.left, .netgraph-table td.left { text-align: left; }
.netgraph-bar { display: inline-block; width: 5em; height: 0.6em; box-shadow: inset 0 0 0 1px; opacity: 0.65; }
.netgraph-bar > span { display: block; height: 100%; background: currentColor; }
</style>"""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def bar(share: float | None) -> Markup:
    """Return a bar that is filled up to a share in [0, 1]; nothing for None.

    Parameters
    ----------
    share : float or None

    Returns
    -------
    Markup

    Examples
    --------
    >>> bar(0.25), bar(None)
    ('<span class="netgraph-bar"><span style="width:25.0%"></span></span>', '')
    """
    if share is None:
        return Markup("")
    return Markup(f'<span class="netgraph-bar"><span style="width:{100 * share:.1f}%"></span></span>')


def html_table(
    title: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    left: Sequence[str] = (),
    total: Sequence[str] | None = None,
    below: Iterable[str] = (),
) -> str:
    """Return a table with a bold line above and lines of text below; all text is escaped, `bar` is kept.

    Parameters
    ----------
    title : str
    head : sequence of str
        Names of the columns.
    rows : iterable of sequences of str
    left : sequence of str
        Columns that are set to the left.
    total : sequence of str, optional
        A last row, set apart.
    below : iterable of str

    Returns
    -------
    str

    Examples
    --------
    >>> text = html_table("One <layer>", ("layer", "units"), [("a<b", "3")], left=("layer",))
    >>> print(text.partition("</style>")[2])
    <BLANKLINE>
    <p><b>One &lt;layer&gt;</b></p>
    <table class="netgraph-table">
    <thead><tr><th class="left">layer</th><th>units</th></tr></thead>
    <tbody>
    <tr><td class="left">a&lt;b</td><td>3</td></tr>
    </tbody>
    </table>
    """
    marks = [' class="left"' if name in left else "" for name in head]
    body = [f"<tr>{_cells('td', row, marks)}</tr>" for row in rows]
    if total is not None:
        body.append(f'<tr class="total">{_cells("td", total, marks)}</tr>')
    notes = "<br>\n".join(map(escape, below))
    lines = [
        *(STYLE, f"<p><b>{escape(title)}</b></p>", '<table class="netgraph-table">'),
        *(f"<thead><tr>{_cells('th', head, marks)}</tr></thead>", "<tbody>", *body, "</tbody>", "</table>"),
        *([f"<p>{notes}</p>"] if notes else []),
    ]
    return "\n".join(lines)


def _cells(tag: str, cells: Sequence[str], marks: Sequence[str]) -> str:
    return "".join(
        f"<{tag}{mark}>{cell if isinstance(cell, Markup) else escape(cell)}</{tag}>"
        for cell, mark in zip(cells, marks, strict=True)
    )
