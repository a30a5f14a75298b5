"""The chapters of the book, in the order in which they are read: the one table of them.

``_toc.yml``, the table of the landing page, the letters of equations and what a check says of a
place are tested against it.
"""

from dataclasses import dataclass

from bncourse import addresses


@dataclass(frozen=True)
class Chapter:
    """A chapter of the book.

    Args:
        letter: of the tags of its equations.
        page: the file in chapters/, without its ending.
        title: its heading; the site puts the number before it.
        question: the one question that it asks and answers.
    """

    letter: str
    page: str
    title: str
    question: str


CHAPTERS = (
    Chapter(
        "W",
        "why_normalise",
        "Keep numbers in range",
        "What goes wrong in a network whose numbers have the wrong size?",
    ),
    Chapter(
        "F",
        "forward",
        "Normalise a batch",
        "What does a batch-norm layer do to the numbers that pass through it?",
    ),
    Chapter(
        "B",
        "backward",
        "Differentiate a batch",
        "How does one number of the input reach the loss, when the whole batch is normalised "
        "together?",
    ),
    Chapter(
        "G",
        "gradient_check",
        "Check a gradient",
        "How do you know that a gradient is right?",
    ),
    Chapter(
        "R",
        "inference",
        "Train on batches, predict without them",
        "What does a batch-norm layer normalise with when there is no batch?",
    ),
    Chapter(
        "C",
        "convolution",
        "Share the statistics of a channel",
        "In a batch of images, which numbers share one mean and one variance?",
    ),
    Chapter(
        "L",
        "layers",
        "Use the layer in PyTorch and Keras",
        "What does a batch-norm layer of a framework do that its formula does not say?",
    ),
    Chapter(
        "S",
        "covariate_shift",
        "Measure internal covariate shift",
        "What exactly is internal covariate shift, and how do you measure it?",
    ),
    Chapter(
        "D",
        "reduce_shift",
        "Put the shift on trial",
        "Does batch norm reduce internal covariate shift, and is that why it helps?",
    ),
    Chapter(
        "U",
        "what_it_buys",
        "Give the rival its best rate",
        "What does batch norm buy, and what is left of it against a fair rival?",
    ),
    Chapter(
        "H",
        "how_deep",
        "Go deep, and see what batch norm cannot do",
        "Does batch norm make a network of a hundred layers trainable?",
    ),
    Chapter(
        "I",
        "scale_invariance",
        "Turn weights whose length does not count",
        "What do learning rate and weight decay do to weights that batch norm makes "
        "scale-invariant?",
    ),
    Chapter(
        "T",
        "when_it_fails",
        "Name the batch that breaks it",
        "For which batches does batch norm fail, and why for those?",
    ),
    Chapter(
        "A",
        "relatives",
        "Choose what shares a statistic",
        "Which numbers should share a mean and a variance, if any, and what does each choice cost?",
    ),
    Chapter(
        "Y",
        "system",
        "Count the bytes a layer moves",
        "What does batch norm cost in time, in memory, and over a thousand workers?",
    ),
    Chapter(
        "Q",
        "claims_tested",
        "Test the claims",
        "Which of the claims that popular articles make about batch norm hold?",
    ),
    Chapter(
        "X",
        "famous_bugs",
        "Find the bug that training hides",
        "Which bugs of published batch-norm layers does a falling loss not show, and what does?",
    ),
)


def chapter_of(tag):
    """Return the Chapter of a tagged equation, by the letter of the tag.

    Raises:
        KeyError: if no chapter has the letter.
    """
    for chapter in CHAPTERS:
        if chapter.letter == tag[0]:
            return chapter
    raise KeyError(f"The letter of a tag must be that of a chapter. Received: {tag}")


def number_of(chapter):
    """Return the number of a Chapter, from 1."""
    return CHAPTERS.index(chapter) + 1


def where(tag):
    """Return the place of an equation in words.

    >>> where("F3")
    '(F3) in chapter 2, "Normalise a batch" (chapters/forward)'
    """
    chapter = chapter_of(tag)
    page = f"chapters/{chapter.page}"
    address = addresses.page(f"{page}#{tag}") or page
    return f'({tag}) in chapter {number_of(chapter)}, "{chapter.title}" ({address})'
