"""Hand-ins that do not end, or end too early: loops, exits, crashes."""

from bncourse.trial.corpus.answers import ALL, SOLUTIONS, TARGET, body
from bncourse.trial.corpus.making import answering, cell, trick

_QUICK = {"item_seconds": 4.0}


def cases():
    """Return the cases."""
    return [*_loops(), _all_slow(), *_exits(), *_crashes()]


def _loops():
    return [
        trick(12, "infinite loop", "while True: pass", word="timeout", limits=_QUICK),
        cell(12, "infinite loop in a cell", "while True: pass", limits=_QUICK),
        answering(
            12,
            "a loop that prints, in the place of an answer",
            {TARGET: "while True: print('still running')"},
            {TARGET: "timeout"},
            says="broke off",
            limits=_QUICK,
        ),
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
            limits=_QUICK,
        ),
        trick(
            13,
            "stops itself, and its parent",
            "import os, signal",
            "os.kill(os.getppid(), signal.SIGSTOP)",
            "os.kill(os.getpid(), signal.SIGSTOP)",
            word="timeout",
            limits=_QUICK,
        ),
        trick(
            13,
            "becomes another program, which waits",
            "import os, sys",
            "os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(60)'])",
            word="timeout",
            limits=_QUICK,
        ),
    ]


def _all_slow():
    return answering(
        14,
        "each item just under its limit",
        {name: _slow_once(name, source) for name, source in SOLUTIONS.items()},
        dict.fromkeys(ALL[2:], "timeout"),
        says="whole notebook",
        limits={"item_seconds": 12.0, "total_seconds": 13.0},
    )


def _slow_once(name, source):
    wait = f":\n    SLOW_{name} or (SLOW_{name}.append(1), time.sleep(5))\n    "
    return f"import time\nSLOW_{name} = []\n" + source.replace(":\n    ", wait, 1)


def _exits():
    return [
        *[
            trick(15, f"{stop} in an answer", "import sys", stop, word="error")
            for stop in ("sys.exit()", "exit()", "quit()", "raise SystemExit(0)")
        ],
        answering(
            15,
            "exit() in the cell of an answer",
            {TARGET: body("pass") + "\n\nexit()"},
            {TARGET: "error"},
        ),
        trick(15, "KeyboardInterrupt", "raise KeyboardInterrupt", word="error"),
    ]


def _crashes():
    return [
        *[
            trick(16, f"{end} in an answer", "import os, signal", end, word="crashed")
            for end in ("os._exit(0)", "os.abort()", "os.kill(os.getpid(), signal.SIGKILL)")
        ],
        cell(16, "os._exit(0) in a cell", "import os\nos._exit(0)"),
        answering(
            16,
            "os._exit(0) in the place of an answer",
            {TARGET: "import os\nos._exit(0)"},
            {TARGET: "crashed"},
            says="broke off",
        ),
        trick(17, "segmentation fault", "import ctypes", "ctypes.string_at(0)", word="crashed"),
        trick(17, "hardly any room to recurse", "import sys", "sys.setrecursionlimit(60)"),
        trick(17, "infinite recursion", "return normalize(x, mean, var, eps)", word="error"),
    ]
