"""A check on a device: known mistakes run where the answer ran, in full precision."""

import contextlib
from dataclasses import replace

import pytest

from bncourse.attempt import attempt, full_precision
from bncourse.exercise import draw_cases
from bncourse.judge import judge
from bncourse.registry import find


def rounding_exercise(devices):
    """Return an exercise whose results are rounded on a GPU that there is not; devices grows."""
    plain = find("normalize")

    def drive(obj, inputs):
        devices.append(inputs.pop("device"))
        outputs = plain.drive(obj, inputs)
        if devices[-1] == "cuda":
            outputs = {label: value.astype("float32") for label, value in outputs.items()}
            outputs = {label: value.astype("float64") for label, value in outputs.items()}
        return outputs

    return replace(plain, drive=drive, takes_device=True)


def test_a_known_mistake_is_tried_where_the_answer_ran():
    devices = []
    exercise = rounding_exercise(devices)
    mistake = next(each for each in exercise.mistakes if each.name == "eps missing")
    cases = draw_cases(exercise, 0)
    attempts = {name: attempt(exercise, mistake.obj, case, "cuda") for name, case in cases.items()}
    assert judge(exercise, cases, attempts, "cuda").mistake is mistake
    assert set(devices) == {"cuda"}


def switches():
    import torch

    try:
        legacy = torch.get_float32_matmul_precision()
    except RuntimeError:
        legacy = "not said"
    return legacy, torch.backends.cuda.matmul.fp32_precision


@pytest.fixture
def switches_kept():
    import torch

    yield
    torch.set_float32_matmul_precision("highest")


@pytest.mark.usefixtures("switches_kept")
@pytest.mark.parametrize("way", ["older", "newer"])
def test_products_are_in_full_precision_on_a_gpu_and_the_switch_is_put_back(way):
    import torch

    if way == "older":
        torch.set_float32_matmul_precision("high")
    else:
        torch.backends.cuda.matmul.fp32_precision = "tf32"
    before = switches()
    assert before[1] == "tf32"
    with full_precision("cpu"):
        assert switches() == before
    with contextlib.suppress(KeyError), full_precision("cuda"):
        assert switches() == ("highest", "ieee")
        raise KeyError
    assert switches() == before


@pytest.mark.usefixtures("switches_kept")
def test_what_a_block_does_to_the_precision_of_products_is_not_hidden():
    import torch

    with full_precision("cuda"):
        torch.set_float32_matmul_precision("medium")
    assert torch.get_float32_matmul_precision() == "medium"
