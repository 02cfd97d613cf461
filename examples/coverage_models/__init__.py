"""The models of the coverage table: one small member of every family, built without a download."""

from importlib.util import find_spec

from coverage_models.entry import Entry
from coverage_models.language import language
from coverage_models.plain import plain
from coverage_models.timm_models import timm_models
from coverage_models.vision import classifier, classifiers, vision

__all__ = ["LIBRARIES", "Entry", "classifier", "classifiers", "entries"]

LIBRARIES = ("torchvision", "timm", "transformers", "torch")


def entries() -> list[Entry]:
    """Return every row, library by library; libraries that are not installed are left out."""
    makers = {"torchvision": vision, "timm": timm_models, "transformers": language, "torch": plain}
    return [entry for library in LIBRARIES if find_spec(library) for entry in makers[library]()]
