"""The similarity report: copies are found, and people who solved an exercise alike are not."""

import ast
import importlib
import inspect
import json
import os
import random
import subprocess
import sys
import textwrap
from dataclasses import replace

import nbformat
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bncourse.commands.similar import similar
from bncourse.grading.batch.tasks import read_tasks
from bncourse.grading.outcome import Outcome, Report
from bncourse.grading.work import GradedCourse
from bncourse.registry import load, problem_sets
from bncourse.similar.fingerprints import (
    LEAST,
    MOST_CHARACTERS,
    Answers,
    Text,
    compare,
    fingerprints,
    passages,
)
from bncourse.similar.read import shortened
from bncourse.trial import corpus

SETS = problem_sets()
PROSE = """
The bias walks into every row alike, so whatever batch you pick its mean climbs by that bias.
Subtract the mean and the climb is undone; squares of differences never saw it either.
I would delete it and let the learned shift do this chore, as my flatmate's plant needs water.
"""


def correct(problem_set):
    """Return ``{exercise: sources of correct solutions}``."""
    solutions = importlib.import_module(f"solutions_{problem_set}").CORRECT
    return {name: [inspect.getsource(each) for each in some] for name, some in solutions.items()}


def stubs(problem_set):
    """Return what the release says: signatures."""
    return [
        Text(name, "code", f"def {name}{exercise.signature}:\n    raise NotImplementedError")
        for name, exercise in load(problem_set).items()
    ]


def hand_in(student, answers, kind="code"):
    return Answers(student, tuple(Text(name, kind, source) for name, source in answers.items()))


def choose(some, number):
    return {name: sources[number % len(sources)] for name, sources in some.items()}


def found(hand_ins, known=(), **options):
    """Return the students of all groups and pairs."""
    groups, pairs = compare(hand_ins, known, **options)
    return [each.students for each in (*groups, *pairs)]


# --- Copies: ada's answers are unusual, eve has them in another dress ---------------------------


@pytest.fixture(scope="module")
def others():
    """Twenty students with the two usual answers to each exercise, mixed."""
    some = correct("ps1_forward")
    draw = random.Random(1)
    return [
        hand_in(f"s{number:02}", {name: draw.choice(each[:2]) for name, each in some.items()})
        for number in range(20)
    ]


@pytest.fixture(scope="module")
def ada():
    return hand_in("ada", {name: each[2] for name, each in correct("ps1_forward").items()})


def dressed(hand, change):
    return Answers("eve", tuple(replace(text, source=change(text.source)) for text in hand.texts))


class Renamer(ast.NodeTransformer):
    """Renames what a function assigns and its arguments."""

    def __init__(self, tree):
        names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and is_stored(n)}
        names |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
        self.new = {name: f"thing_{number}" for number, name in enumerate(sorted(names))}

    def visit_Name(self, node):
        node.id = self.new.get(node.id, node.id)
        return node

    def visit_arg(self, node):
        node.arg = self.new.get(node.arg, node.arg)
        return node


def is_stored(node):
    return isinstance(node.ctx, ast.Store)


def renamed(source):
    tree = ast.parse(source)
    return ast.unparse(Renamer(tree).visit(tree))


def commented(source):
    lines = source.splitlines()
    return "\n".join(f"{line}  # step {number}" for number, line in enumerate(lines))


def spread_out(source):
    return textwrap.indent(source, "        ").replace("\n", "\n\n").replace(" = ", "=")


def broken(source):
    return source + "\n'''an answer (that ends [nowhere"


def fullwidth(source):
    """Return code that Python reads as before and that has no letter of before."""
    wide = {ord(c): ord(c) + 0xFEE0 for c in "abcdefghijklmnopqrstuvwxyz"}
    return "\u200b".join(line.translate(wide) for line in source.splitlines(keepends=True))


@pytest.mark.parametrize("change", [str, renamed, commented, spread_out, broken, fullwidth])
def test_a_copy_is_found_in_each_dress(change, ada, others):
    assert found([*others, ada, dressed(ada, change)]) == [("ada", "eve")]


def test_a_copy_is_found_in_another_order_and_in_one_cell(ada, others):
    source = "\n\n".join(text.source for text in reversed(ada.texts))
    one_cell = Answers("eve", (Text("cell 1", "code", renamed(source)),))
    assert found([*others, ada, one_cell]) == [("ada", "eve")]


