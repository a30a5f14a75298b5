"""What a verdict says: the mistakes, how sure it is of them, and what is right already."""

import inspect
from dataclasses import replace

import numpy as np
import pytest
from test_exercises import verdict_on

from bncourse import diagnosis
from bncourse.exercise import Case, Exercise, Mistake, Unusable, draw_cases, so_far
from bncourse.inputs import batch
from bncourse.message import report
from bncourse.registry import find
from bncourse.slips import Right


def message(obj, name):
    verdict = verdict_on(find(name), obj, 0)
    return " ".join(report(find(name), verdict).split())


def names(obj, name):
    return [mistake.name for mistake in verdict_on(find(name), obj, 0).mistakes]


# --- names ------------------------------------------------------------------------------------


def test_a_mistake_that_shows_in_every_case_is_sure():
    def normalize(x, mean, var, eps=1e-5):
        return (x - mean) / np.sqrt(var)

    assert "Likely cause: eps is missing." in message(normalize, "normalize")


def test_two_slips_at_once_are_both_named():
    def normalize(x, mean, var, eps=1e-5):
        return x / (np.sqrt(var) + eps)

    verdict = verdict_on(find("normalize"), normalize, 0)
    assert {m.name for m in verdict.mistakes} == {"mean not subtracted", "eps outside the root"}
    assert verdict.sure
    text = message(normalize, "normalize")
    assert "Likely cause:" in text
    assert " And: " in text


def test_a_case_that_raises_does_not_veto():
    def batchnorm_backward(dy, cache):
        x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
        n = len(dy)
        dgamma, dbeta = (dy * x_hat).sum(0), dy.sum(0)
        # With one example it raises ZeroDivisionError.
        dx = gamma * inv_std * (dy - dbeta / n - x_hat * dgamma / n * (n / (n - 1)))
        return dx, dgamma, dbeta

    assert names(batchnorm_backward, "batchnorm_backward") == ["N - 1"]


def test_a_broken_rule_is_told_beside_the_value():
    def batch_statistics(x):
        np.random.seed(0)  # noqa: NPY002
        return x.mean(0), x.var(0, ddof=1)

    text = message(batch_statistics, "batch_statistics")
    assert "It changes NumPy's global random state" in text
    assert "var is off" in text
    assert "unbiased" in text


def test_noise_with_a_pattern_is_no_cancellation():
    noisy = {"mean near 1e6"}

    def batch_statistics(x):
        # Its error shows where the variance is small beside the tolerance, and is no noise.
        return x.mean(0), x.var(0) + 1e-6 * (abs(x.mean()) > 1e5)

    exercise = find("batch_statistics")
    assert noisy <= {name for name, case in draw_cases(exercise, 0).items() if case.noisy}
    verdict = verdict_on(exercise, batch_statistics, 0)
    assert verdict.kind == "wrong"
    assert verdict.case in noisy
    assert not verdict.mistakes


def test_what_nobody_has_a_hint_for_gets_no_name():
    assert names(lambda x: (np.median(x, 0), x.var(0) * 1.7), "batch_statistics") == []


# --- rules ------------------------------------------------------------------------------------


def test_the_order_of_the_arguments_is_told():
    text = message(lambda x, var, mean, eps=1e-5: (x - mean) / np.sqrt(var + eps), "normalize")
    assert "Its arguments must be x, mean, var, eps, in this order" in text
    assert "Received: x, var, mean, eps=1e-05." in text


def test_an_option_may_ask_for_its_name():
    def normalize(x, mean, var, *, eps=1e-5):
        return (x - mean) / np.sqrt(var + eps)

    assert verdict_on(find("normalize"), normalize, 0).kind == "ok"


def test_a_buffer_that_a_second_call_overwrites_is_told():
    def batch_statistics(x, kept={}):  # noqa: B006
        mean = kept.setdefault((x.shape, x.dtype), np.empty_like(x[0]))
        return np.mean(x, axis=0, out=mean), x.var(axis=0)

    assert "A second call changes what the first one returned." in message(
        batch_statistics, "batch_statistics"
    )


def test_a_cache_that_a_second_call_fills_again_is_told():
    def batchnorm_forward(x, gamma, beta, eps=1e-5, cache={}):  # noqa: B006
        inv_std = 1 / np.sqrt(x.var(0) + eps)
        x_hat = (x - x.mean(0)) * inv_std
        cache.update(x_hat=x_hat, inv_std=inv_std, gamma=gamma)
        return gamma * x_hat + beta, cache

    assert "A second call changes what the first one returned." in message(
        batchnorm_forward, "batchnorm_forward"
    )


def test_a_hint_on_what_is_changed_names_no_other_way():
    def batch_statistics(x):
        x.sort(axis=0)
        return x.mean(axis=0), x.var(axis=0)

    def batchnorm_backward(dy, cache):
        cache.pop("inv_std")
        return dy, dy[0], dy[0]

    assert "as by x -= mean" in message(batch_statistics, "batch_statistics")
    assert "x_hat is changed in place" not in message(batchnorm_backward, "batchnorm_backward")


