"""The known mistakes of build_classifier: a correct one, and the lines in which each differs."""

from bncourse.variants import variant

_IMPORTS = "import keras\nfrom keras import layers\n\n\n"

_CLASSIFIER = """\
def build_classifier(input_dim, hidden=(64, 32)):
    stack = [keras.Input((input_dim,))]
    for units in hidden:
        stack.append(layers.Dense(units, use_bias=False))
        stack.append(layers.BatchNormalization())
        stack.append(layers.Activation("relu"))
    stack.append(layers.Dense(1, activation="sigmoid"))
    return keras.Sequential(stack)
"""

_DENSE = "        stack.append(layers.Dense(units, use_bias=False))\n"
_NORM = "        stack.append(layers.BatchNormalization())\n"
_RELU = '        stack.append(layers.Activation("relu"))\n'
_OUTPUT = '    stack.append(layers.Dense(1, activation="sigmoid"))\n'
_HIDDEN = _DENSE + _NORM + _RELU


def _classifier(*changes):
    return variant(_IMPORTS + _CLASSIFIER, "build_classifier", *changes)


classifier_activation_inside = _classifier(
    (_RELU, ""), ("units, use_bias=False", 'units, activation="relu", use_bias=False')
)
classifier_activation_first = _classifier((_NORM + _RELU, _RELU + _NORM))
classifier_normalized_first = _classifier((_DENSE + _NORM, _NORM + _DENSE))
classifier_redundant_bias = _classifier(("units, use_bias=False", "units"))
classifier_without_output_bias = _classifier(('"sigmoid"', '"sigmoid", use_bias=False'))
classifier_without_sigmoid = _classifier((', activation="sigmoid"', ""))
classifier_softmax = _classifier(("sigmoid", "softmax"))
classifier_output_normalized = _classifier(
    (
        _OUTPUT,
        "    stack.append(layers.Dense(1, use_bias=False))\n"
        "    stack.append(layers.BatchNormalization())\n"
        '    stack.append(layers.Activation("sigmoid"))\n',
    )
)
classifier_input_normalized = _classifier(
    ("[keras.Input((input_dim,))]", "[keras.Input((input_dim,)), layers.BatchNormalization()]")
)
classifier_without_relu = _classifier((_RELU, ""))
classifier_without_batchnorm = _classifier(
    (_HIDDEN, '        stack.append(layers.Dense(units, activation="relu"))\n')
)
classifier_epsilon = _classifier(("BatchNormalization()", "BatchNormalization(epsilon=1e-5)"))
classifier_input_ignored = _classifier(("(input_dim,))]", "(20,))]"))
classifier_not_built = _classifier(("[keras.Input((input_dim,))]", "[]"))
classifier_flag_adds_output = _classifier(
    ("    stack = [keras", "    batch_norm = True\n    stack = [keras"),
    (
        _HIDDEN + _OUTPUT,
        '        stack.append(layers.Dense(units, activation="relu"))\n'
        "        if batch_norm:\n"
        '            stack.append(layers.Dense(1, activation="sigmoid"))\n',
    ),
)
# It has no loop, so it stands whole.
classifier_hidden_ignored = variant(
    _IMPORTS
    + """\
def build_classifier(input_dim, hidden=(64, 32)):
    return keras.Sequential(
        [
            keras.Input((input_dim,)),
            layers.Dense(64, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Dense(32, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
""",
    "build_classifier",
)
