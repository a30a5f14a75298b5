"""What is handed in becomes a gradable notebook, or gets a reason; it never raises otherwise."""

import json
import os

import nbformat
import pytest
from nbformat import v3, v4

from bncourse.grading.intake.match import MISSING, match
from bncourse.grading.intake.read import Malformed, read_cells
from bncourse.grading.intake.request import requests
from bncourse.limits import Limits

LIMITS = Limits(notebook=100_000)


def marked(cell, grade_id, **options):
    cell.metadata["nbgrader"] = {
        "grade_id": grade_id,
        "grade": False,
        "solution": False,
        "locked": False,
        "schema_version": 3,
        **options,
    }
    return cell


def release():
    return v4.new_notebook(
        cells=[
            v4.new_markdown_cell("# Exercise"),
            v4.new_code_cell("import numpy as np"),
            marked(
                v4.new_code_cell("def f(x):\n    raise NotImplementedError"),
                "f-answer",
                solution=True,
            ),
            marked(v4.new_code_cell("check(f)"), "f", grade=True, locked=True, points=2),
            v4.new_markdown_cell("Why is the bias redundant?"),
            marked(v4.new_markdown_cell("Your answer"), "why", grade=True, solution=True, points=3),
        ]
    )


def written(path, notebook):
    # Not nbformat's writer, which repairs what a student may hand in.
    path.write_text(json.dumps(notebook))
    return path


def handed_in(path, notebook):
    return match(read_cells(written(path, notebook), LIMITS), release())


def ids(notebook):
    return [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in notebook.cells]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ps.ipynb"


def test_the_untouched_release_passes_through(path):
    notebook, flags = handed_in(path, release())
    assert not flags
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in release().cells]
    nbformat.validate(notebook)


