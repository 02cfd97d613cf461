"""Models in files that others read: ONNX, torch's .pt2, and safetensors without the zeros; what each takes."""

from prune_adapters.export.sparse import export_sparse, load_sparse

__all__ = ["export_sparse", "load_sparse"]
