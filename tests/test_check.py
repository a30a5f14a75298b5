"""What a student reads when something else than a solution is checked."""

import gc
import inspect
import random
import subprocess
import sys

import numpy as np
import pytest
from solutions_ps1_forward import normalize_divide, statistics_numpy
from solutions_ps2_backward import jacobian_projection

from bncourse import check, example
from bncourse.check import CheckFailed
from bncourse.exercise import draw_cases
from bncourse.registry import PROBLEM_SETS, find, names
from bncourse.rules import GlobalState
from bncourse.seen import Seen

FIRST = PROBLEM_SETS[0]
ALL = len(FIRST.exercises)


def message_of(obj, name="batch_statistics", **options):
    with pytest.raises(CheckFailed) as failure:
        check(obj, name, **options)
    # Where a message is wrapped is not what these tests are about.
    return " ".join(str(failure.value).split())


@pytest.fixture(autouse=True)
def _new_kernel(monkeypatch):
    monkeypatch.setattr("bncourse.seen._seen", {})


def test_a_correct_solution_is_told_an_insight_and_what_comes_next(capsys):
    check(statistics_numpy, "batch_statistics")
    first, insight, following = capsys.readouterr().out.splitlines()
    assert first.startswith("batch_statistics: correct in all ")
    assert insight == find("batch_statistics").insight
    assert following == f"1 of {ALL} of this set are right. Next: normalize."


def test_what_comes_next_is_what_is_not_right_yet(capsys):
    check(normalize_divide, "normalize")
    check(statistics_numpy, "batch_statistics")
    assert f"2 of {ALL} of this set are right. Next: batchnorm_forward." in capsys.readouterr().out
    with pytest.raises(CheckFailed):
        check(lambda x, mean, var, eps=1e-5: x, "normalize")
    check(statistics_numpy, "batch_statistics")
    assert f"1 of {ALL} of this set are right. Next: normalize." in capsys.readouterr().out


def test_the_last_exercise_of_a_set_leads_to_the_next_set(capsys, monkeypatch):
    done = dict.fromkeys(FIRST.exercises, Seen(True, None, 0))
    monkeypatch.setattr("bncourse.seen._seen", done)
    check(statistics_numpy, "batch_statistics")
    assert "Next: problem set 2, write the backward pass." in capsys.readouterr().out


@pytest.mark.parametrize("name", names())
def test_every_exercise_has_an_insight_of_one_line(name):
    insight = find(name).insight
    assert insight.endswith(".")
    assert 30 < len(insight) <= 100


def test_with_hidden_inputs_nothing_is_counted(capsys, monkeypatch):
    monkeypatch.setenv("BNCOURSE_SEED", "11")
    check(statistics_numpy, "batch_statistics")
    assert capsys.readouterr().out.count("\n") == 1
    with pytest.raises(CheckFailed) as failure:
        check(lambda x: (x.mean(0), x.var(0) + 1), "batch_statistics")
    assert "example" not in str(failure.value)
    # The seed of the course, not the hidden one.
    drawn = draw_cases(find("batch_statistics"), 0)["a random batch"].inputs["x"]
    assert np.array_equal(example("batch_statistics")["x"], drawn)


def test_a_failing_check_says_how_to_get_its_inputs():
    def normalize(x, mean, var, eps=1e-5):
        return (x - mean) / np.sqrt(var + 1e-5)

    call = 'from bncourse import example; example("normalize", case="a large eps")'
    assert message_of(normalize, "normalize", seed=3).endswith(f"Its inputs: {call}")
    wanted = draw_cases(find("normalize"), 3)
    given = example("normalize")
    assert np.array_equal(given["x"], wanted["a large eps"].inputs["x"])
    # A copy: what a student does to it leaves the next one alone.
    given["x"][:] = 0
    assert example(normalize)["x"].any()


def test_an_answer_that_is_missing_has_no_inputs_to_play_with():
    def normalize(x, mean, var, eps=1e-5):
        raise NotImplementedError

    assert "example" not in message_of(normalize, "normalize")


def test_an_example_is_of_the_case_that_is_named():
    assert example("normalize", case="a large eps")["eps"] == 0.5
    assert {*example("normalize")} == {"x", "mean", "var", "eps"}


