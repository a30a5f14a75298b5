"""batchnorm_backward_kernel: one program a channel, two sums and dx in one launch."""

import numpy as np
import triton
import triton.language as tl

from bncourse.exercise import Exercise
from bncourse.exercises.ps9_triton.inputs import cases, of_channels, unwritten
from bncourse.exercises.ps9_triton.launch import launch, signature_of, tolerance
from bncourse.inputs import cast
from bncourse.reference import forward, layers
from bncourse.slips import Right

RESULTS = ("dx", "dgamma", "dbeta")


def _given(rng, x, eps):
    channels = x.shape[1]
    mean, var = forward.batch_statistics(layers.to_features(x))
    return {
        # A mean that no path can ignore.
        "dy": rng.uniform(0.5, 1.5, (channels, 1)) + rng.standard_normal(x.shape),
        "x": x,
        "gamma": of_channels(rng, channels),
        "mean": mean,
        "inv_std": 1 / np.sqrt(var + eps),
        "dx": unwritten(*x.shape),
        "dgamma": unwritten(channels),
        "dbeta": unwritten(channels),
    }


def _cases(rng):
    return cases(rng, _given)


def _drive(obj, inputs):
    device = inputs.pop("device")
    return launch(obj, inputs["C"], inputs, RESULTS, device)


def _reference(inputs):
    given = cast(inputs, np.float64)
    # (C3) with the statistics that are handed in, which are rounded to float32.
    mean, inv_std, gamma = (given[name][:, None] for name in ("mean", "inv_std", "gamma"))
    dy, x_hat = given["dy"], (given["x"] - mean) * inv_std
    dbeta, dgamma = dy.sum(axis=(0, 2)), (dy * x_hat).sum(axis=(0, 2))
    dx = gamma * inv_std * (dy - (dbeta[:, None] + x_hat * dgamma[:, None]) / given["n"])
    return dict(zip(RESULTS, (dx, dgamma, dbeta), strict=True))


