"""Problem set 5 against Keras itself, on the backend that KERAS_BACKEND names."""

import ast
import inspect
import random
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from solutions_ps5_keras import CORRECT, LayerByReduction, LayerByRows, classifier_loop

from bncourse.attempt import attempt
from bncourse.exercise import draw_cases
from bncourse.exercises import ps5_keras
from bncourse.exercises.ps5_keras import EXERCISES
from bncourse.exercises.ps5_keras.classifier import count_parameters
from bncourse.exercises.ps5_keras.drive import STATE, drive_layer, session, to_numpy
from bncourse.judge import compare, judge
from bncourse.reference.layers import layer_inference, layer_training_step

BACKEND = keras.backend.backend()
LAYER, CLASSIFIER = EXERCISES
# Keras's torch backend reads weights through an __array__ that NumPy 2 calls outdated.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FAR = ("mean near 1e4", "mixed_float16", "mixed_bfloat16")


def has_accelerator():
    if BACKEND == "torch":
        import torch

        return torch.cuda.is_available()
    try:
        return bool(keras.distribution.list_devices("gpu"))
    except RuntimeError:
        return False


DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=pytest.mark.skipif(not has_accelerator(), reason="needs an NVIDIA GPU"),
    ),
]


def verdict_on(exercise, obj, seed=0, device=None):
    cases = draw_cases(exercise, seed)
    attempts = {name: attempt(exercise, obj, case, device) for name, case in cases.items()}
    return judge(exercise, cases, attempts)


# --- the oracle against Keras's own layer ---------------------------------------------------------


@pytest.mark.equation("L4")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", [name for name in draw_cases(LAYER, 0) if name not in FAR])
def test_keras_own_layer_does_what_the_reference_says(name, device):
    """Output, gradients, moving statistics, inference, freezing, config and file, all at once."""
    for seed in range(3):
        case = draw_cases(LAYER, seed)[name]
        outputs = drive_layer(keras.layers.BatchNormalization, {**case.inputs, "device": device})
        assert compare(LAYER, case, outputs, LAYER.reference(case.inputs)) is None


@pytest.mark.parametrize("name", FAR)
def test_keras_own_layer_cancels_on_some_backends(name):
    """Keras 3.15 computes E[x^2] - E[x]^2 on torch; two passes on the others."""
    case = draw_cases(LAYER, 0)[name]
    outputs = drive_layer(keras.layers.BatchNormalization, {**case.inputs, "device": "cpu"})
    finding = compare(LAYER, case, outputs, LAYER.reference(case.inputs))
    assert (finding is not None) == (BACKEND == "torch")


@pytest.mark.equation("L5")
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("solution", CORRECT["BatchNormalization"])
def test_mixed_precision_is_that_of_keras(solution, policy, device):
    x = np.random.default_rng(0).normal(1, 2, (16, 5, 3)).astype(np.float32)
    with session(device):
        layers = [make(dtype=policy) for make in (solution, keras.layers.BatchNormalization)]
        ours, peer = (to_numpy(layer(x, training=True)) for layer in layers)
        assert all(weight.dtype == "float32" for layer in layers for weight in layer.weights)
        # One unit in the last place of a half type, where the order of operations differs.
        unit = {"mixed_float16": 2.0**-10, "mixed_bfloat16": 2.0**-7}[policy]
        np.testing.assert_allclose(ours, peer, rtol=unit, atol=unit)
        for name in STATE:
            weights = (to_numpy(getattr(layer, name)) for layer in layers)
            np.testing.assert_allclose(*weights, rtol=1e-5)


shapes = st.lists(st.integers(2, 5), min_size=2, max_size=4).map(tuple)


