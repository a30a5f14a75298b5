"""Find hand-ins that share unusual text; pure functions, a report for a human and never a grade.

Short exercises have short answers, and right answers look alike. Text is therefore evidence only
where it is rare: what the course itself says is left out, and so is what many students wrote. The
rest is compared by winnowing (schleimer2003winnowing): each run of tokens has a hash, of each few
neighbouring hashes the smallest is kept as a fingerprint, and an index finds who has the same.

Names of variables count only by where they come back, so that renaming hides nothing. Comments and
docstrings are evidence of their own.
"""

import builtins
import keyword
import re
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import combinations

LEAST = 25.0
# Wrong answers, comments and prose differ between people more than right code does.
WEIGHTS = {"code": 1.0, "wrong": 2.0, "comment": 2.0, "written": 3.0, "picture": LEAST}

_CODE = ("code", "wrong")
_TOKENS, _WORDS = 20, 6
_WINDOW = 4
_FEWEST_WORDS = 5
# Fifty times a long hand-in; a larger one is no answer, and must not hold up the others.
MOST_CHARACTERS = 300_000

_LEXER = re.compile(
    r"""
      (?P<comment>\#[^\n]*)
    | (?P<string>[rbfuRBFU]{0,2}(?:
        \"{3}(?:\\.|[^\\])*?(?:\"{3}|\Z) | '{3}(?:\\.|[^\\])*?(?:'{3}|\Z)
        | "(?:\\.|[^"\\\n])*"? | '(?:\\.|[^'\\\n])*'? ))
    | (?P<number>\d[\w.]*(?:(?<=[eE])[+-]\d+)?)
    | (?P<name>[^\W\d]\w*)
    | (?P<line>\n)
    | (?P<other>\S)
    """,
    re.VERBOSE | re.DOTALL,
)
_FIXED = {*keyword.kwlist, *dir(builtins)}


@dataclass(frozen=True)
class Text:
    """One cell of a hand-in.

    Args:
        cell: how a human finds it.
        kind: ``"code"``, ``"written"`` or ``"picture"`` (the source is then its base64).
        source: what the student wrote.
        wrong: whether the answer is known to be wrong.
    """

    cell: str
    kind: str
    source: str
    wrong: bool = False


@dataclass(frozen=True)
class Answers:
    """The texts of one student."""

    student: str
    texts: tuple[Text, ...]


@dataclass(frozen=True)
class Group:
    """Students whose hand-ins are equal but for names and layout."""

    students: tuple[str, ...]
    score: float


@dataclass(frozen=True)
class Pair:
    """Two students who share unusual text.

    Args:
        students: the two.
        score: each shared fingerprint counts its weight, and less the more students have it.
        share: the part of the unusual text of one of them, the one who has less of it.
        kinds: ``{kind of evidence: fingerprints}``.
        prints: the shared fingerprints, for ``passages``.
    """

    students: tuple[str, str]
    score: float
    share: float
    kinds: dict
    prints: frozenset = field(repr=False)


@dataclass(frozen=True)
class Passage:
    """What two hand-ins share in one pair of cells; lines count from 0, and are sorted."""

    left: Text
    right: Text
    left_lines: tuple[int, ...]
    right_lines: tuple[int, ...]
    prints: int


# --- Fingerprints -------------------------------------------------------------------------------


def fingerprints(text, window=_WINDOW):
    """Return ``{hash: (kind of evidence, first line, last line)}`` of a Text.

    Args:
        text: the Text; its code may be broken.
        window: of so many neighbouring hashes one is kept.
    """
    if text.kind == "picture":
        return {_hash([text.source]): ("picture", 0, 0)}
    source = _plain(text.source)
    if text.kind == "written":
        return _winnow(_words(source), _WORDS, window, "written")
    code, comments = _lex(source)
    found = _winnow(_without_names(code), _TOKENS, window, "wrong" if text.wrong else "code")
    for comment in comments:
        found |= _winnow(comment, _WORDS, window, "comment")
    return found


def _plain(source):
    """Return text in which characters that look alike, or that nobody sees, make no difference."""
    if source.isascii():
        return source
    source = unicodedata.normalize("NFKC", source)
    return "".join(c for c in source if unicodedata.category(c) != "Cf")


