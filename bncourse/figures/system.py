"""Figures of the chapter on what batch norm costs."""

import matplotlib.pyplot as plt
import numpy as np

from bncourse.figures.style import COLORS, LINES, figure
from bncourse.lab import gpu, memory, sync, system

_COUNTED = {name: each.copies for name, each in system.PASSES.items() if name != "copy"} | {
    "written out": system.WRITTEN_OUT.copies
}


@figure
def against_copy():
    """Draw the time of each pass over that of a copy, with its spread, and what counting says."""
    made, axes = plt.subplots(1, 2, figsize=(6.4, 3.2), sharey=True)
    for axis, shape in zip(axes, (system.SMALL, system.LARGE), strict=True):
        found = system.passes(shape)
        names = list(_COUNTED)
        for row, name in enumerate(names):
            ratios = found.over(name)
            axis.barh(row, np.median(ratios), 0.6, color=COLORS["sky"])
            axis.plot([ratios.min(), ratios.max()], [row, row], "-", color=COLORS["blue"])
            axis.plot([_COUNTED[name]] * 2, [row - 0.4, row + 0.4], color=COLORS["black"], lw=3)
        axis.axvline(1, color=COLORS["grey"], linestyle="--")
        axis.set(title=system.shown(shape), xscale="log", ylim=(len(names) - 0.4, -0.6))
        axis.set_xticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
        axis.xaxis.set_minor_locator(plt.NullLocator())
        slowest = max(found.over(name).max() for name in names)
        axis.set(xlabel="time over a copy", xlim=(0.5, max(60, 1.3 * slowest)))
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylabel("pass")
    return made


@figure
def on_gpu(report=None):
    """Draw what each way takes on the GPU that was measured, and what counting says.

    Args:
        report: a Report of ``bncourse.lab.gpu``; that of the course unless given.
    """
    report = report or gpu.read()
    made, axis = plt.subplots(figsize=(6.4, 2.8))
    if report is None:
        axis.axis("off")
        axis.text(0.5, 0.5, "no file of measurements on a GPU", ha="center")
        return made
    found = gpu.over_copy(report)
    names = [name for name in _COUNTED if name != "written out"]
    for line, how in zip(LINES, ("written out", "eager", "cudnn", "compiled"), strict=False):
        places = [row for row, name in enumerate(names) if (name, how) in found]
        times = [found[names[row], how] for row in places]
        axis.plot(times, places, line["marker"], color=line["color"], markersize=8, label=how)
    for row, name in enumerate(names):
        axis.plot([_COUNTED[name]] * 2, [row - 0.3, row + 0.3], color=COLORS["black"], lw=3)
    axis.set(xscale="log", xlim=(0.8, 30), ylim=(len(names) - 0.5, -0.5))
    axis.set_xticks([1, 2, 3, 5, 10, 20], ["1", "2", "3", "5", "10", "20"])
    axis.xaxis.set_minor_locator(plt.NullLocator())
    axis.set_yticks(range(len(names)), names)
    axis.set(xlabel="time over a copy", ylabel="pass")
    made.legend(loc="outside upper center", ncols=2)
    return made


@figure
def roofline():
    """Draw the roof of this machine and the layers under it."""
    made, axis = plt.subplots(figsize=(6.4, 3.4))
    found = system.machine()
    intensity = np.geomspace(0.1, 400, 200)
    roof = system.attainable(intensity, found.peak, found.bandwidth)
    axis.plot(intensity, roof / 1e9, color=COLORS["black"])
    axis.text(found.ridge * 1.4, found.peak / 1e9 * 1.15, "arithmetic is the limit")
    axis.text(0.11, found.bandwidth / 1e9 * 4, "memory is the limit")
    for name, (x, y) in found.reached.items():
        right = name == "convolution"
        axis.plot(x, y / 1e9, "o", color=COLORS["blue"], markersize=7)
        if name == "inference":
            # Its point lies between those of training and the roof: the label stands below all.
            line = {"arrowstyle": "-", "color": COLORS["grey"]}
            axis.annotate(name, (x, y / 1e9), (x, 0.6), fontweight="bold", arrowprops=line)
            continue
        # The two points of training lie side by side: one label beside, one below.
        above = {"training, backward": "top", "convolution": "top"}.get(name, "center")
        place = x * (0.8 if right else 1.25), y / 1e9 * (0.75 if above == "top" else 1)
        side = "right" if right else "left"
        axis.text(*place, name, ha=side, va=above, fontweight="bold")
    axis.set(xscale="log", yscale="log", xlim=(0.1, 400), ylim=(0.5, found.peak / 1e9 * 3))
    axis.set(xlabel="operations per byte", ylabel="10⁹ operations a second")
    return made


@figure
def timeline():
    """Draw the memory of a training step of 16 blocks, kept in four ways."""
    made, axis = plt.subplots(figsize=(6.4, 3.4))
    ways = {
        "as it is": (("as it is", 1), (0.5, 18.5), "right"),
        "dashed: in place": (("in place", 1), (1.99, 32), "right"),
        "dotted:\nrecomputed,\neach block": (("recomputed", 1), (1.99, 22), "right"),
        "recomputed in fours": (("recomputed", 4), (0.98, 0.5), "right"),
    }
    for line, (label, ((way, group), place, side)) in zip(LINES, ways.items(), strict=False):
        found = memory.step(way, group=group)
        halves = found.forward, found.backward
        for start, half in enumerate(halves):
            along = start + np.linspace(0, 1, len(half))
            style = {"color": line["color"], "linestyle": line["linestyle"]}
            axis.plot(along, half, **style)
        axis.text(*place, label, ha=side, color=COLORS["black"], fontweight="bold")
    axis.axvline(1, color=COLORS["grey"])
    axis.set(ylim=(0, 38), xlim=(0, 2), ylabel="memory, in activations")
    axis.set_xticks([0, 0.5, 1, 1.5, 2], ["", "forward", "", "backward", ""])
    axis.set_xlabel("operations of one training step")
    return made


# Assumed for a fast network: seconds of a message, seconds of a byte (10 GB a second).
FAST = 5e-6, 1e-10


@figure
def workers():
    """Draw what synchronised statistics add to a step of a ResNet-50, by the model."""
    made, axis = plt.subplots(figsize=(6.4, 3.2))
    counts = 2 ** np.arange(1, 11)
    for line, (label, way, place) in zip(
        LINES,
        (("ring", sync.ring, (60, 0.12)), ("doubling", sync.doubling, (100, 0.0019))),
        strict=False,
    ):
        seconds = [sync.step_seconds(int(count), *FAST, way) for count in counts]
        axis.plot(counts, seconds, **line)
        axis.text(*place, label, fontweight="bold", ha="right" if way is sync.ring else "left")
    axis.set(xscale="log", yscale="log", xlabel="workers", ylabel="seconds added to a step")
    axis.set_xticks([2, 8, 32, 128, 1024], ["2", "8", "32", "128", "1,024"])
    axis.xaxis.set_minor_locator(plt.NullLocator())
    return made
