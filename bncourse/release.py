"""Make the student notebooks: text sources -> solution notebooks -> nbgrader release.

``solutions/*/*.md`` is the single source. Cell ids are drawn from the content, so that the same
source gives the same bytes, and a change in one cell changes one cell.
"""

import base64
import contextlib
import errno
import hashlib
import itertools
import os
import re
import shutil
from pathlib import Path

import jupytext
import nbformat
from jupytext.myst import MystMetadataParsingError
from yaml import YAMLError

from bncourse import addresses
from bncourse.course import load_config, scripts_on_path
from bncourse.credit import check_line, require_weights
from bncourse.errors import CourseError
from bncourse.registry import find, problem_sets
from bncourse.rubric import rubric_of
from bncourse.sources import require_gradable
from bncourse.whole import recover, replace_folder

NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}

# Where a release is made before it replaces another one.
_PART = ".release.part"

# The first code cell. It must run where bncourse is missing, and on every later change of it.
_SET_UP = """\
# Run this cell first: where something is missing, it says what, and the line that installs it.
try:
    from bncourse.registry import require
except ImportError as missing:
    if not str(missing.name).startswith("bncourse"):
        raise
    raise ImportError({sentence!r}) from None
require({name!r})"""

# A link to a chapter, as it leads somewhere from the folder of the source and of the release.
_CHAPTER_LINK = re.compile(r"\]\(\.\./\.\./(chapters/\w+)\.md(#\w+)?\)")
_PICTURE = re.compile(r"(!\[[^\]]*\])\((\.\./\.\./pictures/\w+\.png)\)")
# What jupytext, nbformat and this module say of a text that is no notebook.
_NO_TEXT = (
    FileNotFoundError,
    ValueError,
    YAMLError,
    MystMetadataParsingError,
    nbformat.ValidationError,
)

# How the exception that nobody caught stands in a log of nbgrader.
_RAISED = re.compile(r"^ *((?:\w+\.)*\w*(?:Error|Exception): .*\S)", re.MULTILINE)