def test_a_wrong_case_lists_the_cases():
    with pytest.raises(CheckFailed, match=r"\"a large eps\", .*Received: 'large'"):
        example("normalize", case="large")
    with pytest.raises(CheckFailed, match="Did you mean normalize"):
        example("normalise")


def test_a_slow_solution_is_told_what_grading_allows(capsys, monkeypatch):
    # ``bncourse.check`` is the function; its module goes by the same name.
    monkeypatch.setattr(sys.modules["bncourse.check"], "_SLOW_SECONDS", 0)
    check(statistics_numpy, "batch_statistics")
    assert "allows 30 s for all of them together." in capsys.readouterr().out


def test_the_name_of_the_function_finds_the_exercise(capsys):
    def normalize(x, mean, var, eps=1e-5):
        return normalize_divide(x, mean, var, eps)

    check(normalize)
    assert capsys.readouterr().out.startswith("normalize: correct")


def test_an_unknown_name_suggests_the_nearest():
    assert "Did you mean batch_statistics?" in message_of(statistics_numpy, "batch_statistic")


def test_a_function_of_another_name_is_told_how_to_say_which():
    text = message_of(lambda x: x, None)
    assert 'Say which it answers: check(your_function, "name_of_the_exercise")' in text


@pytest.mark.parametrize(
    "answer",
    [
        "batch_statistics = lambda x: (x.mean(axis=0), x.var(axis=0))",
        "def mine(x):\n    return x.mean(axis=0), x.var(axis=0)\nbatch_statistics = mine",
        "from functools import partial\n"
        "def mine(x, axis):\n    return x.mean(axis), x.var(axis)\n"
        "batch_statistics = partial(mine, axis=0)",
        "class Statistics:\n"
        "    def __call__(self, x):\n        return x.mean(axis=0), x.var(axis=0)\n"
        "batch_statistics = Statistics()",
        "def timed(function):\n"
        "    def wrapper(*args, **kwargs):\n        return function(*args, **kwargs)\n"
        "    return wrapper\n"
        "@timed\n"
        "def batch_statistics(x):\n    return x.mean(axis=0), x.var(axis=0)",
    ],
    ids=["lambda", "alias", "partial", "callable object", "decorator"],
)
def test_a_solution_need_not_carry_the_name_it_is_bound_to(answer, capsys):
    exec(f"{answer}\ncheck(batch_statistics)", {"check": check})
    assert capsys.readouterr().out.startswith("batch_statistics: correct")


def test_a_device_for_an_exercise_in_numpy():
    assert "runs on the CPU only" in message_of(statistics_numpy, device="cuda")


def test_a_seed_that_is_none():
    with pytest.raises(ValueError, match="seed must be a whole number of at least 0"):
        check(statistics_numpy, "batch_statistics", seed=-1)


def test_a_name_in_quotes():
    assert "without quotes: check(normalize)" in message_of("normalize", None)


@pytest.mark.parametrize("obj", [3, None, np.zeros(2), [1, 2]])
def test_something_that_has_no_name(obj):
    assert "check takes the function or class you wrote" in message_of(obj, None)


def test_a_result_in_place_of_the_function():
    text = message_of(np.zeros(3))
    assert "must be a function or a class. Received: ndarray of shape (3,)" in text


def test_a_stub():
    assert "the answer is missing" in message_of(stub_of_a_student)


def test_a_missing_parameter():
    text = message_of(lambda x, mean: x, "normalize")
    assert "must be called as normalize(x, mean, var, eps=1e-05)" in text
    assert "Received: normalize(x, mean)" in text


@pytest.mark.parametrize("default", ["1e-08", "'1e-5'", "(1e-05,)"])
def test_another_default_is_a_broken_rule(default):
    answer = f"def normalize(x, mean, var, eps={default}):\n    return right(x, mean, var, 1e-5)"
    space = {"right": normalize_divide}
    exec(answer, space)
    text = message_of(space["normalize"], "normalize")
    assert f"The default of eps must be 1e-05. Received: eps={default}." in text


