"""Errors that a caller may want to catch.

    PruneAdaptersError
    +-- TraceError (ValueError)         a model cannot be turned into a graph as it stands
    +-- MaskError (ValueError)          a mask does not fit the model: name, shape or dtype; or ranks differ
    +-- MaskFileError (ValueError)      a file holds no masks, or damaged ones
    +-- CheckpointError (ValueError)    a file is not a checkpoint of this run
    +-- CompactError (ValueError)       a model cannot be made smaller as it stands
    +-- RecipeError (ValueError)        a recipe is damaged, or does not fit the model
    +-- CompactFileError (ValueError)   a file holds no compacted model, or a damaged one
    +-- PlanError (ValueError)          a plan cannot be made, its tables are damaged, or a weight does not fit
    +-- MethodStateError (ValueError)   a state or a file is not one of this method and its settings
    +-- ExportError (ValueError)        a model cannot be exported, or what was written computes something else
    +-- SparseFileError (ValueError)    a file holds no sparse weights, damaged ones, or those of another model
    +-- SearchLogError (ValueError)     a file is no log of a search, or one that does not go with this search

Everything else is a plain ``ValueError`` or ``TypeError``.
"""

__all__ = [
    "CheckpointError",
    "CompactError",
    "CompactFileError",
    "ExportError",
    "MaskError",
    "MaskFileError",
    "MethodStateError",
    "PlanError",
    "PruneAdaptersError",
    "RecipeError",
    "SearchLogError",
    "SparseFileError",
    "TraceError",
]


class PruneAdaptersError(Exception):
    """Base class of every error that prune_adapters raises on purpose."""


class TraceError(PruneAdaptersError, ValueError):
    """A model cannot be turned into a graph as it stands: the message names the operator, the module and the remedy."""


class MaskError(PruneAdaptersError, ValueError):
    """A mask does not fit the model: unknown name, wrong shape or wrong dtype; or ranks hold different ones."""


class MaskFileError(PruneAdaptersError, ValueError):
    """A file holds no masks, or is damaged."""


class CheckpointError(PruneAdaptersError, ValueError):
    """A file is not a checkpoint, or not one of this model, optimizer and run."""


class CompactError(PruneAdaptersError, ValueError):
    """A model cannot be made smaller as it stands: a size is written into its forward, at the line that is named."""


class RecipeError(PruneAdaptersError, ValueError):
    """A list of removals is damaged, or does not fit the model that it is to be done to."""


class CompactFileError(PruneAdaptersError, ValueError):
    """A file holds no compacted model, or is damaged."""


class PlanError(PruneAdaptersError, ValueError):
    """A plan cannot be made of a mask, its tables are damaged, or a weight does not fit it."""


class MethodStateError(PruneAdaptersError, ValueError):
    """A state, or a file that should hold one, is not one of this method with these settings."""


class SearchLogError(PruneAdaptersError, ValueError):
    """A file is no log of a search, is damaged, or holds other answers than this search would get."""


class ExportError(PruneAdaptersError, ValueError):
    """A model cannot be exported, or what was exported computes something else; no file has been written then."""


class SparseFileError(PruneAdaptersError, ValueError):
    """A file holds no sparse weights, is damaged, or is of another model."""
