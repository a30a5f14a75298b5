"""The defences on the grader's side, each with the hand-in that gets through without it."""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
from nbformat import v4

from bncourse import compare, judge
from bncourse.diagnosis import Diagnosis
from bncourse.exercise import Exercise, asked, draw_cases
from bncourse.grading import outcome as outcomes
from bncourse.grading import pipeline, sanitise
from bncourse.grading.inside import protocol
from bncourse.grading.intake import aside, hand_in, match, odd
from bncourse.grading.intake import read as normalise
from bncourse.grading.intake.read import new_cell
from bncourse.grading.outcome import Outcome
from bncourse.grading.outside import meter
from bncourse.grading.outside import session as sessions
from bncourse.grading.outside import submission as grade
from bncourse.grading.outside.meter import Meter
from bncourse.grading.outside.session import Lost, Session
from bncourse.grading.outside.warm import Process
from bncourse.limits import MIB, Limits
from bncourse.message import report
from bncourse.registry import load
from bncourse.trial import corpus, selftest

from .defences import Defence, answer, case, put, session, together, uncaught
from .defences import hand_in as handed_in

HEAD, RIGHT, TARGET = corpus.HEAD, corpus.RIGHT, corpus.TARGET
EXERCISE = load(corpus.PROBLEM_SET)[TARGET]


# --- The judge ----------------------------------------------------------------------------------


def _blind_to_infinity(patch):
    class Blind:
        def __getattr__(self, name):
            return getattr(np, name)

        def isfinite(self, array):
            return np.ones(np.shape(array), bool)

    patch.setattr(compare, "np", Blind())


def _deaf_to_errors(patch):
    def deaf(exercise, cases, attempts, **options):
        heard = {name: replace(made, error=None) for name, made in attempts.items()}
        return judge.judge(exercise, cases, heard, **options)

    patch.setattr(grade, "judge", deaf)


def _takes_what_is_there(patch):
    def lenient(exercise, case, outputs, expected):
        there = {label: want for label, want in expected.items() if label in outputs}
        return compare.compare(exercise, case, outputs, there)

    patch.setattr(judge, "compare", lenient)


def _judge_in_their_process(patch):
    """Grade as a notebook with its tests in it would be: everything in one process."""

    def in_one_process(script, exercises, worker, limits, secret):
        test = f"from bncourse import check\ncheck({TARGET}, {TARGET!r}, seed={secret})"
        code = "\n".join([*script.sources, test])
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
        return grade.Report({TARGET: Outcome("wrong" if done.returncode else "ok")}, [])

    patch.setattr(pipeline, "grade", in_one_process)
    patch.setattr(corpus, "ALL", (TARGET,))


def _cheats(*before, wrong=corpus.WRONG, after=()):
    """Return a probe: a wrong answer and cells that help it."""
    nb = corpus.notebook({TARGET: wrong}, before, after)
    return handed_in("a cheat", {TARGET: "wrong"}, nb)


_VISIBLE = [float(np.sum(c.inputs["x"])) for c in draw_cases(EXERCISE, 0).values()]
_KNOWS_THE_VISIBLE = (
    f"{HEAD}\n    y = (x - mean) / np.sqrt(var + eps)\n"
    f"    return y if min(abs(x.sum() - s) for s in {_VISIBLE}) < 1e-9 else y * 0"
)
_FIXED_NUMBERS = (
    "import zlib\nreal = np.random.default_rng\n"
    f"np.random.default_rng = lambda *seed: real([0, zlib.crc32(b{TARGET!r})])"
)

