"""The figures of a GPU: their file has its form, every check agrees there, and its script runs."""

import importlib
import itertools
import json
import math
import subprocess
import sys

import pytest
from test_exercises import CORRECT, EXERCISES
from test_tolerances import ROUNDED, SAMPLED

from bncourse.exercise import draw_cases
from bncourse.registry import OPTIONAL_SETS

SHAPES = [[256, 64], [256, 1024], [64, 64, 56, 56], [256, 128, 28, 28], [256, 256, 56, 56]]
WORDS = {
    "dtype": {"float32", "bfloat16"},
    "what": {"copy", "training", "inference", "memory"},
    "how": {"copy", "eager", "cudnn", "compiled", "written out", "folded", "unfolded"},
    "direction": {"forward", "backward", ""},
}


@pytest.fixture
def measured(root):
    """What a GPU gave; the file comes with the course once one was there."""
    path = root / "chapters" / "data" / "gpu.json"
    if not path.exists():
        pytest.skip("no GPU has been measured yet: make gpu")
    return json.loads(path.read_text())


@pytest.fixture
def script(root, monkeypatch):
    """The module gpu of benchmarks/, and what its parts import."""
    monkeypatch.syspath_prepend(root / "benchmarks")
    import gpu

    return gpu


def require_form(content, shapes):
    """Assert what the chapter and the tolerances rely on."""
    assert all(isinstance(content[key], str) for key in ("chip", "driver", "torch", "triton"))
    assert content["chip"]
    assert content["torch"]
    assert content["date"]
    assert content["seconds"] > 0
    for row in content["measurements"]:
        assert row["shape"] in shapes
        assert all(row[key] in words for key, words in WORDS.items())
        assert ("bytes" in row) == (row["what"] in ("copy", "memory"))
        assert ("seconds" in row) == ("spread" in row) == (row["what"] != "memory")
        if "seconds" in row:
            least, largest = row["spread"]
            assert 0 < least <= row["seconds"] <= largest
    assert {row["what"] for row in content["measurements"]} == WORDS["what"]


def test_the_file_has_its_form(measured):
    require_form(measured, SHAPES)
    timed = [
        (tuple(row["shape"]), row["how"], row["direction"])
        for row in measured["measurements"]
        if row["what"] == "training" and row["dtype"] == "float32"
    ]
    wanted = itertools.product(
        map(tuple, SHAPES), ("eager", "compiled", "written out"), ("forward", "backward")
    )
    assert not {*wanted} - {*timed}
    assert len(timed) == len({*timed})


def test_a_check_says_the_same_on_a_gpu(measured):
    checks = measured["checks"]
    assert checks["differ"] == []
    assert checks["not_as_they_should"] == []
    tried = {name: each for name, each in EXERCISES.items() if each.takes_device}
    assert checks["exercises"].keys() == tried.keys()
    for name, exercise in tried.items():
        counts = checks["exercises"][name]
        assert counts["right"] >= 3
        assert counts["mistakes"] >= 5
        # An exercise has grown since, at the most: then measure anew.
        assert counts["right"] <= len(CORRECT[name])
        assert counts["mistakes"] <= len(exercise.mistakes)


def test_each_tolerance_is_ten_times_the_spread_on_a_gpu(measured):
    """Against the tolerances of today: one that is made narrower must still hold there."""
    rows = [row for row in measured["spread"]["rows"] if row["precision"] != "float16"]
    assert {row["precision"] for row in rows} >= {"float64", "float32", "TF32", "bfloat16"}
    allowed = {name: tolerances(name) for name in {row["exercise"] for row in rows}}
    for row in rows:
        dtype = "float32" if row["precision"] == "TF32" else row["precision"]
        most, _ = SAMPLED.get(row["exercise"], ROUNDED)
        assert row["spread"] <= most * allowed[row["exercise"]][row["label"], dtype], row


def tolerances(name):
    """Return {(label, dtype): the largest tolerance in any case} of an exercise."""
    found = {}
    for case in draw_cases(EXERCISES[name], 0).values():
        for label in EXERCISES[name].reference(case.inputs):
            allowed = EXERCISES[name].rtol(label, case)
            key = label, case.dtype
            found[key] = max(found.get(key, 0.0), allowed)
    return found


def test_what_torch_does_with_a_layer_is_right_on_a_gpu(measured):
    assert [name for name, row in measured["features"].items() if not row["right"]] == []


def test_grading_on_a_gpu_ends_as_it_must(measured):
    """With the walls of the sandbox and without."""
    rows = measured["grading"]["hand-ins"]
    assert [row for row in rows if row["got"] != row["wanted"]] == []
    tried = {walls: {row["hand-in"] for row in rows if row["walls"] == walls} for walls in (0, 1)}
    assert tried[0] == tried[1] >= {"uses the device", "breaks the GPU"}


def require_form_of_kernels(rows, shapes):
    """Assert what the chapter relies on."""
    for row in rows:
        assert row["shape"] in shapes
        least, largest = row["spread"]
        assert 0 < least <= row["seconds"] <= largest
        assert ("bytes" in row) == (row["how"] == "copy")
        assert ("block" in row) == ("warps" in row) == (row["how"] != "copy")
    timed = [(tuple(row["shape"]), row["direction"], row["how"]) for row in rows]
    assert len(timed) == len({*timed})
    for shape in map(tuple, shapes):
        for direction in ("forward", "backward"):
            here = {how for at, to, how in timed if (at, to) == (shape, direction)}
            assert "split" in here
            assert len(here) >= 4
        assert (shape, "", "copy") in timed


