"""The student notebooks are what the solutions generate, and they hold no answer."""

import base64
import errno
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
from click.testing import CliRunner
from nbclient import NotebookClient
from test_exercises import REPAIRS

from bncourse.commands import verbs as main
from bncourse.commands.kernels import WarmKernels
from bncourse.contents import CHAPTERS, where
from bncourse.errors import CourseError
from bncourse.grading.nbgrader import gradebook
from bncourse.grading.sanitise import safe_markdown
from bncourse.grading.work import GradedCourse
from bncourse.registry import ALL_SETS, MissingPackage, find, require
from bncourse.release import _refusal, derive_notebook, release, set_up_cell, unfinished
from bncourse.solution import source_of, start_of
from bncourse.sources import require_gradable

# A picture with its alternative text; the group is where it comes from.
PICTURE = re.compile(r"!\[[^\]]+\]\(([^)]+)\)")
MARKERS = ("BEGIN SOLUTION", "END SOLUTION", "BEGIN HIDDEN", "END HIDDEN", "MARK SCHEME")


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".ipynb_checkpoints" not in path.parts
    }


def can_run(problem_set):
    """Return whether all is installed that a set needs: an optional one may lack it."""
    try:
        require(problem_set)
    except MissingPackage:
        return False
    return True


def run(notebook, folder):
    """Execute a notebook in a folder; what is large is imported already."""
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(
        notebook, resources=resources, timeout=120, kernel_manager_class=WarmKernels
    ).execute()


def released_notebooks(root):
    return sorted((root / "exercises").glob("*/*.ipynb"))


def test_the_committed_exercises_are_generated_from_the_solutions(root, released):
    assert contents(released / "exercises") == contents(root / "exercises")


def test_a_second_release_changes_no_byte(released):
    before = contents(released / "exercises")
    release(released, say=lambda line: None)
    assert contents(released / "exercises") == before


def test_a_fresh_clone_is_told_what_makes_its_gradebook(released, tmp_path):
    clone = shutil.copytree(released, tmp_path / "clone")
    for path in (clone / "gradebook.db", *clone.glob("solutions/*/*.ipynb")):
        path.unlink()
    course = GradedCourse(clone, "ps1_forward")
    with pytest.raises(CourseError, match=r"does not know forward.ipynb.* Run bncourse release$"):
        gradebook.require_assignment(course, course.release())
    release(clone, say=lambda line: None)
    gradebook.require_assignment(course, course.release())


@pytest.mark.parametrize("part", ["", "solutions", "exercises/ps1_forward"])
def test_a_folder_that_cannot_be_written_is_told(released, part, needs_sandbox):
    folder = released / part
    walls = ["bwrap", "--dev-bind", "/", "/", "--ro-bind", folder, folder, "--"]
    command = [*walls, sys.executable, "-m", "bncourse", "release", "--root", released]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "must be writable" in done.stderr
    assert str(folder) in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_course_without_texts_keeps_what_is_released(tmp_path):
    (tmp_path / "nbgrader_config.py").touch()
    kept = tmp_path / "exercises" / "mine"
    kept.mkdir(parents=True)
    done = CliRunner().invoke(main, ["release", "--root", str(tmp_path)])
    assert done.exit_code == 2
    assert "solutions/ must hold" in done.stderr
    assert kept.is_dir()


def test_what_nbgrader_refuses_is_shown_without_a_traceback(root, monkeypatch):
    def refuse(root, say):
        raise RuntimeError("nbgrader could not release ps1_forward:\nits log")

    monkeypatch.setattr("bncourse.release.release", refuse)
    done = CliRunner().invoke(main, ["release", "--root", str(root)])
    assert done.exit_code == 1
    assert done.stderr == "Error: nbgrader could not release ps1_forward:\nits log\n"


MARK = "nbgrader: {cell_type: code, grade_id: merge_statistics, grade: true, points: 4}"
TEXTS = {
    "weights": (f"---\n{MARK}\nweights: {{n: 1, mean: 1}}\n---\ncheck(1)", "must name its results"),
    "no mapping": (f"---\n{MARK}\nweights: {{n: 1,\n---\ncheck(1)", "Invalid YAML"),
    "a bracket": (f"---\nnbgrader: {{points: 1]\n---\n{MARK}", "could not be read"),
}