def test_rounding_is_told_from_a_factor():
    def normalize(x, mean, var, eps=1e-5):
        x, mean, var = (np.float32(each) for each in (x, mean, var))
        return np.float64((x - mean) / np.sqrt(var + eps))

    text = message(normalize, "normalize")
    assert "constant factor" not in text
    assert "Likely cause" in text or "x_hat has the digits that float32 keeps" in text


def test_a_result_that_is_kept_by_its_inputs_is_no_buffer():
    kept = {}

    def batch_statistics(x):
        key = x.tobytes(), x.shape, x.dtype
        if key not in kept:
            kept[key] = x.mean(axis=0), x.var(axis=0)
        return kept[key]

    assert verdict_on(find("batch_statistics"), batch_statistics, 0).kind == "ok"


def test_an_input_that_is_handed_back_is_told_where_new_arrays_are_asked():
    def update_running(running_mean, running_var, x, momentum=0.1):
        if momentum == 0:
            return running_mean, running_var
        new = x.mean(0), x.var(0, ddof=1)
        return tuple(
            old + momentum * (value - old)
            for old, value in zip((running_mean, running_var), new, strict=True)
        )

    text = message(update_running, "update_running")
    assert "A result is its input running_mean itself, or a view of it." in text
    assert "momentum 0 changes nothing" in text


def test_a_later_stage_is_not_blamed_for_an_earlier_one():
    def batchnorm_backward_staged(dy, x, gamma, eps=1e-5):
        centred = x - x.mean(0)
        inv_std = 1 / np.sqrt((centred**2).mean(0) + eps)
        x_hat = centred * inv_std
        # The factor belongs to the stage after this one.
        dx_hat = dy * gamma * inv_std
        dvar = -0.5 * (dx_hat * centred).sum(0) * inv_std**3
        dmean = -(dx_hat * inv_std).sum(0)
        dx = dx_hat * inv_std + dvar * 2 * centred / len(x) + dmean / len(x)
        sums = {"dgamma": (dy * x_hat).sum(0), "dbeta": dy.sum(0)}
        return {"dx_hat": dx_hat, "dvar": dvar, "dmean": dmean, "dx": dx, **sums}

    assert names(batchnorm_backward_staged, "batchnorm_backward_staged") == []


# --- what is right already --------------------------------------------------------------------


def test_a_message_counts_the_cases_and_names_the_results_that_are_right():
    text = message(lambda x: (x.mean(0), x.var(0) + 1), "batch_statistics")
    total = len(draw_cases(find("batch_statistics"), 0))
    assert f"0 of {total} cases pass." in text
    assert "mean is right in every case." in text
    assert "var is off by one and the same number everywhere." in text


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        ("0 * x", "x_hat is zero everywhere."),
        ("right * 3.7", "x_hat is right up to one constant factor."),
        ("right - 2.3 * np.ones(len(mean))", "off by one and the same number everywhere"),
        ("right + mean", "x_hat has mean once too often."),
        ("right * var", "x_hat is multiplied by var once too often."),
        ("right + x[0] / 7", "x_hat is off by the same all along axis 0"),
    ],
)
def test_a_message_says_what_holds(formula, text):
    space = {"np": np}
    exec(
        "def normalize(x, mean, var, eps=1e-5):\n"
        "    right = (x - mean) / np.sqrt(var + eps)\n"
        f"    return {formula}",
        space,
    )
    assert text in message(space["normalize"], "normalize")


def test_a_message_says_that_a_shift_has_the_wrong_sign():
    def batchnorm_inference(x, gamma, beta, running_mean, running_var, eps=1e-5):
        return gamma * (x - running_mean) / np.sqrt(running_var + eps) - beta

    text = message(batchnorm_inference, "batchnorm_inference")
    assert "y is right but for the sign of beta, which must be added." in text


def test_an_answer_that_is_missing_has_no_progress():
    def normalize(x, mean, var, eps=1e-5):
        raise NotImplementedError

    assert "So far" not in message(normalize, "normalize")


def test_a_message_names_the_few_cases_that_fail():
    def batch_statistics(x):
        return x.mean(0), x.var(0) * (1 + (len(x) == 1)) + (len(x) == 1)

    text = message(batch_statistics, "batch_statistics")
    assert 'It is right but for "one example".' in text


def test_a_message_is_short():
    for mistake in find("batchnorm_forward").mistakes:
        verdict = verdict_on(find("batchnorm_forward"), mistake.obj, 0)
        assert len(report(find("batchnorm_forward"), verdict).splitlines()) <= 12


# --- parts ------------------------------------------------------------------------------------


def drive(obj, inputs):
    layer = obj()
    outputs = {"y": layer.forward(inputs["x"])}
    with so_far(outputs):
        outputs["dx"] = layer.backward(inputs["x"])
    return outputs


