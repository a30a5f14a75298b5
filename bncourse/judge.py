"""The trusted half of a check: say what of a solution is right, what is wrong, and why."""

from dataclasses import dataclass

from bncourse.compare import compare
from bncourse.credit import right_parts, told
from bncourse.diagnosis import Diagnosis, diagnose
from bncourse.exercise import Mistake
from bncourse.progress import progress


@dataclass(frozen=True)
class Verdict:
    """The outcome for one exercise.

    Args:
        kind: ``ok``, ``wrong`` or ``error``.
        case: the name of the first case that went wrong, if any.
        finding: what went wrong there, without any expected value.
        mistakes: the known mistakes that explain it, the first wrong result's first.
        sure: whether they explain all of it.
        explained: the results that each of them explains, where they are told one by one.
        progress: sentences on what is right already.
        printed: the beginning of what the solution printed in that case.
        error: the name of the exception that it raised in that case, if any.
        line: the line of the student's code that led to a finding of ours, if one did.
        right: the parts that earn a share of the points; see bncourse.credit.
        credit: the sentence on them, if there is one.
    """

    kind: str
    case: str | None = None
    finding: str = ""
    mistakes: tuple[Mistake, ...] = ()
    sure: bool = False
    explained: tuple[tuple[str, ...], ...] = ()
    progress: tuple[str, ...] = ()
    printed: str = ""
    error: str | None = None
    line: str = ""
    right: tuple[str, ...] = ()
    credit: str = ""

    @property
    def mistake(self):
        """The known mistake behind the first wrong result, or None."""
        return self.mistakes[0] if self.mistakes else None


def judge(exercise, cases, attempts, device=None, weights=None, expected=None):
    """Return the Verdict on a solution.

    Args:
        exercise: the Exercise.
        cases: ``{name: Case}``.
        attempts: ``{name: Attempt}``, one per case.
        device: where they were made, "cpu" or "cuda"; known mistakes are tried there too.
        weights: what each part weighs, where parts earn points.
        expected: ``{name: outputs}``, the true ones, where they are known already.
    """
    if expected is None:
        expected = {name: exercise.reference(case.inputs) for name, case in cases.items()}
    problems = {
        name: _problem(exercise, case, attempts[name], expected[name])
        for name, case in cases.items()
    }
    name = _first(problems, attempts)
    if name is None:
        return Verdict("ok")
    made, (kind, finding) = attempts[name], problems[name]
    # What is not written yet makes no mistake.
    stub = _unwritten(made) and kind == "error"
    found = Diagnosis() if stub else diagnose(exercise, cases, attempts, expected, device)
    passing = [each for each, (word, _) in problems.items() if word == "ok"]
    right = right_parts(exercise, cases, attempts, expected, weights)
    return Verdict(
        kind,
        name,
        finding,
        found.mistakes,
        found.sure,
        found.explained,
        progress(exercise, cases, attempts, expected, passing, named=bool(found.mistakes)),
        made.printed,
        made.error,
        made.line if made.error == "Unusable" else "",
        right,
        told(weights, right),
    )


def _first(problems, attempts):
    """Return the first case that is not right, or None; what is wrong comes before what is absent.

    A part that is not written yet is absent in every case, and would hide what is wrong in some.
    """
    failing = [name for name, (kind, _) in problems.items() if kind != "ok"]
    if failing and _unwritten(attempts[failing[0]]):
        return next((name for name in failing if problems[name][0] == "wrong"), failing[0])
    return failing[0] if failing else None


def _unwritten(made):
    return made.error == "NotImplementedError"


def _problem(exercise, case, made, expected):
    """Return (kind, finding) of one case; a broken rule is told beside a wrong value."""
    if made.error == "Unusable":
        return "wrong", made.message
    if _unwritten(made) and made.outputs:
        return _problem_so_far(exercise, case, made, expected)
    if made.error:
        return "error", made.message
    findings = [compare(exercise, case, made.outputs, expected), *made.rules]
    findings = [each for each in findings if each]
    return ("wrong" if findings else "ok"), "\n".join(findings)


def _problem_so_far(exercise, case, made, expected):
    """Return (kind, finding) where a part is written and the next one is not."""
    there = {label: want for label, want in expected.items() if label in made.outputs}
    finding = compare(exercise, case, made.outputs, there)
    if finding:
        return "wrong", finding
    following = next((label for label in expected if label not in there), None)
    part = exercise.parts.get(following) or f"What comes after {list(there)[-1]}"
    return "error", f"{part} still raises NotImplementedError: write it next."