@pytest.mark.parametrize("name", [*TEXTS, "picture", "bytes", "head", "kernel"])
def test_a_text_that_cannot_be_released_is_named_with_the_reason(tmp_path, name):
    cell, reason = TEXTS.get(name, ("1", ""))
    head = "---\nkernelspec:\n  display_name: Python 3\n  name: python3\n---\n"
    text = f"{head}```{{code-cell}}\n{cell}\n```\n"
    if name == "picture":
        text, reason = f"{text}\n![a](../../pictures/gone.png)\n", "No such file"
    elif name == "kernel":
        text, reason = text.replace("  display_name: Python 3\n", ""), "display_name"
    elif name == "head":
        text, reason = text.replace("kernelspec:", "kernelspec: ["), "expected"
    source = tmp_path / "solutions" / "ps1_forward" / "forward.md"
    source.parent.mkdir(parents=True)
    source.write_bytes(b"\xff\xfe\xe9" if name == "bytes" else text.encode())
    (tmp_path / "nbgrader_config.py").write_text("c = get_config()\n")
    done = CliRunner().invoke(main, ["release", "--root", str(tmp_path)])
    assert done.exit_code == 2
    rule = "solutions/ps1_forward/forward.md must be a text that can be released"
    assert done.stderr.startswith(f"Error: {rule}, and what was released stays as it was: ")
    assert (reason or "codec") in done.stderr
    assert done.stderr.count("\n") == 1


