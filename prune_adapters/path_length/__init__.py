"""Path length against accuracy: graphs of one degree from long to short paths, and what trainings with them say."""

from prune_adapters.path_length.estimate import Estimate, accuracy_slope, rank_correlation, spearman
from prune_adapters.path_length.graphs import graphs_of_all_lengths
from prune_adapters.path_length.picture import plot_path_length
from prune_adapters.path_length.report import PathLengthReport, path_length_report

__all__ = [
    "Estimate",
    "PathLengthReport",
    "accuracy_slope",
    "graphs_of_all_lengths",
    "path_length_report",
    "plot_path_length",
    "rank_correlation",
    "spearman",
]