def _words(source, first=0):
    return [
        (word.casefold(), 0, number)
        for number, line in enumerate(source.split("\n"), first)
        for word in re.findall(r"\w+", line)
    ]


def _lex(source):
    """Return the tokens ``(word, is a name that can be renamed, line)`` and the comments of code.

    Python's tokenize stops at the first thing that is no Python; this reads anything.
    """
    tokens, comments = [], []
    line = depth = 0
    starts_line, last_comment = True, -2
    for found in _LEXER.finditer(source + "\n"):
        kind, word = found.lastgroup, found.group()
        if kind == "comment":
            if last_comment < line - 1:
                comments.append([])
            comments[-1] += _words(word, line)
            last_comment = line
        elif kind == "string" and starts_line and not depth:
            comments.append(_words(word, line))
        elif kind == "string":
            tokens.append(("'" + word.lstrip("rbfuRBFU").strip("\"'"), False, line))
        elif kind != "line":
            depth = max(0, depth + (word in "([{") - (word in ")]}"))
            tokens.append((word, kind == "name" and word not in _FIXED, line))
        starts_line = kind == "line"
        line += word.count("\n")
    return _keep_attributes(tokens), comments


def _keep_attributes(tokens):
    """Return tokens in which the names of attributes and of keyword arguments are fixed."""
    words = ["", *(word for word, _, _ in tokens), "", ""]
    kept, depth, heading = [], 0, False
    for (word, renamed, line), before, after, later in zip(
        tokens, words, words[2:], words[3:], strict=False
    ):
        # In the head of a function this is a parameter with its default, which can be renamed.
        depth = max(0, depth + (word in "([{") - (word in ")]}"))
        heading = word == "def" or (heading and (depth > 0 or word != ":"))
        is_argument = depth > 0 and before in ("(", ",") and not heading
        keyword_argument = is_argument and after == "=" and later != "="
        kept.append((word, renamed and before != "." and not keyword_argument, line))
    return kept


def _without_names(tokens):
    """Return ``(label, distance, line)``; the label of a name says how far back it stood before."""
    last, labelled = {}, []
    for place, (word, renamed, line) in enumerate(tokens):
        distance = place - last.get(word, place) if renamed else 0
        labelled.append((f"${distance or ''}" if renamed else word, distance, line))
        last[word] = place
    return labelled


def _winnow(tokens, size, window, kind):
    """Return the fingerprints of one run of tokens, each where it first occurs."""
    if kind in ("comment", "written") and _FEWEST_WORDS <= len(tokens) < size:
        size = len(tokens)
    hashes = [_gram(tokens[start : start + size]) for start in range(len(tokens) - size + 1)]
    if not hashes:
        return {}
    windows = range(max(1, len(hashes) - window + 1))
    kept = {min(hashes[start : start + window]) for start in windows}
    found = {}
    for start, value in enumerate(hashes):
        if value in kept and value not in found:
            found[value] = (kind, tokens[start][2], tokens[start + size - 1][2])
    return found


def _gram(tokens):
    # A name that last stood before this run is new to it.
    return _hash(
        [label if distance <= at else "$" for at, (label, distance, _) in enumerate(tokens)]
    )


def _hash(words):
    digest = blake2b("\0".join(words).encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest)


# --- Comparison ---------------------------------------------------------------------------------


