"""The figures that move: their numbers against the library, and what they do in a real browser.

A page of its own for each figure, in the styles of the book, needs no build of the book.
"""

import json
import re
import shutil
from importlib.resources import files

import numpy as np
import pytest
import torch
from conftest import needs_chromium, served
from moving_figures import FOLDER, at_rest, run_node

from bncourse.reference import backward, convolution, forward

NAMES = ("sharing", "scrub", "left", "running", "stretch", "train")
MINUS = "\N{MINUS SIGN}"
CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def numbers(name, states):
    """Return what a figure computes in each of the given states, by Node."""
    code = f"""
        import figure from "./{name}.js";
        import {{ rest }} from "./moving.js";
        const found = {json.dumps(states)}.map((each) =>
          figure.numbers({{ ...rest(figure), ...each }}));
        console.log(JSON.stringify(found));
    """
    return json.loads(run_node("--input-type=module", "--eval", code))


def module(name, code):
    """Return what an expression of a module of web/figures is worth, by Node."""
    code = f'import * as it from "./{name}.js"; console.log(JSON.stringify({code}))'
    return json.loads(run_node("--input-type=module", "--eval", code))


# --- the numbers, without a browser -------------------------------------------------------------


def test_scrub_computes_the_forward_pass():
    rng = np.random.default_rng(0)
    states = []
    for count in (1, 2, 3, 4, 4, 4):
        points = {f"x{i + 1}": value for i, value in enumerate(rng.uniform(-5, 25, 4))}
        gamma, beta = rng.uniform(-3, 3, 2)
        eps = int(rng.integers(-5, 3))
        states.append({**points, "count": count, "gamma": gamma, "beta": beta, "eps": eps})
    for state, found in zip(states, numbers("scrub", states), strict=True):
        x = np.array([[state[f"x{i + 1}"]] for i in range(state["count"])])
        eps = 10.0 ** state["eps"]
        mean, var = forward.batch_statistics(x)
        y, cache = forward.batchnorm_forward(x, state["gamma"], state["beta"], eps)
        np.testing.assert_allclose([found["mean"], found["var"]], [*mean, *var], **CLOSE)
        np.testing.assert_allclose(found["xHat"], cache["x_hat"].ravel(), **CLOSE)
        np.testing.assert_allclose(found["y"], y.ravel(), **CLOSE)


def test_left_computes_the_backward_pass():
    x = np.array([[3.0], [9.0], [11.0], [17.0]])
    _, cache = forward.batchnorm_forward(x, np.array([0.5]), np.zeros(1), eps=1e-12)
    arriving = np.random.default_rng(1).uniform(-10, 10, (5, 4))
    states = [{f"dy{i + 1}": value for i, value in enumerate(dy)} for dy in arriving]
    for dy, found in zip(arriving, numbers("left", states), strict=True):
        dx, _, _ = backward.batchnorm_backward(dy[:, None], cache)
        np.testing.assert_allclose(found["dx"], dx.ravel(), **CLOSE)
        left = dy - found["dyMean"] - np.array(found["alongPart"])
        np.testing.assert_allclose(found["left"], left, **CLOSE)
        # Parts that stand at right angles: Pythagoras.
        np.testing.assert_allclose(sum(found["shares"]), 1, **CLOSE)


def block():
    """Return the numbers of the block of the figure, (N, C, 3, 3)."""
    entries = module("sharing", "it.BLOCK")
    x = np.full((3, 4, 9), np.nan)
    for each in entries:
        x[each["image"], each["channel"], each["pixel"]] = each["value"]
    return x.reshape(3, 4, 3, 3)


def normalised(x, method, groups):
    """Return the batch x normalised by a method, by the library or by PyTorch."""
    ones, zeros = np.ones(4), np.zeros(4)
    if method == "batch":
        return convolution.spatial_batchnorm_forward(x, ones, zeros)[0]
    if method == "rms":
        shape = x.shape[1:]
        return torch.nn.functional.rms_norm(torch.from_numpy(x), shape, eps=1e-5).numpy()
    groups = {"layer": 1, "group": groups, "instance": 4}[method]
    return convolution.groupnorm_forward(x, ones, zeros, groups)