def test_half_a_copy_is_found(ada, others):
    half = dressed(ada, renamed)
    half = replace(half, texts=(*others[0].texts[:3], *half.texts[3:]))
    assert found([*others, ada, half]) == [("ada", "eve")]


def test_the_report_is_empty_without_the_copy(ada, others):
    assert found([*others, ada]) == []


# --- No copies ----------------------------------------------------------------------------------


@pytest.mark.parametrize("problem_set", SETS)
def test_correct_solutions_that_differ_are_no_evidence(problem_set):
    some = correct(problem_set)
    least = min(map(len, some.values()))
    hand_ins = [hand_in(f"s{number}", choose(some, number)) for number in range(least)]
    assert found(hand_ins, stubs(problem_set)) == []


@pytest.mark.parametrize("problem_set", SETS)
def test_what_many_wrote_is_no_evidence(problem_set):
    some = correct(problem_set)
    draw = random.Random(0)
    hand_ins = [
        hand_in(f"s{number:03}", {name: draw.choice(each) for name, each in some.items()})
        for number in range(100)
    ]
    assert found(hand_ins, stubs(problem_set)) == []


@pytest.mark.parametrize("count", [2, 3, 4, 5, 30])
def test_a_class_with_the_same_right_answers_gives_an_empty_report(count):
    assert found([hand_in(f"s{n}", corpus.SOLUTIONS) for n in range(count)]) == []


def test_a_class_with_one_who_differs_is_still_a_class():
    same = [hand_in(f"s{n}", corpus.SOLUTIONS) for n in range(9)]
    assert found([*same, hand_in("other", choose(correct("ps1_forward"), 1))]) == []


def test_the_release_and_the_book_are_no_evidence(others):
    quoting = [
        Answers(name, (Text("a", "written", PROSE), *other.texts))
        for name, other in zip(("ada", "eve"), others, strict=False)
    ]
    assert found([*quoting, *others[2:]]) == [("ada", "eve")]
    book = Text("book", "written", f"A chapter begins. {PROSE} It goes on.")
    assert found([*quoting, *others[2:]], [book]) == []


# --- Other evidence than code -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (Text("a", "written", PROSE), "written"),
        (Text("a", "code", textwrap.indent(PROSE, "# ")), "comment"),
        (Text("a", "code", f'def f():\n    """{PROSE}"""'), "comment"),
        (Text("a", "picture", "iVBORw0KGgo"), "picture"),
    ],
)
def test_words_and_pictures_are_evidence_of_their_own(text, kind, others):
    ada, eve = (replace(each, texts=(*each.texts, text)) for each in others[:2])
    _, (pair,) = compare([ada, eve, *others[2:]])
    assert pair.students == ("s00", "s01")
    assert set(pair.kinds) == {kind}


def test_a_comment_is_found_again_in_a_written_answer(others):
    ada = replace(others[0], texts=(Text("a", "written", PROSE),))
    eve = replace(others[1], texts=(Text("b", "code", textwrap.indent(PROSE, "# ")),))
    assert found([ada, eve, *others[2:]]) == [("s00", "s01")]


def test_the_same_wrong_answer_weighs_more_only_if_both_are_wrong(ada, others):
    def pair_of(*wrong):
        pair = [
            Answers(name, tuple(replace(text, wrong=each) for text in ada.texts))
            for name, each in zip(("ada", "eve"), wrong, strict=True)
        ]
        # One more cell, so that the two are a pair and no group.
        pair[1] = replace(pair[1], texts=(*pair[1].texts, Text("more", "code", "1 + 1")))
        _, (only,) = compare([*others, *pair])
        return only

    right = pair_of(False, False)
    assert pair_of(True, False).score == right.score
    assert pair_of(True, True).score == right.score + right.kinds["code"]


# --- Groups and counts --------------------------------------------------------------------------


def test_equal_hand_ins_are_a_group_however_many(ada, others):
    ring = [replace(ada, student=f"r{number}") for number in range(9)]
    near = dressed(ada, lambda source: source + "\nprint('mine')")
    groups, pairs = compare([*others, *ring, near])
    assert [group.students for group in groups] == [tuple(f"r{number}" for number in range(9))]
    assert [pair.students for pair in pairs] == [("eve", "r0")]


