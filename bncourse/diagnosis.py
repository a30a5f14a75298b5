"""Which known mistake a wrong solution makes: by its wrong results, label by label.

A mistake is recognised by values, and a name is a promise. So a result that is noise, not finite
or an exception neither rules a mistake out nor names it alone; a broken rule is told beside a value
and has no say here; and where two mistakes explain the same, neither is named.
"""

import contextlib
import hashlib
import itertools
import warnings
from dataclasses import dataclass, replace

import numpy as np

from bncourse.attempt import Attempt, attempt, copy_inputs, full_precision
from bncourse.compare import scale, wrong_labels
from bncourse.exercise import Mistake, Unusable
from bncourse.rules import GlobalState, fingerprint, rule_of
from bncourse.slips import both

# Of the cases in which a mistake shows, those that must look alike for it to be named.
_MOST = 0.6

# What a known mistake returns stays the same while a student tries again, and over a whole class.
_MOST_KNOWN = 8192
_known = {}


def _kept(key, make):
    """Return what is kept under a key, made now if it is not."""
    if key not in _known:
        if len(_known) == _MOST_KNOWN:
            # The oldest entry; a dict keeps the order in which its keys came.
            _known.pop(next(iter(_known)))
        _known[key] = make()
    return _known[key]


def forget():
    """Forget what known mistakes return, as a new kernel does."""
    _known.clear()


@dataclass(frozen=True)
class Diagnosis:
    """What is known of a wrong solution.

    Args:
        mistakes: the known mistakes that it makes, the one behind the first wrong result first.
        sure: whether they explain all that is wrong.
        explained: the results that each of them explains, where they are told one by one.
    """

    mistakes: tuple[Mistake, ...] = ()
    sure: bool = False
    explained: tuple[tuple[str, ...], ...] = ()