def test_the_kernels_of_set_9_agree_on_a_gpu(measured):
    """They are a part that came later: a file may be without it."""
    kernels = measured.get("kernels")
    if not kernels:
        pytest.skip("not measured yet: python benchmarks/gpu.py --only kernels")
    require_form_of_kernels(kernels["measurements"], [[256, 256, 56, 56], [64, 64, 56, 56]])
    assert kernels["checks"]["differ"] == kernels["checks"]["not_as_they_should"] == []
    (optional,) = OPTIONAL_SETS
    assert kernels["checks"]["exercises"].keys() == {*optional.exercises}


# --- the script, on a processor ---------------------------------------------------------------


@pytest.fixture
def rounding_kept():
    import torch

    switches = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [each.allow_tf32 for each in switches]
    yield
    for each, allowed in zip(switches, before, strict=True):
        each.allow_tf32 = allowed


def last(script, name):
    """Return (value, reasons) of a part at its end, in a small setting on the processor."""
    setting = script.Setting("cpu", small=True, seconds=math.inf)
    *_, ending = importlib.import_module(f"on_gpu.{name}").part(setting)
    return ending


def test_the_script_compares_checks(script):
    value, reasons = last(script, "checks")
    assert reasons == []
    assert value["rows"] == 3
    assert value["differ"] == value["not_as_they_should"] == []


def test_a_row_that_differs_is_listed(script):
    from on_gpu import checks

    value = checks.nothing()
    checks.count(value, "train", 0, [("a slip", "a slip", "a slip", "wrong in 'a case'")])
    (row,) = value["differ"]
    assert row == value["not_as_they_should"][0]
    assert row["cpu"] == "a slip"
    assert row["device"] == "wrong in 'a case'"


@pytest.mark.usefixtures("rounding_kept")
def test_the_script_measures_the_spread(script):
    value, reasons = last(script, "spread")
    assert reasons == []
    assert {row["precision"] for row in value["rows"]} == {"float64", "float32", "TF32", "float16"}
    assert all(row["spread"] < row["tolerance"] for row in value["rows"])


def test_the_script_tries_what_torch_does_with_a_layer(script):
    # Not in this process: what the compiler warns of is no error.
    value, reasons = script.run("features", script.Setting("cpu", True, math.inf), None)
    assert reasons == []
    assert [name for name, row in value.items() if not row["right"]] == []
    assert len(value) == 7


def test_the_script_grades(script):
    value, reasons = last(script, "grading")
    assert [row for row in value["hand-ins"] if row["got"] != row["wanted"]] == []
    assert len(value["hand-ins"]) >= 3
    assert value["walls"] or "no sandbox" in reasons[0]


def test_the_script_writes_its_file(script, root, tmp_path):
    """The measurements, in a process of their own as all parts are, and what they are of."""
    out = tmp_path / "new" / "gpu.json"
    command = [sys.executable, root / "benchmarks" / "gpu.py", "--device", "cpu", "--small"]
    command += ["--only", "measurements", "--out", out]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads(out.read_text())
    require_form(content, [[8, 4, 6, 6]])
    assert content["reasons"] == {}
    assert content["driver"] == ""


def test_the_script_interprets_the_kernels_of_set_9(script):
    pytest.importorskip("triton", reason="Triton is not installed here; make test-triton brings it")
    value, reasons = script.run("kernels", script.Setting("cpu", True, math.inf), None)
    assert reasons == []
    require_form_of_kernels(value["measurements"], [[4, 2, 3, 2]])
    assert value["checks"]["rows"] == 3
    assert value["checks"]["differ"] == value["checks"]["not_as_they_should"] == []


def test_a_part_that_breaks_is_a_reason(script, tmp_path, monkeypatch):
    setting = script.Setting("cpu", small=True, seconds=1)
    value, reasons = script.run("no_such_part", setting, None)
    assert value is None
    assert reasons == ["ModuleNotFoundError: No module named 'on_gpu.no_such_part'"]
    _, reasons = script.run("machine", setting, 0.01)
    assert reasons == ["it was stopped after 0.01 s"]


def test_figures_of_another_machine_do_not_mix(script, tmp_path):
    out = tmp_path / "gpu.json"
    machine = {"chip": "one", "torch": "2"}
    script.write(out, machine | {"checks": {"rows": 9}, "reasons": {"spread": ["late"]}})
    kept = script.started(out, machine)
    assert kept["checks"] == {"rows": 9}
    assert kept["reasons"] == {"spread": ["late"]}
    assert script.started(out, machine | {"chip": "another"})["checks"] == {}


def test_a_way_that_is_wrong_is_not_timed(script):
    import torch
    from on_gpu import measurements, ways

    arguments = measurements._arguments((16, 8), torch.float32, "cpu")
    x, weight, bias, *_ = arguments

    def unbiased():
        mean, var = x.mean(0), x.var(0)
        return weight * (x - mean) / torch.sqrt(var + ways.EPS) + bias

    def backward(y):
        return torch.autograd.grad(y, (x, weight, bias), torch.ones_like(y))

    with pytest.raises(ValueError, match="y must be that of the equation"):
        measurements._require_right(unbiased, backward, arguments, torch.ones_like(x), "unbiased")
