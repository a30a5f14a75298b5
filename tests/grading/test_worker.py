"""The walls around a submission, seen from both sides."""

import ast
import json
import os
import secrets
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bncourse.errors import Infra
from bncourse.grading.intake.script import Script
from bncourse.grading.outside import sandbox
from bncourse.grading.outside.session import Lost, Session
from bncourse.grading.outside.shared import warm_process
from bncourse.grading.outside.submission import grade
from bncourse.grading.outside.warm import WarmProcess
from bncourse.grading.rooms import PACKAGE, seen_by
from bncourse.limits import MIB, Limits
from bncourse.registry import load
from bncourse.trial.corpus import PROBLEM_SET, SOLUTIONS, TARGET

from .conftest import descendants, kill, runs

LIMITS = Limits(item_seconds=60, total_seconds=120, memory=512 * MIB)


@pytest.fixture
def session(worker):
    session = Session(worker.fork(LIMITS), time.monotonic() + 120, LIMITS)
    yield session
    session.close()


def value(session, expression):
    """Return the value of an expression in the sandbox."""
    result = session.run_cell(expression)
    assert result.error is None, result.message
    return ast.literal_eval(result.outputs[-1]["data"]["text/plain"])


def test_a_submission_has_no_environment_of_the_grader(session):
    found = value(session, "import os\nsorted(os.environ)")
    by_libraries = {
        "PWD",
        "KMP_DUPLICATE_LIB_OK",
        "KMP_INIT_AT_FORK",
        "TF_FORCE_GPU_ALLOW_GROWTH",
        "TORCHINDUCTOR_CACHE_DIR",
    }
    assert set(found) <= set(sandbox.environment()) | by_libraries


def test_a_submission_inherits_no_descriptor_but_its_connection(session):
    # The listing itself opens one, which is gone when it is looked at.
    look = "import os\n[os.readlink(f) for f in map('/proc/self/fd/{}'.format, range(64))"
    targets = value(session, look + " if os.path.lexists(f)]")
    assert sum(target.startswith("socket:") for target in targets) == 1
    assert all(target == "/dev/null" or target.startswith("socket:") for target in targets)


def test_a_submission_sees_only_its_own_processes(worker, session):
    other = Session(worker.fork(LIMITS), time.monotonic() + 120, LIMITS)
    try:
        other.run_cell("import time")
        seen = value(session, "import os\n[p for p in os.listdir('/proc') if p.isdigit()]")
        assert seen == ["1", "2"]
    finally:
        other.close()


def test_two_submissions_at_once_share_no_files_and_no_sockets(worker, session):
    other = Session(worker.fork(LIMITS), time.monotonic() + 120, LIMITS)
    try:
        leave = (
            "import socket\n"
            "for folder in ('/tmp', '/dev/shm'): open(f'{folder}/note', 'w').close()\n"
            "s = socket.socket(socket.AF_UNIX); s.bind('\\0meeting'); s.listen()"
        )
        session.run_cell(leave)
        assert value(other, "import os\nos.path.exists('/tmp/note')") is False
        assert value(other, "os.path.exists('/dev/shm/note')") is False
        meet = "import socket\nsocket.socket(socket.AF_UNIX).connect('\\0meeting')"
        assert other.run_cell(meet).error == "ConnectionRefusedError"
    finally:
        other.close()