class Layer:
    def forward(self, x):
        y = x * 2
        return +y

    def backward(self, dy):
        dx = dy * 2
        return +dx


slip = Right(Layer).slip
DOUBLE = Exercise(
    name="Layer",
    signature=inspect.signature(lambda: None),
    cases=lambda rng: {name: Case({"x": batch(rng)}) for name in ("one", "two", "three")},
    drive=drive,
    reference=lambda inputs: {"y": inputs["x"] * 2, "dx": inputs["x"] * 2},
    see="F1",
    mistakes=(
        slip("y halved", "y is halved.", "F1", y="x / 2"),
        slip("dx halved", "dx is halved.", "F1", dx="dy / 2"),
        Mistake("nothing", lambda: None, "There is nothing.", "F1"),
    ),
)


def test_forward_is_right_and_backward_is_not_written():
    class Half(Layer):
        def backward(self, dy):
            raise NotImplementedError

    verdict = verdict_on(DOUBLE, Half, 0)
    text = " ".join(report(DOUBLE, verdict).split())
    assert verdict.kind == "error"
    assert "What comes after y still raises NotImplementedError: write it next." in text
    assert "y is right in every case." in text
    assert "the answer is missing" not in text


def test_forward_is_wrong_and_backward_is_not_written():
    class Half(Layer):
        def forward(self, x):
            return x

        def backward(self, dy):
            raise NotImplementedError

    assert "y is off in" in report(DOUBLE, verdict_on(DOUBLE, Half, 0))


def test_mistakes_in_two_results_are_both_named():
    class Wrong(Layer):
        def forward(self, x):
            return x / 2

        def backward(self, dy):
            return dy / 2

    verdict = verdict_on(DOUBLE, Wrong, 0)
    assert [mistake.name for mistake in verdict.mistakes] == ["y halved", "dx halved"]
    assert verdict.sure


def test_a_second_mistake_without_a_name_makes_it_a_guess():
    class Wrong(Layer):
        def forward(self, x):
            return x / 2

        def backward(self, dy):
            return np.sin(dy)

    verdict = verdict_on(DOUBLE, Wrong, 0)
    assert [mistake.name for mistake in verdict.mistakes] == ["y halved"]
    assert not verdict.sure
    assert "It may be, for y: y is halved." in report(DOUBLE, verdict)


def test_the_line_that_led_to_a_finding_of_ours_is_shown(tmp_path):
    def numerical_gradient(f, x, h=1e-5):
        return f(x[:1]) + 0 * x

    text = message(numerical_gradient, "numerical_gradient")
    assert "f takes an array with the shape of x" in text
    assert "of your cell or file: return f(x[:1]) + 0 * x" in text


def test_what_raises_before_any_result_is_not_called_right():
    count = iter(range(3))

    class Sometimes(Layer):
        def forward(self, x):
            if next(count) == 1:
                raise ValueError("shapes")
            return super().forward(x)

    progress = verdict_on(DOUBLE, Sometimes, 0).progress
    assert "y and dx are right wherever it does not raise." in progress


def test_a_pair_that_does_not_fit_one_case_is_tried_at_no_other(monkeypatch):
    """A mistake in all its cases takes a while, and most pairs end at the first one."""
    asked, tried = [], []
    both = diagnosis.both
    monkeypatch.setattr(diagnosis, "_contradicted", asked.append)
    monkeypatch.setattr(diagnosis, "both", lambda *pair: tried.append(pair) or both(*pair))

    def batch_statistics(x):
        return x.mean(0), 2 * x.var(0)

    assert not verdict_on(find("batch_statistics"), batch_statistics, 0).mistakes
    assert tried
    assert not asked


def test_a_part_that_cannot_be_compared_leaves_the_others():
    class Odd(Layer):
        def backward(self, dy):
            raise Unusable("dx must be an array.")

    verdict = verdict_on(DOUBLE, Odd, 0)
    assert verdict.finding == "dx must be an array."
    assert "y is right in every case." in verdict.progress


def drive_where_y_fits(obj, inputs):
    """Leave dx out where y has another shape than x, as the drives of layers do."""
    outputs = {"y": obj().forward(inputs["x"])}
    if outputs["y"].shape == inputs["x"].shape:
        outputs["dx"] = obj().backward(inputs["x"])
    return outputs


def test_a_result_that_neither_of_two_has_is_no_likeness():
    summed = slip("y summed", "y is summed.", "F1", y="x.sum()")
    exercise = replace(DOUBLE, drive=drive_where_y_fits, mistakes=(summed,))

    class Flat(Layer):
        def forward(self, x):
            return 2 * x.ravel()

    assert not verdict_on(exercise, Flat, 0).mistakes
    assert [each.name for each in verdict_on(exercise, summed.obj, 0).mistakes] == ["y summed"]
