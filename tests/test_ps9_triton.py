"""Problem set 9: its kernels under Triton's interpreter, and what a check says of a launch."""

import inspect
import pickletools
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from unseen import written

from bncourse import check
from bncourse.check import CheckFailed

pytest.importorskip("triton", reason="Triton is not installed here; make test-triton brings it")

import triton
import triton.language as tl
from solutions_ps9_triton import CORRECT
from test_exercises import verdict_on
from unseen.ps9_triton import TABLE

from bncourse.exercise import draw_cases
from bncourse.exercises.ps9_triton.backward import batchnorm_backward_kernel
from bncourse.exercises.ps9_triton.forward import batchnorm_forward_kernel
from bncourse.grading.intake.script import Script
from bncourse.grading.outside.pack import pack
from bncourse.grading.outside.warm import WarmProcess
from bncourse.grading.pipeline import grade
from bncourse.limits import Limits
from bncourse.registry import OPTIONAL_SETS, find, load
from bncourse.release import derive_notebook
from bncourse.solution import source_of
from bncourse.tolerances import clearly_wrong, spread

(SET,) = OPTIONAL_SETS
SEEDS = (0, 1, 2)
each_exercise = pytest.mark.parametrize("name", SET.exercises)


def changed(kernel, *changes):
    """Return a kernel with some changes of its text."""
    name = kernel.__name__
    return written(inspect.getsource(kernel.fn), name, changes, triton=triton, tl=tl)


# --- as a classifier --------------------------------------------------------------------------


def test_the_table_names_what_the_set_defines():
    assert tuple(load(SET.name)) == SET.exercises


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("name", "solution"),
    [
        pytest.param(name, solution, id=f"{name}-{solution.__name__}")
        for name, solutions in CORRECT.items()
        for solution in solutions
    ],
)
def test_a_correct_kernel_passes(name, solution, seed, capsys):
    check(solution, name, seed=seed)
    assert capsys.readouterr().out.startswith(f"{name}: correct in all ")


@pytest.mark.parametrize(
    ("name", "mistake"),
    [
        pytest.param(name, mistake, id=f"{name}-{mistake.name}")
        for name in SET.exercises
        for mistake in find(name).mistakes
    ],
)
def test_a_known_mistake_fails_as_itself(name, mistake):
    verdict = verdict_on(find(name), mistake.obj, 0)
    assert verdict.kind == "wrong"
    assert verdict.mistake is mistake


@each_exercise
def test_the_tolerance_stands_in_a_gap(name):
    exercise = find(name)
    worst = max(spread(exercise, CORRECT[name], SEEDS), key=lambda error: error.ratio)
    assert worst.ratio <= 0.1, worst
    assert not [m.name for m in exercise.mistakes if not clearly_wrong(exercise, m, 0)]


@each_exercise
def test_the_spec_is_complete(name):
    exercise = find(name)
    assert len(CORRECT[name]) >= 3
    for told in ("name", "hint"):
        assert len({getattr(each, told) for each in exercise.mistakes}) == len(exercise.mistakes)
    assert exercise.insight.endswith(".")
    assert 30 < len(exercise.insight) <= 100


@pytest.mark.parametrize("each", TABLE.rows, ids=lambda each: each.obj.__name__)
def test_no_solution_is_told_a_wrong_name(each):
    verdict = verdict_on(find(each.exercise), each.obj, 0)
    assert verdict.kind != "ok"
    assert {m.name for m in verdict.mistakes} <= {*each.names}
    assert bool(verdict.mistakes) is bool(each.names)


@each_exercise
def test_a_model_solution_is_a_kernel_that_can_be_launched(name):
    source = source_of(find(name))
    assert source.startswith("@triton.jit\n")
    check(written(source, name, triton=triton, tl=tl), name)


# --- what is told without a name --------------------------------------------------------------


def told(kernel, name="batchnorm_forward_kernel"):
    with pytest.raises(CheckFailed) as failed:
        check(kernel, name)
    return " ".join(str(failed.value).split())


def test_a_kernel_that_is_not_written_yet_says_so():
    body = inspect.getsource(batchnorm_forward_kernel.fn).partition("    c = tl.program_id(0)")[0]
    stub = written(
        f"{body}    raise NotImplementedError()\n",
        "batchnorm_forward_kernel",
        triton=triton,
        tl=tl,
    )
    assert "the answer is missing" in told(stub)


def test_a_store_without_a_mask_harms_nothing_and_is_told():
    kernel = changed(
        batchnorm_forward_kernel,
        ("tl.store(y_ptr + at_k, y, mask=k < n)", "tl.store(y_ptr + at_k, y)"),
    )
    assert "It writes beside y. A lane whose i is n or more" in told(kernel)


def test_an_input_is_only_read():
    line = "    tl.store(mean_ptr + c, mean)\n"
    kernel = changed(batchnorm_forward_kernel, (line, line + "    tl.store(gamma_ptr + c, mean)\n"))
    assert "It changes gamma, which it must only read." in told(kernel)


def test_what_is_not_stored_is_not_a_number():
    kernel = changed(batchnorm_forward_kernel, ("    tl.store(mean_ptr + c, mean)\n", ""))
    assert "mean holds 2 non-finite values" in told(kernel)