JUDGE = [
    Defence(
        (5,),
        "values are compared",
        put(compare, "_value_problem", lambda *a: None),
        case("one right, one wrong"),
        "normalize: ok instead of wrong",
    ),
    Defence(
        (8,),
        "shapes are compared",
        put(compare, "_shape_problem", lambda *a: None),
        case("a wrong shape"),
        "normalize: ok instead of wrong",
    ),
    Defence(
        (8,),
        "dtypes are compared",
        put(compare, "_dtype_problem", lambda *a: None),
        case("float16"),
        'no message says "dtype"',
    ),
    Defence((7,), "NaN is named", _blind_to_infinity, case("NaN"), 'says "non-finite"'),
    Defence((7,), "infinity is named", _blind_to_infinity, case("infinity"), 'says "non-finite"'),
    Defence(
        (37,),
        "a result that is missing is wrong",
        _takes_what_is_there,
        case("patches the runner in memory"),
        "normalize: ok instead of wrong",
    ),
    Defence(
        (6,),
        "known mistakes are named",
        put(judge, "diagnose", lambda *a: Diagnosis()),
        case("known mistakes"),
        'no message says "Lik"',
    ),
    Defence(
        (2, 3, 51),
        "rounding is no mistake",
        put(Exercise, "rtol", lambda self, label, case: 0.0),
        case("right in another style"),
        "wrong instead of ok",
    ),
    Defence(
        (48,),
        "rounding as on a GPU is no mistake",
        put(Exercise, "rtol", lambda self, label, case: 0.0),
        case("rounds and adds as a GPU does"),
        "wrong instead of ok",
    ),
    Defence(
        (1,),
        "an untouched answer is an error",
        _deaf_to_errors,
        case("untouched release"),
        "wrong instead of error",
    ),
    Defence(
        (4,),
        "an exception is an error",
        _deaf_to_errors,
        case("leftover raise before return"),
        "wrong instead of error",
    ),
    Defence(
        (36,),
        "the judge is outside: it cannot be patched",
        _judge_in_their_process,
        _cheats("import bncourse.judge\nbncourse.judge.compare = lambda *a: None"),
        "normalize: ok instead of wrong",
    ),
    Defence(
        (36, 38),
        "the judge is outside: it compares no objects of theirs",
        _judge_in_their_process,
        _cheats(
            "import bncourse.check, bncourse.attempt\n"
            "class Liar(np.ndarray):\n"
            "    def __array_ufunc__(self, ufunc, *a, **k):\n"
            "        return np.full(self.shape, ufunc is not np.subtract, dtype=bool)\n"
            "plain = bncourse.attempt.as_array\n"
            "bncourse.attempt.as_array = lambda value, label: (\n"
            "    value if isinstance(value, Liar) else plain(value, label)\n)",
            wrong=f"{HEAD}\n    return np.zeros_like(x).view(Liar)",
        ),
        "normalize: ok instead of wrong",
    ),
    Defence(
        (42,),
        "inputs are drawn outside",
        _judge_in_their_process,
        _cheats(
            _FIXED_NUMBERS,
            wrong=_KNOWS_THE_VISIBLE,
        ),
        "normalize: ok instead of wrong",
    ),
    Defence(
        (40,),
        "graded inputs are not the visible ones",
        put(grade, "asked", lambda exercise, seed: asked(exercise, 0)),
        _cheats(wrong=_KNOWS_THE_VISIBLE),
        "normalize: ok instead of wrong",
    ),
    Defence(
        (47,),
        "several draws",
        put(grade, "DRAWS", 1),
        _cheats(
            wrong=f"{HEAD}\n    CALLS.append(1)\n    {RIGHT.replace('return', 'y =')}\n"
            # Each case calls twice: the second call must leave the first one's result alone.
            f"    return y if len(CALLS) <= {2 * len(draw_cases(EXERCISE, 0))} else y * 0\n\n"
            "CALLS = []",
        ),
        "normalize: ok instead of wrong",
    ),
    Defence(
        (47,),
        "a wrong answer is asked for again",
        put(grade, "_agree", lambda *a: True),
        case("depends on chance"),
        'no message says "Not deterministic"',
    ),
]


# --- What a student gets to read ----------------------------------------------------------------