@pytest.mark.parametrize("method", ["batch", "layer", "instance", "group", "rms"])
def test_sharing_normalises_as_the_library_does(method):
    x = block()
    places = [(0, 0, 0), (1, 1, 4), (2, 3, 8), (0, 2, 5)]
    for groups in (1, 2, 4):
        states = [
            {"method": method, "groups": groups, "image": n + 1, "channel": c + 1, "pixel": p + 1}
            for n, c, p in places
        ]
        expected = normalised(x, method, groups).reshape(3, 4, 9)
        for place, found in zip(places, numbers("sharing", states), strict=True):
            np.testing.assert_allclose(found["xHat"], expected[place], **CLOSE)
            among = x.ravel()[found["among"]]
            assert found["count"] == len(among)
            centre = 0 if method == "rms" else among.mean()
            np.testing.assert_allclose(found["mean"], centre, **CLOSE)
            np.testing.assert_allclose(found["var"], ((among - centre) ** 2).mean(), **CLOSE)


def test_running_keeps_the_statistics_of_the_library():
    rng = np.random.default_rng(2)
    for count in (2, 4, 16, 64):
        momentum, steps = float(rng.uniform(0.01, 1)), int(rng.integers(1, 100))
        batches = np.array(module("running", f"it.batches(3, {count})"))[:, :, None]
        state = {"count": count, "momentum": momentum, "steps": steps, "seed": 3, "at": steps}
        (found,) = numbers("running", [state])
        mean, var = np.zeros(1), np.ones(1)
        for batch in batches[:steps]:
            mean, var = forward.update_running(mean, var, batch, momentum)
        np.testing.assert_allclose([found["mean"], found["var"]], [*mean, *var], **CLOSE)
        y = forward.batchnorm_inference(np.array([[7.0]]), 1.0, 0.0, mean, var)
        np.testing.assert_allclose(found["evaluated"]["y"], y.item(), **CLOSE)
        assert len(found["trail"]) == steps + 1


def test_the_batches_come_from_the_population_that_running_names():
    values = np.array(module("running", "it.batches(1, 64)")).ravel()
    # Five standard errors of 6,400 values.
    assert abs(values.mean() - 3) < 5 * 2 / 80
    assert abs(values.var() - 4) < 5 * 4 * np.sqrt(2) / 80


def test_stretch_computes_the_gradient_of_its_weights():
    x, targets = (
        np.array(module("stretch", f"it.{name}"), float) for name in ("INPUTS", "TARGETS")
    )
    rng = np.random.default_rng(4)
    lengths, angles = rng.uniform(0.5, 3, 4), rng.uniform(0, 360, 4)
    states = [{"length": a, "angle": b} for a, b in zip(lengths, angles, strict=True)]
    for length, angle, found in zip(lengths, angles, numbers("stretch", states), strict=True):
        w = length * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
        y, cache = forward.batchnorm_forward((x @ w)[:, None], np.ones(1), np.zeros(1), eps=1e-12)
        error = y.ravel() - targets
        dz, _, _ = backward.batchnorm_backward(error[:, None] / len(x), cache)
        np.testing.assert_allclose(found["xHat"], y.ravel(), **CLOSE)
        np.testing.assert_allclose(found["loss"], (error**2).mean() / 2, **CLOSE)
        np.testing.assert_allclose(found["gradient"], x.T @ dz.ravel(), **CLOSE)
        turned = w - found["gradient"]
        cosine = turned @ w / np.linalg.norm(turned) / np.linalg.norm(w)
        np.testing.assert_allclose(np.cos(np.radians(found["turn"])), cosine, **CLOSE)


