"""What earns a point in a written answer stands where a human gives the points."""

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbconvert.exporters import HTMLExporter
from nbformat import v4
from traitlets.config import Config

from bncourse.grading.intake.match import match
from bncourse.grading.intake.read import read_cells
from bncourse.grading.nbgrader.config import configure
from bncourse.limits import Limits
from bncourse.registry import PROBLEM_SETS
from bncourse.release import derive_notebook
from bncourse.rubric import rubric_of


def written_answers(notebook):
    """Return ``[(points, rubric)]`` of the answers that a human reads."""
    marks = [(cell.metadata.get("nbgrader", {}), cell) for cell in notebook.cells]
    return [
        (mark.points, cell.metadata.get("rubric"))
        for mark, cell in marks
        if mark.get("grade") and mark.get("solution")
    ]


@pytest.fixture(scope="module")
def derived(root):
    return {
        each.name: derive_notebook(root / "solutions" / each.name / f"{each.notebook}.md")
        for each in PROBLEM_SETS
    }


def test_each_written_answer_carries_what_earns_its_points(derived):
    found = [each for notebook in derived.values() for each in written_answers(notebook)]
    assert found
    for points, rubric in found:
        assert sum(item["points"] for item in rubric) == points
        assert len({item["text"] for item in rubric}) == len(rubric)


def test_a_list_that_does_not_add_up_is_refused():
    with pytest.raises(ValueError, match=r"add up to those of its answer, 3\. Received: 2"):
        rubric_of("- 1 point for a,\n- 1 point for b.", 3)
    assert rubric_of("Write three lines.", 3) == []


def exporter(folder):
    """Return nbgrader's exporter of the page for grading by hand, set up as the formgrader does."""
    ours = Config()
    configure(ours, str(folder / "nbgrader_config.py"))
    theirs = Config()
    theirs.HTMLExporter.template_name = "formgrade"
    # The configuration of a course is loaded after the formgrader's own.
    theirs.merge(ours)
    return HTMLExporter(config=theirs)


def test_the_formgrader_shows_the_list_of_the_release_and_nothing_else(derived, tmp_path):
    released = derived["ps1_forward"]
    handed_in = nbformat.from_dict(released)
    for cell in handed_in.cells:
        if "rubric" in cell.metadata:
            cell.metadata.rubric = [{"points": 3, "text": "being there"}]
        elif cell.cell_type == "markdown":
            cell.source = cell.source.replace("- 1 point for", "- 3 points for")
    handed_in.cells.append(v4.new_markdown_cell("mine", metadata={"rubric": [{"points": 3}]}))
    path = tmp_path / "forward.ipynb"
    nbformat.write(handed_in, path)
    graded, _ = match(read_cells(path, Limits()), derive_anew(derived))
    page, _ = exporter(tmp_path).from_notebook_node(graded, resources={"index": 0, "total": 1})
    soup = BeautifulSoup(page, "html.parser")
    (rubric,) = soup.select(".rubric")
    assert rubric["data-answer"] == "redundant_bias"
    buttons = rubric.select("button")
    assert [each["data-points"] for each in buttons] == ["1", "1", "1"]
    assert "being there" not in page
    assert buttons[0].text == "+1 for how $b$ changes the mean of the batch"
    # nbgrader's own page is still there.
    assert soup.select_one("input.score#redundant_bias")
    assert "nav navbar-nav" in page


def derive_anew(derived):
    return nbformat.from_dict(derived["ps1_forward"])