def test_a_parameter_that_is_missing_is_named():
    kernel = changed(batchnorm_backward_kernel, ("dgamma_ptr", "dg_ptr"))
    text = told(kernel, "batchnorm_backward_kernel")
    assert "Missing, or too many: dg_ptr, dgamma_ptr." in text


def test_what_goes_wrong_inside_is_told_with_its_line():
    kernel = changed(batchnorm_forward_kernel, ("tl.sum(total) / n", "tl.total(total) / n"))
    text = told(kernel)
    assert "AttributeError" in text
    assert "InterpreterError" not in text
    assert "mean = tl.total(total) / n" in text


def test_a_loop_may_end_at_a_number_that_is_computed():
    kernel = changed(
        batchnorm_forward_kernel,
        ("    total = zeros\n", "    total = zeros\n    blocks = tl.cdiv(n, BLOCK)\n"),
        (
            "    for start in range(0, n, BLOCK):\n        i = start + lanes",
            "    for block in range(blocks):\n        i = block * BLOCK + lanes",
        ),
    )
    check(kernel, "batchnorm_forward_kernel")


# --- grading ----------------------------------------------------------------------------------


def test_no_kernel_and_no_mistake_goes_into_the_sandbox():
    packed = pack(SET.name)
    text = "\n".join(
        argument for _, argument, _ in pickletools.genops(packed) if isinstance(argument, str)
    )
    assert all(name in text for name in SET.exercises)
    mistakes = [each for name in SET.exercises for each in find(name).mistakes]
    assert not [each.name for each in mistakes if each.name in text or each.hint in text]
    kernels = [kernel.fn for kernels in CORRECT.values() for kernel in kernels]
    lines = {line.strip() for each in kernels for line in inspect.getsource(each).splitlines()}
    assert not [line for line in lines if len(line) > 25 and line in text]


@pytest.mark.slow
def test_a_notebook_is_graded_in_the_sandbox(root, needs_sandbox):
    """The limits leave room for the interpreter, and what a student launches runs there too."""
    (source,) = (root / "solutions" / SET.name).glob("*.md")
    cells = [cell for cell in derive_notebook(source).cells if cell.cell_type == "code"]
    right = [c.source for c in cells if not c.metadata.get("nbgrader", {}).get("grade")]
    unbiased = "unbiased = var * n / (n - 1)"
    wrong = [source.replace(unbiased, "unbiased = var") for source in right]
    assert wrong != right
    with WarmProcess(SET.name) as worker:
        good, bad = (
            grade(Script(sources), load(SET.name), worker, Limits(), 12345)
            for sources in (right, wrong)
        )
    assert [cell.message for cell in good.cells if cell.error] == []
    assert not good.flags
    assert {name: each.word for name, each in good.outcomes.items()} == dict.fromkeys(
        SET.exercises, "ok"
    )
    told, other = (bad.outcomes[name] for name in SET.exercises)
    assert other.word == "ok"
    assert told.word == "wrong"
    assert "Likely cause: running_var receives the biased variance" in told.message


# --- the oracle, and the environment ----------------------------------------------------------


def test_the_oracles_are_torchs_layer():
    import torch

    case = draw_cases(find("batchnorm_forward_kernel"), 0)["images, the last block half empty"]
    given = {n: torch.from_numpy(v) for n, v in case.inputs.items() if isinstance(v, np.ndarray)}
    x, gamma, beta = (given[name].double().requires_grad_() for name in ("x", "gamma", "beta"))
    running = [given[name].double() for name in ("running_mean", "running_var")]
    momentum, eps = case.inputs["momentum"], case.inputs["eps"]
    y = torch.nn.functional.batch_norm(x, *running, gamma, beta, True, momentum, eps)
    want = find("batchnorm_forward_kernel").reference(case.inputs)
    made = [y.detach(), *running]
    for label, value in zip(("y", "running_mean", "running_var"), made, strict=True):
        assert value.numpy() == pytest.approx(want[label], rel=1e-9)
    dy = torch.randn_like(y)
    gradients = torch.autograd.grad(y, (x, gamma, beta), dy)
    given = {"dy": dy.numpy(), "n": case.inputs["n"], "mean": want["mean"]}
    given |= {"inv_std": want["inv_std"]}
    given |= {name: case.inputs[name].astype(float) for name in ("x", "gamma")}
    want = find("batchnorm_backward_kernel").reference(given)
    for label, value in zip(("dx", "dgamma", "dbeta"), gradients, strict=True):
        assert value.numpy() == pytest.approx(want[label], rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("interpret", ["0", "1"])
def test_a_check_interprets_however_triton_was_imported(interpret):
    code = (
        "import triton, sys\n"
        "sys.path.insert(0, 'tests')\n"
        "from bncourse import check\n"
        "from solutions_ps9_triton import merged, with_a_helper\n"
        "check(merged, 'batchnorm_forward_kernel')\n"
        "check(with_a_helper, 'batchnorm_backward_kernel')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": ":".join([str(ROOT), *sys.path]), "TRITON_INTERPRET": interpret},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": correct in all") == 2


def test_triton_is_left_as_it_was():
    from triton.runtime import interpreter, jit

    def state():
        return (
            jit.JITFunction.__call__,
            interpreter.InterpretedFunction.__call__,
            interpreter._patch_lang_tensor,
            interpreter.interpreter_builder.options,
            tl.load,
            tl.core.reduce,
            tl.tensor.__add__,
        )

    before = state()
    check(batchnorm_backward_kernel)
    assert state() == before