@settings(max_examples=40, deadline=None)
@given(
    shape=shapes,
    place=st.integers(-4, 3),
    momentum=st.floats(0, 1),
    epsilon=st.floats(1e-2, 1),
    offset=st.floats(-3, 3),
    scale=st.floats(0.5, 5),
    seed=st.integers(0, 2**16),
)
def test_the_reference_matches_keras_for_any_shape(
    shape, place, momentum, epsilon, offset, scale, seed
):
    axis = max(-len(shape), min(place, len(shape) - 1))
    rng = np.random.default_rng(seed)
    x = (offset + scale * rng.standard_normal(shape)).astype(np.float32)
    weights = [rng.uniform(0.5, 2, shape[axis]).astype(np.float32) for _ in range(4)]
    convention = {"eps": epsilon, "axis": axis}
    with session("cpu"):
        layer = keras.layers.BatchNormalization(axis, momentum, epsilon)
        layer.build(shape)
        layer.set_weights(weights)
        trained = to_numpy(layer(x, training=True))
        state = [to_numpy(weight) for weight in layer.non_trainable_weights]
        inferred = to_numpy(layer(x, training=False))
    x, *weights = (value.astype(np.float64) for value in (x, *weights))
    y, *expected = layer_training_step(
        x, *weights, new_weight=1 - momentum, unbiased=False, **convention
    )
    # float32, and on torch the digits that E[x^2] - E[x]^2 loses; see the test above.
    close = {"rtol": 1e-3, "atol": 1e-3}
    np.testing.assert_allclose(trained, y, **close)
    np.testing.assert_allclose(state[0], expected[0], **close)
    np.testing.assert_allclose(state[1], expected[1], **close)
    at_inference = layer_inference(x, *weights[:2], *expected, **convention)
    np.testing.assert_allclose(inferred, at_inference, **close)


@pytest.mark.equation("L4")
def test_the_convention_of_keras_by_hand():
    """Momentum 0.9 keeps nine tenths of the old value; the stored variance of 1 and 3 is 1."""
    x = np.array([[1.0], [3.0]])
    _, mean, var = layer_training_step(
        x, *np.ones((2, 1)), np.array([0.0]), np.array([1.0]), new_weight=0.1, eps=1e-3, axis=-1,
        unbiased=False,
    )  # fmt: skip
    np.testing.assert_allclose([mean.item(), var.item()], [0.2, 1.0])
    layer = keras.layers.BatchNormalization(momentum=0.9)
    layer(x, training=True)
    np.testing.assert_allclose(to_numpy(layer.moving_mean), mean, rtol=1e-6)
    np.testing.assert_allclose(to_numpy(layer.moving_variance), var, rtol=1e-6)


# --- the exercises as classifiers -----------------------------------------------------------------

SOLUTIONS = [(exercise, obj) for exercise in EXERCISES for obj in CORRECT[exercise.name]]
MISTAKES = [(exercise, mistake) for exercise in EXERCISES for mistake in exercise.mistakes]
elsewhere = pytest.mark.skipif(BACKEND == "torch", reason="test_exercises.py does it on torch")


@elsewhere
@pytest.mark.parametrize(
    ("exercise", "solution"), [pytest.param(*pair, id=pair[1].__name__) for pair in SOLUTIONS]
)
def test_a_correct_solution_passes_on_this_backend(exercise, solution):
    for seed in range(3):
        assert verdict_on(exercise, solution, seed).kind == "ok"


@elsewhere
@pytest.mark.parametrize(
    ("exercise", "mistake"), [pytest.param(*pair, id=pair[1].name) for pair in MISTAKES]
)
def test_a_known_mistake_fails_as_itself_on_this_backend(exercise, mistake):
    with warnings.catch_warnings():
        # A wrong solution may divide by zero; the verdict is what counts here.
        warnings.simplefilter("ignore")
        verdict = verdict_on(exercise, mistake.obj)
    assert verdict.kind in ("wrong", "error")
    assert verdict.mistake is mistake


