"""Bad, odd and hostile hand-ins, each with the outcome it must get.

``bncourse grade --self-test`` runs them on the instructor's machine, the tests run them on ours.
Every hand-in is a notebook for the first problem set in which everything is right but for the
trick, so that a case also shows that the other exercises keep their verdicts.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from nbformat import v3, v4

from bncourse.check import draw_cases
from bncourse.registry import load

PROBLEM_SET = "ps1_forward"
NOTEBOOK = "forward.ipynb"
IMPORTS = "import numpy as np\n\nfrom bncourse import check"

SOLUTIONS = {
    "batch_statistics": """
def batch_statistics(x):
    mean = x.mean(axis=0)
    return mean, ((x - mean) ** 2).mean(axis=0)
""",
    "normalize": """
def normalize(x, mean, var, eps=1e-5):
    return (x - mean) / np.sqrt(var + eps)
""",
    "batchnorm_forward": """
def batchnorm_forward(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}
""",
    "update_running": """
def update_running(running_mean, running_var, x, momentum=0.1):
    mean, var = x.mean(axis=0), x.var(axis=0, ddof=1)
    return (
        (1 - momentum) * running_mean + momentum * mean,
        (1 - momentum) * running_var + momentum * var,
    )
""",
    "batchnorm_inference": """
def batchnorm_inference(x, gamma, beta, running_mean, running_var, eps=1e-5):
    return gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta
""",
    "merge_statistics": """
def merge_statistics(count_a, mean_a, var_a, count_b, mean_b, var_b):
    count = count_a + count_b
    delta = mean_b - mean_a
    mean = mean_a + delta * count_b / count
    within = (count_a * var_a + count_b * var_b) / count
    return count, mean, within + delta**2 * count_a * count_b / count**2
""",
}
SOLUTIONS = {name: source.strip() for name, source in SOLUTIONS.items()}

# A pickle that runs a command when it is loaded.
POISON = b"cos\nsystem\n(S'echo LOADED'\ntR."

# The one exercise that most tricks are played in.
TARGET = "normalize"
HEAD = "def normalize(x, mean, var, eps=1e-5):"
RIGHT = "return (x - mean) / np.sqrt(var + eps)"


@dataclass(frozen=True)
class Bad:
    """One hand-in and what must come of it.

    Args:
        number: of the threat in the table of threats; several cases may share one.
        name: what it tries.
        make: writes the hand-in into a folder.
        words: ``{exercise: the outcome}``; "ok" elsewhere.
        says: what a message must contain.
        flag: what a flag must contain.
        limits: other Limits than those of the self-test.
        hidden: what no output may contain.
    """

    number: int
    name: str
    make: Callable
    words: Mapping = field(default_factory=dict)
    says: str = ""
    flag: str = ""
    limits: Mapping = field(default_factory=dict)
    hidden: str = ""

    def __str__(self):
        return f"{self.number:02} {self.name}"


def release():
    """Return the released notebook that the corpus answers."""
    cells = [v4.new_markdown_cell("# Exercises"), v4.new_code_cell(IMPORTS)]
    for name, exercise in load(PROBLEM_SET).items():
        stub = f"def {name}{exercise.signature}:\n    raise NotImplementedError"
        cells += [answer_cell(name, stub), check_cell(name)]
    cells += [v4.new_markdown_cell("Why is the bias redundant?"), written_cell("YOUR ANSWER HERE")]
    return v4.new_notebook(cells=cells)


def answer_cell(name, source):
    """Return the cell that holds the answer to an exercise."""
    return _marked(v4.new_code_cell(source), f"{name}_answer", solution=True)


def check_cell(name):
    """Return the graded cell of an exercise."""
    cell = v4.new_code_cell(f"check({name})")
    return _marked(cell, name, grade=True, locked=True, points=2)


def written_cell(source):
    """Return the cell of the written answer."""
    cell = v4.new_markdown_cell(source)
    return _marked(cell, "redundant_bias", grade=True, solution=True, points=3)


def _marked(cell, grade_id, **options):
    cell.metadata["nbgrader"] = {
        "grade_id": grade_id,
        "grade": False,
        "solution": False,
        "locked": False,
        "task": False,
        "schema_version": 3,
        "cell_type": cell.cell_type,
        **options,
    }
    return cell


def notebook(changed=None, before=(), after=()):
    """Return a hand-in that is right but for some answers.

    Args:
        changed: ``{exercise: source}`` in place of the right answers.
        before: sources of cells after the imports.
        after: sources of cells at the end.
    """
    nb = release()
    answers = {f"{name}_answer": source for name, source in (SOLUTIONS | (changed or {})).items()}
    for cell in nb.cells:
        cell.source = answers.get(cell.metadata.get("nbgrader", {}).get("grade_id"), cell.source)
    nb.cells[2:2] = map(v4.new_code_cell, before)
    nb.cells += map(v4.new_code_cell, after)
    return nb


def write(folder, nb, name=NOTEBOOK):
    """Write a hand-in without nbformat's help, which would repair it."""
    (folder / name).write_text(json.dumps(nb))


