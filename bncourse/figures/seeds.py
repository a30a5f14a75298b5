"""Lines and points that stand for several seeds: the median, and everything in between."""

import numpy as np


def band(axis, x, runs, line):
    """Draw the median of the runs as a line, and their whole range as a band about it.

    Args:
        axis: of matplotlib.
        x: (points,) places.
        runs: (seeds, points) values.
        line: one of the LINES of the style.
    """
    runs = np.asarray(runs)
    axis.fill_between(x, runs.min(0), runs.max(0), color=line["color"], alpha=0.25, linewidth=0)
    axis.plot(x, np.median(runs, axis=0), **line)


def points(axis, x, runs, line):
    """Draw the median of the runs as points on a line, with bars from the least to the largest.

    Arguments as for ``band``.
    """
    runs = np.asarray(runs)
    middle = np.median(runs, axis=0)
    reach = np.abs([runs.min(0) - middle, runs.max(0) - middle])
    axis.errorbar(x, middle, yerr=reach, capsize=3, **line)
