"""batchnorm_forward_kernel: one program a channel, statistics and output in one launch."""

import numpy as np
import triton
import triton.language as tl

from bncourse.exercise import Case, Exercise
from bncourse.exercises.ps9_triton.inputs import EPS, cases, of_channels, unwritten
from bncourse.exercises.ps9_triton.launch import launch, signature_of, tolerance
from bncourse.inputs import cast
from bncourse.reference import forward, layers
from bncourse.slips import Right

RESULTS = ("y", "running_mean", "running_var", "mean", "inv_std")


def _given(rng, x, eps):
    channels = x.shape[1]
    return {
        "x": x,
        "gamma": of_channels(rng, channels),
        "beta": of_channels(rng, channels),
        "running_mean": of_channels(rng, channels, 1.0, 3.0),
        "running_var": of_channels(rng, channels, 2.0, 4.0),
        "y": unwritten(*x.shape),
        "mean": unwritten(channels),
        "inv_std": unwritten(channels),
        "momentum": 0.3,
        "eps": eps,
    }


def _cases(rng):
    return cases(rng, _given) | {"mean near 1e4": _far(rng)}


def _far(rng):
    # Eight multiples of 1/64 add up without rounding, so that the mean is exact; their squares are
    # rounded to multiples of 8. What merges blocks rounds the mean itself.
    x = np.round(64 * (1e4 + 2 * rng.standard_normal((4, 1, 2)))) / 64
    arrays = cast(_given(rng, x, EPS), np.float32)
    return Case(arrays | {"n": 8, "C": 1, "HW": 2, "BLOCK": 8}, "float32", rtol=1e-2, noisy=True)


def _drive(obj, inputs):
    device = inputs.pop("device")
    return launch(obj, inputs["C"], inputs, RESULTS, device)


def _reference(inputs):
    given = cast(inputs, np.float64)
    x, eps = given["x"], given["eps"]
    y, *running = layers.layer_training_step(
        x,
        given["gamma"],
        given["beta"],
        given["running_mean"],
        given["running_var"],
        new_weight=given["momentum"],
        eps=eps,
    )
    mean, var = forward.batch_statistics(layers.to_features(x))
    return dict(zip(RESULTS, (y, *running, mean, 1 / np.sqrt(var + eps)), strict=True))