BROKEN = {
    "empty": b"",
    "blank": b" \n",
    "binary": bytes(range(256)),
    "utf-16": json.dumps(release()).encode("utf-16"),
    "broken": nbformat.writes(release()).encode()[:-20],
    "no object": b"[]",
    "no version": b"{}",
    "version 5": b'{"nbformat": 5, "cells": []}',
    "version text": b'{"nbformat": "4", "cells": []}',
    "no cells": b'{"nbformat": 4}',
    "cells no list": b'{"nbformat": 4, "cells": {}}',
    "cell no object": b'{"nbformat": 4, "cells": [1]}',
    "odd cell": b'{"nbformat": 4, "cells": [{"cell_type": "evil"}]}',
    "odd kind of cell": b'{"nbformat": 4, "cells": [{"cell_type": []}]}',
    "odd source": b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": 1}]}',
    "deep": b"[" * 90_000,
    "deep object": b'{"a":' * 15_000,
    "huge number": b'{"nbformat": 4, "cells": ' + b"9" * 50_000 + b"}",
    "many cells": json.dumps({"nbformat": 4, "cells": [{"cell_type": "raw"}] * 3000}).encode(),
    "version 3, no worksheets": b'{"nbformat": 3, "worksheets": 1}',
    "version 1": b'{"nbformat": 1, "cells": [1]}',
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_malformed(path, name):
    path.write_bytes(BROKEN[name])
    with pytest.raises(Malformed):
        read_cells(path, LIMITS)


def test_a_large_file_is_refused_before_it_is_read(path):
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(Malformed, match="too large"):
        read_cells(path, LIMITS)


def test_links_and_devices_are_never_followed(path, tmp_path):
    real = written(tmp_path / "real.ipynb", release())
    path.symlink_to(real)
    with pytest.raises(Malformed, match="link"):
        read_cells(path, LIMITS)
    path.unlink()
    os.link(real, path)
    with pytest.raises(Malformed, match="link"):
        read_cells(path, LIMITS)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(Malformed, match="link or a device"):
        read_cells(path, LIMITS)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(Malformed, match="link"):
        read_cells(path, LIMITS)


def test_a_notebook_in_format_3_is_upgraded(path):
    old = v3.new_notebook(
        worksheets=[v3.new_worksheet(cells=[v3.new_code_cell("def f(x):\n    return x")])]
    )
    path.write_text(json.dumps(old))
    notebook, flags = match(read_cells(path, LIMITS), release())
    assert "def f(x):\n    return x" in [cell.source for cell in notebook.cells]
    assert any("f-answer was found" in flag for flag in flags)


def test_a_heading_of_an_old_format_does_not_grow(path):
    for level, expected in ((10**9, "# Forward"), ("x", "# Forward"), (2, "## Forward")):
        heading = v3.new_heading_cell("Forward") | {"level": level}
        old = v3.new_notebook(worksheets=[v3.new_worksheet(cells=[heading])])
        path.write_text(json.dumps(old))
        assert [cell.source for cell in read_cells(path, LIMITS)] == [expected]


def test_outputs_of_an_old_format_are_not_converted(path, monkeypatch):
    cell = v3.new_code_cell("1", outputs=[v3.new_output("pyout", output_text="1")] * 100)
    path.write_text(json.dumps(v3.new_notebook(worksheets=[v3.new_worksheet(cells=[cell])])))
    from nbformat.v4 import convert

    monkeypatch.setattr(convert, "upgrade_output", None)
    assert [cell.source for cell in read_cells(path, LIMITS)] == ["1"]


def test_source_as_a_list_of_lines_and_odd_metadata(path):
    odd = json.loads(nbformat.writes(release()))
    odd["metadata"] = {"kernelspec": {"name": "../../evil", "argv": ["rm"]}}
    odd["cells"][2] |= {"source": ["def f(x):\n", "    return 1"], "id": "not valid!", "junk": 1}
    odd["cells"][0]["metadata"] = None
    odd["cells"][1]["metadata"] = {"nbgrader": {"grade_id": ["no text"]}}
    odd["cells"][1]["outputs"] = "nonsense"
    path.write_text(json.dumps(odd))
    notebook, _ = match(read_cells(path, LIMITS), release())
    nbformat.validate(notebook)
    assert notebook.cells[2].source == "def f(x):\n    return 1"
    assert "evil" not in nbformat.writes(notebook)


def test_lone_surrogates_do_not_break_the_result(path):
    odd = json.loads(nbformat.writes(release()))
    odd["cells"][0]["source"] = "\ud800"
    path.write_text(json.dumps(odd))
    notebook, _ = match(read_cells(path, LIMITS), release())
    nbformat.writes(notebook).encode()


def test_a_test_cell_that_was_edited_comes_back(path):
    nb = release()
    nb.cells[3] = marked(v4.new_markdown_cell("3.0"), "f", grade=True, points=1000)
    notebook, _ = handed_in(path, nb)
    cell = notebook.cells[3]
    assert (cell.cell_type, cell.source) == ("code", "check(f)")
    assert cell.metadata.nbgrader.points == 2


def test_a_deleted_test_cell_comes_back_in_its_place(path):
    nb = release()
    del nb.cells[3]
    notebook, flags = handed_in(path, nb)
    assert ids(notebook) == [None, None, "f-answer", "f", None, "why"]
    assert flags == ["missing: f was put back"]


def test_a_deleted_answer_comes_back_empty_and_defines_nothing(path):
    nb = release()
    nb.cells[2:3] = []
    notebook, _ = handed_in(path, nb)
    answer = next(c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("solution"))
    assert answer.source == MISSING


def test_of_duplicates_the_last_counts_and_the_others_lose_their_name(path):
    nb = release()
    copy_of = marked(v4.new_code_cell("def f(x):\n    return 2"), "f-answer", solution=True)
    nb.cells.insert(3, copy_of)
    nb.cells.append(nb.cells[4].copy())
    notebook, flags = handed_in(path, nb)
    assert sorted(filter(None, ids(notebook))) == ["f", "f-answer", "why"]
    assert notebook.cells[3].source == "def f(x):\n    return 2"
    assert notebook.cells[3].metadata.nbgrader.grade_id == "f-answer"
    assert flags == [
        "duplicate: 2 cells, each was there more than once, the last one counts: f-answer, f"
    ]


def test_stripped_metadata_is_restored_by_content_and_place(path):
    nb = release()
    nb.cells[2].source = "def f(x):\n    return x"
    nb.cells[5].source = "Since the mean removes it."
    for cell in nb.cells:
        cell.metadata = {}
    notebook, flags = handed_in(path, nb)
    assert ids(notebook) == ids(release())
    assert notebook.cells[5].source == "Since the mean removes it."
    assert flags == ["metadata: 3 cells, each was found by its content: f-answer, f, why"]


def test_a_notebook_without_metadata_is_one_flag(path):
    nb, original = release(), release()
    for number in range(5):
        code = v4.new_code_cell(f"def g{number}(x):\n    return x")
        nb.cells.append(code)
        original.cells.append(marked(nbformat.from_dict(code), f"g{number}", solution=True))
    nb.cells = [cell for cell in nb.cells if "nbgrader" not in cell.metadata]
    _, flags = match(read_cells(written(path, nb), LIMITS), original)
    assert flags == [
        "metadata: 5 cells, each was found by its content: g0, g1, g2 ...",
        "missing: 3 cells, each was put back: f-answer, f, why",
    ]


def test_an_unknown_grade_id_is_no_cell_of_the_grader(path):
    nb = release()
    nb.cells.append(marked(v4.new_code_cell("3.0"), "bonus", grade=True, locked=True, points=100))
    notebook, _ = handed_in(path, nb)
    assert "bonus" not in ids(notebook)


def test_ids_are_unique_and_valid(path):
    nb = release()
    for cell in nb.cells:
        cell.id = "same"
    path.write_text(json.dumps(nb))
    notebook, _ = match(read_cells(path, LIMITS), release())
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    nbformat.validate(notebook)


def test_an_empty_list_of_cells_still_has_everything_to_grade(path):
    notebook, flags = handed_in(path, v4.new_notebook())
    assert sorted(filter(None, ids(notebook))) == ["f", "f-answer", "why"]
    assert flags == ["missing: 3 cells, each was put back: f-answer, f, why"]


PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwAD"
    "hgGAWjR9awAAAABJRU5ErkJggg=="
)