class _Evidence:
    """One case: what a student made of it, and how what a known mistake makes of it compares.

    A known mistake is tried on the device of the student: elsewhere its rounding is another.
    """

    def __init__(self, exercise, case, made, want, device, state):
        if made.error == "NotImplementedError" and made.outputs:
            # What is written already has its mistakes; the rest is left out.
            want = {label: array for label, array in want.items() if label in made.outputs}
            made = replace(made, error=None)
        self.exercise, self.case, self.made, self.want = exercise, case, made, want
        self.device, self.state = device or "cpu", state
        self.wrong = self.wrong_in(made)
        inputs = repr(fingerprint(case.inputs)).encode()
        self.key = exercise.name, hashlib.sha256(inputs).digest(), tuple(want), self.device

    @property
    def fails(self):
        return bool(self.made.error or self.wrong)

    @property
    def tells(self):
        """Whether it fails by values that are no noise, or in a way that has a sentence."""
        if self.made.error or self.case.noisy:
            return self.made.error == "Unusable"
        return any(_finite(self.made.outputs.get(label)) for label in self.wrong)

    def try_out(self, name, obj):
        """Return the attempt of a known mistake at this case, and the labels it has wrong."""

        def make():
            made = attempt(self.exercise, obj, self.case, self.device, ours=True, state=self.state)
            return made, self.wrong_in(made)

        return _kept((*self.key, name), make)

    def glance(self, name, obj):
        """Return the attempt of two mistakes at once at this case, at the least cost."""
        return _kept(
            (*self.key, name, "glance"), lambda: _bare(self.exercise, obj, self.case, self.device)
        )

    def wrong_in(self, made):
        """Return the labels that are wrong in an attempt at this case."""
        return [] if made.error else wrong_labels(self.exercise, self.case, made.outputs, self.want)

    def likeness(self, known, wrong):
        """Return the Likeness of what a student and a known mistake made of this case.

        Args:
            known: the attempt of the known mistake.
            wrong: the labels that it has wrong.
        """
        if self.made.error or known.error:
            return self._likeness_of_errors(known, wrong)
        found = Likeness(known_wrong=set(wrong))
        for label in self.want:
            word = self._word(known, label, label in self.wrong, label in wrong)
            getattr(found, word).add(label)
        return found

    def _likeness_of_errors(self, known, wrong):
        same = _error_of(self.made) == _error_of(known)
        if "Unusable" in (self.made.error, known.error):
            # It has no results to compare, so all of them count.
            return Likeness(same=set(self.want)) if same else Likeness(other=set(self.want))
        if same:
            return Likeness(agree=set(self.want))
        return Likeness(unclear=set(self.want), known_wrong=set(wrong))

    def _word(self, known, label, wrong, known_wrong):
        got, other = self.made.outputs.get(label), known.outputs.get(label)
        if not wrong and not known_wrong:
            return "right"
        if got is None and other is None:
            # What is not there is no value: another result, of a wrong shape, keeps it away.
            return "agree"
        if not _finite(got) or not _finite(other):
            return "agree" if _alike(got, other) else "unclear"
        if self.case.noisy:
            noise = wrong and known_wrong and self._same_noise(got, other, label)
            return "agree" if noise else "unclear"
        alike = self._close(got, other, label)
        if wrong and known_wrong:
            return "same" if alike else "other"
        # On the edge of the tolerance one may pass and the other not.
        return "unclear" if alike else "other"

    def _close(self, got, other, label):
        """Return whether two results are alike, and far more so than the wrong one is right."""
        want = self.want[label]
        if got is None or other is None or got.shape != other.shape:
            return got is other
        if got.dtype.kind != other.dtype.kind:
            return False
        limit = self.exercise.rtol(label, self.case) * scale(other)
        if other.shape == want.shape:
            off = float(np.max(np.abs(other.astype(np.float64) - want), initial=0.0))
            limit = min(limit, 0.1 * off) if off else limit
        difference = np.abs(got.astype(np.float64) - other.astype(np.float64))
        return bool(np.all(difference <= limit))

    def _same_noise(self, got, other, label):
        """Return whether two noisy results may come from one mistake: of one size, no pattern."""
        want = self.want[label]
        # A result that is not there, because the next step is not written, is no noise.
        if got is None or other is None:
            return got is other
        if got.shape != want.shape or other.shape != want.shape:
            return got.shape == other.shape
        if _is_single(self.case, got) != _is_single(self.case, other):
            return False
        off, known_off = (a.astype(np.float64) - want for a in (got, other))
        size, known_size = (float(np.max(np.abs(a), initial=0.0)) for a in (off, known_off))
        if not known_size / 30 <= size <= 30 * known_size:
            return False
        if _is_one_factor(off, want) != _is_one_factor(known_off, want):
            return False
        # Noise is not the same in every place; a constant that is added is.
        return off.size < 2 or float(np.ptp(off)) > 0.05 * size


@dataclass
class Likeness:
    """How what a known mistake made of a case looks beside what a student made of it, by label.

    Args:
        right: both are right.
        same: both are wrong, in the same way.
        other: they differ by value.
        agree: both are noise, not finite, or raise the same.
        unclear: one of them is noise, not finite, or raises; or on the edge of the tolerance.
        known_wrong: the labels in which the known mistake is wrong.
    """

    right: set = None
    same: set = None
    other: set = None
    agree: set = None
    unclear: set = None
    known_wrong: set = None

    def __post_init__(self):
        for name, value in vars(self).items():
            setattr(self, name, set() if value is None else value)


def diagnose(exercise, cases, attempts, expected, device=None):
    """Return the Diagnosis of a solution.

    Args:
        exercise: the Exercise.
        cases: ``{name: Case}``.
        attempts: ``{name: Attempt}``, one per case.
        expected: ``{name: {label: array}}``, what the reference returns.
        device: where the attempts were made.
    """
    # Known mistakes may change global state, and a glance at a pair does not watch over it. What
    # keeps quiet here is no change of theirs.
    with _quiet():
        state = GlobalState()
        try:
            return _diagnose(exercise, cases, attempts, expected, device, state)
        finally:
            state.restore()


