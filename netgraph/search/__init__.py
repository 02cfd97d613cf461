"""Search for short graphs: edges are swapped, which keeps every degree, and what makes paths shorter stays."""

from netgraph.search.result import SearchProgress, SearchState, Shortened
from netgraph.search.shortening import resume, shorten

__all__ = ["SearchProgress", "SearchState", "Shortened", "resume", "shorten"]