def default_common(count):
    """Return how many of ``count`` students may have a text that is still unusual.

    That is 5 % of a class, but always 4 and never more than 20: a ring is larger than a pair, and
    the pairs of a text grow with the square of those who have it.

    >>> [default_common(count) for count in (10, 200, 2000)]
    [4, 10, 20]
    """
    return min(max(4, count // 20), 20)


def compare(hand_ins, known=(), least=LEAST, common=None):
    """Return ``(groups, pairs)``, the highest score first.

    Args:
        hand_ins: the Answers, one per student.
        known: Texts that are no evidence: the release, the book.
        least: the lowest score that is told.
        common: how many students may have a text that is still unusual.
    """
    hand_ins = sorted(hand_ins, key=lambda each: each.student)
    common = common or default_common(len(hand_ins))
    ignored = {value for text in known for value in fingerprints(text, window=1)}
    prints = {each.student: _prints(each, ignored) for each in hand_ins}
    groups = _groups(hand_ins, prints, common, least)
    for group in groups:
        # One stands for all, or what a large group shares would look common.
        for student in group.students[1:]:
            del prints[student]
    return groups, _pairs(prints, common, least)


def _prints(hand_in, ignored):
    """Return ``{hash: kind of evidence}`` of what a student wrote."""
    found = {}
    for text in hand_in.texts:
        for value, (kind, _, _) in fingerprints(text).items():
            if value not in ignored and WEIGHTS[kind] > WEIGHTS.get(found.get(value), 0):
                found[value] = kind
    return found


def _groups(hand_ins, prints, common, least):
    equal = defaultdict(list)
    for hand_in in hand_ins:
        equal[_canonical(hand_in)].append(hand_in.student)
    counts = Counter(value for found in prints.values() for value in found)
    groups = []
    for students in (each for each in equal.values() if len(each) > 1):
        size = len(students)
        # Code that a whole class has in common is how the exercise is solved.
        is_class = size == len(prints) or size > max(common, len(prints) / 2)
        score = sum(
            WEIGHTS[kind]
            for value, kind in prints[students[0]].items()
            if kind not in _CODE or (counts[value] - size < common and not is_class)
        )
        if score >= least:
            groups.append(Group(tuple(students), score))
    return sorted(groups, key=lambda group: (-group.score, group.students))


def _canonical(hand_in):
    """Return a digest of what was handed in, without names, layout and the order of cells."""
    return _hash(sorted(filter(None, map(_canonical_text, hand_in.texts))))


def _canonical_text(text):
    if text.kind == "picture":
        return text.source
    source = _plain(text.source)
    if text.kind == "written":
        return " ".join(word for word, _, _ in _words(source))
    code, comments = _lex(source)
    labels = [label for label, _, _ in _without_names(code)]
    return " ".join(labels + [word for comment in comments for word, _, _ in comment])


def _pairs(prints, common, least):
    owners = defaultdict(list)
    for student, found in prints.items():
        for value in found:
            owners[value].append(student)
    unusual = {
        value: students
        for value, students in owners.items()
        if _is_unusual(len(students), prints[students[0]][value], len(prints), common)
    }
    scores = Counter()
    for value, students in unusual.items():
        for pair in combinations(students, 2):
            scores[pair] += min(WEIGHTS[prints[each][value]] for each in pair) * 2 / len(students)
    pairs = [
        _pair(students, score, unusual, prints)
        for students, score in scores.items()
        if score >= least
    ]
    return sorted(pairs, key=lambda pair: (-pair.score, pair.students))


def _is_unusual(count, kind, total, common):
    """Return whether a text says something about the ``count`` of ``total`` who have it."""
    return count <= common and (kind not in _CODE or count == 1 or count <= total / 2)


def _pair(students, score, unusual, prints):
    left, right = (prints[each].keys() & unusual.keys() for each in students)
    shared = left & right
    pairs = ((prints[each][value] for each in students) for value in shared)
    kinds = Counter(min(pair, key=WEIGHTS.get) for pair in pairs)
    share = len(shared) / min(len(left), len(right))
    return Pair(students, score, share, dict(sorted(kinds.items())), frozenset(shared))


def passages(left, right, prints):
    """Return the Passages of two Answers that hold some fingerprints, the longest first.

    Args:
        left, right: the Answers.
        prints: the fingerprints of their Pair.
    """
    places = _places(left, prints), _places(right, prints)
    cells = defaultdict(list)
    for value in sorted(places[0].keys() & places[1].keys()):
        (text, lines), (other, other_lines) = (each[value] for each in places)
        cells[text, other].append((lines, other_lines))
    found = [
        Passage(
            *pair,
            *(tuple(sorted(set().union(*each))) for each in zip(*lines, strict=True)),
            len(lines),
        )
        for pair, lines in cells.items()
    ]
    return sorted(found, key=lambda each: (-each.prints, each.left.cell, each.right.cell))


def _places(hand_in, prints):
    """Return ``{fingerprint: (Text, lines)}``, each where it first occurs."""
    found = {}
    for text in hand_in.texts:
        for value, (_, first, last) in fingerprints(text).items():
            if value in prints:
                found.setdefault(value, (text, range(first, last + 1)))
    return found