class Net:
    """The network of the figure in NumPy, its batch norm by the library."""

    def __init__(self, layers):
        self.layers = [{key: np.array(value) for key, value in each.items()} for each in layers]

    def forward(self, x, targets):
        self.kept, self.hidden = [], []
        for layer in self.layers:
            z = x @ layer["weights"]
            if layer["normed"]:
                z, cache = forward.batchnorm_forward(z, layer["gamma"], layer["beta"])
            else:
                z, cache = z + layer["beta"], None
            self.kept.append((x, cache))
            x = np.tanh(z)
            self.hidden.append(x)
        self.hidden.pop()
        margins = targets * z.ravel()
        self.dz = (-targets / (1 + np.exp(margins)) / len(targets))[:, None]
        return np.log1p(np.exp(-margins)).mean()

    def step(self, rate):
        dz = self.dz
        for index in reversed(range(len(self.layers))):
            layer, (x, cache) = self.layers[index], self.kept[index]
            if index < len(self.hidden):
                dz = dz * (1 - self.hidden[index] ** 2)
            dbeta, dgamma = dz.sum(axis=0), 0
            if cache:
                dz, dgamma, dbeta = backward.batchnorm_backward(dz, cache)
            dx = dz @ layer["weights"].T
            layer["weights"] = layer["weights"] - rate * x.T @ dz
            layer["gamma"], layer["beta"] = (
                layer["gamma"] - rate * dgamma,
                layer["beta"] - rate * dbeta,
            )
            dz = dx


@pytest.mark.parametrize(("size", "rate"), [(-1, -1), (0, -3), (1, -2)])
def test_train_takes_the_steps_that_numpy_takes(size, rate):
    # Few: training multiplies what NumPy rounds in another order.
    steps = 6
    data = module("train", "it.DATA")
    x, targets = np.array(data["inputs"]), np.array(data["targets"])
    (found,) = numbers("train", [{"size": size, "rate": rate, "steps": steps}])
    for name, batch_norm in (("plain", "false"), ("normed", "true")):
        net = Net(module("train", f"it.network(2, {2.0**size}, {batch_norm})"))
        losses = [net.forward(x, targets)]
        for _ in range(steps):
            net.step(2.0**rate)
            losses.append(net.forward(x, targets))
        np.testing.assert_allclose(found[name]["losses"], losses, **CLOSE)
        quantiles = [np.quantile(each, [0.05, 0.25, 0.5, 0.75, 0.95]) for each in net.hidden]
        np.testing.assert_allclose(found[name]["spread"], quantiles, **CLOSE)


def test_train_at_rest_shows_what_its_words_say():
    (found,) = numbers("train", [{}])
    assert found["plain"]["loss"] == pytest.approx(np.log(2), abs=0.01)
    assert found["normed"]["loss"] < 0.1
    widths = {name: np.ptp(found[name]["spread"], axis=1) for name in ("plain", "normed")}
    assert (np.diff(widths["plain"]) < 0).all()
    assert widths["plain"][-1] < 0.1
    assert widths["normed"].min() > 1.5


# --- at rest ------------------------------------------------------------------------------------


def test_every_module_with_a_name_is_a_figure_that_is_tested():
    shared = {"maths", "net", "moving", "live", "at_rest"}
    assert {path.stem for path in FOLDER.glob("*.js")} - shared == set(NAMES)


def test_a_figure_that_does_not_exist_is_an_error():
    with pytest.raises(RuntimeError, match="no_such_figure"):
        at_rest("no_such_figure")


# --- in a browser -------------------------------------------------------------------------------

PAGE = """<!doctype html><html lang="en" data-theme="{theme}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>{name}</title>
<link rel="stylesheet" href="pydata-sphinx-theme.css"><link rel="stylesheet" href="landing.css">
<link rel="stylesheet" href="figures/moving.css">
<script type="module" src="figures/live.js"></script></head>
<body><main><article class="bd-article"><h1>{name}</h1>{markup}</article></main></body></html>"""


