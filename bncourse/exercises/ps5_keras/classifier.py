"""The exercise build_classifier: dense layers with batch norm between product and activation."""

import inspect
from itertools import pairwise

import numpy as np

from bncourse.exercise import Case, Exercise
from bncourse.exercises.ps5_keras.classifier_mistakes import MISTAKES
from bncourse.exercises.ps5_keras.drive import drive_classifier
from bncourse.reference.forward import batchnorm_inference

DEFAULT_HIDDEN = (64, 32)
# The default of Keras, which the exercise asks for.
EPSILON = 1e-3


def _signature(input_dim, hidden=(64, 32)):
    """The function that the student writes."""


# --- cases ------------------------------------------------------------------------------------


def _given(rng, input_dim, hidden=None, twice=False):
    """Return the inputs of a case.

    Args:
        rng: a NumPy Generator.
        input_dim: the width of the input.
        hidden: the widths of the hidden layers; None leaves them at their default.
        twice: whether a second model is made and compared. To make one takes long, so that the
            case with the most layers leaves it to the others.
    """
    widths = (input_dim, *(DEFAULT_HIDDEN if hidden is None else hidden))
    parts = [part for shape in pairwise(widths) for part in _hidden_weights(rng, *shape)]
    parts += [rng.normal(size=widths[-1]) / np.sqrt(widths[-1]), rng.uniform(0.2, 0.5, 1)]
    given = {
        "input_dim": input_dim,
        "twice": twice,
        "x": rng.normal(size=(6, input_dim)).astype(np.float32),
        # In the order of the layers: kernel, gamma, beta, moving mean, moving variance; at the
        # end kernel and bias.
        "weights": np.concatenate([part.ravel() for part in parts]).astype(np.float32),
    }
    return given if hidden is None else given | {"hidden": hidden}


def _hidden_weights(rng, fan_in, units):
    # Near epsilon a variance shows which epsilon was added to it. The other numbers have the size
    # that goes with it, so that the sigmoid at the end is not driven to 0 or 1.
    variance = 10 ** rng.uniform(-4, 0, units)
    std = np.sqrt(variance)
    kernel = std * rng.normal(size=(fan_in, units)) / np.sqrt(fan_in)
    gamma, beta, mean = rng.uniform([[0.5], [-0.5], [-0.5]], [[2.0], [0.5], [0.5]], (3, units))
    return [kernel, gamma, beta, std * mean, variance]


def _cases(rng):
    return {
        "hidden left at its default": Case(_given(rng, 20, twice=True), "float32"),
        "one unit": Case(_given(rng, 1, (1,), twice=True), "float32"),
        "three hidden layers, of widths that repeat and grow": Case(
            _given(rng, 6, (5, 5, 7)), "float32"
        ),
        "no hidden layer": Case(_given(rng, 5, ()), "float32"),
    }


# --- reference --------------------------------------------------------------------------------


def _reference(inputs):
    widths = (inputs["input_dim"], *inputs.get("hidden", DEFAULT_HIDDEN))
    weights = iter(np.asarray(inputs["weights"], np.float64))

    def take(*shape):
        return np.fromiter(weights, np.float64, int(np.prod(shape))).reshape(shape)

    y = inputs["x"].astype(np.float64)
    for fan_in, units in pairwise(widths):
        z = y @ take(fan_in, units)
        gamma, beta, mean, variance = (take(units) for _ in range(4))
        y = np.maximum(batchnorm_inference(z, gamma, beta, mean, variance, EPSILON), 0)
    z = y @ take(widths[-1], 1) + take(1)
    trainable, fixed = count_parameters(*widths)
    return {
        "trainable parameters": np.array(trainable),
        "non-trainable parameters": np.array(fixed),
        "y": 1 / (1 + np.exp(-z)),
    }


def count_parameters(input_dim, *hidden):
    """Return the numbers of trainable and of non-trainable parameters of the classifier.

    A hidden layer has a kernel without a bias, gamma and beta; its moving mean and variance are
    not trainable. The output layer has a kernel and a bias.

    >>> count_parameters(20, 64, 32)
    (3553, 192)
    """
    widths = (input_dim, *hidden)
    kernels = sum(fan_in * units for fan_in, units in pairwise(widths))
    return kernels + 2 * sum(hidden) + widths[-1] + 1, 2 * sum(hidden)


build_classifier = Exercise(
    name="build_classifier",
    signature=inspect.signature(_signature),
    cases=_cases,
    drive=drive_classifier,
    reference=_reference,
    see="F5",
    insight="A bias before batch norm is subtracted with the mean, so the Dense layers "
    "leave it out.",
    mistakes=MISTAKES,
    takes_device=True,
    allows_ready_made=True,
)