def _hands_in(nb):
    return lambda folder: write(folder, nb)


def _hands_in_bytes(data):
    return lambda folder: (folder / NOTEBOOK).write_bytes(data)


def body(*lines):
    """Return the target with these lines before its right answer."""
    return "\n    ".join([HEAD, *"\n".join([*lines, RIGHT]).splitlines()])


def trick(number, name, *lines, word="ok", before=(), after=(), **options):
    """Return a case whose target runs some lines before it answers rightly."""
    nb = notebook({TARGET: body(*lines)}, before, after)
    return Bad(number, name, _hands_in(nb), {TARGET: word}, **options)


def returns(number, name, expression, word, before=(), **options):
    """Return a case whose target returns an expression of ``right``, the right answer."""
    source = f"{HEAD}\n    right = (x - mean) / np.sqrt(var + eps)\n    return {expression}"
    nb = notebook({TARGET: source}, before)
    return Bad(number, name, _hands_in(nb), {TARGET: word}, **options)


def cell(number, name, *sources, word="ok", **options):
    """Return a case with cells in front of a right target."""
    return Bad(number, name, _hands_in(notebook(before=sources)), {TARGET: word}, **options)


ALL = tuple(SOLUTIONS)


def everywhere(word):
    """Return the same outcome for every exercise."""
    return dict.fromkeys(ALL, word)


def wrong_everywhere():
    """Return answers that are wrong in the way of the first known mistake of each exercise."""
    from bncourse.sample_class import source_of

    specs = load(PROBLEM_SET)
    return {name: source_of(specs[name].mistakes[0], name) for name in ALL}


WRONG = f"{HEAD}\n    return np.zeros_like(x)"