@triton.jit
def batchnorm_backward_kernel(
    dy_ptr,
    x_ptr,
    gamma_ptr,
    mean_ptr,
    inv_std_ptr,
    dx_ptr,
    dgamma_ptr,
    dbeta_ptr,
    n: tl.constexpr,
    C: tl.constexpr,
    HW: tl.constexpr,
    BLOCK: tl.constexpr,
):
    c = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    gamma = tl.load(gamma_ptr + c)
    mean = tl.load(mean_ptr + c)
    inv_std = tl.load(inv_std_ptr + c)
    zeros = tl.zeros((BLOCK,), tl.float32)
    sum_dy = zeros
    sum_dy_x_hat = zeros
    for start in range(0, n, BLOCK):
        i = start + lanes
        at_i = (i // HW) * C * HW + c * HW + i % HW
        dy_i = tl.load(dy_ptr + at_i, mask=i < n, other=0.0).to(tl.float32)
        x_i = tl.load(x_ptr + at_i, mask=i < n, other=0.0).to(tl.float32)
        x_hat_i = (x_i - mean) * inv_std
        sum_dy += dy_i
        sum_dy_x_hat += dy_i * x_hat_i
    dbeta = tl.sum(sum_dy)
    dgamma = tl.sum(sum_dy_x_hat)
    for start in range(0, n, BLOCK):
        k = start + lanes
        at_k = (k // HW) * C * HW + c * HW + k % HW
        dy_k = tl.load(dy_ptr + at_k, mask=k < n, other=0.0).to(tl.float32)
        x_k = tl.load(x_ptr + at_k, mask=k < n, other=0.0).to(tl.float32)
        x_hat_k = (x_k - mean) * inv_std
        through_mean = dbeta / n
        through_var = x_hat_k * dgamma / n
        centred = dy_k - through_mean - through_var
        dx = gamma * inv_std * centred
        tl.store(dx_ptr + at_k, dx, mask=k < n)
    kept_dgamma = dgamma
    kept_dbeta = dbeta
    tl.store(dgamma_ptr + c, kept_dgamma)
    tl.store(dbeta_ptr + c, kept_dbeta)


slip = Right(batchnorm_backward_kernel.fn).slip


def everywhere(at):
    """Return the steps that find a value at another place, in both loops."""
    return {f"at_{i}": at.replace("INDEX", i) for i in "ik"}


_MISTAKES = (
    slip(
        "variance path left out",
        "dx lacks the term with x_hat: x moves the variance of its channel, and that every y.",
        "C3",
        centred="dy_k - through_mean",
    ),
    slip(
        "mean path left out",
        "dx lacks the mean of dy: x moves the mean of its channel, and that every y.",
        "C3",
        centred="dy_k - through_var",
    ),
    slip(
        "statistics taken for constants",
        "dx is gamma inv_std dy, as at inference. Subtract what goes through mean and variance.",
        "C3",
        centred="dy_k",
    ),
    slip(
        "sums not divided by n",
        "dx subtracts sums over the channel. Divide both by n.",
        "C3",
        through_mean="dbeta",
        through_var="x_hat_k * dgamma",
    ),
    slip(
        "divided by n - 1",
        "The sums in dx are divided by n - 1. The forward pass normalises with the biased "
        "variance, so it is n.",
        "C3",
        through_mean="dbeta / (n - 1)",
        through_var="x_hat_k * dgamma / (n - 1)",
    ),
    slip(
        "divided by the lanes",
        "The sums in dx are divided by the number of lanes that ran. The last block may be partly "
        "empty: divide by n.",
        "C3",
        through_mean="dbeta / (tl.cdiv(n, BLOCK) * BLOCK)",
        through_var="x_hat_k * dgamma / (tl.cdiv(n, BLOCK) * BLOCK)",
    ),
    slip(
        "sums of one block in dx",
        "dx subtracts the sums of its own block. It needs those of the whole channel: a loop for "
        "the sums first, then a second one.",
        "C3",
        through_mean="tl.sum(dy_k) / n",
        through_var="x_hat_k * tl.sum(dy_k * x_hat_k) / n",
    ),
    slip(
        "sign of the variance path",
        "The term with x_hat is added in dx. Subtract it, as the mean of dy.",
        "C3",
        centred="dy_k - through_mean + through_var",
    ),
    slip(
        "gamma left out of dx",
        "gamma is missing in dx. It multiplied x_hat on the way forward.",
        "C3",
        dx="inv_std * centred",
    ),
    slip(
        "inv_std left out of dx",
        "inv_std is missing in dx. It divided x on the way forward.",
        "C3",
        dx="gamma * centred",
    ),
    slip(
        "inv_std twice in dx",
        "inv_std enters dx twice. The formula has it once.",
        "C3",
        dx="gamma * inv_std * inv_std * centred",
    ),
    slip(
        "divided by inv_std in dx",
        "dx is divided by inv_std, which is one divided by the standard deviation: multiply.",
        "C3",
        dx="gamma * centred / inv_std",
    ),
    slip(
        "dgamma and dbeta swapped",
        "dgamma and dbeta are stored in each other's place. The one with x_hat is dgamma.",
        "C3",
        kept_dgamma="dbeta",
        kept_dbeta="dgamma",
    ),
    slip(
        "dgamma and dbeta divided by n",
        "dgamma and dbeta are divided by n. All values of a channel share gamma and beta: store "
        "the sums.",
        "C3",
        kept_dgamma="dgamma / n",
        kept_dbeta="dbeta / n",
    ),
    slip(
        "x in the place of x_hat",
        "The sum for dgamma is made with x. gamma multiplies x_hat.",
        "C3",
        x_hat_i="x_i",
    ),
    slip(
        "x centred and not divided",
        "The sum for dgamma is made with x - mean. gamma multiplies x_hat: times inv_std.",
        "C3",
        x_hat_i="x_i - mean",
    ),
    slip(
        "load of dy without a mask",
        "The sums hold what lies behind dy: lanes with i of n or more load it. Give tl.load a "
        "mask, and other=0.0.",
        "C3",
        dy_i="tl.load(dy_ptr + at_i).to(tl.float32)",
    ),
    slip(
        "start left out",
        "Each block takes the first lanes of the channel: nobody adds start to them.",
        "C3",
        i="lanes",
        k="lanes",
    ),
    slip(
        "channels last",
        "The addresses follow (N, H, W, C), where the channels of a place lie side by side. In "
        "(N, C, H, W) the H W values of a channel do.",
        "C3",
        **everywhere("INDEX * C + c"),
    ),
    slip(
        "channels first of all",
        "The addresses follow (C, N, H, W), as if all values of a channel lay side by side. After "
        "H W of them comes the next channel of the same example.",
        "C3",
        **everywhere("c * n + INDEX"),
    ),
    slip(
        "gamma of the first channel",
        "Every program loads gamma of channel 0. Add c to the pointer.",
        "C3",
        gamma="tl.load(gamma_ptr)",
    ),
    slip(
        "sums in float16",
        "With dy in float16 its sums are in float16 too, and lose digits. Load, then "
        ".to(tl.float32), before the first addition.",
        "L5",
        dy_i="tl.load(dy_ptr + at_i, mask=i < n, other=0.0)",
        x_i="tl.load(x_ptr + at_i, mask=i < n, other=0.0)",
        zeros="tl.zeros((BLOCK,), x_ptr.dtype.element_ty)",
        x_hat_i="((x_i - mean) * inv_std).to(x_ptr.dtype.element_ty)",
    ),
)

backward_kernel = Exercise(
    name="batchnorm_backward_kernel",
    signature=signature_of(batchnorm_backward_kernel.fn),
    cases=_cases,
    drive=_drive,
    reference=_reference,
    see="C3",
    insight="Two reads of x and of dy, one write of dx: the 5 |x| of (Y1), and not one more.",
    tolerance=tolerance(RESULTS[1:]),
    mistakes=_MISTAKES,
    takes_device=True,
)
