"""Why a mutant of a model solution may pass the self-check; ``mutation.py`` finds them.

By exercise, a reason with the changed lines that it explains, as ``old line => new line``.
"""

_LENGTH = (
    "NumPy reads any negative length of a reshape as the one to be worked out, and ~1 is -2; see "
    "issue 27024 of its repository."
)
_WHOLE = (
    "The size of an array is a multiple of its number of channels, so that the quotient is the "
    "same number, which counts in arithmetic only; a Python float changes no dtype there."
)


def _reshaped(*lines, old="(1, -1, 1, 1)", new=("(1, ~1, 1, 1)", "(1, - 2, 1, 1)")):
    return [f"{line} => {line.replace(old, each)}" for line in lines for each in new]


def _column(line):
    return _reshaped(line, old="(-1", new=("(~1", "(- 2"))


_SCALE_AND_SHIFT = _reshaped(
    "scale = gamma.reshape(1, -1, 1, 1)", "shift = beta.reshape(1, -1, 1, 1)"
)
_CACHED = _column("cached_inv_std = inv_std.reshape(-1)")
_GROUPED = "grouped = x.reshape(n, groups, c // groups, h, w)"
_EQUALLY_LONG = "They are equally long by how they were made; strict only says so."
_GRADIENTS = (
    "return dict(zip(names, torch.autograd.grad(loss, list(net.parameters())), strict=True))"
)
_GRADIENTS_NOT_STRICT = _GRADIENTS.replace("True", "False")
_WAY = "way = unit * gradient / length if length > 0 else torch.zeros_like(gradient)"
_ALONE = "alone = len(waiting) > 1 and len(waiting[-1]) == 1"

# What they compute is what the exercise asks for, on every input that it allows.
EQUIVALENT = {
    "spatial_batchnorm_forward": {_LENGTH: [*_SCALE_AND_SHIFT, *_CACHED]},
    "spatial_batchnorm_backward": {
        _LENGTH: _reshaped(
            "mean_path = (dbeta / count).reshape(1, -1, 1, 1)",
            "var_path = x_hat * (dgamma / count).reshape(1, -1, 1, 1)",
            "factor = (gamma * inv_std).reshape(1, -1, 1, 1)",
        ),
        _WHOLE: ["count = dy.size // dy.shape[1] => count = dy.size / dy.shape[1]"],
    },
    "layernorm_forward": {_LENGTH: _CACHED},
    "groupnorm_forward": {
        _LENGTH: _SCALE_AND_SHIFT,
        # A number in the place of one length, which happens to be negative.
        f"{_LENGTH} The other lengths leave the right one, and -2 // groups is negative too.": [
            f"{_GROUPED} => grouped = x.reshape({lengths})"
            for lengths in (
                "-2, groups, c // groups, h, w",
                "n, groups,-2 // groups, h, w",
                "n, groups, c // groups,-2, w",
                "n, groups, c // groups, h,-2",
            )
        ],
    },
    "fold_batchnorm": {_LENGTH: _column("column = scale.reshape(-1, *[1] * (weight.ndim - 1))")},
    "BatchNorm": {
        _WHOLE: ["count = x.numel() // x.shape[1] => count = x.numel() / x.shape[1]"],
        "They differ for a batch without a value, of which no mean is defined: the text names no "
        "answer, the model solution fills its buffers with NaN, and torch leaves its own alone.": [
            "refused = training and count == 1 => refused = training and count <= 1"
        ],
    },
    "recalibrate": {
        "The first mean is weighed with a count of 0, so what it starts at does not matter.": [
            f"means = [0.0 for norm in norms] => means = [ {start} for norm in norms]"
            for start in ("1.0", "-1.0")
        ],
    },
    "BatchNormFunction": {
        "All three are read from the class, never from an object, and give the plain function "
        "there with or without the decorator.": ["@staticmethod => ", " @staticmethod => "],
    },
    "fix_the_bug_2": {
        "The channels come last, and there (C,) broadcasts as (1, 1, 1, C) does.": [
            f"{line} => {line.replace('True', 'False')}"
            for line in (
                "mean = x.mean(axis=axes, keepdims=True)",
                "var = ((x - mean) ** 2).mean(axis=axes, keepdims=True)",
            )
        ],
    },
    "BatchNormalization": {
        "CPython keeps one object for each small number, and an array has a few axes only.": [
            "axes = [a for a in range(rank) if a != self.place % rank] => "
            "axes = [a for a in range(rank) if a is not self.place % rank]"
        ],
    },
    "activation_percentiles": {
        "What is caught carries no gradient, and on a processor nothing else asks for force; with "
        'check(..., device="cuda") it raises.': [
            "values = caught[-1].numpy(force=True) => values = caught[-1].numpy(force=False)"
        ],
        "A pass moves no mode: what is put back is what is there.": [
            "for each, mode in modes.items(): => for each, mode in []:"
        ],
    },
    "internal_covariate_shift": {_EQUALLY_LONG: [f"{_GRADIENTS} => {_GRADIENTS_NOT_STRICT}"]},
    "NoisyBatchNorm": {
        "The shift is as likely as its negative, whatever was drawn before: they have one law.": [
            "out = s * y + m => out = s * y - m"
        ],
    },
    "gradient_predictiveness": {
        "No length is below 0.": [
            f"{_WAY} => {_WAY.replace('length > 0', 'length != 0')}",
        ],
        _EQUALLY_LONG: [
            f"{line} => {line.replace('True', 'False')}"
            for line in (
                "for weight, gradient in zip(weights, gradients, strict=True):",
                "for weight, start_at, way in zip(weights, old, ways, strict=True):",
            )
        ],
    },
    "train": {
        "No batch is empty.": [f"{_ALONE} => {_ALONE.replace('== 1', '<= 1')}"],
        "They differ for a data set of one example, which no batch stands before: the text names "
        "no answer.": [
            f"{_ALONE} => {_ALONE.replace('len(waiting) > 1', f'len(waiting) {other}')}"
            for other in ("!= 1", ">= 1", "> 0")
        ],
        "The count goes up by one, from 0, and there are no steps below 0.": [
            "while len(losses) < steps: => while len(losses) != steps:"
        ],
    },
}

# What they compute is wrong, and no case or rule says so yet: the reason says which would.
OPEN = {}


def reasons(exercise):
    """Return {changed line: its reason} of an exercise."""
    return {
        line: reason
        for table in (EQUIVALENT, OPEN)
        for reason, lines in table.get(exercise, {}).items()
        for line in lines
    }
