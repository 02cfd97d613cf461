"""What pruning did to a network, by layer and in one sentence: tables, files and a picture."""

from prune_adapters.report.report import Report, report
from prune_adapters.report.rows import LayerRow, ParameterRow

__all__ = ["LayerRow", "ParameterRow", "Report", "report"]