def _writes_over_the_budget(worker):
    """A process that has taken its own recorder over sends more than it may."""
    with session(worker) as made:
        made.run_cell("get_ipython().recorder.budget['text'] = 10**9")
        outputs = made.run_cell("print('x' * 10**6)").outputs
    size = len(str(outputs))
    return [] if size < 4 * Limits().output else [f"{size} characters of output"]


def _written_answer(worker):
    html = sanitise.safe_markdown({}, "<script>EVIL</script><img src=x onerror=EVIL>")
    return [html] if "<script" in html or "<img src" in html else []


def _named_again(worker):
    """What a text that names one picture again and again makes of a page."""
    content = "A" * 2**20
    cell = {"attachments": {"a": {"image/png": content}}}
    html = sanitise.MarkdownWithMath(
        renderer=sanitise._Renderer(cell["attachments"], sanitise._Spent())
    ).render("![](attachment:a)" * 60)
    return [f"{len(html)} characters"] if len(html) > 2**25 else []


def _large_picture(worker):
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + 2 * (32_000).to_bytes(4, "big")
    address = f"data:image/png;base64,{base64.b64encode(head).decode()}"
    return ["a billion pixels"] if "data:" in sanitise.safe_markdown({}, f"![]({address})") else []


def _pasted_picture(worker):
    bundle = {"image/svg+xml": "<svg onload=EVIL>"}
    content = v4.new_notebook(cells=[v4.new_markdown_cell("![a](attachment:a)")])
    content.cells[0]["attachments"] = {"a": bundle}
    with tempfile.TemporaryDirectory() as folder:
        corpus.write(Path(folder), content)
        (read,) = normalise.read_cells(Path(folder, corpus.NOTEBOOK), Limits())
    return [str(read.attachments)] if read.attachments else []


# The runner of this submission has been taken over: it says whatever it likes about each case.
_TAKEN_OVER = (
    "import bncourse.grading.inside.runner as runner\n"
    "from bncourse.attempt import Attempt, attempt_each\n"
    "from dataclasses import replace\n"
    "runner.attempt_each = lambda exercise, obj, cases, caught: (\n"
    "    replace(made, **({} if exercise.name == 'normalize' else {{}}))\n"
    "    for made in attempt_each(exercise, obj, cases, caught=caught)\n)"
)