def write_pages(folder, root):
    """Write a page for each figure and theme into a folder, with all that it loads."""
    shutil.copytree(FOLDER, folder / "figures")
    shutil.copy(root / "_static" / "landing.css", folder)
    theme = files("pydata_sphinx_theme") / "theme" / "pydata_sphinx_theme" / "static" / "styles"
    shutil.copy(theme / "pydata-sphinx-theme.css", folder)
    for name, markup in at_rest(*NAMES).items():
        for theme in ("light", "dark"):
            page = PAGE.format(name=name, theme=theme, markup=markup)
            (folder / f"{name}-{theme}.html").write_text(page)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory, root):
    folder = tmp_path_factory.mktemp("figures")
    write_pages(folder, root)
    with served(folder) as address:
        yield address


class Shown:
    """One figure in a browser."""

    def __init__(self, page, name):
        self.page = page
        self.box = page.locator(f"[data-moving={name}]")

    def wait(self):
        self.box.and_(self.page.locator("[data-live]")).wait_for()
        return self

    @property
    def numbers(self):
        return json.loads(self.box.get_attribute("data-numbers"))

    @property
    def words(self):
        return self.box.locator(".moving-says").inner_text()

    def range(self, name):
        return self.box.locator(f"[data-control={name}] input")

    def value(self, name):
        return self.range(name).evaluate("each => each.valueAsNumber")

    def swipe(self, handle, x, y):
        """Put a finger on a handle, move it by pixels, and lift it."""
        box = self.box.locator(f"[data-handle={handle}]").bounding_box()
        at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        to = {"x": at["x"] + x, "y": at["y"] + y}
        touch = self.page.context.new_cdp_session(self.page)
        for kind, points in (("touchStart", [at]), ("touchMove", [to]), ("touchEnd", [])):
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def said(shown, word):
    """Return the number that follows a word in the sentence of a figure."""
    found = re.search(rf"{word} ({MINUS}?[\d.]*\d)", shown.words)[1]
    return float(found.replace(MINUS, "-"))


