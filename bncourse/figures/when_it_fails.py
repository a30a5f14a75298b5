"""Figures of the chapter on when batch norm fails."""

import matplotlib.pyplot as plt
import numpy as np

from bncourse.figures.seeds import points
from bncourse.figures.style import COLORS, LINES, figure
from bncourse.lab import company, small_batches


@figure
def bad_image():
    """Draw what one bad image in sixty does to the others: their values, and their accuracy."""
    made, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.0), width_ratios=(1, 1.35))
    for place, factor in enumerate((1.0, company.FORGOTTEN)):
        values = company.values(factor)
        spread = np.random.default_rng(0).uniform(-0.22, 0.22, len(values))
        left.plot(place + spread[1:], values[1:], "o", color=COLORS["blue"], markersize=3.5)
        left.plot(place, values[0], "X", color=COLORS["red"], markersize=9)
    left.set_xticks((0, 1), ("60 good", "59 good\nand one bad"))
    left.set(xlim=(-0.5, 1.6), ylabel="normalised values of one unit", xlabel="batch")
    left.text(0.92, company.values(company.FORGOTTEN)[0], "bad", ha="right", va="center")
    runs = np.array([company.bad_image(factor) for factor in company.FACTORS]).T
    points(right, company.FACTORS, runs, LINES[0])
    alone = np.median(company.trained_accuracy())
    right.axhline(alone, color=COLORS["grey"])
    right.text(1000, alone - 1, "inference mode", ha="right", va="top")
    right.text(30, 52, "training\nmode", ha="right", fontweight="bold")
    right.set(xscale="log", ylim=(0, 104), xlabel="pixels of the bad image, times")
    right.set(ylabel="accuracy on the other 59, %")
    right.set_xticks((1, 16, 255), ("1", "16", "255"))
    right.xaxis.set_minor_locator(plt.NullLocator())
    return made


@figure
def sizes():
    """Draw the accuracy against the batch size for batch norm and three rivals."""
    made, axis = plt.subplots(figsize=(6.4, 2.6))
    heights = {"batch norm": 38, "layer norm": 95, "group norm": 85, "renorm": 68}
    for line, (norm, height) in zip(LINES, heights.items(), strict=False):
        runs = [small_batches.train(norm, size).at_best for size in small_batches.SIZES]
        points(axis, small_batches.SIZES, np.transpose(runs), line)
        axis.text(1.9, height, norm, ha="right", va="center", fontweight="bold")
    axis.set_xlim(0.8, 75)
    axis.set(xscale="log", ylim=(0, 108), xlabel="images in a batch", ylabel="test accuracy, %")
    axis.set_xticks(small_batches.SIZES, [f"{size}" for size in small_batches.SIZES])
    axis.xaxis.set_minor_locator(plt.NullLocator())
    return made


@figure
def pixels():
    """Draw the accuracy of a network trained on pairs, by the pixels that share a statistic."""
    made, axis = plt.subplots(figsize=(6.4, 2.7))
    runs = [small_batches.conv(block) for block in small_batches.BLOCKS]
    shared = [block**2 for block in small_batches.BLOCKS]
    points(axis, shared, np.transpose([run.at_best for run in runs]), LINES[0])
    points(axis, shared, np.transpose([run.in_training[run.best] for run in runs]), LINES[1])
    axis.text(1.05, 98, "inference mode", fontweight="bold")
    axis.text(1.35, 47, "training mode, in pairs", fontweight="bold")
    axis.set(xscale="log", ylim=(0, 108), ylabel="test accuracy, %")
    axis.set(xlabel="pixels of an image that share a mean and a variance")
    axis.set_xticks(shared, [f"{count}" for count in shared])
    axis.xaxis.set_minor_locator(plt.NullLocator())
    return made


@figure
def classes():
    """Draw the accuracy of networks whose batches had only some of the ten classes."""
    made, axis = plt.subplots(figsize=(6.4, 2.3))
    places = np.arange(len(small_batches.CLASSES))
    order = sorted(small_batches.CLASSES, reverse=True)
    heights = {"batch norm": 18, "layer norm": 70, "renorm": 51}
    for shift, line, (norm, height) in zip(
        (-0.05, 0.0, 0.05), LINES, heights.items(), strict=False
    ):
        runs = [small_batches.of_few_classes(norm, count).at_best for count in order]
        points(axis, places + shift, np.transpose(runs), line)
        axis.text(places[-1] + 0.14, height, norm, va="center", fontweight="bold")
    axis.axhline(10, color=COLORS["grey"], zorder=0)
    axis.set_xticks(places, [f"{count}" for count in order])
    axis.set(xlim=(-0.2, places[-1] + 0.75), ylim=(0, 104))
    axis.set(xlabel="classes in each batch of 32", ylabel="test accuracy, %")
    return made


@figure
def domains():
    """Draw a digit as it looks in each domain, and the accuracies there."""
    names = list(company.DOMAINS)
    made, axes = plt.subplot_mosaic(
        [[f"picture {i}" for i in range(len(names))], ["accuracy"] * len(names)],
        figsize=(6.4, 4.0),
        height_ratios=(1, 2.2),
    )
    digit = company.trained().x[0, 0:1]
    for i, name in enumerate(names):
        pixels = company.DOMAINS[name](digit).reshape(8, 8).numpy()
        picture = axes[f"picture {i}"]
        picture.imshow(pixels, cmap="gray_r", vmin=-0.4, vmax=1.3)
        picture.set_axis_off()
        words = name.replace(", ", ",\n").replace("to the", "to\nthe")
        picture.text(3.5, -0.9, words, ha="center", fontsize=9)
    axis = axes["accuracy"]
    places = np.arange(len(names))
    for line, side, shift in zip(LINES, (0, 1), (-0.12, 0.12), strict=False):
        runs = np.transpose([company.domain(name)[side] for name in names])
        points(axis, places + shift, runs, line | {"linestyle": "none", "markersize": 7})
    axis.text(1.2, 20, "statistics of\nthe training", fontweight="bold", fontsize=10)
    axis.text(1.3, 84, "its own", fontweight="bold", fontsize=10)
    axis.set_xticks(places, [""] * len(names))
    axis.set(ylim=(-4, 104), xlim=(-0.5, len(names) - 0.5), ylabel="test accuracy, %")
    axis.set(xlabel="domain, as above")
    return made


SPOILED = ("batch norm", "renorm", "layer norm")


@figure
def spoiled():
    """Draw the accuracy after training with a bad image in every batch, five seeds each."""
    made, axis = plt.subplots(figsize=(6.4, 2.3))
    for row, norm in enumerate(SPOILED):
        accuracy = company.train_beside(company.FORGOTTEN, norm).at_best
        axis.plot(accuracy, np.full(len(accuracy), row), "o", color=COLORS["blue"], alpha=0.8)
        axis.plot(np.median(accuracy), row, "|", color=COLORS["black"], markersize=18, mew=2)
    axis.axvline(10, color=COLORS["grey"])
    axis.text(10.5, 2.42, "chance", va="bottom")
    axis.set_yticks(range(len(SPOILED)), SPOILED)
    axis.set(ylim=(len(SPOILED) - 0.5, -0.5), xlim=(0, 100), xlabel="accuracy on good images, %")
    axis.set(ylabel="trained with")
    return made