def ordinary():
    """Return the hand-ins of honest students."""
    lines = '"\\n".join(str(i) for i in range(1000))'
    return [
        Bad(1, "untouched release", _hands_in(release()), everywhere("error"), "NotImplementedErr"),
        Bad(
            2,
            "right in another style",
            _hands_in(
                notebook(
                    {
                        "batch_statistics": "def batch_statistics(x):\n"
                        "    mean, squares = np.zeros(x.shape[1]), np.zeros(x.shape[1])\n"
                        "    for n, row in enumerate(x, 1):\n"
                        "        delta = row - mean\n"
                        "        mean = mean + delta / n\n"
                        "        squares = squares + delta * (row - mean)\n"
                        "    return mean.astype(x.dtype), (squares / len(x)).astype(x.dtype)",
                        TARGET: f"{HEAD}\n"
                        "    return np.einsum('nd,d->nd', x - mean, 1 / np.sqrt(var + eps))",
                    }
                )
            ),
        ),
        trick(
            3,
            "warnings, logging and progress on stderr",
            "import sys, warnings, logging",
            "warnings.warn('be careful')",
            "logging.warning('progress')",
            "print('50%', file=sys.stderr)",
            before=["import sys\nprint('hello', file=sys.stderr)"],
        ),
        Bad(
            4,
            "leftover raise after return",
            _hands_in(notebook({TARGET: f"{HEAD}\n    {RIGHT}\n    raise NotImplementedError"})),
        ),
        trick(4, "leftover raise before return", "raise NotImplementedError", word="error"),
        Bad(
            5,
            "one right, one wrong",
            _hands_in(notebook({TARGET: WRONG})),
            {TARGET: "wrong"},
        ),
        Bad(
            6, "known mistakes", _hands_in(notebook(wrong_everywhere())), everywhere("wrong"), "Lik"
        ),
        returns(7, "NaN", "right * np.nan", "wrong", says="non-finite"),
        returns(7, "infinity", "right / 0.0", "wrong", says="non-finite"),
        returns(8, "a list", "right.tolist() if right.dtype == float else right", "ok"),
        returns(8, "float16", "right.astype(np.float16)", "wrong", says="dtype"),
        returns(8, "complex", "right + 0j", "wrong", says="real numbers"),
        returns(8, "an object array", "right.astype(object)", "wrong", says="real numbers"),
        returns(8, "a wrong shape", "right[None]", "wrong", says="shape"),
        returns(8, "None", "None", "wrong", says="Received: None"),
        returns(
            8,
            "a tensor with a gradient",
            "torch.from_numpy(right).requires_grad_()",
            "ok",
            before=["import torch"],
        ),
        trick(9, "changes its input", "y = x.copy(); x += 1; x = y", word="wrong", says="in place"),
        cell(10, "uses an earlier cell", "HALF = 0.5", "print(HALF)"),
        Bad(
            10,
            "needs a later cell",
            _hands_in(
                notebook(
                    {TARGET: f"{HEAD.replace('1e-5', 'EPS')}\n    {RIGHT}"}, after=["EPS = 1e-5"]
                )
            ),
            {TARGET: "error"},
            says="NameError",
        ),
        trick(
            11,
            "changes global state in a cell",
            "np.ones(1) / np.zeros(1)",
            "warnings.warn('it would be an error')",
            before=[
                "import warnings, random, torch\n"
                "warnings.simplefilter('error')\nnp.seterr(all='raise')\n"
                "np.random.seed(1)\nrandom.seed(1)\n"
                "torch.set_default_dtype(torch.float64)\ntorch.set_grad_enabled(False)"
            ],
        ),
        trick(
            11,
            "changes global state in an answer",
            "np.random.seed(1); np.seterr(divide='ignore', over='raise')",
            word="wrong",
            says="random state",
        ),
        Bad(
            48,
            "rounds and adds as a GPU does",
            _hands_in(
                notebook(
                    {
                        "batch_statistics": "def batch_statistics(x):\n"
                        "    x = x[np.random.default_rng().permutation(len(x))]\n"
                        "    mean = x.mean(axis=0)\n"
                        "    return mean, ((x - mean) ** 2).mean(axis=0)",
                        TARGET: "def tf32(a):\n"
                        "    bits = a.astype(np.float32).view(np.uint32)\n"
                        "    bits = (bits + 2**12) & 0xFFFFE000\n"
                        "    return bits.astype(np.uint32).view(np.float32)\n\n"
                        f"{HEAD}\n"
                        "    if x.dtype != np.float32:\n"
                        f"        {RIGHT}\n"
                        "    return tf32(x - mean) * tf32(1 / np.sqrt(var + eps))",
                    }
                )
            ),
        ),
        trick(22, "a thousand lines", f"print({lines})"),
        Bad(51, "the same again", _hands_in(notebook())),
    ]