@pytest.fixture
def show(shelf, browser):
    contexts = []

    def show(name, theme="light", **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.goto(f"{shelf}/{name}-{theme}.html")
        return Shown(page, name)

    yield show
    for each in contexts:
        assert not [problem for page in each.pages for problem in page.problems]
        each.close()


@needs_chromium
@pytest.mark.parametrize("name", NAMES)
def test_without_javascript_there_is_a_picture_and_nothing_dead(show, name):
    shown = show(name, java_script_enabled=False)
    assert shown.box.locator("svg").bounding_box()["height"] > 100
    assert shown.box.locator("svg text").count() > 3
    assert shown.words
    assert not shown.box.locator("form").is_visible()


@needs_chromium
@pytest.mark.parametrize("name", NAMES)
def test_waking_up_moves_and_changes_nothing(show, name):
    still = show(name, java_script_enabled=False)
    shown = show(name).wait()
    assert shown.words == still.words
    picture = "svg => svg.innerHTML"
    assert shown.box.locator("svg").evaluate(picture) == still.box.locator("svg").evaluate(picture)
    shift = shown.page.evaluate(
        """() => new Promise((resolve) => new PerformanceObserver((list) =>
          resolve(list.getEntries().reduce((sum, each) => sum + each.value, 0)))
          .observe({ type: "layout-shift", buffered: true })
          || setTimeout(resolve, 300, 0))"""
    )
    assert shift < 0.05


# How often a figure that wakes computes its numbers, and what this browser has to show at rest.
COMPUTED = """async (name) => {
  const { rest, wake } = await import("./figures/moving.js");
  const { default: figure } = await import(`./figures/${name}.js`);
  let count = 0;
  const numbers = (state) => (count += 1) && figure.numbers(state);
  const box = document.querySelector(".moving");
  wake(box, { ...figure, numbers });
  const state = rest(figure);
  const found = figure.numbers(state);
  const picture = box.querySelector("svg").cloneNode();
  picture.innerHTML = figure.draw(state, found);
  return [count, JSON.stringify(found), picture.innerHTML];
}"""
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


@needs_chromium
@pytest.mark.parametrize("name", NAMES)
def test_waking_up_computes_nothing_that_the_build_has_computed(show, name):
    shown = show(name).wait()
    count, found, picture = shown.page.evaluate(COMPUTED, name)
    assert count == 0
    assert shown.box.locator("svg").evaluate("svg => svg.innerHTML") == picture
    # Another engine rounds the last digit in another way.
    built = json.dumps(shown.numbers)
    assert NUMBER.sub("", found) == NUMBER.sub("", json.dumps(shown.numbers, separators=(",", ":")))
    both = ([float(each) for each in NUMBER.findall(text)] for text in (built, found))
    np.testing.assert_allclose(*both, **CLOSE)


@needs_chromium
@pytest.mark.parametrize("name", NAMES)
def test_every_control_has_a_name_and_answers_to_the_keyboard(show, name):
    shown = show(name).wait()
    controls = shown.box.locator(
        "input[type=range]:enabled, fieldset:has(:enabled), button:enabled"
    )
    for index in range(controls.count()):
        # One control may put another to rest.
        shown.page.reload()
        shown.wait()
        control = controls.nth(index)
        if control.evaluate("each => each.tagName") == "BUTTON":
            # At rest it may have nothing to do.
            shown.box.locator("input[type=range]").first.focus()
            shown.page.keyboard.press("Home")
        before = shown.box.get_attribute("data-numbers") + shown.words
        tag = control.evaluate("each => each.tagName")
        if tag == "FIELDSET":
            control.locator("input:checked").focus()
            last = control.locator("input").last.is_checked()
            shown.page.keyboard.press("ArrowLeft" if last else "ArrowRight")
        elif tag == "BUTTON":
            control.focus()
            shown.page.keyboard.press("Enter")
        else:
            assert shown.page.locator(f"label[for={control.get_attribute('id')}]").inner_text()
            control.focus()
            high = control.evaluate("each => each.value === each.max")
            shown.page.keyboard.press("ArrowLeft" if high else "ArrowRight")
        after = "([box, before]) => box.dataset.numbers + box.querySelector('p').innerText"
        shown.page.wait_for_function(
            f"(given) => ({after})(given) !== given[1]", arg=[shown.box.element_handle(), before]
        )


@needs_chromium
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(show, name, theme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(show(name, theme).wait().page).response["violations"]
    assert not [(each["id"], [node["html"][:120] for node in each["nodes"]]) for each in found]


@needs_chromium
@pytest.mark.parametrize("name", NAMES)
def test_a_phone_shows_all_of_it(show, name):
    shown = show(name, viewport={"width": 360, "height": 780}).wait()
    wide = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert shown.page.evaluate(wide) <= 1
    outside = """box => {
      const room = box.querySelector("svg").getBoundingClientRect();
      return [...box.querySelectorAll("svg text")].filter((each) => {
        const ink = each.getBoundingClientRect();
        return ink.left < room.left - 1 || ink.right > room.right + 1
            || ink.top < room.top - 1 || ink.bottom > room.bottom + 1;
      }).map((each) => each.textContent);
    }"""
    assert shown.box.evaluate(outside) == []
    sizes = "box => [...box.querySelectorAll('svg text')].map((each) => {const ctm = "
    sizes += "each.getScreenCTM(); return ctm.a * parseFloat(getComputedStyle(each).fontSize)})"
    assert min(shown.box.evaluate(sizes)) >= 9


@needs_chromium
def test_scrub_answers_to_keys_and_to_a_finger(show):
    shown = show("scrub", has_touch=True).wait()
    assert shown.numbers["mean"] == 10
    shown.range("x4").focus()
    shown.page.keyboard.press("ArrowRight")
    mean, var = forward.batch_statistics(np.array([3.0, 9.0, 11.0, 17.5]))
    np.testing.assert_allclose([shown.numbers["mean"], shown.numbers["var"]], [mean, var], **CLOSE)
    assert said(shown, "Mean") == pytest.approx(mean.item(), abs=0.0051)
    shown.swipe("x1", 60, 0)
    dragged = shown.value("x1")
    assert dragged > 4
    np.testing.assert_allclose(shown.numbers["mean"], (dragged + 37.5) / 4, **CLOSE)


@needs_chromium
def test_scrub_says_what_small_batches_do(show):
    shown = show("scrub").wait()
    two, one = (shown.box.locator(f"[data-control=count] input[value='{n}']") for n in (2, 1))
    two.check()
    np.testing.assert_allclose(shown.numbers["xHat"], [-1, 1], atol=1e-6)
    assert shown.range("x3").is_disabled()
    one.check()
    assert shown.numbers["y"] == [shown.value("beta")]


@needs_chromium
def test_left_shows_what_no_input_can_move(show):
    shown = show("left", has_touch=True).wait()
    np.testing.assert_allclose(shown.numbers["dx"], [0.26, -0.32, -0.18, 0.24], **CLOSE)
    for preset in ("all", "along"):
        shown.box.locator(f"button[name={preset}]").click()
        np.testing.assert_allclose(shown.numbers["left"], 0, atol=1e-9)
    shown.swipe("dy2", 0, -60)
    assert shown.value("dy2") > 0
    assert not np.allclose(shown.numbers["left"], 0, atol=0.1)


@needs_chromium
def test_sharing_shows_the_set_of_what_is_touched(show):
    shown = show("sharing").wait()
    coloured = shown.box.locator("svg .shared")
    assert coloured.count() == 27
    shown.box.locator("svg .pick").click(position={"x": 5, "y": 5})
    assert [shown.value(name) for name in ("image", "channel", "pixel")] == [1, 1, 1]
    shown.box.locator("input[value=instance]").check()
    assert coloured.count() == 9
    assert shown.box.locator("input[value='4']").is_disabled()
    shown.box.locator("input[value=group]").check()
    shown.box.locator("input[value='4']").check()
    assert coloured.count() == 9


@needs_chromium
@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_running_trains_on_to_the_end_and_evaluates(show, motion):
    shown = show("running", reduced_motion=motion).wait()
    shown.box.locator("button[name=train]").click()
    if motion == "reduce":
        assert shown.value("steps") == 100, "at once"
    shown.page.wait_for_function(
        "document.querySelector('[data-control=steps] input').value === '100'"
    )
    shown.box.locator("button[name=evaluate]").click()
    assert said(shown, "becomes") == pytest.approx(shown.numbers["evaluated"]["y"], abs=0.0051)


@needs_chromium
def test_running_can_be_stopped(show):
    shown = show("running").wait()
    # Both presses at once: a busy machine may be at the end before the second.
    shown.box.locator("button[name=train]").evaluate("each => (each.click(), each.click())")
    stopped = shown.value("steps")
    shown.page.wait_for_timeout(500)
    assert shown.value("steps") == stopped


@needs_chromium
def test_stretch_leaves_the_output_and_shrinks_the_gradient(show):
    shown = show("stretch", has_touch=True).wait()
    before = shown.numbers
    shown.range("length").focus()
    shown.page.keyboard.press("End")
    after = shown.numbers
    np.testing.assert_allclose(after["xHat"], before["xHat"], **CLOSE)
    np.testing.assert_allclose(3 * after["size"], 1.5 * before["size"], **CLOSE)
    shown.swipe("tip", -40, -60)
    assert shown.value("angle") != 345
    assert shown.numbers["loss"] != pytest.approx(before["loss"])


@needs_chromium
def test_train_starts_anew_with_other_weights(show):
    shown = show("train", reduced_motion="reduce").wait()
    before = shown.numbers
    shown.box.locator("button[name=other]").click()
    assert shown.numbers["plain"]["losses"][0] != before["plain"]["losses"][0]
    shown.box.locator("button[name=train]").click()
    assert len(shown.numbers["normed"]["losses"]) == 151