def test_a_submission_holds_no_rights(session):
    status = value(session, "open('/proc/self/status').read()")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(fields[name], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    assert os.getuid() == 0 or value(session, "os.getuid()") != 0


def test_a_submission_finds_no_course(session):
    assert value(session, "import os\nos.listdir('.')") == []
    look = f"package = {str(PACKAGE)!r}\n[os.path.join(top, name) for top, _, names in "
    seen = value(session, look + "os.walk(package) for name in names]")
    assert sorted(seen) == sorted(str(PACKAGE / name) for name in seen_by(PROBLEM_SET))
    # Of the folder that the package is in, nothing else is there but perhaps Python's own.
    around = str(PACKAGE.parent)
    visible = {Path(folder).name for folder in sandbox.visible_folders()}
    assert set(value(session, f"os.listdir({around!r})")) <= visible or "packages" in around


def test_how_long_a_submission_waited_for_a_processor(session):
    # Two processes that compute take turns on one processor.
    share = (
        "import os, time\n"
        "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "pid, start = os.fork(), time.process_time()\n"
        "while time.process_time() - start < 0.2: pass\n"
        "os._exit(0) if pid == 0 else os.waitpid(pid, 0)"
    )
    before = session.job.waited()
    assert session.run_cell(share).error is None
    seen = value(session, "int(open('/proc/self/schedstat').read().split()[1]) / 1e9")
    assert before < seen <= session.job.waited() + 1e-9


@pytest.mark.parametrize(("waited", "sleep"), [(0.0, 600), (300.0, 1)])
def test_time_without_a_processor_is_given_back(session, monkeypatch, waited, sleep):
    monkeypatch.setattr(session.job, "waited", lambda: 7.0 + waited)
    source = f"import time\ntime.sleep({sleep})"
    session.job.channel.send({"id": "1", "do": "cell", "source": source})
    deadline = time.monotonic()
    extended = session.job.wait_for_answer(deadline, 7.0)
    assert extended == deadline + min(waited, 2 * LIMITS.item_seconds)
    answered, *_ = select.select([session.job.channel.sock], [], [], 0)
    assert bool(answered) == bool(waited)


def test_notebook_features_work(session):
    assert value(session, "%config InlineBackend.rc\n1") == 1
    assert session.run_cell("import asyncio\nawait asyncio.sleep(0.001)").error is None
    plot = session.run_cell("import matplotlib.pyplot as plt\nplt.plot([1, 2]);")
    assert "image/png" in plot.outputs[0]["data"]
    assert session.run_cell("!echo $((1 + 1))").outputs[0]["text"].strip() == "2"
    assert value(session, "import torch\ntorch.ones(3).sum().item()") == 3.0
    assert value(session, "import keras\nkeras.backend.backend()") == "torch"
    assert session.run_cell("def broken(:").error == "SyntaxError"


@pytest.mark.parametrize("cell", ["pass", "import torch"])
def test_what_its_cells_name_takes_none_of_the_time_of_a_submission(needs_sandbox, cell):
    process = warm_process(PROBLEM_SET, sources=[cell])
    session = Session(process.fork(LIMITS), time.monotonic() + 120, LIMITS)
    try:
        assert value(session, "import sys\n'torch' in sys.modules") == ("torch" in cell)
    finally:
        session.close()


def holds_within_a_minute(condition):
    """Wait for a condition, and return whether it came to hold."""
    end = time.monotonic() + 60
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def test_the_same_random_numbers_for_every_submission(worker, session):
    other = Session(worker.fork(LIMITS), time.monotonic() + 120, LIMITS)
    draw = "import random, torch, numpy\nrandom.random(), torch.rand(1).item(), numpy.random.rand()"
    try:
        assert value(session, draw) == value(other, draw)
    finally:
        other.close()


def test_nothing_outlives_a_submission(worker):
    command = ["sleep", f"999.{secrets.randbelow(10**9)}"]
    session = Session(worker.fork(LIMITS), time.monotonic() + 120, LIMITS)
    session.run_cell(f"import subprocess\nsubprocess.Popen({command}, start_new_session=True)")
    # For a moment a new program has no words yet that the kernel could show.
    assert any(runs(command) or time.sleep(0.05) for _ in range(100))
    session.close()
    worker.bury()
    assert not runs(command)


def test_descriptors_and_threads_do_not_grow(worker):
    def used():
        worker.bury()
        return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))

    exercises = {TARGET: load(PROBLEM_SET)[TARGET]}
    grade(Script(["import os\nos._exit(1)"]), exercises, worker, LIMITS, 1)
    before = used()
    for _ in range(3):
        grade(Script(["import os\nos._exit(1)"]), exercises, worker, LIMITS, 1)
    assert used() == before


def test_a_dead_worker_is_infra_and_no_verdict(needs_sandbox):
    with WarmProcess(PROBLEM_SET) as worker:
        kill(worker._process.pid)
        worker._process.wait()
        assert not worker.alive
        with pytest.raises(Infra):
            grade(Script(["import numpy as np"]), load(PROBLEM_SET), worker, LIMITS, 1)


def test_a_worker_with_other_code_grades_nobody(needs_sandbox, monkeypatch):
    monkeypatch.setattr("bncourse.grading.outside.warm.CODE", "the code of last week")
    with pytest.raises(Infra, match="has changed"):
        WarmProcess(PROBLEM_SET)