def test_a_missing_default_is_told_beside_a_wrong_value():
    def normalize(x, mean, var, eps):
        return (x - mean) / (var + eps)

    text = message_of(normalize, "normalize")
    assert "The default of eps must be 1e-05. Received: eps, without one." in text
    assert "x_hat is off" in text


@pytest.mark.parametrize("default", ["None", "10 ** -5", "float32(1e-5)", "1.0e-05"])
def test_another_spelling_of_a_default_is_none_of_our_business(default, capsys):
    space = {"right": normalize_divide, "float32": lambda x: np.float64(x)}
    exec(
        f"def normalize(x, mean, var, eps={default}):\n"
        "    return right(x, mean, var, 1e-5 if eps is None else eps)",
        space,
    )
    check(space["normalize"], "normalize")
    assert capsys.readouterr().out.startswith("normalize: correct")


def test_a_default_of_a_class():
    torch = pytest.importorskip("torch")

    class BatchNorm(torch.nn.BatchNorm1d):
        def __init__(self, num_features, eps=1e-3, momentum=0.9, **options):
            super().__init__(num_features, eps, momentum, **options)

    text = message_of(BatchNorm, "BatchNorm")
    assert "The default of eps must be 1e-05. Received: eps=0.001." in text
    assert "The default of momentum must be 0.1. Received: momentum=0.9." in text


def test_integers_are_called_integers():
    def numerical_gradient(f, x, h=1e-5):
        grad = np.zeros_like(x)
        for index in np.ndindex(x.shape):
            above, below = x.astype(float), x.astype(float)
            above[index] += h
            below[index] -= h
            grad[index] = (f(above) - f(below)) / (2 * h)
        return grad

    text = message_of(numerical_gradient, "numerical_gradient")
    assert "grad must have dtype float64, not that of x, which holds integers here." in text


def test_warnings_of_a_solution_do_not_stand_above_the_message(recwarn):
    def batch_statistics(x):
        return x.mean(axis=0), x.var(axis=0, ddof=1)

    message_of(batch_statistics)
    assert not recwarn


def test_a_parameter_too_many():
    assert "must be called as" in message_of(lambda x, axis: x)


def test_a_parameter_without_a_name():
    def batch_statistics(x, /):
        return statistics_numpy(x)

    text = message_of(batch_statistics)
    assert "must be called as batch_statistics(x), its arguments by name." in text
    assert "Received: batch_statistics(x, /)" in text


def test_type_hints_are_left_out_of_a_signature():
    def normalize(x: np.ndarray, mu: np.ndarray, var: np.ndarray, eps: float = 1e-5) -> np.ndarray:
        return x

    assert "Received: normalize(x, mu, var, eps=1e-05)." in message_of(normalize, "normalize")


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (None, "must be a tuple of 2: (mean, var). Received: NoneType"),
        (np.zeros(4), "must be a tuple of 2: (mean, var). Received: ndarray of shape (4,)"),
        ((np.zeros(4),) * 3, "Received: tuple of 3"),
        ((np.zeros(4), "text"), "var must be an array of real numbers. Received: str"),
        ((np.zeros(4), [[1], [1, 2]]), "var must be an array of numbers. Received: list of 2"),
        ((np.zeros(4), np.zeros(4, object)), "dtype object"),
        ((np.zeros(4) * 1j, np.zeros(4)), "mean must be an array of real numbers"),
        ((np.zeros((1, 4)), np.zeros(4)), "mean must have shape (4,). Received: shape (1, 4)"),
        ((np.zeros(4, np.float16), np.zeros(4)), "mean must have dtype float64"),
        ((np.full(4, np.nan), np.zeros(4)), "mean holds 4 non-finite values"),
        ((np.zeros(4), np.zeros(4)), "mean is off in 4 of 4 values"),
    ],
)
def test_a_wrong_kind_of_result(result, text):
    assert text in message_of(lambda x: result)


def test_an_exception_names_the_line_of_the_student():
    def broken(x):
        return x.mean(axis=0), x.nothing

    text = message_of(broken)
    assert "AttributeError" in text
    assert "return x.mean(axis=0), x.nothing" in text
    assert "attempt.py" not in text