def test_pictures_in_a_written_answer_stay_and_other_attachments_go(path):
    nb = release()
    nb.cells[5]["attachments"] = {
        "derivation.png": {"image/png": PIXEL},
        "evil.svg": {"image/svg+xml": "<svg onload=EVIL>"},
        "liar.png": {"image/png": "<script>EVIL"},
        "odd": 3,
    }
    notebook, _ = handed_in(path, nb)
    assert notebook.cells[5].attachments == {"derivation.png": {"image/png": PIXEL}}
    nbformat.validate(notebook)


def test_an_answer_in_new_cells_below_the_line_to_replace_is_the_answer(path):
    nb = release()
    picture = {"a.png": {"image/png": PIXEL}}
    nb.cells += [v4.new_markdown_cell("The mean"), v4.new_markdown_cell("takes it away.")]
    nb.cells[-1]["attachments"] = picture
    found, flags = handed_in(path, nb)
    answer = found.cells[ids(found).index("why")]
    assert answer.source == "The mean\n\ntakes it away."
    assert answer.attachments == picture
    assert flags == ["written: why stood in a new cell beside the place of the answer"]
    assert ids(found).count("why") == 1
    assert "The mean" not in [cell.source for cell in found.cells]


def test_an_answer_in_new_cells_above_the_line_to_replace_is_the_answer(path):
    nb = release()
    nb.cells.insert(5, v4.new_raw_cell("The mean"))
    nb.cells.append(v4.new_markdown_cell("takes it away."))
    found, flags = handed_in(path, nb)
    assert found.cells[ids(found).index("why")].source == "The mean\n\ntakes it away."
    assert flags == ["written: why stood in a new cell beside the place of the answer"]