def stuck():
    """Return hand-ins that do not end, or end too early."""
    quick = {"item_seconds": 4.0}
    bombs = {"item_seconds": 25.0}
    return [
        trick(12, "infinite loop", "while True: pass", word="timeout", limits=quick),
        trick(
            13,
            "loop that ignores every signal",
            "import signal, time",
            "for s in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:",
            "    signal.signal(s, signal.SIG_IGN)",
            "while True:",
            "    try: time.sleep(1)",
            "    except BaseException: pass",
            word="timeout",
            limits=quick,
        ),
        cell(
            12,
            "infinite loop in a cell",
            "while True: pass",
            limits=quick,
        ),
        Bad(
            14,
            "each item just under its limit",
            _hands_in(
                notebook(
                    {
                        name: f"import time\nSLOW_{name} = []\n"
                        + source.replace(
                            ":\n    ",
                            f":\n    SLOW_{name} or (SLOW_{name}.append(1), time.sleep(5))\n    ",
                            1,
                        )
                        for name, source in SOLUTIONS.items()
                    }
                )
            ),
            dict.fromkeys(ALL[2:], "timeout"),
            says="whole notebook",
            limits={"item_seconds": 12.0, "total_seconds": 13.0},
        ),
        *[
            trick(15, f"{stop} in an answer", "import sys", stop, word="error")
            for stop in ("sys.exit()", "exit()", "quit()", "raise SystemExit(0)")
        ],
        Bad(
            15,
            "exit() in the cell of an answer",
            _hands_in(notebook({TARGET: body("pass") + "\n\nexit()"})),
            {TARGET: "error"},
        ),
        trick(15, "KeyboardInterrupt", "raise KeyboardInterrupt", word="error"),
        *[
            trick(16, f"{end} in an answer", "import os, signal", end, word="crashed")
            for end in ("os._exit(0)", "os.abort()", "os.kill(os.getpid(), signal.SIGKILL)")
        ],
        cell(16, "os._exit(0) in a cell", "import os\nos._exit(0)"),
        trick(17, "segmentation fault", "import ctypes", "ctypes.string_at(0)", word="crashed"),
        trick(17, "infinite recursion", "return normalize(x, mean, var, eps)", word="error"),
        trick(
            18,
            "memory bomb",
            "a = []",
            "while True: a.append(np.ones(2**22))",
            word="limit: memory",
            limits=bombs,
        ),
        trick(
            18,
            "memory bomb in many processes",
            "import os, time",
            "for _ in range(3): os.fork()",
            "a = np.ones(2**24)",
            "time.sleep(60)",
            word="limit: memory",
            limits=bombs,
        ),
        trick(
            18,
            "shared memory bomb in many processes",
            "import mmap, os, time",
            "for _ in range(4):",
            "    if os.fork() == 0:",
            "        m = mmap.mmap(-1, 2**28)",
            "        for _ in range(2**8): m.write(bytes(2**20))",
            "        time.sleep(60)",
            "time.sleep(60)",
            word="limit: memory",
            limits=bombs,
        ),
        trick(
            18,
            "memory files",
            "import os",
            "files = [os.memfd_create('bomb') for _ in range(60)]",
            "for file in files: os.write(file, bytes(2**24))",
            word="error",
        ),
        trick(
            18,
            "shared memory bomb",
            "import mmap",
            "m = []",
            "while True: m.append(mmap.mmap(-1, 2**26)); m[-1].write(bytes(2**26))",
            word="limit: memory",
            limits=bombs,
        ),
        # What torch says when this happens; no GPU is needed to say it.
        trick(
            19,
            "all memory of the GPU",
            "raise RuntimeError('CUDA out of memory. Tried to allocate 80.00 GiB.')",
            word="limit: gpu",
        ),
        trick(
            19,
            "an illegal access on the GPU",
            "raise RuntimeError('CUDA error: an illegal memory access was encountered')",
            word="crashed",
        ),
        cell(
            19,
            "an illegal access on the GPU in a cell",
            "raise RuntimeError('CUDA error: an illegal memory access was encountered')",
        ),
        trick(
            20,
            "fork bomb",
            "import os",
            "while True: os.fork()",
            word="limit: pids",
            limits=bombs,
        ),
        trick(
            20,
            "thread bomb",
            "import threading, time",
            "while True: threading.Thread(target=time.sleep, args=(99,), daemon=True).start()",
            word="limit: pids",
        ),
        trick(
            20,
            "zombie flood",
            "import os, time",
            "for _ in range(500):",
            "    if os.fork() == 0: os._exit(0)",
            word="limit: pids",
            limits=bombs,
        ),
        *[
            trick(
                21,
                f"fills {folder or 'the working folder'}",
                f"for i in range(999): open(f'{folder}{{i}}', 'wb').write(bytes(2**20))",
                word="limit: disk",
            )
            for folder in ("", "/tmp/", "/dev/shm/")
        ],
        trick(
            21,
            "one large file",
            "with open('/tmp/f', 'wb') as f:",
            "    while True: f.write(bytes(2**20))",
            word="limit: disk",
        ),
    ]


