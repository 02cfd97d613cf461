"""One self-contained HTML file about a pruned network: summary in words, table, layer graph, plots, comparison."""

from prune_adapters.html.page import html_report

__all__ = ["html_report"]
