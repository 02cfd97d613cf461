"""Models in files that others read: ONNX, torch's .pt2, and safetensors without the zeros; what each takes."""

from prune_adapters.export.onnx_file import export_onnx
from prune_adapters.export.program import export_program
from prune_adapters.export.report import ExportReport, ExportRow, export_report
from prune_adapters.export.sparse import export_sparse, load_sparse

__all__ = [
    "ExportReport",
    "ExportRow",
    "export_onnx",
    "export_program",
    "export_report",
    "export_sparse",
    "load_sparse",
]