def test_other_ends_of_lines_make_no_answer_of_a_task(path):
    original = release()
    original.cells.append(v4.new_markdown_cell("## What\n\nis next"))
    nb = nbformat.from_dict(original)
    nb.cells[-1].source = "## What\r\n\r\nis next\r\n"
    found, flags = match(read_cells(written(path, nb), LIMITS), original)
    assert found.cells[ids(found).index("why")].source == "Your answer"
    assert flags == []


ELSEWHERE = "written: why has no answer in its place, but the student wrote text elsewhere"


@pytest.mark.parametrize(
    ("at", "cell"),
    [
        (0, v4.new_markdown_cell("The mean takes it away.")),
        (0, v4.new_raw_cell("The mean takes it away.")),
        (6, v4.new_code_cell("# The mean\n\n  # takes it away.")),
        (3, v4.new_markdown_cell("The mean takes it away.")),
    ],
)
@pytest.mark.parametrize("deleted", [False, True])
def test_text_that_may_be_a_written_answer_is_told(path, at, cell, deleted):
    nb = release()
    nb.cells.insert(at, cell)
    if deleted:
        nb.cells.pop(ids(nb).index("why"))
    _, flags = handed_in(path, nb)
    assert ELSEWHERE in flags


@pytest.mark.parametrize("emptied", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        "The mean of the batch takes it away.",
        "Warum: der Mittelwert nimmt ihn wieder weg.",
        '"The mean takes it away."',
        '"""The mean\n\ntakes it away."""',
        'print("The mean takes it away.")',
        "%%markdown\nThe mean takes it away.",
        "# The mean\n# takes it away.",
    ],
)
def test_a_written_answer_in_a_cell_of_code_is_told(path, text, emptied):
    nb = release()
    nb.cells[-1].source = "" if emptied else nb.cells[-1].source
    nb.cells.append(v4.new_code_cell(text))
    assert handed_in(path, nb)[1] == [ELSEWHERE]


@pytest.mark.parametrize(
    "text",
    [
        "y = [value for value in values if value is not None and value in others]",
        "plt.title('the mean of a batch moves'); x = 1  # and so on it goes here",
        "%timeit -n 3 f(x)",
        "!pip list and so on and on",
        "Regrade request: my mean is right",
    ],
)
def test_code_beside_a_written_answer_is_no_text(path, text):
    nb = release()
    nb.cells.append(v4.new_code_cell(text))
    assert handed_in(path, nb)[1] == []


def test_an_answer_below_a_line_that_was_emptied_is_the_answer(path):
    nb = release()
    nb.cells[-1].source = " \n"
    nb.cells.append(v4.new_markdown_cell("The mean takes it away."))
    found, flags = handed_in(path, nb)
    assert found.cells[ids(found).index("why")].source == "The mean takes it away."
    assert flags == ["written: why stood in a new cell beside the place of the answer"]


@pytest.mark.parametrize("copied", ["Your answer", "", "  Your\nanswer"])
def test_a_copy_without_an_answer_replaces_none(path, copied):
    nb = release()
    nb.cells[-1].source = "The mean takes it away."
    nb.cells.append(marked(v4.new_markdown_cell(copied), "why", grade=True, solution=True))
    found, flags = handed_in(path, nb)
    assert found.cells[ids(found).index("why")].source == "The mean takes it away."
    assert flags == ["duplicate: why was there more than once, the last one with an answer counts"]


def test_two_copies_of_the_line_to_replace_are_no_answer(path):
    nb = release()
    nb.cells.append(nbformat.from_dict(nb.cells[-1]))
    found, flags = handed_in(path, nb)
    assert found.cells[ids(found).index("why")].source == "Your answer"
    assert flags == ["duplicate: why was there more than once, the last one counts"]