@pytest.mark.parametrize("leave", [exit, quit])
def test_leaving_the_program(leave):
    assert "stopped the program" in message_of(lambda x: leave())


def test_a_loop_that_its_author_stops():
    def batch_statistics(x):
        if len(x) > 1:
            raise KeyboardInterrupt
        return x[0], 0 * x[0]

    message = message_of(batch_statistics)
    assert message.startswith("batch_statistics: stopped after 0 s, in the case ")
    assert "raise KeyboardInterrupt" in message


def test_endless_recursion():
    def around(x):
        return around(x)

    assert "RecursionError" in message_of(around)


def test_a_result_that_refuses_to_become_an_array():
    class Hostile:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("no")

        def __eq__(self, other):
            return True

        __hash__ = None

    assert "mean must be an array of numbers" in message_of(lambda x: (Hostile(), Hostile()))


def test_a_subclass_cannot_bring_its_own_comparison():
    class Yes(np.ndarray):
        def __array_ufunc__(self, *args, **kwargs):
            return np.zeros(4)

    assert "off in 4 of 4" in message_of(lambda x: (np.zeros(4).view(Yes),) * 2)


def test_printing_is_shown_with_a_failure_and_mentioned_with_a_success(capsys):
    def talks(x):
        print("here I am", x.shape)
        return statistics_numpy(x)

    check(talks, "batch_statistics")
    assert "It also prints" in capsys.readouterr().out
    assert "It printed: here" in message_of(lambda x: print("here"))


def test_a_flood_of_output_is_cut():
    assert len(message_of(lambda x: print("flood" * 10**5))) < 2000


@pytest.mark.parametrize("frozen", [False, True])
def test_a_check_collects_only_garbage_of_its_own(frozen):
    seen_in_the_check = []

    def batch_statistics(x):
        seen_in_the_check.append(gc.get_freeze_count())
        raise ValueError

    if frozen:
        gc.freeze()
    before = gc.get_freeze_count()
    try:
        message_of(batch_statistics)
        assert min(seen_in_the_check) > 0
        assert bool(gc.get_freeze_count()) == bool(before)
    finally:
        gc.unfreeze()


def test_an_input_changed_in_place():
    def changes(x):
        result = statistics_numpy(x)
        x[0] = 0
        return result

    assert "changes its input x in place" in message_of(changes)


def test_global_state_is_reported_and_put_back():
    def meddles(x):
        np.random.seed(0)  # noqa: NPY002
        random.seed(0)
        np.seterr(all="ignore")
        return statistics_numpy(x)

    before = np.random.get_state()[1].copy(), random.getstate(), np.geterr()  # noqa: NPY002
    text = message_of(meddles)
    after = np.random.get_state()[1], random.getstate(), np.geterr()  # noqa: NPY002
    assert "NumPy's global random state" in text
    assert "Python's global random state" in text
    assert "floating-point error settings" in text
    assert np.array_equal(before[0], after[0])
    assert before[1:] == after[1:]


@pytest.mark.parametrize("seed", ["np.random.seed", "random.seed", "torch.manual_seed"])
def test_a_seed_that_the_notebook_has_set_too_is_reported(seed):
    pytest.importorskip("torch")
    names = {"statistics": statistics_numpy}
    exec("import random, torch\nimport numpy as np", names)
    exec(f"def meddles(x):\n    {seed}(7)\n    return statistics(x)\n{seed}(7)", names)
    before = GlobalState()
    assert "global random state" in message_of(names["meddles"])
    assert before.restore() == [], "the notebook's own state is as it was"