@pytest.mark.skipif(not has_accelerator(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize(
    ("exercise", "solution"), [pytest.param(*pair, id=pair[1].__name__) for pair in SOLUTIONS]
)
def test_a_correct_solution_passes_on_the_accelerator(exercise, solution):
    assert verdict_on(exercise, solution, device="cuda").kind == "ok"


# --- bad input ------------------------------------------------------------------------------------


class WithoutBuild(keras.layers.Layer):
    def __init__(self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, **kwargs):
        super().__init__(**kwargs)


class ReadyMade(keras.layers.BatchNormalization):
    pass


class ReadyMadeOp(LayerByReduction):
    def call(self, inputs, training=None):
        super().call(inputs, training)
        return ops.batch_normalization(inputs, self.moving_mean, self.moving_variance, axis=-1)


class FlatOutput(LayerByRows):
    def call(self, inputs, training=False):
        return ops.ravel(super().call(inputs, training))


class ListOutput(LayerByRows):
    def call(self, inputs, training=False):
        return [super().call(inputs, training)]


class ExtraWeight(LayerByRows):
    def build(self, input_shape):
        super().build(input_shape)
        self.steps = self.add_weight(name="steps", trainable=False)


class OtherNames(LayerByRows):
    def __init__(self, axis=-1, momentum=0.99, eps=1e-3, center=True, scale=True, **kwargs):
        super().__init__(axis, momentum, eps, center, scale, **kwargs)


class Typo(LayerByRows):
    def call(self, inputs, training=False):
        return inputs - nothing  # noqa: F821


def first_message(exercise, obj):
    """Return what is said in the first case that fails, without looking for a known mistake."""
    messages = (attempt(exercise, obj, case).message for case in draw_cases(exercise, 0).values())
    return next(filter(None, messages))


def no_kwargs(axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True):
    return LayerByRows(axis, momentum, epsilon, center, scale)


@pytest.mark.parametrize(
    ("obj", "said"),
    [
        (WithoutBuild, "gamma must be a variable of the layer, made by add_weight in build"),
        (FlatOutput, "y must have the shape of the input, (7, 4). Received: (28,)."),
        (ListOutput, "call must return a tensor. Received: list of 1."),
        (ExtraWeight, "The weights must be gamma, beta, moving_mean, moving_variance and no"),
        (OtherNames, "epsilon"),
        (Typo, "name 'nothing' is not defined"),
        (no_kwargs, "It must be called as BatchNormalization(axis=-1, momentum=0.99"),
        (lambda *args, **kwargs: 3, "It must make a keras.layers.Layer. Received: int."),
    ],
)
def test_a_layer_that_cannot_be_judged_gets_a_sentence(obj, said):
    message = first_message(LAYER, obj)
    assert said in message
    assert "\x1b" not in message


class LastMode(LayerByRows):
    """Keeps the last mode where none is named."""

    def call(self, inputs, training=None):
        self.mode = getattr(self, "mode", False) if training is None else training
        return super().call(inputs, training=self.mode)


class Detained(LayerByRows):
    """Never trains again once it was frozen."""

    def call(self, inputs, training=False):
        self.free = getattr(self, "free", True) and self.trainable
        return super().call(inputs, training=training and self.free)


class ModeOfTheGradient(LayerByRows):
    def call(self, inputs, training=False):
        return super().call(inputs, training=training and inputs.requires_grad)


class ModeOfTheGradientUnlessTold(LayerByRows):
    def call(self, inputs, training=None):
        training = inputs.requires_grad if training is None else training
        return super().call(inputs, training=training)


class Nameless(LayerByReduction):
    def __init__(self, *args, name=None, **kwargs):
        super().__init__(*args, **kwargs)


class Thawing(LayerByReduction):
    def __init__(self, *args, trainable=True, **kwargs):
        super().__init__(*args, **kwargs)


class Regularised(LayerByRows):
    def build(self, input_shape):
        super().build(input_shape)
        self.gamma.regularizer = keras.regularizers.L2(0.01)


class Constrained(LayerByRows):
    def build(self, input_shape):
        super().build(input_shape)
        self.gamma.constraint = keras.constraints.NonNeg()


class Costly(LayerByRows):
    def call(self, inputs, training=False):
        y = super().call(inputs, training=training)
        self.add_loss(ops.mean(y))
        return y


class OneSize(LayerByRows):
    def build(self, input_shape):
        super().build(input_shape)
        self.places = np.prod(input_shape[1:]) / input_shape[self.axis]


class TwoAxes(LayerByRows):
    def build(self, input_shape):
        super().build(input_shape)
        self.axis = 1 if self.axis in (1, -3) else -1


class HalfSpec(LayerByRows):
    def compute_output_spec(self, inputs, training=False):
        return keras.KerasTensor(inputs.shape, dtype="float32")


class MoreConfig(LayerByReduction):
    def get_config(self):
        return {**super().get_config(), "initializer": "ones"}


class NoMode(LayerByRows):
    def call(self, inputs, training):
        return super().call(inputs, training=training)


class Kept(LayerByRows):
    def call(self, inputs, training=False):
        self.last = {"batch": 1 * inputs}
        return super().call(inputs, training=training)


class KeptInAList(LayerByRows):
    log = []  # noqa: RUF012

    def call(self, inputs, training=False):
        self.log.append({"batch": 1 * inputs})
        return super().call(inputs, training=training)


class KeptOnTheClass(LayerByRows):
    def call(self, inputs, training=False):
        KeptOnTheClass.last = 1 * inputs
        return super().call(inputs, training=training)


@pytest.mark.skipif(BACKEND != "torch", reason="one backend is enough, and grad_fn is torch's")
@pytest.mark.parametrize(
    ("obj", "case", "said"),
    [
        (LastMode, "rebuilt from get_config", "y with training left out after a step is off"),
        (Detained, "rebuilt from get_config", "moving_mean with trainable=True again is off"),
        (ModeOfTheGradient, "rebuilt from get_config", "after a training step is off"),
        (ModeOfTheGradientUnlessTold, "rebuilt from get_config", "else where gradients are on"),
        (Nameless, "rebuilt from get_config", "The name of the rebuilt layer must be that of"),
        (Thawing, "rebuilt from get_config", "A layer with trainable=False must come back with"),
        (Regularised, "a batch", "gamma must be free of a regularizer and of a constraint"),
        (Constrained, "a batch", "gamma must be free of a regularizer and of a constraint"),
        (Costly, "a batch", "The layer adds a loss to the model's."),
        (OneSize, "images (N, H, W, C)", "NoneType"),
        (TwoAxes, "volumes (N, D, C, H, W) with axis=-3", "It raised RuntimeError"),
        (HalfSpec, "mixed_float16", "compute_output_spec must return the shape of the input"),
        (MoreConfig, "rebuilt from get_config", "no more than __init__ takes. Received: initial"),
        (NoMode, "a batch", "call must give training a default, training=None"),
        (Kept, "a batch", "The attribute last holds the graph of the batch"),
        (KeptInAList, "a batch", "The attribute log holds the graph of the batch"),
        (KeptOnTheClass, "a batch", "The attribute last holds the graph of the batch"),
    ],
)
def test_what_a_layer_forgets_is_told(obj, case, said):
    drawn = draw_cases(LAYER, 0)[case]
    made = attempt(LAYER, obj, drawn)
    finding = made.message or compare(LAYER, drawn, made.outputs, LAYER.reference(drawn.inputs))
    assert said in (finding or "nothing")


def test_a_cleared_session_is_told():
    def build(input_dim, hidden=(64, 32)):
        keras.backend.clear_session()
        return classifier_loop(input_dim, hidden)

    assert "It calls clear_session" in first_message(CLASSIFIER, build)


def test_a_second_model_has_the_layers_of_the_first():
    def build(input_dim, hidden=[64, 32]):  # noqa: B006
        model = classifier_loop(input_dim, hidden)
        hidden += (8,)
        return model

    assert "another number of parameters" in first_message(CLASSIFIER, build)


@pytest.mark.parametrize("solution", [ReadyMade, ReadyMadeOp])
def test_a_ready_made_batch_norm_breaks_a_rule(solution):
    case = draw_cases(LAYER, 0)["a batch"]
    rules = attempt(LAYER, solution, case).rules
    assert any("ready-made" in rule for rule in rules)


def wide_input(input_dim, hidden=(64, 32)):
    return keras.Sequential([keras.Input((1, input_dim)), keras.layers.Dense(1)])


def built_by_a_call(input_dim, hidden=(64, 32)):
    model = keras.Sequential([keras.layers.Dense(1)])
    model(np.zeros((1, input_dim), "float32"))
    return model


@pytest.mark.parametrize(
    ("obj", "said"),
    [
        (built_by_a_call, "first call on an array"),
        (lambda input_dim, hidden=(): None, "must return a keras.Sequential. Received: NoneType"),
        (lambda input_dim, hidden=(): keras.Sequential(), "must be built"),
        (
            wide_input,
            "shape (N, input_dim), here (None, 20). Received: (None, 1, 20)",
        ),
        (lambda width: None, "must be called as build_classifier(input_dim, hidden=(64, 32))"),
    ],
)
def test_a_model_that_cannot_be_judged_gets_a_sentence(obj, said):
    assert said in first_message(CLASSIFIER, obj)


@pytest.mark.parametrize(
    ("activation", "output", "received"),
    [
        (lambda t: ops.maximum(t, -1), {"units": 1, "activation": "sigmoid"}, "a lambda"),
        ("relu", {"units": 2, "activation": "softmax"}, "Dense(2) with bias and softmax"),
        ("relu", {"units": 10, "activation": "sigmoid"}, "Dense(10) with bias and sigmoid"),
    ],
)
def test_layers_of_another_kind_are_told_what_is_asked(activation, output, received):
    def build(input_dim, hidden=(64, 32)):
        model = keras.Sequential([keras.Input((input_dim,))])
        for units in hidden:
            model.add(keras.layers.Dense(units, use_bias=False))
            model.add(keras.layers.BatchNormalization())
            model.add(keras.layers.Activation(activation))
        model.add(keras.layers.Dense(**output))
        return model

    rule, _, rest = first_message(CLASSIFIER, build).partition(" Received: ")
    assert rule == (
        "Each hidden layer must be Dense without bias, batch norm, relu; "
        "the end, Dense(1) with bias and sigmoid."
    )
    assert received in rest
    assert verdict_on(CLASSIFIER, build).mistake is None


# --- what a run leaves behind, and what a classifier is -------------------------------------------


def test_a_session_puts_everything_back():
    def switches():
        return random.getstate(), keras.config.is_traceback_filtering_enabled(), warnings.filters[:]

    def fail():
        with session("cpu"):
            classifier_loop(3)
            raise ZeroDivisionError

    before = switches()
    with pytest.raises(ZeroDivisionError):
        fail()
    assert switches() == before


def test_the_parameters_of_the_classifier_of_the_articles():
    """Claim 30: 20 inputs, 64 and 32 hidden units; the moving statistics are not trained."""
    model = classifier_loop(20)
    sizes = [
        sum(int(np.prod(weight.shape)) for weight in weights)
        for weights in (model.trainable_weights, model.non_trainable_weights)
    ]
    assert tuple(sizes) == count_parameters(20, 64, 32) == (3553, 192)


@pytest.mark.equation("F5")
def test_a_redundant_bias_costs_parameters():
    wrong = next(mistake for mistake in CLASSIFIER.mistakes if mistake.name == "redundant bias")
    assert wrong.obj(20).count_params() == classifier_loop(20).count_params() + 64 + 32


@pytest.mark.parametrize("solution", CORRECT["BatchNormalization"])
def test_a_layer_of_ones_own_trains_in_a_model(solution):
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, (64, 4)).astype(np.float32)
    target = (x.sum(axis=1, keepdims=True) > 12).astype(np.float32)
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, use_bias=False),
            solution(momentum=0.8),
            keras.layers.Activation("relu"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(0.03), loss="binary_crossentropy")
    history = model.fit(x, target, batch_size=16, epochs=8, verbose=0).history["loss"]
    assert history[-1] < 0.6 * history[0]
    assert not np.allclose(to_numpy(model.layers[1].moving_mean), 0)