def test_an_answer_in_the_cell_of_its_task_is_told_and_stays_there(path):
    nb = release()
    nb.cells[4].source += "\n\nThe mean takes it away."
    found, flags = handed_in(path, nb)
    assert flags == [ELSEWHERE]
    assert found.cells[4].source.endswith("takes it away.")


@pytest.mark.parametrize("at", [0, 2, 3])
def test_comments_far_from_a_written_answer_are_notes_on_code(path, at):
    nb = release()
    nb.cells.insert(at, v4.new_code_cell("# the mean first\n\n  # then the variance"))
    assert handed_in(path, nb)[1] == []


@pytest.mark.parametrize(
    "cell",
    [v4.new_code_cell("print(1)  # no text"), v4.new_code_cell("\n"), v4.new_markdown_cell()],
)
def test_cells_without_text_are_no_written_answer(path, cell):
    nb = release()
    nb.cells.append(cell)
    assert handed_in(path, nb)[1] == []


def test_an_answer_in_the_cell_of_its_check_is_told(path):
    nb = release()
    nb.cells[2].source = "pass"
    nb.cells[3].source = "def f(x):\n    return x\n\ncheck(f)"
    found, flags = handed_in(path, nb)
    assert found.cells[3].source == "check(f)"
    assert flags == ["answer: f is a check, and what the student defined in it does not count"]


def test_the_notebook_of_another_problem_set_is_told(path):
    nb = v4.new_notebook(cells=[marked(v4.new_code_cell("check(g)"), "g", grade=True, points=1)])
    _, flags = handed_in(path, nb)
    assert "wrong notebook: it holds g ..., and no cell of this one" in flags


def test_a_new_cell_below_a_written_answer_stays_one_of_the_students_own(path):
    nb = release()
    nb.cells[-1].source = "The mean takes it away."
    nb.cells += [v4.new_markdown_cell("A note.")]
    found, flags = handed_in(path, nb)
    assert [cell.source for cell in found.cells][-2:] == ["The mean takes it away.", "A note."]
    assert flags == []


def test_a_regrade_request_is_told_and_is_no_answer(path):
    nb = release()
    nb.cells += [v4.new_markdown_cell("**Regrade request:** my *mean*\n\nis \x1b[31mright.")]
    cells = read_cells(written(path, nb), LIMITS)
    assert requests(cells) == ["regrade request: my *mean* is [31mright."]
    found, flags = match(cells, release())
    assert found.cells[ids(found).index("why")].source == "Your answer"
    assert flags == []
    del nb.cells[-2]
    found, flags = match(read_cells(written(path, nb), LIMITS), release())
    assert found.cells[ids(found).index("why")].source == "Your answer"
    assert flags == ["missing: why was put back"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# Regrade request\nlook", ["regrade request: look"]),
        ("REGRADE REQUEST. look", ["regrade request: look"]),
        ("regrade request: " + "a " * 2000, ["regrade request: " + "a " * 200 + " ..."]),
        ("Regrade request:", []),
        ("My regrade request: look", []),
        ("Regrade requested", []),
        ("# Regrade request:\n# look\n#  at f", ["regrade request: look at f"]),
    ],
)
@pytest.mark.parametrize("cell", [v4.new_markdown_cell, v4.new_code_cell, v4.new_raw_cell])
def test_a_regrade_request_begins_its_cell_and_says_something(path, text, said, cell):
    nb = release()
    nb.cells += [cell(text), v4.new_markdown_cell(text)]
    assert requests(read_cells(written(path, nb), LIMITS)) == said


def test_a_text_of_the_task_is_not_taken_for_an_answer_that_was_deleted(path):
    original = release()
    original.cells.append(v4.new_markdown_cell("## What is next"))
    nb = release()
    nb.cells[-1] = v4.new_markdown_cell("## What is next")
    found, flags = match(read_cells(written(path, nb), LIMITS), original)
    (answer,) = (
        cell for cell in found.cells if cell.metadata.get("nbgrader", {}).get("points") == 3
    )
    assert answer.source == "Your answer"
    assert flags == ["missing: why was put back"]