def _diagnose(exercise, cases, attempts, expected, device, state):
    evidence = [
        _Evidence(exercise, case, attempts[name], expected[name], device, state)
        for name, case in cases.items()
    ]
    evidence = [each for each in evidence if each.fails or not each.case.costly]
    if not exercise.mistakes:
        return Diagnosis()
    if not any(each.fails for each in evidence):
        return _by_rules(exercise, evidence)
    first = next((each for each in evidence if each.tells), None)
    if first is None:
        return _without_values(exercise, evidence)
    candidates = [_Candidate((each,), each.obj, evidence) for each in exercise.mistakes]
    found = _whole(each for each in candidates if each.matches(first))
    if found:
        return Diagnosis(found.mistakes, found.is_sure)
    part = [each for each in candidates if each.touches(first)]
    return _pairs(exercise, first, candidates) or _parts(part)


class _Candidate:
    """A known mistake, or two at once, and its likeness to the solution in each case."""

    def __init__(self, mistakes, obj, evidence):
        self.mistakes, self.obj, self.evidence = mistakes, obj, evidence
        self.name = " + ".join(each.name for each in mistakes)
        self._found = {}

    def at(self, each):
        if id(each) not in self._found:
            self._found[id(each)] = each.likeness(*each.try_out(self.name, self.obj))
        return self._found[id(each)]

    def matches(self, each):
        """Return whether it explains all that is wrong in one case."""
        return bool(self.at(each).same) and not self.at(each).other

    def may_match(self, each):
        """Return whether it may look like the solution in one case, at the least cost."""
        made = each.glance(self.name, self.obj)
        if made.error:
            return made.error == each.made.error == "Unusable" and made.message == each.made.message
        return not each.likeness(made, each.wrong_in(made)).other

    def may_be_whole(self, each):
        """Return whether it may not differ from the solution in one case, at the least cost."""
        made = each.glance(self.name, self.obj)
        return not each.likeness(made, each.wrong_in(made)).other

    def touches(self, each):
        return bool(self.at(each).same)

    @property
    def everywhere(self):
        """Yield the Likeness in each case; one that is not asked for is not tried."""
        return (self.at(each) for each in self.evidence)

    @property
    def compared(self):
        """Yield the Likeness in each case where the solution has results, or fails as this does."""
        return (
            like
            for each, like in zip(self.evidence, self.everywhere, strict=True)
            if not each.made.error or like.same
        )

    @property
    def is_whole(self):
        return not any(each.other for each in self.everywhere)

    @property
    def has_values(self):
        """Whether it looks like the solution by results, and not by what both refuse alone."""
        return any(self.at(each).same for each in self.evidence if not each.made.error)

    @property
    def is_seen(self):
        """Whether it looks like the solution in some case."""
        return any(self.touches(each) for each in self.evidence)

    @property
    def stumbles(self):
        """The first case in which it differs from the solution."""
        return next(each for each in self.evidence if self.at(each).other)

    @property
    def is_sure(self):
        """Whether most of the cases in which it shows look the same, and its rules are broken."""
        shown = [each for each in self.everywhere if each.same or each.known_wrong]
        same = [each for each in shown if each.same]
        return len(same) >= _MOST * len(shown) and self.rules <= _rules(self.evidence)

    @property
    def is_perfect(self):
        return self.rules == _rules(self.evidence) and not any(
            each.unclear for each in self.everywhere
        )

    @property
    def weight(self):
        """How many more results look the same than differ, of those that it has wrong."""
        return sum(len(like.same) - len(like.other & like.known_wrong) for like in self.compared)

    @property
    def rules(self):
        made = [each.try_out(self.name, self.obj)[0] for each in self.evidence]
        return {rule_of(rule) for one in made for rule in one.rules}

    @property
    def rank(self):
        """The more it agrees on what decides nothing alone, the better; then rules."""
        agree = sum(len(each.agree) for each in self.everywhere)
        unclear = sum(len(each.unclear) for each in self.everywhere)
        return agree - unclear, self.rules == _rules(self.evidence)


def _whole(candidates):
    """Return the candidate that looks like the solution in every case, or None."""
    found = []
    for each in candidates:
        if each.is_whole:
            if each.is_perfect:
                # No other can be more alike, and each costs time.
                return each
            found.append(each)
    return max(found, key=lambda each: each.rank, default=None)


