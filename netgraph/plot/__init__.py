"""Pictures of a graph; matplotlib is imported when the first one is drawn.

    plot_unit_classes   bars by layer: live, constant and dead units
    plot_weights        bars by layer: kept weights, and how many of them are consistent
    plot_profile        the two side by side
    plot_network        a small network as layers of nodes joined by edges
    plot_connection     one connection as a matrix

Each takes ``ax=None`` and returns the Axes; a given Axes is drawn on and its figure left alone. The colours are those
of Okabe and Ito, which colour-blind readers can tell apart; shape, hatching or dashes say the same again in grey.
"""

from netgraph.plot.matrix import plot_connection
from netgraph.plot.network import plot_network
from netgraph.plot.profile import plot_profile, plot_unit_classes, plot_weights

__all__ = ["plot_connection", "plot_network", "plot_profile", "plot_unit_classes", "plot_weights"]