# --- what a check must see, and how it says it ----------------------------------------------------


@pytest.mark.skipif(BACKEND == "torch", reason="another backend tells, make test-backends")
def test_the_set_works_where_there_is_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from bncourse.attempt import attempt\n"
        "from bncourse.exercise import draw_cases\n"
        "from bncourse.exercises.ps5_keras.layer_mistakes import BatchNormalization\n"
        "from bncourse.judge import judge\n"
        "from bncourse.registry import load\n"
        "exercise = load('ps5_keras')['BatchNormalization']\n"
        "cases = draw_cases(exercise, 0)\n"
        "made = {name: attempt(exercise, BatchNormalization, cases[name]) for name in cases}\n"
        "print(judge(exercise, cases, made).kind)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "ok\n", done.stderr


def test_no_module_of_the_set_imports_torch_when_it_is_loaded():
    for path in Path(inspect.getfile(ps5_keras)).parent.glob("*.py"):
        body = ast.parse(path.read_text()).body
        names = [alias.name for n in body if isinstance(n, ast.Import) for alias in n.names]
        names += [node.module for node in body if isinstance(node, ast.ImportFrom)]
        assert not [name for name in names if name.split(".")[0] == "torch"], path


@pytest.mark.parametrize("key", ["axis", "momentum", "epsilon", "center", "scale"])
def test_a_key_that_a_config_lacks_is_named(key):
    class Lacking(LayerByReduction):
        def get_config(self):
            return {name: value for name, value in super().get_config().items() if name != key}

    verdict = verdict_on(LAYER, Lacking)
    assert f"Missing: {key}." in verdict.finding
    assert verdict.mistake.name == f"{key} missing in get_config"