def _pairs(exercise, first, candidates):
    """Return the Diagnosis that two slips at once give, or None."""
    found = []
    for pair in _likely_pairs(exercise, first, candidates):
        if pair.matches(first) and pair.is_whole and not _fails_alone(pair):
            found.append(pair)
    if not found:
        return None
    if len(found) == 1:
        return Diagnosis(found[0].mistakes, found[0].is_sure)
    common = [m for m in found[0].mistakes if all(m in each.mistakes for each in found)]
    return Diagnosis(tuple(common), False) if common else None


def _fails_alone(pair):
    """Return whether two mistakes at once raise where the solution has results.

    The second of the two may show in no other case, and then nothing speaks for it.
    """
    return any(_raises(pair, each) for each in pair.evidence if not each.made.error)


def _likely_pairs(exercise, first, candidates):
    """Yield each pair of mistakes, as one candidate, that gives what is wrong in one case."""
    right = set(first.want) - set(first.wrong)
    # Two mistakes hardly ever mend each other.
    able = [each for each in candidates if not each.at(first).known_wrong & right]
    for one, other in itertools.combinations(able, 2):
        if not _may_pair(exercise, first, one, other):
            continue
        # The pair at one case costs less than each of the two at all of them.
        obj = both(one.mistakes[0], other.mistakes[0])
        if obj is None:
            continue
        pair = _Candidate((one.mistakes[0], other.mistakes[0]), obj, one.evidence)
        if _stands_alone(first, one, other):
            # There the pair is what one of them is. Where that one fails, the pair must not.
            alone = one if one.matches(first) else other
            if _contradicted(alone) or not pair.may_be_whole(alone.stumbles):
                continue
        if not pair.may_match(first) or _contradicted(one) or _contradicted(other):
            continue
        if pair.has_values or (one.is_seen and other.is_seen):
            yield pair


def _stands_alone(first, one, other):
    """Return whether one of two mistakes explains a case in which the other does not show."""
    return any(
        a.matches(first) and not b.at(first).known_wrong and not b.touches(first)
        for a, b in ((one, other), (other, one))
    )


def _may_pair(exercise, first, one, other):
    """Return whether two mistakes can together give what is wrong in one case."""
    shown = [each.at(first).known_wrong for each in (one, other)]
    if not all(shown):
        # One does not show here, so the other must explain this case alone.
        return one.matches(first) or other.matches(first)
    # A layer takes long to try, so there one of the two must show by itself.
    return shown[0] | shown[1] >= set(first.wrong) and (
        not exercise.takes_device or one.touches(first) or other.touches(first)
    )


def _bare(exercise, obj, case, device):
    """Return an Attempt without what a student reads of it."""
    try:
        with full_precision(device):
            outputs = exercise.drive(obj, _given(exercise, case, device))
        return Attempt({label: np.asarray(_plain(value)) for label, value in outputs.items()})
    except Unusable as problem:
        return Attempt(error="Unusable", message=str(problem))
    except Exception as error:
        return Attempt(error=type(error).__name__)


def _given(exercise, case, device):
    return copy_inputs(case.inputs) | ({"device": device} if exercise.takes_device else {})


def _plain(value):
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def _parts(candidates):
    """Return the Diagnosis of mistakes that explain some of the results, each in every case."""
    if not candidates:
        return Diagnosis()
    wrong = left = _wrong_anywhere(candidates[0].evidence)
    chosen = []
    while left and (best := _best_for(left, candidates)):
        chosen.append(best)
        left = [label for label in left if label not in _known_wrong(best)]
    mistakes = tuple(each.mistakes[0] for each in chosen)
    explained = [[label for label in wrong if label in _explained(each)] for each in chosen]
    exercise = candidates[0].evidence[0].exercise
    if exercise.chained and not any(wrong[0] in each for each in explained):
        # What is wrong below may only have come down from the first.
        return Diagnosis()
    all_explained = {*itertools.chain(*explained)}
    sure = {*wrong} <= all_explained and not any(
        each.made.error and not any(one.touches(each) for one in chosen)
        for each in candidates[0].evidence
    )
    return Diagnosis(mistakes, sure, tuple(map(tuple, explained)))