def test_equal_hand_ins_are_a_group_in_any_order_and_under_other_names(ada, others):
    ada = replace(
        ada, texts=tuple(replace(t, source=ast.unparse(ast.parse(t.source))) for t in ada.texts)
    )
    eve = dressed(ada, renamed)
    groups, _ = compare([*others, ada, replace(eve, texts=eve.texts[::-1])])
    assert [group.students for group in groups] == [("ada", "eve")]


def test_everybody_with_the_same_prose_is_a_group():
    answers = (Text("a", "written", PROSE),)
    assert found([Answers(f"s{n}", answers) for n in range(3)]) == [("s0", "s1", "s2")]


def test_a_text_counts_less_the_more_students_have_it_and_then_not_at_all(others):
    def scores(count):
        ring = [
            replace(
                each,
                texts=(
                    *each.texts,
                    Text("a", "written", PROSE),
                    Text(each.student, "written", f"{each.student} says so " * 5),
                ),
            )
            for each in others[:count]
        ]
        _, pairs = compare([*ring, *others[count:]], least=0.1)
        return [pair.score for pair in pairs if "written" in pair.kinds]

    two, three, four, five = map(scores, (2, 3, 4, 5))
    assert [len(each) for each in (two, three, four, five)] == [1, 3, 6, 0]
    assert two[0] > three[0] > four[0]


def test_the_order_of_hand_ins_makes_no_difference(ada, others):
    hand_ins = [*others, ada, dressed(ada, renamed), replace(others[3], student="twin")]
    forwards = compare(hand_ins, least=1)
    assert forwards == compare(hand_ins[::-1], least=1)
    assert forwards[1]


def test_the_seed_of_python_makes_no_difference():
    code = (
        "from bncourse.similar.fingerprints import Text, fingerprints;"
        "print(fingerprints(Text('a', 'written', 'one two three four five six seven')))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in "12"
    }
    assert len(outputs) == 1


# --- What is shown ------------------------------------------------------------------------------


def test_a_passage_names_the_cells_and_their_lines():
    lines = PROSE.strip().splitlines()
    left = Answers("ada", (Text("q1", "written", "\n".join(["Mine, all mine.", *lines])),))
    right = Answers("eve", (Text("q2", "written", "\n".join([*lines, "Hers."])),))
    _, (pair,) = compare([left, right])
    (passage,) = passages(left, right, pair.prints)
    assert (passage.left.cell, passage.right.cell) == ("q1", "q2")
    assert passage.left_lines == (1, 2, 3)
    assert passage.right_lines == (0, 1, 2)
    assert pair.share > 0.8


@given(
    st.text(alphabet=st.sampled_from("a1.\n \t\\\"'#([{)]}=,rf\u200b\u00bd\ud800é"), max_size=200)
)
def test_any_text_has_fingerprints(source):
    for kind in ("code", "written", "picture"):
        for _, first, last in fingerprints(Text("a", kind, source), window=1).values():
            assert 0 <= first <= last <= source.count("\n")


