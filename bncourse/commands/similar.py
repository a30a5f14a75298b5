"""``bncourse similar``: show a human which hand-ins share unusual text."""

import json

import click
from rich.table import Table

from bncourse.commands import Command
from bncourse.commands.course import root_option
from bncourse.console import make_console, safe
from bncourse.errors import CourseError
from bncourse.similar.fingerprints import (
    LEAST,
    compare,
    default_common,
    passages,
)

_MOST_ROWS = 50
_SHOWN_PAIRS = 3
_MOST_LINES = 40
_NO_GRADE = "This report changes no grade. Shared text is a reason to read and to ask, no verdict."


@click.command(cls=Command, epilog="Example: bncourse similar ps1_forward --student ada")
@click.argument("problem_set")
@root_option
@click.option(
    "--least",
    type=click.FloatRange(0),
    default=LEAST,
    show_default=True,
    help="The lowest score that is shown.",
)
@click.option(
    "--common",
    type=click.IntRange(2),
    help="Text of more students is common. Default: 5 % of them, from 4 to 20.",
)
@click.option(
    "--student",
    multiple=True,
    help="Only what concerns this student, with all shared lines; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def similar(problem_set, root, least, common, student, as_json):
    """Show which hand-ins of PROBLEM_SET share unusual text.

    Nothing runs and no grade changes. The report is for instructors: it holds names and answers.
    Grade first: then answers that are wrong in the same way weigh more.
    """
    from bncourse.grading.work import GradedCourse
    from bncourse.similar.read import known_texts, read_hand_ins

    course = GradedCourse(root, problem_set)
    releases = course.release()
    hand_ins, unreadable = read_hand_ins(course, releases)
    unknown = sorted({*student} - {each.student for each in hand_ins})
    if unknown:
        raise CourseError(
            f"--student must name somebody with a readable hand-in. Received: {unknown}"
        )
    groups, pairs = compare(hand_ins, known_texts(course, releases), least, common)
    report = {
        "hand_ins": len(hand_ins),
        "common": common or default_common(len(hand_ins)),
        "groups": [each for each in groups if concerns(each.students, student)],
        "pairs": [each for each in pairs if concerns(members(each, groups), student)],
        "unreadable": unreadable,
    }
    by_name = {each.student: each for each in hand_ins}
    if as_json:
        click.echo(json.dumps(as_record(report, by_name)))
    else:
        _show(report, by_name, len(report["pairs"]) if student else _SHOWN_PAIRS)


def concerns(students, wanted):
    """Return whether some students are asked for; nobody means everybody."""
    return not wanted or bool({*students} & {*wanted})


def members(pair, groups):
    """Return the students of a pair, and those for whom one of them stands."""
    return {*pair.students}.union(
        *(group.students for group in groups if {*group.students} & {*pair.students})
    )


def as_record(report, hand_ins):
    """Return what ``--json`` says.

    Args:
        report: groups, pairs and the unreadable.
        hand_ins: ``{student: Answers}``.
    """
    pairs = [
        {
            "students": pair.students,
            "score": round(pair.score, 1),
            "share": round(pair.share, 3),
            "kinds": pair.kinds,
            "cells": [
                [each.left.cell, each.right.cell]
                for each in passages(*(hand_ins[s] for s in pair.students), pair.prints)
            ],
        }
        for pair in report["pairs"]
    ]
    groups = [{"students": g.students, "score": round(g.score, 1)} for g in report["groups"]]
    unreadable = [{"student": student, "reason": why} for student, why in report["unreadable"]]
    return {**report, "groups": groups, "pairs": pairs, "unreadable": unreadable}


# --- For a human --------------------------------------------------------------------------------


def _show(report, hand_ins, detailed):
    console = make_console()
    if report["groups"]:
        console.print(_group_table(report["groups"]))
    if report["pairs"]:
        console.print(_pair_table(report["pairs"], report["groups"], hand_ins))
    for pair in report["pairs"][:detailed]:
        for table in _passage_tables(pair, hand_ins):
            console.print(table)
    if report["unreadable"]:
        table = _table("Not compared", "student", "reason")
        for row in report["unreadable"]:
            table.add_row(*map(safe, row))
        console.print(table)
    if report["hand_ins"] < 2:
        console.print("Nothing to compare: it takes two readable hand-ins.")
    elif not report["groups"] and not report["pairs"]:
        console.print("No two hand-ins share enough unusual text.")
    console.print(
        f"{report['hand_ins']} hand-ins compared; what more than {report['common']} of them have, "
        f"or the course itself says, is left out.\n{_NO_GRADE}"
    )


def _group_table(groups):
    table = _table("Equal but for names and layout", "students", "score")
    for group in groups:
        table.add_row(safe(", ".join(group.students)), f"{group.score:.0f}")
    return table


def _pair_table(pairs, groups, hand_ins):
    title = "Pairs that share unusual text"
    if len(pairs) > _MOST_ROWS:
        title += f" (the first {_MOST_ROWS} of {len(pairs)}; --json has all)"
    headings = ("students", "score", "share", "pieces of evidence", "cells")
    table = _table(title, *headings)
    for pair in pairs[:_MOST_ROWS]:
        found = passages(*(hand_ins[each] for each in pair.students), pair.prints)
        cells = dict.fromkeys(cell for each in found for cell in (each.left.cell, each.right.cell))
        table.add_row(
            safe(" and ".join(_with_equals(each, groups) for each in pair.students)),
            f"{pair.score:.0f}",
            f"{pair.share:.0%}",
            ", ".join(f"{count} {kind}" for kind, count in pair.kinds.items()),
            safe(", ".join(cells)),
        )
    return table


def _with_equals(student, groups):
    others = [len(group.students) - 1 for group in groups if student == group.students[0]]
    return f"{student} (and {others[0]} equal)" if others else student


def _passage_tables(pair, hand_ins):
    left, right = (hand_ins[each] for each in pair.students)
    for each in passages(left, right, pair.prints):
        table = _table(
            "", f"{left.student}: {each.left.cell}", f"{right.student}: {each.right.cell}"
        )
        table.add_row(_lines(each.left, each.left_lines), _lines(each.right, each.right_lines))
        yield table


def _lines(text, numbers):
    """Return the shared lines of a Text with their numbers."""
    if text.kind == "picture":
        return safe("the same picture")
    lines = text.source.split("\n")
    shown = [f"{number + 1:3} {lines[number]}" for number in numbers]
    if len(shown) > _MOST_LINES:
        shown[_MOST_LINES:] = [f"and {len(shown) - _MOST_LINES} more lines"]
    return safe("\n".join(shown))


def _table(title, *headings):
    table = Table(title=title, show_lines=True)
    for heading in headings:
        table.add_column(safe(heading), overflow="fold")
    return table