def _best_for(labels, candidates):
    """Return the one candidate that explains the most of some labels, or None."""
    ranked = []
    for each in candidates:
        # Where it would be wrong and the solution is right, it is not what happened. That comes
        # first: it mostly ends at one of the cases, and a layer takes long to try.
        if _contradicted(each):
            continue
        explained = _explained(each)
        if explained & set(labels) and each.weight >= 0:
            ranked.append((len(explained), each))
    most = max((size for size, _ in ranked), default=0)
    best = [each for size, each in ranked if size == most]
    return best[0] if len(best) == 1 else None


def _explained(candidate):
    """Return the labels that look the same in every case in which they can be compared."""
    other = {label for each in candidate.compared for label in each.other}
    return {label for each in candidate.compared for label in each.same} - other


def _known_wrong(candidate):
    return {label for each in candidate.everywhere for label in each.known_wrong}


def _contradicted(candidate):
    return any(
        label not in each.wrong
        for each, likeness in zip(candidate.evidence, candidate.everywhere, strict=True)
        for label in likeness.other & likeness.known_wrong
        if not each.made.error
    )


def _without_values(exercise, evidence):
    """Return the Diagnosis where only noise, exceptions or values that are not finite differ."""
    failing = [each for each in evidence if each.fails]
    raises = all(each.made.error for each in evidence)
    for mistake in exercise.mistakes:
        candidate = _Candidate((mistake,), mistake.obj, evidence)
        if not all(candidate.at(each).agree for each in failing):
            continue
        if any(like.other for like in candidate.everywhere):
            continue
        if any(_raises(candidate, each) for each in evidence if not each.fails):
            continue
        unclear = any(candidate.at(each).unclear for each in failing)
        if raises and not all(_says_the_same(each, candidate) for each in evidence):
            continue
        shown = sum(bool(like.known_wrong or like.agree) for like in candidate.everywhere)
        if not unclear and shown == len(failing):
            return Diagnosis((mistake,), candidate.rules <= _rules(evidence))
    return Diagnosis()


def _raises(candidate, each):
    return bool(each.try_out(candidate.name, candidate.obj)[0].error)


def _says_the_same(each, candidate):
    known, _ = each.try_out(candidate.name, candidate.obj)
    return each.made.message.splitlines()[:1] == known.message.splitlines()[:1]


def _by_rules(exercise, evidence):
    """Return the Diagnosis where every value is right and a rule is broken."""
    broken = _rules(evidence)
    best, most = None, 0
    for mistake in exercise.mistakes:
        candidate = _Candidate((mistake,), mistake.obj, evidence)
        # The cases come first: most mistakes end at one of them, and a layer takes long to try.
        if any(each.known_wrong or each.other for each in candidate.everywhere):
            continue
        if candidate.rules <= broken and len(candidate.rules) > most:
            best, most = mistake, len(candidate.rules)
    return Diagnosis((best,), True) if best else Diagnosis()


def _rules(evidence):
    return {rule_of(rule) for each in evidence for rule in each.made.rules}


def _wrong_anywhere(evidence):
    """Return the labels that are wrong in some case, in order."""
    labels = [label for each in evidence for label in each.want]
    wrong = {label for each in evidence for label in each.wrong}
    return [label for label in dict.fromkeys(labels) if label in wrong]


def _error_of(made):
    # The text of an exception depends on how the code is written; the text of ours does not.
    return made.error, made.message if made.error == "Unusable" else ""


def _finite(array):
    return array is None or array.dtype.kind not in "f" or bool(np.isfinite(array).all())


def _alike(a, b):
    """Return whether two results that are not all finite are so in the same places."""
    if a is None or b is None or a.shape != b.shape:
        return False
    return np.array_equal(np.isfinite(a), np.isfinite(b))


def _is_single(case, array):
    """Return whether float64 is asked and float32 holds every value, so was used to make them."""
    return case.dtype == "float64" and np.array_equal(
        array, array.astype(np.float32), equal_nan=True
    )


def _is_one_factor(off, want):
    """Return whether a result is off by one factor everywhere, as by N / (N - 1)."""
    factor = float((off * want).sum()) / (float((want * want).sum()) or 1.0)
    rest = float(np.max(np.abs(off - factor * want), initial=0.0))
    return off.size > 1 and rest <= 0.05 * float(np.max(np.abs(off)))


@contextlib.contextmanager
def _quiet():
    # A known mistake may divide by zero; that warning is not about the student's code.
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