def derive_notebook(source):
    """Return the solution notebook of one MyST text, with ids that depend on the text only.

    What every notebook has is added here: a first cell that says what is missing, chapters that
    are found from anywhere, pictures that travel with it, and checks that do not stop *Run All*.

    Args:
        source: path of a text in jupytext's ``md:myst`` format.

    Raises:
        ValueError: if two cells carry the same grade_id, since nbgrader would mix up their grades,
            or if what parts weigh, or what earns points in a text, does not fit.
        OSError: if a picture cannot be read.
    """
    notebook = jupytext.read(source, fmt="md:myst")
    notebook.metadata = nbformat.from_dict(NOTEBOOK_METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    name = Path(source).parent.name
    _say_weights(notebook)
    _carry_rubrics(notebook)
    for cell in notebook.cells:
        _reach_further(cell)
        _carry_pictures(cell, Path(source).parent)
    if name in problem_sets(optional=True):
        # Its page on the website leaves it out: nothing is to be installed there.
        tags = {"tags": ["remove-cell"]}
        notebook.cells.insert(1, nbformat.v4.new_code_cell(set_up_cell(name), metadata=tags))
    used = set()
    for cell in notebook.cells:
        cell.id = _cell_id(cell, used, source)
        used.add(cell.id)
    return notebook


def set_up_cell(problem_set):
    """Return the text of the first code cell of a notebook."""
    target = addresses.source()
    if target == ".":
        line = (
            "%pip install . in the folder of the course, or with the name of its wheel for the dot"
        )
    else:
        line = f'%pip install "{target}"'
    sentence = (
        "This notebook needs bncourse, which is missing here, too old, or hidden by a file called "
        f"bncourse.py. Run this in a cell, then restart the kernel: {line}"
    )
    return _SET_UP.format(sentence=sentence, name=problem_set)


def _reach_further(cell):
    """Let a chapter be found from anywhere, and *Run All* go past what is not answered yet."""
    if cell.cell_type == "markdown":
        cell.source = _CHAPTER_LINK.sub(_link, cell.source)
    elif not cell.metadata.get("nbgrader", {}).get("solution"):
        # Jupyter and nbconvert then show the error and go on; a grader sees it as before.
        cell.metadata.setdefault("tags", []).append("raises-exception")


def _say_weights(notebook):
    """Let each check of a notebook know what parts weigh, where they earn points.

    Raises:
        ValueError: the weights do not fit the exercise.
    """
    repairs = {_grade_id(cell) for cell in notebook.cells if cell.metadata.get("starts_wrong")}
    for cell in notebook.cells:
        weights, name = cell.metadata.get("weights"), _grade_id(cell)
        if not weights:
            continue
        # Code that is to be repaired has right parts before anybody touches it.
        if name is None or find(name) is None or f"{name}_answer" in repairs:
            raise ValueError(
                f"weights must stand at the check of an exercise that repairs no code. "
                f"Received: {weights!r} at {name}"
            )
        require_weights(find(name), weights)
        cell.source = check_line(name, weights)


def _carry_rubrics(notebook):
    """Let each written answer carry what earns a point, for whoever grades it.

    Raises:
        ValueError: the points of a list are not those of its answer.
    """
    for task, answer in itertools.pairwise(notebook.cells):
        mark = answer.metadata.get("nbgrader", {})
        if answer.cell_type == "markdown" and mark.get("grade") and mark.get("solution"):
            rubric = rubric_of(task.source, mark.points)
            if rubric:
                answer.metadata["rubric"] = rubric


def _grade_id(cell):
    return cell.metadata.get("nbgrader", {}).get("grade_id")


def _carry_pictures(cell, folder):
    """Put each picture into the text that shows it.

    As an attachment of the cell it would be missing in Colab, and as a file of its own wherever
    the notebook goes alone.
    """

    def carry(found):
        content = base64.b64encode((folder / found[2]).read_bytes()).decode()
        return f"{found[1]}(data:image/png;base64,{content})"

    if cell.cell_type == "markdown":
        cell.source = _PICTURE.sub(carry, cell.source)


def _link(found):
    address = addresses.page(found[1] + (found[2] or ""))
    return f"]({address})" if address else found[0]


def _cell_id(cell, used, source):
    grade_id = _grade_id(cell)
    if grade_id:
        if grade_id in used:
            raise ValueError(
                f"A grade_id must be unique in its notebook. Received: {grade_id} twice in {source}"
            )
        return grade_id
    digest = hashlib.sha256(cell.source.encode()).hexdigest()
    # Equal texts need different ids: lengthen the digest's prefix by a count.
    candidates = (
        f"{digest[:8]}-{count}" if count else digest[:8] for count in range(len(used) + 1)
    )
    return next(each for each in candidates if each not in used)


def derive_all(root):
    """Write the solution notebook beside each text source; return the assignment names."""
    with _under_way(Path(root)):
        return _derive(root)


def _derive(root):
    """Derive them while a release is under way: each is written there, then put into its place.

    A notebook whose content is unchanged is not rewritten, so that make sees no change.
    """
    names, made = [], Path(root, _PART)
    for source in sorted(Path(root, "solutions").glob("*/*.md")):
        text = nbformat.writes(_derived(source, root)) + "\n"
        target = source.with_suffix(".ipynb")
        if not target.exists() or target.read_text() != text:
            # Not beside the target: students get what else stands there.
            half = made / target.name
            half.write_text(text)
            half.replace(target)
        names.append(source.parent.name)
    return sorted(set(names))


def _derived(source, root):
    """Return the solution notebook of one text.

    Raises:
        CourseError: somebody has to put the text right, or a picture of it is not there.
    """
    try:
        notebook = derive_notebook(source)
        require_gradable(notebook, source.parent.name)
        return notebook
    except _NO_TEXT as reason:
        told = " ".join(str(reason).split())
        raise CourseError(
            f"{source.relative_to(root)} must be a text that can be released, "
            f"and what was released stays as it was: {told}"
        ) from None


def release(root, say=print):
    """Derive every notebook and release it to ``exercises/`` through nbgrader.

    Args:
        root: the course folder, which holds nbgrader_config.py.
        say: receives a line of progress for each assignment.

    Raises:
        CourseError: if there is no text of a problem set, or one that cannot be a notebook.
        OSError: if a folder cannot be written.
        RuntimeError: if nbgrader refuses an assignment; the message is nbgrader's log.
    """
    root = Path(root).resolve()
    _require_writable(root)
    if not any(root.glob("solutions/*/*.md")):
        # Else all that was released would go, as withdrawn.
        raise CourseError(f"solutions/ must hold the text of a problem set. Received: {root}")
    with _under_way(root):
        names = _derive(root)
        with scripts_on_path():
            for name in names:
                say(f"releasing {name}{_foreign(name)}")
                _release(root, name)
        _remove_withdrawn(root / "exercises", names)


def _foreign(name):
    known = name in problem_sets(optional=True)
    return "" if known else ": it is not in bncourse/registry.py, so bncourse grade refuses it"


def unfinished(root):
    """Return a sentence where a release is under way, or was killed; else nothing.

    The gradebook then may know another release of a problem set than students have.
    """
    if not Path(root, _PART).exists():
        return ""
    return "A release has not ended. If none is running, repeat it: bncourse release"


@contextlib.contextmanager
def _under_way(root):
    made = root / _PART
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    try:
        yield
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _release(root, name):
    """Release one assignment: nbgrader empties the folder before it knows what will be in it."""
    # It takes a second to import, which the self-check must not pay for.
    from nbgrader.apps import NbGraderAPI

    config, made = load_config(root), root / _PART
    config.CourseDirectory.release_directory = _PART
    place = root / "exercises" / name
    recover(place)
    result = NbGraderAPI(config=config).generate_assignment(name, force=True)
    if not result["success"]:
        raise RuntimeError(_refusal(name, result["log"]))
    place.parent.mkdir(exist_ok=True)
    replace_folder(made / name, place)


def _refusal(name, log):
    text = f"nbgrader could not release {name}, and what was released stays as it was"
    if "Cannot add or remove" in log:
        return (
            f"{text}. A graded cell was added or removed after hand-ins were graded. Put it back, "
            f"or give the new version the name of a new problem set."
        )
    # Its log of forty lines would hide the reason, which stands at the end of a traceback.
    return f"{text}:\n" + ("\n".join(_RAISED.findall(log)) or log)


def _require_writable(root):
    # nbgrader would bury the reason in its log.
    for folder in (root, *root.glob("exercises/**/"), *root.glob("solutions/**/")):
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def _remove_withdrawn(exercises, names):
    for folder in exercises.iterdir():
        if folder.is_dir() and folder.name not in names:
            shutil.rmtree(folder)