def noisy():
    """Return hand-ins that flood, linger, ask or reach out."""
    return [
        cell(22, "a flood of text", "for _ in range(10**5): print('x' * 10**4)"),
        cell(
            22,
            "a flood of displays",
            "from IPython.display import display\nfor i in range(10**5): display(i)",
        ),
        trick(22, "a huge exception", "raise ValueError('x' * 10**8)", word="error"),
        cell(22, "terminal codes", "print('\\x1b[31m\\x1b]0;title\\x07' * 10**5)", hidden="\\x1b"),
        cell(
            23,
            "leaves processes and threads behind",
            "import subprocess, threading, time, atexit\n"
            "subprocess.Popen(['sleep', '9999'], start_new_session=True)\n"
            "threading.Thread(target=time.sleep, args=(9999,)).start()\n"
            "atexit.register(time.sleep, 9999)",
            "!nohup sleep 9999 >/dev/null 2>&1 &",
        ),
        trick(24, "asks for input", "input()", word="error"),
        trick(24, "starts a debugger", "import pdb; pdb.set_trace()", word="error"),
        cell(24, "%debug", "1 / 0", "%debug"),
        cell(
            25,
            "network",
            "import socket, urllib.request\n"
            "for reach in (\n"
            "    lambda: socket.create_connection(('169.254.169.254', 80), 5),\n"
            "    lambda: socket.create_connection(('127.0.0.1', 22), 5),\n"
            "    lambda: socket.getaddrinfo('pypi.org', 443),\n"
            "    lambda: urllib.request.urlopen('http://example.com', timeout=5),\n"
            "):\n"
            "    try:\n"
            "        reach()\n"
            "        print('REACH' + 'ED')\n"
            "    except OSError:\n"
            "        print('no route')",
            hidden="REACHED",
        ),
        cell(
            26,
            "reads files of the instructor",
            "import os, pathlib\n"
            "SECRETS = 'gradebook.db', '.course_secret', 'solutions', 'submitted', 'shadow'\n"
            "for root, folders, files in os.walk('/'):\n"
            "    folders[:] = [f for f in folders if f not in ('proc', 'usr', 'site-packages')]\n"
            "    for name in (*folders, *files):\n"
            "        if name in SECRETS: print('FOU' + 'ND', root, name)\n"
            "for path in pathlib.Path('/proc').glob('*/environ'):\n"
            "    try:\n"
            "        print(path.read_bytes())\n"
            "    except OSError:\n"
            "        pass\n"
            "print(dict(os.environ))",
            hidden="FOUND|BNCOURSE_CANARY",
        ),
        cell(
            27,
            "writes to the system",
            "import os, sys, numpy\n"
            "for path in (numpy.__file__, sys.executable, '/etc/passwd', '/usr/bin/evil',\n"
            "             os.path.dirname(numpy.__file__) + '/evil.py', '/evil',\n"
            "             '/dev/evil', '/proc/sys/kernel/core_pattern', '/proc/1/mem'):\n"
            "    try:\n"
            "        open(path, 'ab').close()\n"
            "        print('WRO' + 'TE', path)\n"
            "    except OSError:\n"
            "        print('refused')",
            hidden="WROTE",
        ),
        cell(
            27,
            "tries to leave the sandbox",
            "import ctypes, os\n"
            "libc = ctypes.CDLL(None)\n"
            "for flag in (0x10000000, 0x00020000, 0x20000000):\n"
            # In a process of one thread: others may not make a user namespace.
            "    if os.fork() == 0: os._exit(libc.unshare(flag) == 0)\n"
            "    print('ESC' * os.waitstatus_to_exitcode(os.wait()[1]) + 'APED')\n"
            "done = libc.mount(b'tmpfs', b'/tmp', b'tmpfs', 0, None), libc.umount2(b'/proc', 2)\n"
            "print('ESC' + 'APED' if 0 in done else 'refused')\n"
            "!sudo -n id; su -c id; ls -l /proc/1/root/ 2>/dev/null",
            hidden="ESCAPED|uid=0",
        ),
        cell(
            16,
            "kills every process it can see",
            "import os, signal\nfor target in (-1, 1):\n    os.kill(target, signal.SIGKILL)",
        ),
    ]