def test_a_method_that_is_spelt_wrongly_is_no_missing_answer():
    class Misspelt(LayerByRows):
        call = keras.layers.Layer.call

    made = attempt(LAYER, Misspelt, draw_cases(LAYER, 0)["a batch"])
    assert made.error == "NotImplementedError of a library"
    assert "Layer Misspelt does not have a `call" in made.message


def test_a_right_layer_is_told_that_its_config_is_not_written():
    class Unfinished(LayerByRows):
        def get_config(self):
            raise NotImplementedError

    verdict = verdict_on(LAYER, Unfinished)
    assert verdict.finding == "get_config still raises NotImplementedError: write it next."
    assert verdict.mistake is None
    assert "All results that are there are right in every case." in verdict.progress


def test_a_wrong_layer_is_told_what_is_wrong_though_its_config_is_not_written():
    class Unfinished(LayerByRows):
        def call(self, inputs, training=None):
            return 2 * super().call(inputs, training=training)

        def get_config(self):
            raise NotImplementedError

    verdict = verdict_on(LAYER, Unfinished)
    assert verdict.kind == "wrong"
    assert "y in training step 1 is off" in verdict.finding


def test_a_config_that_says_too_little_hides_no_mistake():
    class Reversed(LayerByReduction):
        def _mix(self, weight, new):
            new = ops.reshape(new, weight.shape)
            weight.assign((1 - self.momentum) * weight + self.momentum * new)

        def get_config(self):
            return keras.layers.Layer.get_config(self)

    verdict = verdict_on(LAYER, Reversed)
    assert [mistake.name for mistake in verdict.mistakes] == ["momentum reversed"]