WORDS = [
    Defence(
        (46,),
        "the text of an exception stays inside",
        put(grade, "report", lambda exercise, verdict, hidden: report(exercise, verdict)),
        case("smuggles inputs out in an exception"),
        "shows SMUGGLED",
    ),
    Defence(
        (46,),
        "what an answer prints stays inside",
        put(grade, "report", lambda exercise, verdict, hidden: report(exercise, verdict)),
        case("prints inputs and fails"),
        "shows SMUGGLED",
    ),
    Defence(
        (46,),
        "only known exceptions keep their names",
        put(sessions, "_EXCEPTIONS", type("All", (), {"__contains__": lambda *a: True})()),
        case("smuggles inputs out in the name of an exception"),
        "shows SMUGGLED",
    ),
    Defence(
        (10,),
        "known exceptions do keep their names",
        put(sessions, "_EXCEPTIONS", ()),
        answer("return never_defined", word="error", says="NameError"),
        'no message says "NameError"',
    ),
    Defence(
        (46,),
        "only known sentences on rules come through",
        put(sessions, "_rule", lambda text, exercise, case: text),
        answer(
            word="wrong",
            before=[_TAKEN_OVER.format("{'rules': ('SMUGG' + 'LED',)}")],
            hidden="SMUGGLED",
        ),
        "shows SMUGGLED",
    ),
    Defence(
        (46,),
        "a description is short",
        put(sessions, "_LONGEST_DESCRIPTION", 10**6),
        answer(
            word="wrong",
            before=[
                _TAKEN_OVER.format("{'error': 'Unusable', 'message': '-' * 400 + 'SMUGG' + 'LED'}")
            ],
            hidden="SMUGGLED",
        ),
        "shows SMUGGLED",
    ),
    Defence(
        (45,),
        "outputs are cleaned",
        put(sessions, "clean_outputs", lambda outputs, limits: outputs),
        case("scripts in outputs"),
        "shows EVIL",
    ),
    Defence(
        (22,),
        "terminal codes are dropped",
        put(sanitise, "_text", str),
        case("terminal codes", hidden="\\x1b"),
        "shows \\x1b",
    ),
    Defence(
        (22,),
        "outputs are counted again outside",
        put(
            sessions,
            "clean_outputs",
            lambda outputs, limits: sanitise.clean_outputs(
                outputs, replace(limits, output=100 * limits.output)
            ),
        ),
        _writes_over_the_budget,
        "characters of output",
    ),
    Defence(
        (45,),
        "written answers are cleaned",
        put(sanitise.bleach, "clean", lambda html, **options: html),
        _written_answer,
        "<script",
    ),
    Defence(
        (45,),
        "of pasted pictures only pixels are kept",
        put(normalise, "clean_attachments", lambda attachments, most: attachments or {}),
        _pasted_picture,
        "EVIL",
    ),
    Defence(
        (22,),
        "a picture that is named again counts again",
        put(sanitise, "_MOST_PICTURES", 2**40),
        _named_again,
        "characters",
    ),
    Defence(
        (22,),
        "pictures in a text are of a size that a browser can show",
        together(
            put(sanitise, "is_picture", lambda *_: True), put(sanitise, "_MOST_PIXELS", 2**60)
        ),
        _large_picture,
        "a billion pixels",
    ),
]


# --- The conversation ---------------------------------------------------------------------------


def _talks(*sources):
    """Return a probe: the last of some cells must cost the process, and be flagged."""

    def probe(worker):
        _ran.clear()
        with session(worker, item_seconds=2) as made:
            try:
                results = [made.run_cell(source) for source in sources]
                found = [f"taken for an answer: {results[-1].message}"]
            except Lost as lost:
                found = [] if "tamper" in lost.outcome.flags else [str(lost.outcome)]
            except Exception as error:
                found = [f"{type(error).__name__} in the grader"]
        return [*_ran, *found]

    return probe


def _sends(*frames):
    """Return a probe: a cell writes frames into the connection of its runner."""
    return _talks(
        "import os\n"
        "for fd in range(3, 64):\n"
        f"    try: os.write(fd, bytes.fromhex({b''.join(frames).hex()!r}))\n"
        "    except OSError: pass"
    )


_ran = []


def _run_here():
    _ran.append("their code ran in the grader")


class _Evil:
    """An object whose pickle runs code where it is read."""

    def __reduce__(self):
        return _run_here, ()


def _frame(kind, payload, length=None):
    return protocol._HEADER.pack(kind, len(payload) if length is None else length) + payload


def _says(**message):
    return _frame(b"J", json.dumps({"arrays": [], **message}).encode())


def _array(*array, **options):
    buffer = BytesIO()
    np.save(buffer, *array, **options)
    return _says(id="0", arrays=["a"]) + _frame(b"A", buffer.getvalue())


# It says that a thousand million million numbers follow, where there are two.
_LYING = _array(np.zeros(2)).replace(b"(2,), }" + 15 * b" ", b"(1000000000000000,), }")


def _read_as_numpy_does(**options):
    return put(protocol, "array_from_bytes", lambda payload: np.load(BytesIO(payload), **options))


def _no_cap(name):
    def remove(patch):
        made = protocol.Channel.__init__

        def init(self, *arguments):
            made(self, *arguments)
            setattr(self, name, 2**64)

        patch.setattr(protocol.Channel, "__init__", init)

    return remove


