"""Why a unit is live, constant or dead: a way to it and from it, or where the ways end, in words."""

from netgraph.why.cut import Cut
from netgraph.why.explanation import Explanation, explain

__all__ = ["Cut", "Explanation", "explain"]