def test_a_hand_in_without_end_is_cut():
    cell = Text("a", "code", "x" * (MOST_CHARACTERS // 2 + 1))
    assert shortened((cell, cell, cell)) == ((cell,), False)
    assert shortened((cell,)) == ((cell,), True)


# --- The command --------------------------------------------------------------------------------

CONFIG = """
c = get_config()
c.CourseDirectory.release_directory = "exercises"
from bncourse.grading.nbgrader.config import configure
configure(c, __file__)
"""
ESCAPES = "[red]bold[/red] \x1b[31m \u202e"


def submit(root, student, answers):
    notebook = corpus.notebook(answers)
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "redundant_bias":
            cell.source = answers.get("redundant_bias", cell.source)
    folder = root / "submitted" / student / corpus.PROBLEM_SET
    folder.mkdir(parents=True)
    corpus.write(folder, notebook)


@pytest.fixture
def empty_course(tmp_path):
    (tmp_path / "nbgrader_config.py").write_text(CONFIG)
    released = tmp_path / "exercises" / corpus.PROBLEM_SET
    released.mkdir(parents=True)
    nbformat.write(corpus.release(), released / corpus.NOTEBOOK)
    return tmp_path


@pytest.fixture
def course(empty_course, tmp_path):
    some = correct("ps1_forward")
    for number in range(16):
        bits = zip(some, f"{number:04b}" * 2, strict=False)
        submit(tmp_path, f"s{number}", {name: some[name][int(bit)] for name, bit in bits})
    unusual = choose(some, 2) | {"redundant_bias": PROSE + ESCAPES}
    submit(tmp_path, "ada", unusual)
    submit(tmp_path, "eve", {name: renamed(s) for name, s in choose(some, 2).items()} | unusual)
    submit(tmp_path, "near", unusual | {"normalize": some["normalize"][1]})
    for student in ("broken", "linked", "absent"):
        (tmp_path / "submitted" / student / corpus.PROBLEM_SET).mkdir(parents=True)
    notebook = tmp_path / "submitted" / "{}" / corpus.PROBLEM_SET / corpus.NOTEBOOK
    os.symlink("/etc/passwd", str(notebook).format("linked"))
    with open(str(notebook).format("broken"), "w") as file:
        file.write("{")
    return tmp_path


def run(course, *options):
    done = CliRunner().invoke(similar, [corpus.PROBLEM_SET, "--root", str(course), *options])
    assert not done.exception or isinstance(done.exception, SystemExit), done.exc_info
    return done


def files(course):
    return sorted(str(path) for path in course.rglob("*") if path.name != ".course_secret")


def test_the_report_names_groups_pairs_and_the_unreadable_and_changes_nothing(course):
    before = files(course)
    output = run(course).output
    assert "ada, eve" in output
    assert "ada (and 1 equal) and near" in output
    assert "climbs by that bias" in output
    assert "changes no grade" in output
    for student in ("broken", "linked", "absent"):
        assert f"{student} " in output
    assert "s0" not in output
    assert files(course) == before


def test_what_students_wrote_commands_neither_terminal_nor_table(course):
    output = run(course).output
    assert "[red]bold[/red]" in output
    assert "\x1b" not in output
    assert "\u202e" not in output


def test_the_report_for_a_program(course):
    report = json.loads(run(course, "--json").output)
    assert report["hand_ins"] == 19
    assert [group["students"] for group in report["groups"]] == [["ada", "eve"]]
    (pair,) = report["pairs"]
    assert pair["students"] == ["ada", "near"]
    assert ["redundant_bias", "redundant_bias"] in pair["cells"]
    assert [each["student"] for each in report["unreadable"]] == ["absent", "broken", "linked"]
    assert run(course, "--json").output == run(course, "--json").output


def test_one_student_is_compared_with_everybody(course):
    # A member of a group is concerned by what its representative shares.
    report = json.loads(run(course, "--json", "--student", "eve").output)
    assert len(report["groups"]) == len(report["pairs"]) == 1
    assert "No two" in run(course, "--student", "s0").output
    assert "nobody" in run(course, "--student", "nobody").output


def test_a_high_bar_leaves_nothing(course):
    report = json.loads(run(course, "--json", "--least", "100000").output)
    assert report["groups"] == report["pairs"] == []


def test_verdicts_of_the_last_grading_count(course):
    assert "wrong" not in json.loads(run(course, "--json").output)["pairs"][0]["kinds"]
    opened = GradedCourse(course, corpus.PROBLEM_SET)
    for task in read_tasks(opened, ["ada", "near"]):
        outcomes = {name: Outcome("wrong", "") for name in task.exercises}
        opened.store.put(task.key, Report(outcomes, []))
    assert json.loads(run(course, "--json").output)["pairs"][0]["kinds"]["wrong"] > 0


def test_less_than_two_hand_ins_are_no_clean_bill(empty_course):
    done = run(empty_course)
    assert done.exit_code == 2
    assert done.stderr == "Error: Nobody handed in ps1_forward.\n"
    submit(empty_course, "ada", {})
    done = run(empty_course)
    assert done.exit_code == 0
    assert "Nothing to compare" in done.output
    assert "No two hand-ins" not in done.output


def test_an_unreleased_problem_set_is_explained(tmp_path):
    (tmp_path / "nbgrader_config.py").write_text(CONFIG)
    assert "generate_assignment" in run(tmp_path).output


def test_the_lowest_score_is_that_of_one_picture():
    assert found([Answers(n, (Text(n, "picture", "AAAA"),)) for n in "ab"], least=LEAST)
