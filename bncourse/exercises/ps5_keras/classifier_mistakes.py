"""The known mistakes of build_classifier: a right one with named steps, and what goes wrong."""

import keras
from keras import layers

from bncourse.exercise import Mistake
from bncourse.slips import Instead, Right


def classifier(input_dim, hidden=(64, 32)):
    stack = [keras.Input((input_dim,))]
    for units in hidden:
        dense = layers.Dense(units, use_bias=False)
        norm = layers.BatchNormalization()
        block = [dense, norm, layers.Activation("relu")]
        stack.extend(block)
    output = [layers.Dense(1, activation="sigmoid")]
    return keras.Sequential(stack + output)


def classifier_hidden_ignored(input_dim, hidden=(64, 32)):
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


def classifier_flag_adds_output(input_dim, hidden=(64, 32)):
    batch_norm = True
    model = keras.Sequential([keras.Input((input_dim,))])
    for units in hidden:
        model.add(layers.Dense(units, activation="relu"))
        if batch_norm:
            model.add(layers.Dense(1, activation="sigmoid"))
    return model


slip = Right(classifier).slip

MISTAKES = (
    slip(
        "activation inside the dense layer",
        "The activation stands inside the Dense layer, so batch norm comes after it. Take it out "
        "and make it a layer of its own, after BatchNormalization.",
        "F5",
        dense='layers.Dense(units, activation="relu", use_bias=False)',
        block="[dense, norm]",
    ),
    slip(
        "batch norm after the activation",
        "Batch norm stands after the activation. The order asked for is Dense, "
        "BatchNormalization, Activation.",
        "F5",
        block='[dense, layers.Activation("relu"), norm]',
    ),
    slip(
        "batch norm before the dense layer",
        "Batch norm stands before the Dense layer. It normalises what the Dense layer computes: "
        "Dense, BatchNormalization, Activation.",
        "F5",
        block='[norm, dense, layers.Activation("relu")]',
    ),
    slip(
        "redundant bias",
        "The hidden Dense layers keep a bias that batch norm subtracts again. Set use_bias=False; "
        "beta does its work.",
        "F5",
        dense="layers.Dense(units)",
    ),
    slip(
        "output bias missing",
        "The output layer has no bias. No batch norm follows it, so nothing else can shift its "
        "result: leave the bias there.",
        "F5",
        output='[layers.Dense(1, activation="sigmoid", use_bias=False)]',
    ),
    slip(
        "sigmoid missing",
        "The output is any number. A classifier of two classes returns a probability: end with a "
        "sigmoid.",
        "F5",
        output="[layers.Dense(1)]",
    ),
    slip(
        "softmax of one number",
        "The output is a softmax over a single unit, which is always 1. Use a sigmoid.",
        "F5",
        output='[layers.Dense(1, activation="softmax")]',
    ),
    slip(
        "batch norm on the output",
        "The output is normalised too. There batch norm ties each prediction to the rest of its "
        "batch; it belongs to the hidden layers.",
        "F5",
        output=(
            "[layers.Dense(1, use_bias=False), layers.BatchNormalization(), "
            'layers.Activation("sigmoid")]'
        ),
    ),
    slip(
        "batch norm on the input",
        "The input is normalised by a layer of its own. Batch norm belongs to the hidden layers "
        "here: after each hidden Dense.",
        "F5",
        stack="[keras.Input((input_dim,)), layers.BatchNormalization()]",
    ),
    slip(
        "activation missing",
        "There is no activation after batch norm. Batch norm is affine at inference, so without "
        "it the whole network is one linear map: add a ReLU.",
        "F4",
        block="[dense, norm]",
    ),
    slip(
        "relu with options",
        "The relu has an upper bound, a slope or a threshold. The exercise asks for the plain one, "
        "max(x, 0).",
        "F4",
        block="[dense, norm, layers.ReLU(max_value=6.0)]",
    ),
    slip(
        "batch size fixed",
        "The batch size is a part of the model's input. It then trains with batches of that size "
        "only: leave it out of keras.Input.",
        "F5",
        stack="[keras.Input((input_dim,), batch_size=32)]",
    ),
    slip(
        "batch norm missing",
        "There is no batch norm. Add a BatchNormalization between each hidden Dense and its "
        "activation.",
        "F5",
        block='[layers.Dense(units, activation="relu")]',
    ),
    slip(
        "one batch norm for all",
        "One BatchNormalization serves several layers. Each layer has statistics of its own: make "
        "one inside the loop for each.",
        "F5",
        stack=Instead("shared = layers.BatchNormalization()\nstack = [keras.Input((input_dim,))]"),
        norm="shared",
    ),
    slip(
        "epsilon of PyTorch",
        "BatchNormalization is given an epsilon of 1e-5, the default of PyTorch. The exercise asks "
        "for the default options of Keras.",
        "F3",
        norm="layers.BatchNormalization(epsilon=1e-5)",
    ),
    slip(
        "momentum of PyTorch",
        "BatchNormalization is given a momentum of 0.1. That is PyTorch's default, for the other "
        "convention: here it weighs the old value. The exercise asks for the default options.",
        "L4",
        norm="layers.BatchNormalization(momentum=0.1)",
    ),
    slip(
        "momentum given",
        "BatchNormalization is given a momentum of 0.9. The exercise asks for the default options "
        "of Keras.",
        "L4",
        norm="layers.BatchNormalization(momentum=0.9)",
    ),
    slip(
        "gamma starts at zero",
        "gamma starts at 0, so each hidden layer passes nothing on at the start. The exercise asks "
        "for the default options of Keras, where it starts at 1.",
        "F4",
        norm='layers.BatchNormalization(gamma_initializer="zeros")',
    ),
    slip(
        "no scale",
        "BatchNormalization is given scale=False, so it has no gamma. The exercise asks for the "
        "default options of Keras.",
        "F4",
        norm="layers.BatchNormalization(scale=False)",
    ),
    Mistake(
        "hidden ignored",
        classifier_hidden_ignored,
        "The argument hidden is ignored; 64 and 32 stand in the code. Loop over hidden.",
        "F5",
    ),
    slip(
        "a regularizer",
        "A Dense layer has a regularizer or a constraint, which the exercise does not ask for: it "
        "adds to the loss, or keeps the weights from where they go.",
        "F5",
        dense='layers.Dense(units, use_bias=False, kernel_regularizer="l2")',
    ),
    slip(
        "input_dim ignored",
        "The argument input_dim is ignored; 20 stands in the code. Use the argument.",
        "F5",
        stack="[keras.Input((20,))]",
    ),
    slip(
        "not built",
        "The model does not know the width of its input, so its weights do not exist yet. Begin "
        "with keras.Input((input_dim,)).",
        "F5",
        stack="[]",
    ),
    slip(
        "one model for all calls",
        "A second call returns the same model, weights and all. Make new layers in each call.",
        "F5",
        returns=Instead(
            'if not hasattr(classifier, "model"):\n'
            "    classifier.model = keras.Sequential(stack + output)\n"
            "return classifier.model"
        ),
    ),
    Mistake(
        "output layer in place of batch norm",
        classifier_flag_adds_output,
        "Where batch norm should stand there is an output layer. A published tutorial has this "
        "bug: its flag for batch norm adds Dense(1), and its curves then compare something else.",
        "F5",
    ),
)