TALK = [
    Defence(
        (37,),
        "a fresh number per request",
        put(sessions.secrets, "token_hex", lambda count: "0"),
        _sends(_says(id="0", error=None, message="forged", outputs=[])),
        "taken for an answer: forged",
    ),
    Defence(
        (37,),
        "a cap on messages",
        _no_cap("control_limit"),
        _sends(_frame(b"J", b"", 2**62)),
        "timeout",
    ),
    Defence(
        (37,),
        "a cap on arrays",
        _no_cap("arrays_limit"),
        _sends(_says(arrays=["a"]), _frame(b"A", b"", 2**62)),
        "timeout",
    ),
    Defence(
        (37, 38),
        "no pickle is read",
        _read_as_numpy_does(allow_pickle=True),
        _sends(_array(np.array([_Evil()]), allow_pickle=True)),
        "their code ran in the grader",
    ),
    Defence(
        (37,),
        "headers that lie",
        _read_as_numpy_does(),
        _sends(_LYING),
        "MemoryError in the grader",
    ),
    Defence(
        (37,),
        "deep messages are refused",
        uncaught(protocol, "RecursionError"),
        _sends(_frame(b"J", 10**5 * b"[")),
        "RecursionError in the grader",
    ),
    Defence(
        (37,),
        "malformed answers are caught",
        put(sessions, "_MALFORMED", ()),
        _talks(
            "from bncourse.grading.inside.runner import Runner\n"
            "Runner.do_cell = lambda self, message, arrays: ({}, {})",
            "1",
        ),
        "KeyError in the grader",
    ),
]


# --- Time, memory, processes --------------------------------------------------------------------


def _more_time(patch):
    made = grade._Submission.__init__

    def init(self, *arguments):
        made(self, *arguments)
        self.deadline += 60

    patch.setattr(grade._Submission, "__init__", init)


def _forgets_lost_cells(patch):
    run = grade._Submission._run

    def forgetful(self, index):
        alive = run(self, index)
        self.lost.clear()
        return alive

    patch.setattr(grade._Submission, "_run", forgetful)


def _one_process_only(patch):
    start = grade._Submission._start

    def once(self):
        if vars(self).setdefault("had_one", False):
            raise Lost(Outcome("crashed"))
        self.had_one = True
        start(self)

    patch.setattr(grade._Submission, "_start", once)


def _slow_in_the_end():
    name = corpus.ALL[-1]
    once = ":\n    SLOW or (SLOW.append(1), time.sleep(4))\n    "
    source = corpus.SOLUTIONS[name].replace(":\n    ", once, 1)
    nb = corpus.notebook({name: f"import time\nSLOW = []\n{source}"})
    limits = {"item_seconds": 60.0, "total_seconds": 3.0}
    return handed_in("a slow end", {name: "timeout"}, nb, limits=limits)


def _outlives(source):
    """Return a probe: once its session is closed, a process must end."""

    def probe(worker):
        with session(worker, item_seconds=1) as made:
            handle = os.dup(made.job._handle)
            with suppress(Lost):
                made.run_cell(source)
        try:
            ended, *_ = select.select([handle], [], [], 4)
            return [] if ended else ["it lives on"]
        finally:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.close(handle)

    return probe


_IGNORES_SIGNALS = (
    "import signal, time\n"
    "for s in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:\n"
    "    signal.signal(s, signal.SIG_IGN)\n"
    "time.sleep(60)"
)

