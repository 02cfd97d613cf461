"""Search for short graphs: edges are swapped, which keeps every degree, and what makes paths shorter stays.

shorten                 shortest paths by annealing; `resume` goes on after an interrupt
rewire                  the same for any objective, a Python callable
swap_edges              random swaps, nothing more; `swap_connection_edges` within one connection of a network
"""

from netgraph.search.result import SearchProgress, SearchState, Shortened
from netgraph.search.rewiring import Rewired, rewire
from netgraph.search.shortening import resume, shorten
from netgraph.search.swapping import swap_connection_edges, swap_edges

__all__ = [
    "Rewired",
    "SearchProgress",
    "SearchState",
    "Shortened",
    "resume",
    "rewire",
    "shorten",
    "swap_connection_edges",
    "swap_edges",
]
