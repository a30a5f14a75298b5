"""Say how to get the exercises: one text for the website, the guides and the README.

A page asks for it with an empty ``{get-the-exercises}`` fence. The page of each problem set has it
below its heading, with the lines of that set. ``python _ext/get_the_exercises.py`` writes it into
the README. What stands in it follows from ``bncourse/addresses.py`` and from what
``benchmarks/first_check.py`` measured.
"""

import json
import re
import tomllib
from pathlib import Path

from bncourse import addresses
from bncourse.contents import CHAPTERS
from bncourse.registry import ALL_SETS, PROBLEM_SETS

ROOT = Path(__file__).parents[1]
MEASURED = ROOT / "benchmarks" / "results" / "first_check.json"
_FENCE = "```{get-the-exercises}\n```"
_BETWEEN = re.compile(r"(?<=<!-- get the exercises -->\n).*?(?=<!-- end -->)", re.S)
_TABS = ("Linux, macOS", "Windows (PowerShell)", "conda", "Colab")
# PyTorch's own index; on Windows and macOS, plain pip brings the build for CPUs.
_CPU = "pip install torch --index-url https://download.pytorch.org/whl/cpu"


def tabs(each):
    """Return ``{tab: (language, text)}`` for a ProblemSet."""
    target = addresses.source()
    quoted = target if target == "." else f'"{target}"'
    install = " ".join(["install", quoted, "jupyterlab", "matplotlib", *_needs(each)])
    new, lab = f"bncourse new {each.name}", f"jupyter lab {each.notebook}.ipynb"
    conda = ["conda create -n batchnorm python=3.12", "conda activate batchnorm"]
    return {
        _TABS[0]: _lines("bash", "python3 -m venv .venv", ".venv/bin/", "pip " + install, new, lab),
        _TABS[1]: _lines(
            "powershell", "py -m venv .venv", ".venv\\Scripts\\", "pip " + install, new, lab
        ),
        _TABS[2]: _lines("bash", "\n".join(conda), "", "pip " + install, new, lab),
        _TABS[3]: _colab(each),
    }


def _needs(each):
    """Return what pip installs for a set: Keras computes with PyTorch unless one says otherwise."""
    return ["torch", "keras"] if "keras" in each.needs else list(each.needs)


def _lines(language, first, folder, *rest):
    code = "\n".join([first, *(folder + line for line in rest)])
    return f"```{language}\n{code}\n```"


def _colab(each):
    path = f"exercises/{each.name}/{each.notebook}.ipynb"
    address = addresses.colab(path)
    if address:
        return (
            f"Open [{each.notebook}.ipynb in Colab]({address}). Run its first cell, then in a new "
            f'cell:\n\n```text\n%pip install "{addresses.source()}"\n```'
        )
    return (
        f"Make a wheel of the course, `python3 -m pip wheel --no-deps .`. In Colab, upload "
        f"`{path}` as a notebook and the wheel in the file panel, then run in a new cell:\n\n"
        f"```text\n%pip install {wheel()}\n```"
    )


def wheel():
    """Return the file name of the wheel of this version."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return f"bncourse-{version}-py3-none-any.whl"


def notes(each):
    """Return what stands below the tabs: where the lines run, and what they take."""
    lines = ["You need Python 3.11 or newer."]
    if addresses.source() == ".":
        lines.append(
            "Run the lines in the folder of the course: the dot stands for it. If you were given "
            f"a wheel, put its name, `{wheel()}`, in the place of the dot."
        )
    if each.needs:
        lines.append(
            f"On Linux, `{_CPU}` first brings the PyTorch for CPUs. Without that line you get the "
            "one for NVIDIA cards, which is far larger."
        )
    else:
        lines.append(
            "Sets 1 to 3 need no PyTorch. Without JupyterLab, in any editor: "
            f"`bncourse new {each.name} --py`, then `bncourse watch {each.notebook}.py`."
        )
    return " ".join(lines)


def measured():
    """Return the table of what an installation takes."""
    rows = json.loads(MEASURED.read_text())
    head = "| for | download | on disk | install | first check |\n|---|---|---|---|---|"
    return "\n".join(
        [head]
        + [
            f"| {row['for']} | {row['download']} MB | {row['disk']} MB | {row['seconds']} s "
            f"| {row['check']:g} s |"
            for row in rows
        ]
    )


def as_myst(each=PROBLEM_SETS[0]):
    """Return the box of a ProblemSet for a page of the website."""
    items = [
        f"````{{tab-item}} {title}\n:sync: {number}\n{text}\n````"
        for number, (title, text) in enumerate(tabs(each).items())
    ]
    return "\n".join(
        [
            "``````{admonition} Get the exercises",
            ":class: tip",
            "`````{tab-set}",
            ":sync-group: platform",
            *items,
            "`````",
            "",
            notes(each),
            "",
            "````{dropdown} What it takes, in seconds of one core at work",
            measured(),
            "````",
            "``````",
        ]
    )


def as_markdown(each=PROBLEM_SETS[0]):
    """Return the box of a ProblemSet where there are no tabs."""
    parts = [f"**{title}**\n\n{text}" for title, text in tabs(each).items()]
    head = "Measured, in seconds of one core at work:"
    return "\n\n".join([*parts, notes(each), head, measured()]) + "\n"


def fill(name, source):
    """Return the source of a page, a text or a notebook, with the box in it.

    Args:
        name: of the page, without suffix.
        source: what stands in its file.
    """
    each = next((s for s in ALL_SETS if name == f"exercises/{s.name}/{s.notebook}"), None)
    if not each:
        return source.replace(_FENCE, as_myst())
    notebook = json.loads(source)
    # Below the first text, in its cell: a cell of its own would move the number of every other.
    title = notebook["cells"][0]
    title["source"] = [*title["source"], "\n\n", *as_myst(each).splitlines(keepends=True)]
    text = json.dumps(notebook)
    # On the website itself a chapter is a page of it, whatever its address.
    for chapter in CHAPTERS:
        page = f"chapters/{chapter.page}"
        text = text.replace(f"]({addresses.page(page) or None})", f"](../../{page}.md)")
    return text


def write_readme(path=ROOT / "README.md"):
    """Write the box into the README."""
    path.write_text(_BETWEEN.sub(lambda _: "\n" + as_markdown() + "\n", path.read_text()))


def _fill_page(app, name, source):
    source[0] = fill(name, source[0])


def setup(app):
    """Fill in the box before a page is read."""
    app.connect("source-read", _fill_page, priority=300)
    return {"parallel_read_safe": True}


if __name__ == "__main__":
    write_readme()