FIRST = "grade_id: batch_statistics"
BROKEN = {
    "empty": (lambda text: "\n", "must have a cell that earns points"),
    "no notebook": (lambda text: "<html>hello</html>", "must have a cell that earns points"),
    "no check": (
        lambda text: text.replace(f"grade: true, {FIRST},", f"grade: false, {FIRST},"),
        "must have a check that earns points. Received: batch_statistics_answer",
    ),
    "no answer": (
        lambda text: text.replace("solution: true", "solution: false", 1),
        "must have an answer cell, batch_statistics_answer",
    ),
    "no solution": (
        lambda text: text.replace("### BEGIN SOLUTION", "", 1).replace("### END SOLUTION", "", 1),
        "Received neither in: batch_statistics_answer",
    ),
    "another exercise": (
        lambda text: text.replace(f"{FIRST},", "grade_id: batch_statistiks,"),
        "Received: batch_statistiks",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_text_that_grading_could_not_use_is_not_released(root, tmp_path, name):
    """Students would get a set without an exercise, or nothing, and nobody would be told."""
    change, reason = BROKEN[name]
    source = tmp_path / "solutions" / "ps1_forward" / "forward.md"
    source.parent.mkdir(parents=True)
    text = (root / source.relative_to(tmp_path)).read_text()
    source.write_text(change(text))
    (tmp_path / "pictures").symlink_to(root / "pictures")
    (tmp_path / "nbgrader_config.py").write_text("c = get_config()\n")
    with pytest.raises(CourseError, match=re.escape(reason)):
        release(tmp_path, say=lambda line: None)
    assert not (tmp_path / "exercises").exists()


def test_an_exercise_may_be_left_out_as_a_whole(root):
    notebook = derive_notebook(root / "solutions" / "ps1_forward" / "forward.md")
    notebook.cells = [cell for cell in notebook.cells if "merge_statistics" not in cell.id]
    require_gradable(notebook, "ps1_forward")


def test_an_empty_text_is_refused_where_nothing_else_is_known_of_its_set():
    with pytest.raises(ValueError, match="must hold a cell"):
        require_gradable(nbformat.v4.new_notebook(), "mine")


def test_a_release_says_which_set_nothing_grades(tmp_path, monkeypatch):
    (tmp_path / "nbgrader_config.py").write_text("c = get_config()\n")
    (tmp_path / "solutions" / "ps").mkdir(parents=True)
    (tmp_path / "solutions" / "ps" / "mine.md").write_text("# Mine\n")
    monkeypatch.setattr("bncourse.release._release", lambda root, name: None)
    (tmp_path / "exercises").mkdir()
    told = []
    release(tmp_path, say=told.append)
    assert told == ["releasing ps: it is not in bncourse/registry.py, so bncourse grade refuses it"]


def test_of_a_log_of_nbgrader_the_reason_is_shown():
    log = (
        "[ERROR] There was an error\n    Traceback (most recent call last):\n      File x, line 3\n"
        "    RuntimeError: no end solution statement found\n    \n[ERROR] Please see the above\n"
    )
    told = _refusal("ps1_forward", log)
    assert told.endswith("stays as it was:\nRuntimeError: no end solution statement found")
    assert _refusal("ps1_forward", "[ERROR] newer version").endswith("[ERROR] newer version")


def test_a_release_that_fails_leaves_what_was_released(tmp_path, monkeypatch):
    (tmp_path / "nbgrader_config.py").write_text("c = get_config()\n")
    kept = tmp_path / "exercises" / "ps" / "forward.ipynb"
    kept.parent.mkdir(parents=True)
    kept.write_text("what students have")

    def fails(self, name, force):
        folder = tmp_path / self.coursedir.release_directory / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        # Killed here, nothing of what students have is gone.
        assert kept.read_text() == "what students have"
        return {"success": False, "log": "Exception: Cannot add or remove cells"}

    (tmp_path / "solutions" / "ps").mkdir(parents=True)
    (tmp_path / "solutions" / "ps" / "forward.md").touch()
    monkeypatch.setattr("bncourse.release._derive", lambda root: ["ps"])
    monkeypatch.setattr("nbgrader.apps.NbGraderAPI.generate_assignment", fails)
    before = sorted(each.name for each in tmp_path.iterdir())
    # A sentence; the log that ends in it is left out.
    with pytest.raises(RuntimeError, match=r"stays as it was\. A graded cell was .* Put it back"):
        release(tmp_path, say=lambda line: None)
    assert kept.read_text() == "what students have"
    assert sorted(each.name for each in tmp_path.iterdir()) == before


def test_a_release_says_that_it_is_under_way_until_it_has_ended(tmp_path, monkeypatch):
    """Killed in between, the gradebook may know another release than students have."""
    (tmp_path / "nbgrader_config.py").write_text("c = get_config()\n")
    (tmp_path / "solutions" / "ps").mkdir(parents=True)
    (tmp_path / "solutions" / "ps" / "forward.md").touch()
    told = []

    def generate(self, name, force):
        (tmp_path / self.coursedir.release_directory / name).mkdir(parents=True)
        told.append(unfinished(tmp_path))
        return {"success": True}

    monkeypatch.setattr("bncourse.release._derive", lambda root: ["ps"])
    monkeypatch.setattr("nbgrader.apps.NbGraderAPI.generate_assignment", generate)
    assert not unfinished(tmp_path)
    release(tmp_path, say=lambda line: None)
    assert told == ["A release has not ended. If none is running, repeat it: bncourse release"]
    assert not unfinished(tmp_path)
    assert (tmp_path / "exercises" / "ps").is_dir()


def test_half_a_solution_never_stands_where_students_get_what_is_there(tmp_path, monkeypatch):
    (tmp_path / "nbgrader_config.py").write_text("c = get_config()\n")
    source = tmp_path / "solutions" / "ps" / "forward.md"
    source.parent.mkdir(parents=True)
    source.write_text("# A text\n")
    source.with_suffix(".ipynb").write_text("old")
    write = Path.write_text

    def stopped(path, text):
        write(path, text[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", stopped)
    with pytest.raises(OSError, match="No space"):
        release(tmp_path, say=lambda line: None)
    assert contents(source.parent) == {"forward.md": b"# A text\n", "forward.ipynb": b"old"}


def test_students_get_notebooks_only(root):
    assert all(name.endswith(".ipynb") for name in contents(root / "exercises"))


def solution_lines(source):
    """Return the lines of code that stand between the solution markers of a text."""
    blocks = re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", source, re.DOTALL)
    return {line.strip() for block in blocks for line in block.splitlines()}


def test_no_released_file_holds_an_answer(root):
    starts = [start_of(find(name)).splitlines() for name in REPAIRS]
    started = {line.strip() for lines in starts for line in lines}
    for source in (root / "solutions").glob("*/*.md"):
        text = source.read_text()
        released = (root / "exercises" / source.parent.name).glob("*.ipynb")
        cells = [cell.source for path in released for cell in nbformat.read(path, 4).cells]
        given = "\n".join(cells)
        assert not any(marker in given for marker in MARKERS)
        shown = {line.strip() for line in given.splitlines()}
        # Code that is to be repaired has many a line of the answer; what it lacks is the repair.
        telling = {line for line in solution_lines(text) - started if len(line) > 25}
        assert telling, f"{source} has no marked solution"
        assert not telling & shown
        for cell in derive_notebook(source).cells:
            if cell.cell_type == "markdown" and cell.metadata.get("nbgrader", {}).get("solution"):
                assert cell.source not in given


def test_an_exercise_that_repairs_starts_from_the_bug_and_nothing_else_does(root):
    marked = []
    for source in (root / "solutions").glob("*/*.md"):
        released = nbformat.read(
            root / "exercises" / source.parent.name / f"{source.stem}.ipynb", 4
        )
        shown = {cell.id: cell for cell in released.cells}
        for cell in derive_notebook(source).cells:
            if not cell.metadata.get("starts_wrong"):
                continue
            name = cell.metadata.nbgrader.grade_id.removesuffix("_answer")
            # The solution is the repaired code, and the release is the bug: both from one source.
            plain = [line for line in cell.source.splitlines() if "### " not in line]
            assert plain == source_of(find(name)).strip().splitlines()
            assert shown[cell.id].source == start_of(find(name))
            assert "starts_wrong" not in shown[cell.id].metadata
            marked.append(name)
    assert sorted(marked) == sorted(REPAIRS)


def test_each_exercise_has_one_answer_cell_and_one_grade_cell(root):
    for source in (root / "solutions").glob("*/*.md"):
        cells = [cell.metadata.get("nbgrader", {}) for cell in derive_notebook(source).cells]
        answers = {meta["grade_id"] for meta in cells if meta.get("solution")}
        graded = {meta["grade_id"] for meta in cells if meta.get("grade") and meta["locked"]}
        (names,) = ({*each.exercises} for each in ALL_SETS if each.name == source.parent.name)
        assert graded == names
        assert {f"{name}_answer" for name in names} <= answers


def test_the_points_in_the_text_are_the_points_of_the_cells(root):
    for source in (root / "solutions").glob("*/*.md"):
        cells = derive_notebook(source).cells
        points = [
            cell.metadata.nbgrader.points
            for cell in cells
            if cell.metadata.get("nbgrader", {}).get("grade")
        ]
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        stated = [int(n) for n in re.findall(r"^★+ · .*?(\d+) points?", text, re.MULTILINE)]
        assert stated == points
        total = re.search(r"\| Points \| (\d+)", text)
        assert int(total.group(1)) == sum(points)


def test_the_text_keeps_its_cells_when_jupytext_opens_it(root):
    for source in (root / "solutions").glob("*/*.md"):
        plain = jupytext.read(source)
        derived = derive_notebook(source)
        # All but the first code cell, which each notebook is given, and the bytes of pictures.
        assert [PICTURE.sub("", cell.source) for cell in plain.cells] == [
            PICTURE.sub("", cell.source) for number, cell in enumerate(derived.cells) if number != 1
        ]


def test_a_notebook_carries_its_pictures_each_in_a_cell_of_its_own(root):
    shown = []
    for source in (root / "solutions").glob("*/*.md"):
        paths = re.findall(r"!\[[^\]]+\]\(\.\./\.\./pictures/(\w+)\.png\)", source.read_text())
        cells = [cell for cell in derive_notebook(source).cells if "![" in cell.source]
        assert len(cells) == len(paths), source
        for cell, name in zip(cells, paths, strict=True):
            content = PICTURE.fullmatch(cell.source)[1].partition("base64,")[2]
            assert base64.b64decode(content) == (root / f"pictures/{name}.png").read_bytes()
        shown += paths
    assert sorted(shown) == sorted(path.stem for path in (root / "pictures").glob("*.png"))


def test_the_pictures_of_a_notebook_show_on_its_page_of_feedback(root):
    (cell,) = [
        cell
        for cell in nbformat.read(root / "exercises/ps1_forward/forward.ipynb", 4).cells
        if "![" in cell.source
    ]
    html = safe_markdown({"cell": {}, "resources": {}}, cell.source)
    assert f'src="{PICTURE.fullmatch(cell.source)[1]}"' in html


def test_a_grade_id_may_not_repeat(tmp_path):
    cell = "```{code-cell}\n---\nnbgrader: {grade_id: same}\n---\n1\n```\n"
    text = "---\nkernelspec:\n  name: python3\n  display_name: Python 3\n---\n"
    source = tmp_path / "twice.md"
    source.write_text(text + cell + cell)
    with pytest.raises(ValueError, match="same twice"):
        derive_notebook(source)


@pytest.mark.slow
def test_a_blank_notebook_runs_to_its_end(root, tmp_path):
    """A student opens it in an empty folder: it needs bncourse and nothing of this repository.

    What is not answered yet says so, and does not keep the cells below it from running.
    """
    for path in filter(lambda path: can_run(path.parent.name), released_notebooks(root)):
        notebook = nbformat.read(path, 4)
        run(notebook, tmp_path)
        for cell in notebook.cells:
            if cell.metadata.get("nbgrader", {}).get("grade") and cell.cell_type == "code":
                (output,) = cell.outputs
                assert output.output_type == "error"
                starts_wrong = cell.metadata.nbgrader.grade_id in REPAIRS
                said = "is not right yet" if starts_wrong else "the answer is missing"
                assert said in output.evalue, path


def test_a_chapter_is_linked_under_its_title(root):
    titles = {chapter.page: chapter.title for chapter in CHAPTERS}
    found = 0
    for source in (root / "solutions").glob("*/*.md"):
        links = re.findall(r"\[([^\]]*)\]\(\.\./\.\./chapters/(\w+)\.md", source.read_text())
        found += len(links)
        assert all(titles[page] == text for text, page in links), source
    assert found > 5


def test_a_chapter_is_found_from_anywhere_once_the_site_has_an_address(root, monkeypatch):
    monkeypatch.setattr("bncourse.addresses.SITE", "https://example.org/course")
    monkeypatch.setattr("bncourse.addresses.REPOSITORY", "https://github.com/owner/course")
    for source in (root / "solutions").glob("*/*.md"):
        text = "\n".join(cell.source for cell in derive_notebook(source).cells)
        assert "../../" not in text
        assert "](https://example.org/course/chapters/" in text
        assert '%pip install "bncourse @ https://github.com/owner/course/archive/' in text
    assert where("F2").endswith("(https://example.org/course/chapters/forward.html#f2)")


@pytest.mark.parametrize("problem_set", [each.name for each in ALL_SETS if can_run(each.name)])
def test_the_first_cell_says_how_to_install_the_course(problem_set):
    """As on Colab and in any Python in which nothing of this course is installed."""
    code = set_up_cell(problem_set)
    blocked = "import sys; sys.modules['bncourse'] = None\n"
    done = subprocess.run([sys.executable, "-c", blocked + code], capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: This notebook needs bncourse")
    assert "%pip install" in last
    assert "During handling" not in done.stderr
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_first_cell_is_left_out_where_nothing_is_to_be_installed(root):
    for path in released_notebooks(root):
        first, *others = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        assert "%pip install" in first.source
        assert "remove-cell" in first.metadata.tags
        assert not any("remove-cell" in cell.metadata.get("tags", []) for cell in others)


def test_the_first_cell_names_a_package_that_is_missing():
    blocked = "import sys; sys.modules['torch'] = None\n"
    code = blocked + set_up_cell("ps4_pytorch")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (
        "needs PyTorch, which is not installed here. Install it: pip install torch" in done.stderr
    )


@pytest.mark.slow
def test_a_solution_notebook_passes_every_check(released, tmp_path):
    paths = sorted((released / "solutions").glob("*/*.ipynb"))
    for path in filter(lambda path: can_run(path.parent.name), paths):
        notebook = nbformat.read(path, 4)
        run(notebook, tmp_path)
        graded = [
            cell
            for cell in notebook.cells
            if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("grade")
        ]
        assert all(": correct in all" in cell.outputs[0].text for cell in graded)