def test_submissions_die_with_the_grader(needs_sandbox):
    code = (
        "import time\n"
        "from bncourse.grading.outside.warm import WarmProcess\n"
        "from bncourse.limits import Limits\n"
        f"worker = WarmProcess({PROBLEM_SET!r})\n"
        "job = worker.fork(Limits())\n"
        "job.channel.send({'id': 1, 'do': 'cell', 'source': 'while True: pass'})\n"
        "print(worker._process.pid, flush=True)\n"
        "time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as grader:
        try:
            sandbox_pid = int(grader.stdout.readline())
            # Two of an idle sandbox, and process 1 and the runner of the submission.
            assert holds_within_a_minute(lambda: descendants(sandbox_pid) >= 4)
        finally:
            grader.kill()
    assert holds_within_a_minute(lambda: not Path(f"/proc/{sandbox_pid}").exists())


def test_an_ordinary_user_can_grade(needs_sandbox):
    """Root needs no user namespace for the outer wall; others do, and own what it mounts."""
    code = (
        "import os\n"
        "from bncourse.grading.inside import isolate\n"
        "from bncourse.trial import corpus, selftest\n"
        "from bncourse.grading.outside.warm import WarmProcess\n"
        "isolate.drop_root()\n"
        "assert os.getuid() != 0\n"
        "with WarmProcess(corpus.PROBLEM_SET) as worker:\n"
        "    for bad in corpus.corpus():\n"
        "        if bad.number in (2, 16, 21, 25, 26, 27):\n"
        "            print(bad, selftest.problems(bad, selftest.run(bad, worker)))"
    )
    # Of root's files, such a user may see only what the sandbox shows, too.
    view = [*sandbox.system(), *sandbox._python(), "--ro-bind", "/etc", "/etc"]
    view += ["--ro-bind", str(PACKAGE), str(PACKAGE)]
    view += ["--bind", "/proc", "/proc", "--dev-bind", "/dev", "/dev", "--chdir", "/"]
    # First, since the folders of Python may be in it.
    temporary = ["--perms", "1777", "--tmpfs", "/tmp"]
    command = [sandbox.BWRAP, *temporary, *view, "--", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    verdicts = done.stdout.splitlines()
    assert len(verdicts) >= 10
    assert [line for line in verdicts if not line.endswith("[]")] == []


def test_no_sandbox_no_grading(monkeypatch):
    sandbox.require.cache_clear()
    monkeypatch.setattr(sandbox, "BWRAP", "no-such-program")
    try:
        with pytest.raises(sandbox.NoSandbox, match=r"bubblewrap .* is not installed.*apt-get"):
            WarmProcess(PROBLEM_SET)
    finally:
        sandbox.require.cache_clear()


def test_forbidden_namespaces_are_explained(monkeypatch, tmp_path):
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    fake.chmod(0o755)
    sandbox.require.cache_clear()
    monkeypatch.setattr(sandbox, "BWRAP", str(fake))
    try:
        assert "Permission denied" in sandbox.why_not()
        assert "AppArmor" in sandbox.why_not()
    finally:
        sandbox.require.cache_clear()


def test_unsafe_works_without_a_sandbox():
    cells = [
        "import numpy as np",
        *SOLUTIONS.values(),
        "def update_running(running_mean, running_var, x, momentum=0.1): import os; os._exit(0)",
    ]
    with WarmProcess(PROBLEM_SET, unsafe=True) as worker:
        report = grade(Script(cells), load(PROBLEM_SET), worker, LIMITS, 1)
    words = {name: outcome.word for name, outcome in report.outcomes.items()}
    assert words == dict.fromkeys(SOLUTIONS, "ok") | {"update_running": "crashed"}


def test_a_lost_process_is_lost_for_good(session):
    with pytest.raises(Lost):
        session.run_cell("import os\nos._exit(3)")
    with pytest.raises(Lost):
        session.run_cell("1")


def test_verdicts_repeat(worker):
    cells = ["import numpy as np", *SOLUTIONS.values(), f"def {TARGET}(*a, **k): return a[0] * 2"]
    reports = [grade(Script(cells), load(PROBLEM_SET), worker, LIMITS, 99) for _ in range(2)]
    said = [
        json.dumps({name: (o.word, o.message) for name, o in report.outcomes.items()})
        for report in reports
    ]
    assert said[0] == said[1]