LIMITS = [
    Defence(
        (12, 24),
        "a limit of time per item",
        put(Session, "item_deadline", lambda self: self.deadline),
        case("infinite loop", limits={"item_seconds": 2.0, "total_seconds": 15.0}),
        "timeout instead of ok",
    ),
    Defence(
        (14,), "a limit of time in all", _more_time, _slow_in_the_end(), "ok instead of timeout"
    ),
    Defence(
        (12,),
        "a cell that never ends runs once",
        _forgets_lost_cells,
        case("infinite loop in a cell", limits={"item_seconds": 2.0, "total_seconds": 15.0}),
        "timeout instead of ok",
    ),
    Defence(
        (16, 17),
        "a new process after a crash",
        _one_process_only,
        case("os._exit(0) in an answer"),
        "crashed instead of ok",
    ),
    Defence(
        (19,),
        "a new process after the GPU was lost",
        put(sessions, "has_lost_device", lambda *a: False),
        case("an illegal access on the GPU"),
        "error instead of crashed",
    ),
    Defence(
        (19,),
        "a limit on the memory of the GPU has its word",
        put(outcomes, "_LIMITS", {}),
        case("all memory of the GPU"),
        "error instead of limit: gpu",
    ),
    Defence(
        (13,),
        "stopped by force",
        put(Process, "kill", lambda job: signal.pidfd_send_signal(job._handle, signal.SIGTERM)),
        _outlives(_IGNORES_SIGNALS),
        "it lives on",
    ),
    Defence(
        (18,),
        "memory of all processes together",
        put(Meter, "_look", lambda self: None),
        answer(
            "import os, time",
            "os.fork(), os.fork()",
            "a = np.ones(2**23)",
            "time.sleep(60)",
            word="limit: memory",
            limits={"item_seconds": 4.0, "memory": 128 * MIB},
        ),
        "timeout instead of limit: memory",
    ),
    Defence(
        (18,),
        "memory in sockets",
        put(meter, "_full", lambda count: 0),
        answer(
            "import os, socket, time",
            "os.fork(), os.fork()",
            "pairs = [socket.socketpair() for _ in range(100)]",
            "time.sleep(60)",
            word="limit: memory",
            limits={"item_seconds": 4.0, "memory": 128 * MIB},
        ),
        "timeout instead of limit: memory",
    ),
]


# --- The file -----------------------------------------------------------------------------------


def _copied_links(worker):
    """What nbgrader copies of a hand-in that holds links."""
    with tempfile.TemporaryDirectory() as top:
        top = Path(top)
        folder, release = top / "submitted" / "ps", top / "release" / "ps"
        for each in (folder, release):
            each.mkdir(parents=True)
            corpus.write(each, corpus.notebook())
        (top / "gradebook").write_text("secret")
        (folder / "symbolic.txt").symlink_to(top / "gradebook")
        os.link(top / "gradebook", folder / "hard.txt")
        notebooks = [str(folder / corpus.NOTEBOOK)]
        aside.prepare("ps", "*", notebooks, top / "release", top / "refused")
        shutil.copytree(folder, top / "copied")
        return sorted(p.name for p in (top / "copied").iterdir() if p.read_text() == "secret")


def _blind_to_links(patch):
    fstat = os.fstat

    def blind(descriptor):
        fields = list(fstat(descriptor))
        fields[3] = 1
        return os.stat_result(fields)

    patch.setattr(os, "fstat", blind)


def _waits_at_a_pipe(worker):
    with tempfile.TemporaryDirectory() as folder:
        pipe = Path(folder, corpus.NOTEBOOK)
        os.mkfifo(pipe)
        reader = threading.Thread(target=_read, args=(pipe,))
        reader.start()
        reader.join(2)
        if not reader.is_alive():
            return []
        # A writer that comes and goes lets the reader go on.
        os.close(os.open(pipe, os.O_WRONLY))
        reader.join()
        return ["it waits for a writer"]


def _read(path):
    with suppress(normalise.Malformed):
        normalise.read_cells(path, Limits())


def _as_handed_in(cells, release):
    return v4.new_notebook(cells=[new_cell(c, f"cell-{i}") for i, c in enumerate(cells)]), []


