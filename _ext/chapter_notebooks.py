"""Offer each chapter as a notebook, and each notebook of a set where it can be opened at a click.

The theme has a button for the notebook of a page; here it gets one. It holds what the page holds,
folds and measured minutes included, after a cell that says what is missing to run it. Buttons for
Colab and Binder appear where ``bncourse/addresses.py`` has a repository, and nowhere else.
"""

from pathlib import Path

import jupytext
import nbformat

from bncourse import addresses
from bncourse.contents import CHAPTERS
from bncourse.registry import PROBLEM_SETS

CHAPTER_PAGES = {f"chapters/{each.page}" for each in CHAPTERS}
SET_PAGES = {f"exercises/{each.name}/{each.notebook}" for each in PROBLEM_SETS}
_NEEDS = ("bncourse", "keras", "matplotlib", "myst_nb", "sklearn", "torch")
_ICONS = "_static/images"


def install_line():
    """Return the line that installs what a chapter needs.

    >>> install_line()
    '%pip install ".[book]"'
    """
    source = addresses.source()
    if source == ".":
        return '%pip install ".[book]"'
    return f'%pip install "{source.replace("bncourse", "bncourse[book]", 1)}"'


def first_cell():
    """Return the code that a downloaded chapter begins with."""
    where = " in the folder of the course" if addresses.source() == "." else ""
    names = " ".join(_NEEDS)
    told = f"Run this in a cell{where}, then restart the kernel: {install_line()}"
    return f"""\
# Run this cell first: where something is missing, it says what, and the line that installs it.
from importlib.util import find_spec

missing = [name for name in "{names}".split() if not find_spec(name)]
if missing:
    print("This chapter needs", *missing)
    raise ImportError({told!r})"""


def as_notebook(text):
    """Return the text of a page in MyST, its cells included, as a notebook.

    Args:
        text: as Sphinx reads it, with everything filled in that this course fills in.
    """
    notebook = jupytext.reads(text, fmt="md:myst")
    notebook.cells.insert(0, nbformat.v4.new_code_cell(first_cell()))
    for number, cell in enumerate(notebook.cells):
        # The same text gives the same file.
        cell["id"] = f"cell-{number}"
    return notebook


def _as_read(app, name):
    """Return the text of a page as Sphinx reads it."""
    source = [Path(app.env.doc2path(name)).read_text(encoding="utf-8")]
    app.emit("source-read", name, source)
    return source[0]


def _offer(app, pagename, templatename, context, doctree):
    if pagename in CHAPTER_PAGES:
        context["ipynb_source"] = f"{pagename}.ipynb"
        target = Path(app.outdir, "_sources", f"{pagename}.ipynb")
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(as_notebook(_as_read(app, pagename)), target)


def launches(pagename):
    """Return where the notebook of a set opens, as buttons of the theme; none without a repository.

    >>> launches("exercises/ps1_forward/forward")
    []
    """
    path = f"{pagename}.ipynb"
    places = {
        "Colab": (addresses.colab(path), "logo_colab.png"),
        "Binder": (addresses.binder(path), "logo_binder.svg"),
    }
    return [
        {
            "type": "link",
            "text": name,
            "tooltip": f"Open in {name}",
            "icon": f"{_ICONS}/{icon}",
            "url": address,
        }
        for name, (address, icon) in places.items()
        if address
    ]


def _launch(app, pagename, templatename, context, doctree):
    buttons = launches(pagename) if pagename in SET_PAGES else []
    if buttons:
        context["header_buttons"].insert(
            0,
            {
                "type": "group",
                "tooltip": "Open this notebook elsewhere",
                "icon": "fas fa-rocket",
                "buttons": buttons,
                "label": "launch-buttons",
            },
        )


def setup(app):
    """Offer them around the moment, 501, at which the theme makes its buttons."""
    app.connect("html-page-context", _offer, priority=450)
    app.connect("html-page-context", _launch, priority=600)
    return {"parallel_read_safe": True}
