"""Collapse, told before it happens: at which budget the last path goes, and the least change that keeps it."""

from prune_adapters.collapse.findings import CollapseReport, LostLayer
from prune_adapters.collapse.search import collapse_report

__all__ = ["CollapseReport", "LostLayer", "collapse_report"]