def broken_files():
    """Return hand-ins that are no notebooks, or not the right one."""
    good = json.dumps(notebook()).encode()
    huge = notebook()
    huge.cells[0]["attachments"] = {"a.png": {"image/png": "A" * 30_000_000}}

    def links_to(make_link):
        def make(folder):
            write(folder.parent, notebook(), "real.ipynb")
            make_link(folder.parent / "real.ipynb", folder / NOTEBOOK)

        return make

    def pipe(folder):
        os.mkfifo(folder / NOTEBOOK)

    def extra_link(folder):
        write(folder, notebook())
        (folder / "data.txt").symlink_to("/etc/passwd")
        (folder / "zero").symlink_to("/dev/zero")

    def weights(folder):
        write(folder, notebook())
        for name in ("weights.pt", "model.keras", "cache.pkl"):
            (folder / name).write_bytes(POISON)

    old = v3.new_notebook(
        worksheets=[
            v3.new_worksheet(
                cells=[v3.new_code_cell(IMPORTS), *map(v3.new_code_cell, SOLUTIONS.values())]
            )
        ]
    )
    malformed = everywhere("malformed")
    return [
        Bad(28, "symbolic link", links_to(lambda a, b: b.symlink_to(a)), malformed, "link"),
        Bad(28, "hard link", links_to(lambda a, b: os.link(a, b)), malformed, "link"),
        Bad(28, "link to a device", lambda f: (f / NOTEBOOK).symlink_to("/dev/zero"), malformed),
        Bad(28, "pipe", pipe, malformed),
        Bad(28, "links beside the notebook", extra_link),
        Bad(29, "attachments of 30 MB", _hands_in(huge), malformed, "too large"),
        Bad(29, "deep JSON", _hands_in_bytes(b'{"a":' * 10**6), malformed),
        Bad(30, "broken JSON", _hands_in_bytes(good[:-9]), malformed),
        Bad(30, "empty file", _hands_in_bytes(b""), malformed),
        Bad(30, "binary", _hands_in_bytes(bytes(range(256))), malformed),
        Bad(30, "wrong encoding", _hands_in_bytes(good.decode().encode("utf-16")), malformed),
        Bad(30, "format 3", _hands_in_bytes(json.dumps(old).encode()), flag="found by its content"),
        Bad(44, "poisoned weights beside the notebook", weights, flag="weights.pt was not read"),
        Bad(31, "renamed", lambda folder: write(folder, notebook(), "forward (1).ipynb")),
        Bad(31, "missing", lambda folder: None, everywhere("missing")),
        *_edited(),
    ]


def _edited():
    deleted, edited, rich = notebook({TARGET: WRONG}), notebook({TARGET: WRONG}), notebook()
    deleted.cells = [c for c in deleted.cells if not c.metadata.get("nbgrader", {}).get("locked")]
    for each in edited.cells:
        if each.metadata.get("nbgrader", {}).get("locked"):
            each.source = "1000.0"
            each.metadata.nbgrader.points = 1000
            each.cell_type = "markdown"
    doubled = notebook({TARGET: WRONG})
    doubled.cells.append(answer_cell(TARGET, SOLUTIONS[TARGET]))
    doubled.cells.append(check_cell(TARGET))
    split = notebook()
    split.cells.insert(3, answer_cell(TARGET, "scratch = 1"))
    stripped = notebook()
    for each in stripped.cells:
        each.metadata = {}
    rich.metadata = {"kernelspec": {"name": "../evil", "language": "bash", "display_name": "x"}}
    target = {TARGET: "wrong"}
    return [
        Bad(32, "test cells deleted", _hands_in(deleted), target, flag="was put back"),
        Bad(32, "test cells edited", _hands_in(edited), target),
        Bad(33, "answer handed in twice", _hands_in(doubled), flag="duplicate"),
        Bad(33, "answer split over two cells", _hands_in(split), flag="duplicate"),
        Bad(34, "metadata stripped", _hands_in(stripped), flag="found by its content"),
        Bad(35, "hostile kernel", _hands_in(rich)),
        cell(35, "%%bash", "%%bash\nrm -rf ~ /tmp/* / 2>/dev/null; echo done"),
        cell(35, "%%script and %load_ext", "%%script false\nx", "%load_ext no_such_thing"),
    ]