@pytest.mark.skipif(BACKEND != "torch", reason="what torch does")
def test_an_update_of_a_half_copy_is_lost():
    """Keras 3.15 on torch: assign writes into the copy that a variable is cast to in call."""

    class Counter(keras.layers.Layer):
        def build(self, input_shape):
            self.steps = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, inputs):
            self.steps.assign(self.steps + 1)
            return inputs

    counted = []
    for policy in ("float32", "mixed_float16"):
        layer = Counter(dtype=policy)
        layer(np.ones((2, 3), np.float32))
        counted.append(float(to_numpy(layer.steps)))
    assert counted == [1.0, 0.0]


def test_a_setting_of_all_of_keras_is_put_back():
    def build(input_dim, hidden=(64, 32)):
        keras.config.set_epsilon(0.25)
        return classifier_loop(input_dim, hidden)

    before = keras.config.epsilon()
    assert "changes a setting of all of Keras, epsilon" in first_message(CLASSIFIER, build)
    assert keras.config.epsilon() == before


def test_an_option_that_is_not_the_default_is_named():
    def build(input_dim, hidden=(64, 32)):
        model = keras.Sequential([keras.Input((input_dim,))])
        for units in hidden:
            model.add(keras.layers.Dense(units, use_bias=False))
            model.add(keras.layers.BatchNormalization(momentum=0.5))
            model.add(keras.layers.ReLU())
        model.add(keras.layers.Dense(1, activation="sigmoid"))
        return model

    assert "Received: momentum=0.5." in first_message(CLASSIFIER, build)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda model: model(np.eye(20, dtype=np.float32), training=True), "moving_mean of a new"),
        (lambda model: model.layers[1].gamma.assign(0.5 * np.ones(64)), "gamma of a new batch"),
    ],
)
def test_a_model_that_is_not_new_is_told(change, said):
    def build(input_dim, hidden=(64, 32)):
        model = classifier_loop(input_dim, hidden)
        if hidden == (64, 32):
            change(model)
        return model

    assert said in first_message(CLASSIFIER, build)


def test_a_constraint_of_a_dense_layer_is_told():
    def build(input_dim, hidden=(64, 32)):
        model = classifier_loop(input_dim, hidden)
        model.layers[0].kernel_constraint = keras.constraints.NonNeg()
        return model

    assert "must be free of regularizers and constraints" in first_message(CLASSIFIER, build)


def test_a_leaky_relu_without_a_leak_is_a_relu():
    def build(input_dim, hidden=(64, 32)):
        model = keras.Sequential([keras.Input((input_dim,))])
        for units in hidden:
            model.add(keras.layers.Dense(units, use_bias=False))
            model.add(keras.layers.BatchNormalization())
            model.add(keras.layers.LeakyReLU(negative_slope=0.0))
        model.add(keras.layers.Dense(1, activation="sigmoid"))
        return model

    assert verdict_on(CLASSIFIER, build).kind == "ok"


@pytest.mark.skipif(BACKEND != "torch", reason="what the torch backend has")
def test_the_batch_norm_of_a_backend_breaks_a_rule():
    class Backend(LayerByReduction):
        def call(self, inputs, training=None):
            super().call(inputs, training)
            function = keras.src.backend.nn.batch_normalization
            return function(inputs, self.moving_mean, self.moving_variance, -1, epsilon=1e-3)

    case = draw_cases(LAYER, 0)["a batch"]
    assert any("ready-made" in rule for rule in attempt(LAYER, Backend, case).rules)