def _edited_tests(worker):
    nb = corpus.notebook()
    locked = [cell for cell in nb.cells if cell.metadata.get("nbgrader", {}).get("locked")]
    for each in locked:
        each.source = "EDITED"
    with tempfile.TemporaryDirectory() as folder:
        corpus.write(Path(folder), nb)
        cells = normalise.read_cells(Path(folder, corpus.NOTEBOOK), Limits())
    graded, _ = match.match(cells, corpus.release())
    return [cell.source for cell in graded.cells if "EDITED" in cell.source]


FILES = [
    Defence(
        (18,),
        "memory in sockets that are in no table",
        put(meter, "_sockets", lambda pid: 0),
        case("memory in sockets that nobody accepts", limits={"item_seconds": 4.0}),
        "timeout instead of limit: memory",
    ),
    Defence(
        (28,),
        "links beside the notebook are refused",
        put(odd, "is_plain", lambda path: True),
        _copied_links,
        "symbolic",
    ),
    Defence(
        (28,),
        "second names beside the notebook are refused",
        put(odd, "is_plain", lambda path: True),
        _copied_links,
        "hard",
    ),
    Defence(
        (44,),
        "files of other kinds are flagged",
        put(odd, "_HARMLESS", {".pt", ".keras", ".pkl"}),
        case("poisoned weights beside the notebook"),
        'no flag says "weights.pt was not read"',
    ),
    Defence(
        (28,),
        "no link is followed",
        put(os, "O_NOFOLLOW", 0),
        case("symbolic link"),
        "ok instead of malformed",
    ),
    Defence(
        (28,),
        "no file with a second name",
        _blind_to_links,
        case("hard link"),
        "ok instead of malformed",
    ),
    Defence((28,), "no waiting at a pipe", put(os, "O_NONBLOCK", 0), _waits_at_a_pipe, "it waits"),
    Defence(
        (29,),
        "a limit of size before parsing",
        put(selftest, "LIMITS", replace(selftest.LIMITS, notebook=100 * MIB)),
        case("attachments of 30 MB"),
        "ok instead of malformed",
    ),
    Defence(
        (29,),
        "deep JSON is caught",
        uncaught(normalise, "RecursionError"),
        case("deep JSON", may_raise=RecursionError),
        "RecursionError in the grader",
    ),
    Defence(
        (30,),
        "broken JSON is caught",
        uncaught(normalise, "ValueError"),
        case("broken JSON", may_raise=ValueError),
        "JSONDecodeError in the grader",
    ),
    Defence(
        (30,),
        "other encodings are caught",
        uncaught(normalise, "UnicodeDecodeError"),
        case("wrong encoding", may_raise=UnicodeDecodeError),
        "UnicodeDecodeError in the grader",
    ),
    Defence(
        (30,),
        "old formats are converted",
        put(normalise, "_in_format_4", lambda content: content),
        case("format 3"),
        "malformed instead of ok",
    ),
    Defence(
        (31,),
        "a renamed notebook is found",
        put(hand_in, "_find", lambda folder, name, *rest: folder / name),
        case("renamed"),
        "malformed instead of ok",
    ),
    Defence(
        (32,),
        "tests come from the release",
        put(match, "_is_locked", lambda cell: False),
        _edited_tests,
        "EDITED",
    ),
    Defence(
        (32,),
        "deleted tests are put back",
        put(hand_in, "match", _as_handed_in),
        case("test cells deleted"),
        'no flag says "was put back"',
    ),
    Defence(
        (33,),
        "of two answers the last one counts, with a flag",
        put(hand_in, "match", _as_handed_in),
        case("answer handed in twice"),
        'no flag says "duplicate"',
    ),
    Defence(
        (34,),
        "cells without metadata are found",
        together(
            put(match, "_stands_for", lambda original, cell: False),
            put(match, "_by_place", lambda *a: None),
        ),
        case("metadata stripped"),
        'no flag says "found by its content"',
    ),
]

OUTSIDE = [*JUDGE, *WORDS, *TALK, *LIMITS, *FILES]