@triton.jit
def batchnorm_forward_kernel(
    x_ptr,
    gamma_ptr,
    beta_ptr,
    running_mean_ptr,
    running_var_ptr,
    y_ptr,
    mean_ptr,
    inv_std_ptr,
    momentum,
    eps,
    n: tl.constexpr,
    C: tl.constexpr,
    HW: tl.constexpr,
    BLOCK: tl.constexpr,
):
    c = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    zeros = tl.zeros((BLOCK,), tl.float32)
    total = zeros
    for start in range(0, n, BLOCK):
        i = start + lanes
        at_i = (i // HW) * C * HW + c * HW + i % HW
        x_i = tl.load(x_ptr + at_i, mask=i < n, other=0.0).to(tl.float32)
        total += x_i
    mean = tl.sum(total) / n
    squares = zeros
    for start in range(0, n, BLOCK):
        j = start + lanes
        at_j = (j // HW) * C * HW + c * HW + j % HW
        x_j = tl.load(x_ptr + at_j, mask=j < n, other=0.0).to(tl.float32)
        centred = tl.where(j < n, x_j - mean, 0.0)
        squares += centred * centred
    var = tl.sum(squares) / n
    inv_std = 1 / tl.sqrt(var + eps)
    tl.store(mean_ptr + c, mean)
    kept = inv_std
    tl.store(inv_std_ptr + c, kept)
    old_mean = tl.load(running_mean_ptr + c)
    old_var = tl.load(running_var_ptr + c)
    unbiased = var * n / (n - 1)
    weight = momentum
    new_mean = (1 - weight) * old_mean + weight * mean
    new_var = (1 - weight) * old_var + weight * unbiased
    tl.store(running_mean_ptr + c, new_mean)
    tl.store(running_var_ptr + c, new_var)
    gamma = tl.load(gamma_ptr + c)
    beta = tl.load(beta_ptr + c)
    for start in range(0, n, BLOCK):
        k = start + lanes
        at_k = (k // HW) * C * HW + c * HW + k % HW
        x_k = tl.load(x_ptr + at_k, mask=k < n, other=0.0).to(tl.float32)
        x_hat = (x_k - mean) * inv_std
        y = gamma * x_hat + beta
        tl.store(y_ptr + at_k, y, mask=k < n)


slip = Right(batchnorm_forward_kernel.fn).slip


def everywhere(at):
    """Return the steps that find a value at another place, in each of the three loops."""
    return {f"at_{i}": at.replace("INDEX", i) for i in "ijk"}


_MISTAKES = (
    slip(
        "lanes without a value in the variance",
        "Lanes with i of n or more load 0, and (0 - mean)^2 of each enters the variance. Set what "
        "they add to 0, with tl.where.",
        "C1",
        centred="x_j - mean",
    ),
    slip(
        "divided by the lanes",
        "The sums are divided by the number of lanes that ran. The last block may be partly empty: "
        "divide by n.",
        "C1",
        mean="tl.sum(total) / (tl.cdiv(n, BLOCK) * BLOCK)",
        var="tl.sum(squares) / (tl.cdiv(n, BLOCK) * BLOCK)",
    ),
    slip(
        "load without a mask",
        "The sum for the mean holds what lies behind x: lanes with i of n or more load it. Give "
        "tl.load a mask, and other=0.0.",
        "C1",
        x_i="tl.load(x_ptr + at_i).to(tl.float32)",
    ),
    slip(
        "start left out",
        "Each block takes the first lanes of the channel: start is not added to them.",
        "C1",
        i="lanes",
        j="lanes",
        k="lanes",
    ),
    slip(
        "channels last",
        "The addresses are those of (N, H, W, C), where the channels of a place lie side by side. "
        "In (N, C, H, W) the H W values of a channel do.",
        "C1",
        **everywhere("INDEX * C + c"),
    ),
    slip(
        "channels first of all",
        "The addresses are those of (C, N, H, W), as if all values of a channel lay side by side. "
        "After H W of them comes the next channel of the same example.",
        "C1",
        **everywhere("c * n + INDEX"),
    ),
    slip(
        "unbiased variance",
        "y and inv_std are made with the unbiased variance, divided by n - 1. Normalise with the "
        "biased one, and store the unbiased one in running_var.",
        "L1",
        var="tl.sum(squares) / (n - 1)",
        unbiased="var",
    ),
    slip(
        "biased running variance",
        "running_var receives the biased variance. PyTorch stores the unbiased one, n / (n - 1) "
        "times as large.",
        "L1",
        unbiased="var",
    ),
    slip(
        "unbiased by n + 1",
        "running_var is made smaller on the way to unbiased. Multiply by n / (n - 1), which is "
        "more than 1.",
        "L1",
        unbiased="var * (n - 1) / n",
    ),
    slip(
        "momentum of the old value",
        "momentum weights the old running statistics here. In PyTorch's convention it weights the "
        "new ones.",
        "L1",
        weight="1 - momentum",
    ),
    slip(
        "running statistics replaced",
        "The running statistics are those of this batch alone. Mix them into the old ones.",
        "L1",
        new_mean="mean",
        new_var="unbiased",
    ),
    slip(
        "running statistics left alone",
        "The running statistics are not updated. Load, mix and store both.",
        "L1",
        new_mean="old_mean",
        new_var="old_var",
    ),
    slip(
        "normalised by the running statistics",
        "y is made with the running statistics. In training the statistics of the batch normalise.",
        "C2",
        x_hat="(x_k - old_mean) / tl.sqrt(old_var + eps)",
    ),
    slip(
        "eps left out",
        "eps is not added to the variance.",
        "C2",
        inv_std="1 / tl.sqrt(var)",
    ),
    slip(
        "eps beside the root",
        "eps is added to the standard deviation. Add it to the variance, below the root.",
        "C2",
        inv_std="1 / (tl.sqrt(var) + eps)",
    ),
    slip(
        "no root",
        "inv_std lacks the root: it is 1 / sqrt(var + eps).",
        "C2",
        inv_std="1 / (var + eps)",
    ),
    slip(
        "squares not divided",
        "The squared deviations are added up and not divided by n.",
        "C1",
        var="tl.sum(squares)",
    ),
    slip(
        "cancellation",
        "The variance is E[x^2] - E[x]^2, whose float32 digits cancel where the mean is large. Sum "
        "squares of x - mean, or merge the statistics of blocks.",
        "F15",
        centred="x_j",
        var="tl.sum(squares) / n - mean * mean",
    ),
    slip(
        "sums in float16",
        "With x in float16 the sums are in float16 too, and lose digits with each block. Load, "
        "then .to(tl.float32), before the first addition.",
        "L5",
        zeros="tl.zeros((BLOCK,), x_ptr.dtype.element_ty)",
        x_i="tl.load(x_ptr + at_i, mask=i < n, other=0.0)",
        mean="(tl.sum(total) / n).to(x_ptr.dtype.element_ty)",
        x_j="tl.load(x_ptr + at_j, mask=j < n, other=0.0)",
        var="(tl.sum(squares) / n).to(tl.float32)",
    ),
    slip(
        "gamma left out",
        "gamma is not in y: multiply x_hat by it.",
        "C2",
        y="x_hat + beta",
    ),
    slip(
        "beta left out",
        "beta is not in y: add it last.",
        "C2",
        y="gamma * x_hat",
    ),
    slip(
        "gamma and beta swapped",
        "beta scales and gamma shifts here. It is the other way round.",
        "C2",
        y="beta * x_hat + gamma",
    ),
    slip(
        "gamma and beta of the first channel",
        "Every program loads gamma and beta of channel 0. Add c to both pointers.",
        "C2",
        gamma="tl.load(gamma_ptr)",
        beta="tl.load(beta_ptr)",
    ),
    slip(
        "standard deviation stored",
        "inv_std receives the standard deviation. The backward pass wants one divided by it.",
        "C2",
        kept="1 / inv_std",
    ),
    slip(
        "variance stored",
        "inv_std receives the variance. The backward pass wants 1 / sqrt(var + eps).",
        "C2",
        kept="var",
    ),
)

forward_kernel = Exercise(
    name="batchnorm_forward_kernel",
    signature=signature_of(batchnorm_forward_kernel.fn),
    cases=_cases,
    drive=_drive,
    reference=_reference,
    see="C2",
    insight="Each loop over the channel reads x once more: merged statistics spare one of three.",
    normalised="batch",
    tolerance=tolerance(RESULTS[1:]),
    mistakes=_MISTAKES,
    takes_device=True,
)