def test_torch_state_is_reported_and_put_back():
    torch = pytest.importorskip("torch")

    def meddles(x):
        torch.manual_seed(0)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        return statistics_numpy(x)

    text = message_of(meddles)
    assert "torch's global random state" in text
    assert "torch's default dtype" in text
    assert "torch's global gradient switch" in text
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("meddle", "text"),
    [
        ("torch.set_default_device('meta')", "torch's default device"),
        ("torch.autograd.set_detect_anomaly(True)", "torch's anomaly detection"),
        ("torch.use_deterministic_algorithms(True)", "deterministic algorithms"),
        ("torch.set_num_threads(torch.get_num_threads() + 1)", "torch's threads"),
        ("torch.set_float32_matmul_precision('medium')", "matrices of float32"),
        ("torch.backends.cuda.matmul.fp32_precision = 'tf32'", "matrices of float32"),
        ("torch.set_flush_denormal(True)", "denormal numbers"),
        ("torch.backends.cudnn.allow_tf32 = False", "switches of cuDNN"),
        ("torch.backends.mkldnn.set_flags(False)", "oneDNN"),
        ("torch.set_autocast_enabled('cpu', True)", "torch's autocast"),
        ("torch.autocast('cpu', dtype=torch.float16).__enter__()", "torch's autocast"),
        ("torch.set_warn_always(True)", "how often torch warns"),
        (
            "torch.nn.modules.module.register_module_forward_hook(lambda *args: None)",
            "hooks that torch runs for every module",
        ),
        (
            "torch.nn.modules.module.register_module_buffer_registration_hook(lambda *args: None)",
            "hooks that torch runs for every module",
        ),
        ("keras.config.set_floatx('float64')", "Keras's default float type"),
        ("keras.config.set_epsilon(1e-3)", "Keras's default epsilon"),
        ("keras.config.set_image_data_format('channels_first')", "Keras's image data format"),
        ("keras.config.set_dtype_policy('mixed_bfloat16')", "Keras's global dtype policy"),
        ("keras.config.disable_interactive_logging()", "progress of a training"),
        ("keras.config.enable_unsafe_deserialization()", "unsafe deserialization"),
    ],
)
def test_the_state_of_torch_and_keras_is_reported_and_put_back(meddle, text):
    torch, keras = pytest.importorskip("torch"), pytest.importorskip("keras")
    space = {"torch": torch, "keras": keras, "right": statistics_numpy}
    exec(f"def batch_statistics(x):\n    {meddle}\n    return right(x)", space)
    before = GlobalState()
    assert text in message_of(space["batch_statistics"])
    assert before.restore() == []


@pytest.mark.parametrize(
    "call",
    [
        "torch.ops.aten.native_batch_norm(x, g, b, None, None, True, 0.0, eps)[0]",
        "torch.ops.aten.batch_norm.default(x, g, b, None, None, True, 0.0, eps, False)",
        "torch.ops.aten.native_layer_norm(x.T, x.shape[:1], None, None, eps)[0].T * g + b",
    ],
)
def test_a_ready_made_operator_is_not_an_answer(call):
    torch = pytest.importorskip("torch")
    space = {"torch": torch, "tensor": torch.tensor}
    exec(
        "def batchnorm_forward(x, gamma, beta, eps=1e-5):\n"
        "    x, g, b = tensor(x), tensor(gamma), tensor(beta)\n"
        "    inv_std = 1 / torch.sqrt(x.var(0, correction=0) + eps)\n"
        "    x_hat = (x - x.mean(0)) * inv_std\n"
        f"    y = {call}\n"
        "    return y, {'x_hat': x_hat, 'inv_std': inv_std, 'gamma': g}",
        space,
    )
    text = message_of(space["batchnorm_forward"], "batchnorm_forward")
    assert "It calls a ready-made torch function" in text


def test_a_ready_made_function_is_known_under_any_name_and_left_as_it_was():
    torch = pytest.importorskip("torch")
    from torch.nn.functional import batch_norm as mine

    code, signature = mine.__code__, inspect.signature(mine)
    seen = []

    def borrowed(x, mean, var, eps=1e-5):
        seen.append(inspect.signature(mine))
        return mine(*(torch.tensor(v) for v in (x, mean, var)), eps=eps)

    assert "ready-made torch.nn.functional.batch_norm." in message_of(borrowed, "normalize")
    assert {*seen} == {signature}
    assert mine.__code__ is code
    assert not hasattr(mine, "__signature__")


def test_the_course_reference_is_not_an_answer():
    from bncourse.reference import forward

    assert "ready-made" in message_of(forward.batch_statistics)
    assert "ready-made" in message_of(lambda x: forward.batch_statistics(x))


