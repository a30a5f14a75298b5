"""Hints that stand in several exercises: each sentence for a student has one place."""

UNBIASED_VARIANCE = (
    "The variance is the unbiased one, divided by N - 1. Batch norm normalises with the "
    "biased variance, divided by N."
)
WRONG_AXIS = (
    "The statistics are taken over the features of each example. They belong to each feature, "
    "over the examples: axis 0."
)
POOLED_FEATURES = (
    "One mean and one variance serve the whole array. Each feature has its own: reduce axis 0 only."
)
N_OF_THE_WRONG_AXIS = (
    "N is taken from x.shape[1], the number of features. N is the number of examples, x.shape[0]."
)
CANCELLATION = (
    "The variance is computed as E[x^2] - E[x]^2, or in another form in which large numbers "
    "cancel, such as E[x (x - mean)]. That is noise when the mean is large: average the squares "
    "of x - mean."
)
CANCELLATION_OF_SUMS = (
    "The squared deviations are computed as sum(x^2) - mean sum(x), or as sum(x (x - mean)), which "
    "is the same on paper and noise when the mean is large. Sum the squares of x - mean."
)
CANCELLATION_IN_FLOAT64 = (
    "The variance is computed as E[x^2] - E[x]^2 in float64, which puts the noise off until the "
    "mean is near a million. Subtract the mean before you square."
)
INPUT_ROUNDED = (
    "x is rounded to float32 first: digits that are gone do not come back with "
    "astype(x.dtype). Compute from x as it is."
)
SUM_OF_SQUARES = "The squared deviations are summed and not averaged. Divide by N."
WRONG_AXIS_KEPT = (
    "The statistics are taken along axis 1 with keepdims, shape (N, 1), as where each column is an "
    "example. Here each row is one: reduce axis 0, without keepdims."
)
DIVIDED_BY_ALL_VALUES = (
    "The sums are divided by the number of all values, x.size. Each feature has N of them: divide "
    "by the number of examples."
)
KEPT_DIMENSIONS = "The results kept the batch axis, shape (1, D). Return shape (D,): drop keepdims."
EPS_OUTSIDE_THE_ROOT = "eps is added outside the root. It belongs to the variance: sqrt(var + eps)."
EPS_SUBTRACTED = (
    "eps is subtracted from the variance, which may leave less than nothing under the root. Add it."
)
ROOT_MISSING = "The result is divided by the variance. Divide by its root, the standard deviation."
GAMMA_MISSING = "gamma is not applied. Scale first, then shift: gamma * x_hat + beta."
BETA_MISSING = "beta is not added. Scale first, then shift: gamma * x_hat + beta."
GAMMA_AND_BETA_SWAPPED = "gamma and beta have changed places: gamma scales, beta shifts."
SHIFT_BEFORE_SCALE = (
    "beta is added before the scaling, so gamma scales it too. Scale first, then shift."
)
CACHE_HOLDS_THE_STANDARD_DEVIATION = (
    "cache['inv_std'] holds the standard deviation. It must hold one divided by it."
)
CACHE_HOLDS_THE_VARIANCE = "cache['inv_std'] holds the variance. It must hold 1 / sqrt(var + eps)."
CACHE_HOLDS_Y = "cache['x_hat'] holds y. Store the normalised values from before scale and shift."
CACHE_MISSING = "The cache is not returned. Return (y, cache): the backward pass needs it."
X_OVERWRITTEN = (
    "The input is overwritten, as by x -= mean. The caller still needs x: write into new arrays."
)
MOMENTUM_REVERSED = (
    "momentum is the weight of the old value here. In PyTorch it is that of the new one."
)
EPS_OUTSIDE_THE_RUNNING_ROOT = (
    "eps is added outside the root. It belongs to the variance: sqrt(running_var + eps)."
)
MULTIPLIED = "The result is multiplied by the standard deviation. Divide by it."
X_OVERWRITTEN_AT_INFERENCE = (
    "The input is overwritten, as by x -= running_mean. Write into new arrays."
)
EPS_AS_A_FLOOR = "eps replaces a variance that is smaller (maximum). It is added to every variance."
SMALL_EPS_RAISED = (
    "An eps below 1e-5 is raised to it, as by max(eps, 1e-5). Use the argument as it comes."
)
DIVIDED_BY_INV_STD = (
    "dx is divided by inv_std. It is already the inverse of the standard deviation: multiply."
)
DGAMMA_AND_DBETA_SWAPPED = (
    "dgamma and dbeta are swapped. gamma multiplies x_hat, so x_hat belongs into dgamma."
)
DGAMMA_AND_DBETA_AVERAGED = (
    "dgamma and dbeta are averaged over the batch. All examples share gamma and beta, so "
    "their gradients add up: take the sum."
)
DGAMMA_AVERAGED = (
    "dbeta is a sum, and dgamma is averaged. The loss adds up the examples, so both are sums."
)
N_MINUS_1_IN_DX = "dx divides by N - 1. Forward divides by N, so its derivative does."
DGAMMA_AND_DBETA_NOT_SUMMED = (
    "dgamma and dbeta still have a row for each example. gamma and beta are shared by the "
    "batch: sum over axis 0."
)
DGAMMA_AND_DBETA_SUMMED_OVER_THE_FEATURES = (
    "dgamma and dbeta are summed over the features of each example. gamma and beta are shared "
    "by the batch: sum over axis 0."
)
GRADIENTS_KEPT_DIMENSIONS = (
    "dgamma and dbeta kept the batch axis, shape (1, D). They have the shape of gamma and "
    "beta, (D,): drop keepdims."
)
DGAMMA_FROM_X = "dgamma is taken with x. gamma multiplies the normalised x_hat."
ROOT_MISSING_IN_SCALE = "The scale divides by the variance. Divide by its root."
GAMMA_PER_EXAMPLE = (
    "gamma and beta are laid along axis 0, so each example has its own scale. They belong to "
    "the channels, axis 1."
)
SCALE_AND_SHIFT_MISSING = "gamma and beta are not applied. Scale and shift each channel at the end."
SCALE_AND_SHIFT_NOT_APPLIED = (
    "gamma and beta are not applied. Scale and shift each feature at the end."
)
DIVIDED_BY_N = (
    "The sums over the features are divided by N. An example's mean is made of D numbers: "
    "divide by D."
)
INV_STD_FORGOTTEN_IN_DX = (
    "dx lacks the factor inv_std: the input was divided by its standard deviation, and so is "
    "its gradient."
)
DIVIDED_BY_THE_VARIANCE = "dx is divided by the variance: inv_std enters twice. It enters once."
SIGN_OF_THE_VARIANCE_PATH = "The term with x_hat has the wrong sign. Both means are subtracted."
VARIANCE_PATH_TWICE_AS_LARGE = (
    "The term with x_hat is twice too large: the root in the standard deviation brings a "
    "factor of one half, which is missing."
)
VARIANCE_PATH_HALF_AS_LARGE = (
    "The term with x_hat is half of what it must be: the square in the variance brings a "
    "factor of two, which is missing."
)
GAMMA_IN_DGAMMA_AND_DBETA = (
    "dgamma and dbeta are built from dy * gamma. Only the gradient of x_hat carries gamma: "
    "sum dy * x_hat and dy."
)
GAMMA_IN_DGAMMA = (
    "dgamma is built from dy * gamma. Only the gradient of x_hat carries gamma: sum dy * x_hat."
)
DX_RETURNED_LAST = (
    "The results are returned as dgamma, dbeta, dx. The exercise asks for dx first: "
    "dx, dgamma, dbeta."
)
DY_OVERWRITTEN = (
    "The incoming gradient dy is overwritten. The caller may still need it. Work on a new array."
)
CACHE_OVERWRITTEN = (
    "The cache is changed, as by x_hat *= ... on its array, or by pop: a second backward pass "
    "would find another one. Write into new arrays."
)
CACHE_HOLDS_X_CENTRED = (
    "cache['x_hat'] holds x - mean, which is not divided yet. Store what gamma multiplies."
)


