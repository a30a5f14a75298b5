"""Where a tagged equation stands: the letter of a tag names its chapter."""

CHAPTERS = {
    "W": ("Why normalise", "why_normalise"),
    "S": ("Internal covariate shift", "covariate_shift"),
    "F": ("The forward pass", "forward"),
    "B": ("The backward pass", "backward"),
    "R": ("Training and inference", "inference"),
    "C": ("Convolutions and relatives", "convolution"),
    "L": ("Layers in PyTorch and Keras", "layers"),
}


def where(tag):
    """Return the place of an equation in words.

    >>> where("F3")
    '(F3) in the chapter "The forward pass" (chapters/forward)'
    """
    title, page = CHAPTERS[tag[0]]
    return f'({tag}) in the chapter "{title}" (chapters/{page})'
