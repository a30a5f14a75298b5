"""``bncourse new``: put the notebook of a problem set into the current folder."""

import argparse
import json
import os
import re
import shutil
import sys
from pathlib import Path

import bncourse
from bncourse.registry import ALL_SETS, problem_sets

_PACKAGE = Path(bncourse.__file__).parent
_PICTURE = re.compile(r"!\[([^\]]*)\]\(data:[^)]*\)")
_LINK = re.compile(r"\[([^\]]+)\]\(\.\./\.\./(chapters/\w+\.md)(#\w+)?\)")


def main(arguments):
    """Run the verb, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="bncourse new",
        description="Put a problem set into the current folder.",
        epilog="Example: bncourse new ps1_forward --py. "
        f"The problem sets: {', '.join(problem_sets(optional=True))}.",
    )
    parser.add_argument(
        "problem_set", nargs="?", metavar="PROBLEM_SET", help="its name or its number"
    )
    parser.add_argument("--py", action="store_true", help="as a plain Python file, for an editor")
    given = parser.parse_args(arguments)
    problem_set = find_set(given.problem_set)
    if not problem_set:
        named = f"There is no problem set called {given.problem_set}." if given.problem_set else ""
        parser.error(
            f"{named or 'Name a problem set.'} The sets: {', '.join(problem_sets(optional=True))}"
        )
    notebook = read_notebook(problem_set)
    target = Path(name_of(problem_set)).with_suffix(".py" if given.py else ".ipynb")
    text = as_python(notebook) if given.py else json.dumps(notebook, indent=1, ensure_ascii=False)
    try:
        # Work that is there is never overwritten.
        with target.open("x", encoding="utf-8") as file:
            file.write(text.rstrip("\n") + "\n")
    except FileExistsError:
        parser.error(f"{target} is here already. Move it, or work in another folder.")
    except OSError as error:
        parser.error(
            f"{target} cannot be written into {Path.cwd()} ({error.strerror}). "
            "Work in another folder."
        )
    then = f"bncourse watch {target}" if given.py else f"jupyter lab {target}"
    print(f"{target} is ready. Next: {beside_python(then)}")
    return 0


def find_set(name):
    """Return the name of a problem set that is called by its name, number or notebook, or None.

    >>> find_set("1"), find_set("ps1"), find_set("forward.ipynb"), find_set("ps0")
    ('ps1_forward', 'ps1_forward', 'ps1_forward', None)
    """
    for each in ALL_SETS:
        notebook = each.notebook
        known = {each.name, str(each.number), f"ps{each.number}", notebook, f"{notebook}.ipynb"}
        if name in known:
            return each.name
    return None


def beside_python(command):
    """Return a command line as it works here: with its folder, where the shell does not find it."""
    program, _, rest = command.partition(" ")
    folder = Path(sys.executable).parent
    found = shutil.which(program, path=str(folder))
    if not found or shutil.which(program) == found:
        return command
    path = Path(found)
    if path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    quoted = f'"{path}"' if " " in str(path) else str(path)
    # PowerShell takes what is quoted for a text, unless it is called.
    return f"{'& ' if os.name == 'nt' and quoted != str(path) else ''}{quoted} {rest}"


def name_of(problem_set):
    """Return the file name of a notebook, without suffix."""
    return next(each.notebook for each in ALL_SETS if each.name == problem_set)


def read_notebook(problem_set, folder="."):
    """Return the released notebook of a problem set, as a dict, with links for a folder.

    A chapter is linked where the folder can reach it: on the website, or inside the clone. Else
    its title stands without a link.
    """
    places = (_PACKAGE / "notebooks", _PACKAGE.parent / "exercises")
    name = Path(problem_set, name_of(problem_set)).with_suffix(".ipynb")
    path = next(place / name for place in places if (place / name).exists())
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = [_relink(line, Path(folder)) for line in cell["source"]]
    return notebook


def _relink(line, folder):
    def link(found):
        clone = _PACKAGE.parent
        chapter = clone / found[2]
        if not chapter.exists() or not folder.resolve().is_relative_to(clone):
            return f"*{found[1]}*"
        place = Path(os.path.relpath(chapter, folder.resolve())).as_posix()
        return f"[{found[1]}]({place})"

    return _LINK.sub(link, line)


def as_python(notebook):
    """Return a notebook as a Python file with cells, which editors know by their ``# %%``."""
    parts = []
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            text = _PICTURE.sub(r"Picture: \1", text)
            lines = (f"# {line}".rstrip() for line in text.splitlines())
            parts.append("\n".join(["# %% [markdown]", *lines]))
        else:
            parts.append(f"# %%\n{text}")
    return "\n\n".join(parts) + "\n"