AVERAGED_WITH_DIMENSIONS_KEPT = (
    "dgamma and dbeta are means with the shape (1, D). They are sums over the batch, of the shape "
    "(D,): write sum in the place of mean, and drop keepdims."
)
CENTRED_IN_THE_MEAN = (
    "The mean of the variance path is taken with x - mean. Where x_hat stands in front of it, "
    "x_hat stands in it too: mean(dy x_hat)."
)
X_HAT_FOR_X_MINUS_MEAN = (
    "The variance path ends in x_hat where 2 (x - mean) / N belongs, the derivative of var. With "
    "x_hat, the factor in front is 1 / sqrt(var + eps) and not 1 / (var + eps)."
)
OWN_EXAMPLE_ONLY = (
    "dx holds the effect of each x on its own y only, the diagonal of the Jacobian. Each x moves "
    "every y of its feature, through the mean and the variance: sum over all of them."
)
OWN_EXAMPLE_ONLY_BY_QUOTIENT = (
    "dx is the derivative of each x_hat by its own x, by the quotient rule. Each x moves the other "
    "x_hat of its feature too: sum over all of them."
)


def own_value(argument, value):
    """Return the hint where a number stands in the place of an argument."""
    return (
        f"The argument {argument} is ignored; {value} is written into the code. Use the argument."
    )


def squeezed(lost, ask):
    """Return the hint where np.squeeze was called.

    Args:
        lost: what loses an axis, and in which case.
        ask: a sentence on the shape that is asked.
    """
    return f"np.squeeze removes every axis of length one, so {lost}. {ask}"


def in_float32(what, of, so=""):
    """Return the hint where float64 is asked and float32 is computed with.

    Args:
        what: the beginning of a sentence, such as "The gradients are computed".
        of: the array that has the dtype to compute in.
        so: a sentence on what follows, if anything does.
    """
    so = f"{so} " if so else ""
    return f"{what} in float32, which keeps seven digits. {so}Compute in the dtype of {of}."


MOMENTUM_FOR_BOTH = (
    "Both the old and the new value are weighed with momentum, so the two weights do not add up "
    "to 1. The old value has the weight 1 - momentum."
)