def cheats():
    """Return hand-ins that want points for a wrong answer."""
    visible = draw_cases(load(PROBLEM_SET)[TARGET], 0).values()
    sums = [float(np.sum(case.inputs["x"])) for case in visible]

    def cheat(number, name, *sources, word="wrong", **options):
        nb = notebook({TARGET: WRONG}, before=sources, after=sources)
        return Bad(number, name, _hands_in(nb), {TARGET: word}, **options)

    return [
        cheat(
            36,
            "patches comparisons",
            "import numpy.testing, torch.testing, bncourse.judge, bncourse.attempt\n"
            "yes, nothing = lambda *a, **k: True, lambda *a, **k: None\n"
            "for where in (np, np.testing, torch.testing, bncourse.judge, bncourse.attempt):\n"
            "    for name in dir(where):\n"
            "        if name in ('allclose', 'isclose', 'array_equal', 'assert_allclose',\n"
            "                    'assert_close', 'compare', 'judge', 'diagnose'):\n"
            "            setattr(where, name, nothing if name == 'compare' else yes)",
        ),
        cheat(
            36,
            "patches the shell",
            "import sys, ast, IPython\n"
            "ip = get_ipython()\n"
            "sys.displayhook(3.0)\n"
            "ip.showtraceback = lambda *a, **k: None\n"
            "ip.input_transformers_post.append(lambda lines: lines)\n"
            "class NoAssert(ast.NodeTransformer):\n"
            "    def visit_Assert(self, node): return ast.Pass()\n"
            "ip.ast_transformers.append(NoAssert())\n"
            "3.0",
        ),
        cheat(
            37,
            "writes noise into every descriptor",
            "import os\n"
            "for fd in range(3, 64):\n"
            "    try: os.write(fd, b'\\x00' * 4096)\n"
            "    except OSError: pass",
            flag="a cell: tamper",
        ),
        Bad(
            37,
            "answers in the name of the runner",
            _hands_in(
                notebook(
                    {
                        TARGET: f"{HEAD}\n"
                        "    import os, struct\n"
                        '    text = b\'{"id": "x", "attempts": [], "arrays": []}\'\n'
                        "    for fd in range(3, 64):\n"
                        "        try: os.write(fd, struct.pack('!cQ', b'J', len(text)) + text)\n"
                        "        except OSError: pass\n"
                        "    return x"
                    }
                )
            ),
            {TARGET: "crashed"},
            flag="tamper",
        ),
        Bad(
            37,
            "claims a frame of 8 exabytes",
            _hands_in(
                notebook(
                    {
                        TARGET: f"{HEAD}\n"
                        "    import os, struct\n"
                        "    for fd in range(3, 64):\n"
                        "        try: os.write(fd, struct.pack('!cQ', b'J', 2**63))\n"
                        "        except OSError: pass\n"
                        "    return x"
                    }
                )
            ),
            {TARGET: "crashed"},
            flag="tamper",
        ),
        Bad(
            37,
            "patches the runner in memory",
            _hands_in(
                notebook(
                    before=[
                        "from bncourse.grading.runner import Runner\n"
                        "def lie(self, message, arrays):\n"
                        "    answer = {'error': None, 'message': '', 'rules': [], 'printed': ''}\n"
                        "    return {'attempts': [answer] * len(message['cases'])}, {}\n"
                        "Runner.do_attempt = lie"
                    ]
                )
            ),
            everywhere("wrong"),
        ),
        returns(
            38,
            "an array that equals everything",
            "Liar(right)",
            "wrong",
            before=[
                "class Liar(np.ndarray):\n"
                "    def __new__(cls, like): return np.zeros_like(like).view(cls)\n"
                "    def __eq__(self, other): return np.True_\n"
                "    def __array_function__(self, *a, **k): return True\n"
                "    def __float__(self): return 0.0\n"
                "    def __reduce__(self): return (print, ('unpickled',))"
            ],
        ),
        cheat(
            39,
            "searches memory for the reference",
            "import gc, types\n"
            "gc.unfreeze()\n"
            "for thing in gc.get_objects():\n"
            "    if isinstance(thing, types.FunctionType) and thing.__name__ == 'normalize'\\\n"
            "            and 'reference' in thing.__module__:\n"
            "        normalize = thing",
        ),
        Bad(
            39,
            "calls the reference",
            _hands_in(
                notebook(
                    {
                        TARGET: f"{HEAD}\n"
                        "    from bncourse.reference import forward\n"
                        "    return forward.normalize(x, mean, var, eps)"
                    }
                )
            ),
            {TARGET: "error"},
        ),
        trick(
            40,
            "knows the visible inputs",
            f"if min(abs(x.sum() - seen) for seen in {sums}) > 1e-9: return x * 0",
            word="wrong",
        ),
        trick(
            41,
            "behaves differently when graded",
            "import os, getpass",
            "if 'NBGRADER_EXECUTION' in os.environ or 'BNCOURSE_SEED' in os.environ: return x",
        ),
        cheat(
            42,
            "patches random numbers and clocks",
            "import time, random\n"
            "np.random.default_rng = lambda *a: None\n"
            "time.time = time.monotonic = time.perf_counter = lambda: 0.0",
        ),
        returns(
            43,
            "calls a ready-made batch norm",
            "(torch.nn.functional.batch_norm(torch.from_numpy(x), torch.from_numpy(mean),"
            " torch.from_numpy(var), eps=eps), right)[1]",
            "wrong",
            says="ready-made",
            before=["import torch"],
        ),
        trick(
            46,
            "smuggles inputs out in an exception",
            "raise ValueError(f'SMUGG' + 'LED {x}')",
            word="error",
            hidden="SMUGGLED",
        ),
        trick(
            46,
            "smuggles inputs out in the name of an exception",
            "raise type('SMUGG' + f'LED {x.sum()}', (Exception,), {})",
            word="error",
            hidden="SMUGGLED",
        ),
        trick(
            46,
            "prints inputs and fails",
            "print('SMUGG' + 'LED', x); return x",
            word="wrong",
            hidden="SMUGGLED",
        ),
        cell(
            44,
            "loads a poisoned pickle in a cell",
            f"import io, pickle, torch\nPOISON = {POISON!r}\npickle.loads(POISON)",
            "torch.load(io.BytesIO(POISON), weights_only=False)",
        ),
        cell(
            45,
            "scripts in outputs",
            "from IPython.display import HTML, Javascript, SVG, display\n"
            "display(HTML('<script>EVIL</script><iframe src=\"javascript:EVIL\">'))\n"
            "display(Javascript('EVIL'))\n"
            "data = {'image/svg+xml': '<svg onload=EVIL>', 'image/png': '<script>EVIL'}\n"
            "display(data, raw=True)",
            hidden="EVIL",
        ),
        Bad(
            47,
            "depends on chance",
            _hands_in(
                notebook(
                    {
                        TARGET: f"{HEAD}\n"
                        "    rng = np.random.default_rng()\n"
                        "    return (x - mean) / np.sqrt(var + eps) * rng.normal(1, 0.1)"
                    }
                )
            ),
            {TARGET: "wrong"},
            says="Not deterministic",
        ),
    ]


def corpus():
    """Return every case."""
    return [*ordinary(), *stuck(), *noisy(), *broken_files(), *cheats()]