def test_what_answers_a_later_problem_set_is_not_an_answer():
    from bncourse.reference import layers

    def borrowed(x, gamma, beta, running_mean, running_var, eps=1e-5):
        return layers.layer_inference(x, gamma, beta, running_mean, running_var, eps=eps)

    text = message_of(borrowed, "batchnorm_inference")
    assert text.count("ready-made") == 1
    assert "ready-made bncourse.reference function, layer_inference." in text


def test_what_answers_an_earlier_problem_set_may_be_called(capsys):
    from bncourse.reference import backward, forward

    def given(x, eps=1e-5):
        forward.batchnorm_forward(x[:, None], np.ones(1), np.zeros(1), eps)
        return jacobian_projection(x, eps)

    check(given, "batchnorm_jacobian")
    assert capsys.readouterr().out.startswith("batchnorm_jacobian: correct")
    assert "ready-made" in message_of(backward.batchnorm_jacobian, "batchnorm_jacobian")


_IMPORTS_ON_THE_WAY = """
import numpy as np
from bncourse import check

calls = 0

def batch_statistics(x):
    global calls
    calls += 1
    if calls > 1:
        import torch
    if calls > 2:
        torch.nn.functional.batch_norm(torch.zeros(2, 1), None, None, training=True)
        torch.manual_seed(0)
    return x.mean(axis=0), x.var(axis=0)

check(batch_statistics)
"""


def test_a_library_that_an_answer_imports_is_watched_from_the_next_case_on():
    pytest.importorskip("torch")
    told = subprocess.run(
        [sys.executable, "-c", _IMPORTS_ON_THE_WAY], capture_output=True, text=True
    ).stderr
    assert "It calls a ready-made torch.nn.functional.batch_norm" in " ".join(told.split())
    assert "torch's global random state" in told


def test_a_signature_that_cannot_be_read_is_a_failure_of_the_answer():
    class Odd:
        @property
        def __signature__(self):
            raise RuntimeError("no signature today")

        def __call__(self, x):
            return statistics_numpy(x)

    assert "RuntimeError: no signature today" in message_of(Odd())


def test_a_ready_made_layer_is_not_an_answer():
    torch = pytest.importorskip("torch")

    def borrowed(x, gamma, beta, running_mean, running_var, eps=1e-5):
        tensors = (torch.tensor(v) for v in (x, running_mean, running_var, gamma, beta))
        return torch.nn.functional.batch_norm(*tensors, eps=eps)

    assert "ready-made" in message_of(borrowed, "batchnorm_inference")


def test_tensors_are_accepted():
    torch = pytest.importorskip("torch")

    def in_torch(x):
        tensor = torch.tensor(x, requires_grad=True)
        return tensor.mean(0), tensor.var(0, correction=0)

    check(in_torch, "batch_statistics")


def test_the_seed_of_grading_comes_from_the_environment(monkeypatch):
    seen = []

    def records(x):
        seen.append(x)
        return statistics_numpy(x)

    check(records, "batch_statistics")
    monkeypatch.setenv("BNCOURSE_SEED", "12345")
    check(records, "batch_statistics")
    half = len(seen) // 2
    assert not np.array_equal(seen[0], seen[half])


def test_graded_messages_hide_what_may_hold_the_inputs(monkeypatch):
    def tells(x):
        print("seen:", x)
        raise ValueError(f"seen: {x}")

    assert "seen" in message_of(tells)
    monkeypatch.setenv("BNCOURSE_SEED", "12345")
    text = message_of(tells)
    assert "It raised ValueError. Run the check in your notebook" in text
    assert "seen" not in text
    assert "the answer is missing" in message_of(stub_of_a_student)


def stub_of_a_student(x):
    raise NotImplementedError


def test_a_notebook_shows_the_sentence_without_our_frames():
    interactive = pytest.importorskip("IPython.core.interactiveshell")
    shell = interactive.InteractiveShell.instance()
    shown = []
    shell._showtraceback = lambda kind, value, lines: shown.extend(lines)
    shell.run_cell(
        "from bncourse import check\n"
        "def batch_statistics(x):\n    raise NotImplementedError\n"
        "check(batch_statistics)"
    )
    assert shown[0] == "batch_statistics is not right yet."
    assert not any("Traceback" in line or ".py" in line for line in shown)
