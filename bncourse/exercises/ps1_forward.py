"""Problem set 1, the forward pass in NumPy: its exercises and their known mistakes.

The mistakes are written as students write them, each whole and on its own: the sample class hands
them in, and the tests prove that each is rejected under its own name.
"""

import numpy as np

from bncourse.exercise import Case, Mistake, function_exercise
from bncourse.inputs import batch, cast, running, scale_and_shift
from bncourse.reference import forward

# --- batch_statistics -------------------------------------------------------------------------


def _batch_statistics_cases(rng):
    return {
        "a random batch": Case({"x": batch(rng)}),
        "more features than examples": Case({"x": batch(rng, n=4, d=9)}),
        "one example": Case({"x": batch(rng, n=1)}),
        "a constant feature": Case({"x": np.column_stack([np.full(5, 3.0), batch(rng, n=5)])}),
        "mean near 1e6": Case({"x": batch(rng, n=50, offset=1e6, scale=0.1)}, noisy=True),
        "stored column by column": Case({"x": np.asfortranarray(batch(rng))}),
        "float32": Case(cast({"x": batch(rng)}, np.float32), "float32"),
    }


def statistics_unbiased(x):
    mean = x.mean(axis=0)
    var = x.var(axis=0, ddof=1)
    return mean, var


def statistics_wrong_axis(x):
    mean = x.mean(axis=1)
    var = x.var(axis=1)
    return mean, var


def statistics_pooled(x):
    mean = x.mean()
    var = x.var()
    return mean, var


def statistics_cancel(x):
    mean = x.mean(axis=0)
    var = (x**2).mean(axis=0) - mean**2
    return mean, var


def statistics_std(x):
    mean = x.mean(axis=0)
    std = np.sqrt(((x - mean) ** 2).mean(axis=0))
    return mean, std


def statistics_sum(x):
    mean = x.mean(axis=0)
    var = ((x - mean) ** 2).sum(axis=0)
    return mean, var


def statistics_swapped(x):
    mean = x.mean(axis=0)
    var = x.var(axis=0)
    return var, mean


def statistics_keepdims(x):
    mean = x.mean(axis=0, keepdims=True)
    var = x.var(axis=0, keepdims=True)
    return mean, var


def statistics_centred_in_place(x):
    mean = x.mean(axis=0)
    x -= mean
    var = (x**2).mean(axis=0)
    return mean, var


batch_statistics = function_exercise(
    forward.batch_statistics,
    returns=("mean", "var"),
    cases=_batch_statistics_cases,
    see="F2",
    mistakes=[
        Mistake(
            "unbiased variance",
            statistics_unbiased,
            "The variance is the unbiased one, divided by N - 1. Batch norm normalises with the "
            "biased variance, divided by N.",
            "F2",
        ),
        Mistake(
            "wrong axis",
            statistics_wrong_axis,
            "The statistics are taken over the features of each example. They belong to each "
            "feature, over the examples: axis 0.",
            "F1",
        ),
        Mistake(
            "pooled features",
            statistics_pooled,
            "There is one mean for the whole array. Each feature has its own: reduce axis 0 only.",
            "F1",
        ),
        Mistake(
            "cancellation",
            statistics_cancel,
            "The variance is computed as E[x^2] - E[x]^2. When the mean is large the two terms "
            "agree in all their digits and the difference is noise. Subtract the mean first.",
            "F2",
        ),
        Mistake(
            "standard deviation",
            statistics_std,
            "The second result is the standard deviation. Return the variance, without the root.",
            "F2",
        ),
        Mistake(
            "sum of squares",
            statistics_sum,
            "The squared deviations are summed and not averaged. Divide by N.",
            "F2",
        ),
        Mistake(
            "swapped results",
            statistics_swapped,
            "The two results are in the wrong order. Return (mean, var).",
            "F2",
        ),
        Mistake(
            "kept dimensions",
            statistics_keepdims,
            "The results kept the batch axis, shape (1, D). Return shape (D,): drop keepdims.",
            "F1",
        ),
        Mistake(
            "input centred in place",
            statistics_centred_in_place,
            "The mean is subtracted from x itself (x -= mean), so the caller's batch is changed. "
            "Write x - mean into a new array.",
            "F2",
        ),
    ],
)


# --- normalize --------------------------------------------------------------------------------


def _normalize_cases(rng):
    # The statistics are not those of x: a solution must use the ones it is given.
    def given(n=7, d=4, **options):
        x = batch(rng, n, d, **options)
        return {"x": x, "mean": rng.uniform(1.0, 3.0, d), "var": rng.uniform(2.0, 4.0, d)}

    tiny = given() | {"var": rng.uniform(0.5e-6, 2e-6, 4)}
    return {
        "a random batch": Case(given() | {"eps": 1e-5}),
        "eps left at its default": Case(given()),
        "a variance smaller than eps": Case(tiny | {"eps": 1e-5}),
        "a large eps": Case(given() | {"eps": 0.5}),
        "a variance of zero": Case(given() | {"var": np.zeros(4), "eps": 1e-3}),
        "one example": Case(given(n=1) | {"eps": 1e-5}),
        "float32": Case(cast(given() | {"eps": 1e-5}, np.float32), "float32"),
    }


def normalize_without_eps(x, mean, var, eps=1e-5):
    return (x - mean) / np.sqrt(var)


def normalize_eps_outside(x, mean, var, eps=1e-5):
    return (x - mean) / (np.sqrt(var) + eps)


def normalize_eps_fixed(x, mean, var, eps=1e-5):
    return (x - mean) / np.sqrt(var + 1e-5)


def normalize_without_root(x, mean, var, eps=1e-5):
    return (x - mean) / (var + eps)


def normalize_without_mean(x, mean, var, eps=1e-5):
    return x / np.sqrt(var + eps)


def normalize_own_statistics(x, mean, var, eps=1e-5):
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps)


def normalize_multiplied(x, mean, var, eps=1e-5):
    return (x - mean) * np.sqrt(var + eps)


def normalize_precedence(x, mean, var, eps=1e-5):
    return x - mean / np.sqrt(var + eps)


def normalize_in_place(x, mean, var, eps=1e-5):
    x -= mean
    x /= np.sqrt(var + eps)
    return x


normalize = function_exercise(
    forward.normalize,
    returns="x_hat",
    cases=_normalize_cases,
    see="F3",
    mistakes=[
        Mistake(
            "eps missing",
            normalize_without_eps,
            "eps is missing. Without it a feature with little or no variance is divided by almost "
            "zero. Add eps to the variance, under the root.",
            "F3",
        ),
        Mistake(
            "eps outside the root",
            normalize_eps_outside,
            "eps is added outside the root. It belongs to the variance: sqrt(var + eps).",
            "F3",
        ),
        Mistake(
            "eps ignored",
            normalize_eps_fixed,
            "The argument eps is ignored; 1e-5 is written into the code. Use the argument.",
            "F3",
        ),
        Mistake(
            "root missing",
            normalize_without_root,
            "The result is divided by the variance. Divide by its root, the standard deviation.",
            "F3",
        ),
        Mistake(
            "mean not subtracted",
            normalize_without_mean,
            "The mean is not subtracted. Normalising centres first, then scales.",
            "F3",
        ),
        Mistake(
            "own statistics",
            normalize_own_statistics,
            "The statistics are computed from x again. Use the mean and var that are passed in: at "
            "inference they are not those of x.",
            "F3",
        ),
        Mistake(
            "multiplied",
            normalize_multiplied,
            "The result is multiplied by the standard deviation. Divide by it.",
            "F3",
        ),
        Mistake(
            "missing parentheses",
            normalize_precedence,
            "Only the mean is divided, because / binds before -. Put x - mean in parentheses.",
            "F3",
        ),
        Mistake(
            "in place",
            normalize_in_place,
            "The input is overwritten (x -= mean). The caller still needs x. Return a new array.",
            "F3",
        ),
    ],
)


# --- batchnorm_forward ------------------------------------------------------------------------


def _forward_cases(rng):
    def given(n=7, d=4, **options):
        return {"x": batch(rng, n, d, **options), **scale_and_shift(rng, d)}

    return {
        "a random batch": Case(given() | {"eps": 1e-5}),
        "eps left at its default": Case(given()),
        "a variance smaller than eps": Case(given(scale=1e-3) | {"eps": 1e-5}),
        "a large eps": Case(given() | {"eps": 0.5}),
        "a gamma of zero": Case(given() | {"gamma": np.array([0.0, 0.7, -1.3, 2.0])}),
        "one example": Case(given(n=1) | {"eps": 1e-5}),
        "more features than examples": Case(given(n=4, d=9)),
        "float32": Case(cast(given(), np.float32), "float32"),
        # float32 stores x to 1e-3 here, so correct solutions agree to about 1e-3 only.
        "float32 with mean near 1e4": Case(
            cast(given(n=50, offset=1e4), np.float32), "float32", rtol=1e-2, noisy=True
        ),
    }


def forward_unbiased(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0, ddof=1)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def forward_without_eps(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0)
    inv_std = 1 / np.sqrt(var)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def forward_eps_outside(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0)
    inv_std = 1 / (np.sqrt(var) + eps)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def forward_pooled(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(), x.var()
    inv_std = np.full(x.shape[1], 1 / np.sqrt(var + eps), dtype=x.dtype)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def forward_cancel(x, gamma, beta, eps=1e-5):
    mean = x.mean(axis=0)
    var = (x**2).mean(axis=0) - mean**2
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def forward_without_beta(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def forward_gamma_beta_swapped(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    return beta * x_hat + gamma, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def forward_shift_first(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    return gamma * (x_hat + beta), {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


def forward_caches_std(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0)
    std = np.sqrt(var + eps)
    x_hat = (x - mean) / std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": std, "gamma": gamma}


def forward_caches_y(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0)
    inv_std = 1 / np.sqrt(var + eps)
    y = gamma * (x - mean) * inv_std + beta
    return y, {"x_hat": y, "inv_std": inv_std, "gamma": gamma}


def forward_without_cache(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


batchnorm_forward = function_exercise(
    forward.batchnorm_forward,
    returns=("y", {"cache": ("x_hat", "inv_std", "gamma")}),
    cases=_forward_cases,
    see="F4",
    mistakes=[
        Mistake(
            "unbiased variance",
            forward_unbiased,
            "The batch is normalised with the unbiased variance, divided by N - 1. Use the biased "
            "one, divided by N.",
            "F2",
        ),
        Mistake(
            "eps missing",
            forward_without_eps,
            "eps is missing under the root. A feature that hardly varies is then blown up.",
            "F3",
        ),
        Mistake(
            "eps outside the root",
            forward_eps_outside,
            "eps is added outside the root. It belongs to the variance: sqrt(var + eps).",
            "F3",
        ),
        Mistake(
            "pooled features",
            forward_pooled,
            "One mean and one variance serve the whole array. Each feature has its own: reduce "
            "axis 0 only.",
            "F1",
        ),
        Mistake(
            "cancellation",
            forward_cancel,
            "The variance is computed as E[x^2] - E[x]^2, which cancels when the mean is large. "
            "Subtract the mean before squaring.",
            "F2",
        ),
        Mistake(
            "beta missing",
            forward_without_beta,
            "beta is not added. Scale first, then shift: gamma * x_hat + beta.",
            "F4",
        ),
        Mistake(
            "gamma and beta swapped",
            forward_gamma_beta_swapped,
            "gamma and beta have changed places: gamma scales, beta shifts.",
            "F4",
        ),
        Mistake(
            "shift before scale",
            forward_shift_first,
            "beta is added before the scaling, so gamma scales it too. Scale first, then shift.",
            "F4",
        ),
        Mistake(
            "cache holds the standard deviation",
            forward_caches_std,
            "cache['inv_std'] holds the standard deviation. It must hold one divided by it.",
            "F4",
        ),
        Mistake(
            "cache holds y",
            forward_caches_y,
            "cache['x_hat'] holds y. Store the normalised values from before scale and shift.",
            "F4",
        ),
        Mistake(
            "cache missing",
            forward_without_cache,
            "Only y is returned. Return (y, cache): the backward pass needs the cache.",
            "F4",
        ),
    ],
)


# --- update_running ---------------------------------------------------------------------------


def _update_cases(rng):
    def given(n=7, d=4, **options):
        return running(rng, d) | {"x": batch(rng, n, d, **options)}

    return {
        "a random batch": Case(given() | {"momentum": 0.1}),
        "momentum left at its default": Case(given()),
        "a large momentum": Case(given() | {"momentum": 0.7}),
        "momentum 1 keeps the last batch only": Case(given() | {"momentum": 1.0}),
        "momentum 0 changes nothing": Case(given() | {"momentum": 0.0}),
        "two examples": Case(given(n=2) | {"momentum": 0.3}),
        "more features than examples": Case(given(n=4, d=9) | {"momentum": 0.3}),
        "float32": Case(cast(given(), np.float32), "float32"),
    }


def update_reversed(running_mean, running_var, x, momentum=0.1):
    new_mean = momentum * running_mean + (1 - momentum) * x.mean(axis=0)
    new_var = momentum * running_var + (1 - momentum) * x.var(axis=0, ddof=1)
    return new_mean, new_var


def update_biased(running_mean, running_var, x, momentum=0.1):
    new_mean = (1 - momentum) * running_mean + momentum * x.mean(axis=0)
    new_var = (1 - momentum) * running_var + momentum * x.var(axis=0)
    return new_mean, new_var


def update_reversed_and_biased(running_mean, running_var, x, momentum=0.1):
    new_mean = momentum * running_mean + (1 - momentum) * x.mean(axis=0)
    new_var = momentum * running_var + (1 - momentum) * x.var(axis=0)
    return new_mean, new_var


def update_without_decay(running_mean, running_var, x, momentum=0.1):
    new_mean = running_mean + momentum * x.mean(axis=0)
    new_var = running_var + momentum * x.var(axis=0, ddof=1)
    return new_mean, new_var


def update_replaces(running_mean, running_var, x, momentum=0.1):
    return x.mean(axis=0), x.var(axis=0, ddof=1)


def update_never(running_mean, running_var, x, momentum=0.1):
    return running_mean.copy(), running_var.copy()


def update_std(running_mean, running_var, x, momentum=0.1):
    new_mean = (1 - momentum) * running_mean + momentum * x.mean(axis=0)
    new_var = (1 - momentum) * running_var + momentum * x.std(axis=0, ddof=1)
    return new_mean, new_var


def update_around_running_mean(running_mean, running_var, x, momentum=0.1):
    new_mean = (1 - momentum) * running_mean + momentum * x.mean(axis=0)
    spread = ((x - running_mean) ** 2).sum(axis=0) / (len(x) - 1)
    return new_mean, (1 - momentum) * running_var + momentum * spread


def update_in_place(running_mean, running_var, x, momentum=0.1):
    running_mean *= 1 - momentum
    running_mean += momentum * x.mean(axis=0)
    running_var *= 1 - momentum
    running_var += momentum * x.var(axis=0, ddof=1)
    return running_mean, running_var


update_running = function_exercise(
    forward.update_running,
    returns=("running_mean", "running_var"),
    cases=_update_cases,
    see="F6",
    mistakes=[
        Mistake(
            "momentum reversed",
            update_reversed,
            "momentum weighs the old value here, as in Keras. In PyTorch's convention it weighs "
            "the new one: (1 - momentum) * old + momentum * new.",
            "F6",
        ),
        Mistake(
            "biased variance",
            update_biased,
            "The running variance takes in the biased variance of the batch. Store the unbiased "
            "one, N / (N - 1) times as large.",
            "F6",
        ),
        Mistake(
            "momentum reversed and biased variance",
            update_reversed_and_biased,
            "This is Keras's rule: momentum weighs the old value and the variance is biased. The "
            "exercise asks for PyTorch's: momentum weighs the new value, the variance is unbiased.",
            "F6",
        ),
        Mistake(
            "old value not decayed",
            update_without_decay,
            "The new value is added to the whole old one, so the statistics grow without end. "
            "Weigh the old value with 1 - momentum.",
            "F6",
        ),
        Mistake(
            "last batch only",
            update_replaces,
            "The running statistics are replaced by those of the batch. Mix old and new.",
            "F6",
        ),
        Mistake(
            "never updated",
            update_never,
            "The running statistics come back as they went in. Mix in those of the batch.",
            "F6",
        ),
        Mistake(
            "standard deviation",
            update_std,
            "The running variance takes in the standard deviation. Take in the variance.",
            "F6",
        ),
        Mistake(
            "variance around the running mean",
            update_around_running_mean,
            "The deviations are taken from the running mean. The variance of a batch is taken "
            "around the mean of that batch.",
            "F6",
        ),
        Mistake(
            "in place",
            update_in_place,
            "The running statistics are changed in place. Return new arrays: a function that "
            "changes its arguments surprises its caller.",
            "F6",
        ),
    ],
)


# --- batchnorm_inference ----------------------------------------------------------------------


def _inference_cases(rng):
    def given(n=7, d=4, **options):
        return {"x": batch(rng, n, d, **options), **scale_and_shift(rng, d), **running(rng, d)}

    tiny = given() | {"running_var": rng.uniform(0.5e-6, 2e-6, 4)}
    return {
        "a random batch": Case(given() | {"eps": 1e-5}),
        "eps left at its default": Case(given()),
        "one example": Case(given(n=1) | {"eps": 1e-5}),
        "a running variance smaller than eps": Case(tiny | {"eps": 1e-5}),
        "a large eps": Case(given() | {"eps": 0.5}),
        "more features than examples": Case(given(n=4, d=9)),
        "float32": Case(cast(given(), np.float32), "float32"),
    }


def inference_batch_statistics(x, gamma, beta, running_mean, running_var, eps=1e-5):
    return gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + eps) + beta


def inference_batch_mean(x, gamma, beta, running_mean, running_var, eps=1e-5):
    return gamma * (x - x.mean(axis=0)) / np.sqrt(running_var + eps) + beta


def inference_without_eps(x, gamma, beta, running_mean, running_var, eps=1e-5):
    return gamma * (x - running_mean) / np.sqrt(running_var) + beta


def inference_eps_outside(x, gamma, beta, running_mean, running_var, eps=1e-5):
    return gamma * (x - running_mean) / (np.sqrt(running_var) + eps) + beta


def inference_without_root(x, gamma, beta, running_mean, running_var, eps=1e-5):
    return gamma * (x - running_mean) / (running_var + eps) + beta


def inference_without_affine(x, gamma, beta, running_mean, running_var, eps=1e-5):
    return (x - running_mean) / np.sqrt(running_var + eps)


def inference_without_beta(x, gamma, beta, running_mean, running_var, eps=1e-5):
    return gamma * (x - running_mean) / np.sqrt(running_var + eps)


batchnorm_inference = function_exercise(
    forward.batchnorm_inference,
    returns="y",
    cases=_inference_cases,
    see="F7",
    mistakes=[
        Mistake(
            "batch statistics",
            inference_batch_statistics,
            "The statistics of this batch are used. At inference take the running ones: the answer "
            "for one example must not depend on its neighbours.",
            "F7",
        ),
        Mistake(
            "batch mean",
            inference_batch_mean,
            "The variance is the running one, but the mean is that of this batch. Take both from "
            "the running statistics.",
            "F7",
        ),
        Mistake(
            "eps missing",
            inference_without_eps,
            "eps is missing under the root. It belongs there at inference too, with the value "
            "used in training.",
            "F7",
        ),
        Mistake(
            "eps outside the root",
            inference_eps_outside,
            "eps is added outside the root. It belongs to the variance: sqrt(running_var + eps).",
            "F7",
        ),
        Mistake(
            "root missing",
            inference_without_root,
            "The result is divided by the running variance. Divide by its root.",
            "F7",
        ),
        Mistake(
            "scale and shift missing",
            inference_without_affine,
            "gamma and beta are not applied. They are part of the layer at inference too.",
            "F7",
        ),
        Mistake(
            "beta missing",
            inference_without_beta,
            "beta is not added. Scale first, then shift.",
            "F7",
        ),
    ],
)


# --- merge_statistics -------------------------------------------------------------------------


def _merge_cases(rng):
    def given(count_a, count_b, d=4, apart=1.0):
        return {
            "count_a": count_a,
            "mean_a": rng.uniform(0.5, 2.0, d),
            "var_a": rng.uniform(0.5, 2.0, d),
            "count_b": count_b,
            "mean_b": apart + rng.uniform(0.5, 2.0, d),
            "var_b": rng.uniform(2.0, 4.0, d),
        }

    far = given(40, 60) | {
        "mean_a": 1e7 + rng.uniform(0, 1, 4),
        "mean_b": 1e7 + rng.uniform(2, 3, 4),
    }
    return {
        "batches of different size": Case(given(6, 14)),
        "batches of the same size": Case(given(8, 8)),
        "one example joins": Case(given(9, 1) | {"var_b": np.zeros(4)}),
        "two single examples": Case(given(1, 1) | {"var_a": np.zeros(4), "var_b": np.zeros(4)}),
        "means far apart": Case(given(5, 11, apart=100.0)),
        "both means near 1e7": Case(far, noisy=True),
        "float32": Case(cast(given(6, 14), np.float32), "float32"),
    }


def merge_plain_average(count_a, mean_a, var_a, count_b, mean_b, var_b):
    return count_a + count_b, (mean_a + mean_b) / 2, (var_a + var_b) / 2


def merge_without_between(count_a, mean_a, var_a, count_b, mean_b, var_b):
    count = count_a + count_b
    mean = (count_a * mean_a + count_b * mean_b) / count
    var = (count_a * var_a + count_b * var_b) / count
    return count, mean, var


def merge_weights_swapped(count_a, mean_a, var_a, count_b, mean_b, var_b):
    count = count_a + count_b
    delta = mean_b - mean_a
    mean = mean_a + delta * count_a / count
    var = (count_b * var_a + count_a * var_b) / count
    return count, mean, var + delta**2 * count_a * count_b / count**2


def merge_unbiased(count_a, mean_a, var_a, count_b, mean_b, var_b):
    count = count_a + count_b
    delta = mean_b - mean_a
    mean = mean_a + delta * count_b / count
    squares = (count_a - 1) * var_a + (count_b - 1) * var_b + delta**2 * count_a * count_b / count
    return count, mean, squares / (count - 1)


def merge_sum_of_squares(count_a, mean_a, var_a, count_b, mean_b, var_b):
    count = count_a + count_b
    delta = mean_b - mean_a
    mean = mean_a + delta * count_b / count
    squares = count_a * var_a + count_b * var_b + delta**2 * count_a * count_b / count
    return count, mean, squares


def merge_between_too_large(count_a, mean_a, var_a, count_b, mean_b, var_b):
    count = count_a + count_b
    delta = mean_b - mean_a
    mean = mean_a + delta * count_b / count
    var = (count_a * var_a + count_b * var_b) / count + delta**2 * count_a * count_b / count
    return count, mean, var


def merge_delta_not_squared(count_a, mean_a, var_a, count_b, mean_b, var_b):
    count = count_a + count_b
    delta = mean_b - mean_a
    mean = mean_a + delta * count_b / count
    var = (count_a * var_a + count_b * var_b) / count + delta * count_a * count_b / count**2
    return count, mean, var


def merge_cancel(count_a, mean_a, var_a, count_b, mean_b, var_b):
    count = count_a + count_b
    mean = (count_a * mean_a + count_b * mean_b) / count
    squares = (count_a * (var_a + mean_a**2) + count_b * (var_b + mean_b**2)) / count
    return count, mean, squares - mean**2


merge_statistics = function_exercise(
    forward.merge_statistics,
    returns=("count", "mean", "var"),
    cases=_merge_cases,
    see="F8",
    mistakes=[
        Mistake(
            "plain average",
            merge_plain_average,
            "The two batches count the same whatever their size. Weigh each with its count.",
            "F8",
        ),
        Mistake(
            "distance of the means missing",
            merge_without_between,
            "The variance is only the average of the two. The examples also spread because the two "
            "means differ: add the term with delta squared.",
            "F8",
        ),
        Mistake(
            "weights swapped",
            merge_weights_swapped,
            "Each batch is weighed with the count of the other.",
            "F8",
        ),
        Mistake(
            "unbiased variance",
            merge_unbiased,
            "The variances are treated as unbiased (N - 1). They are biased, going in and coming "
            "out.",
            "F8",
        ),
        Mistake(
            "sum of squares",
            merge_sum_of_squares,
            "The second result is the sum of squared deviations. Divide it by the total count.",
            "F8",
        ),
        Mistake(
            "between term too large",
            merge_between_too_large,
            "The term with delta squared is divided by count once. Divide by count twice: "
            "count_a count_b / count^2.",
            "F8",
        ),
        Mistake(
            "delta not squared",
            merge_delta_not_squared,
            "The difference of the means enters the variance without its square.",
            "F8",
        ),
        Mistake(
            "cancellation",
            merge_cancel,
            "The variance is computed as E[x^2] - E[x]^2, which cancels when the means are large. "
            "Use the squared difference of the two means.",
            "F8",
        ),
    ],
)


EXERCISES = (
    batch_statistics,
    normalize,
    batchnorm_forward,
    update_running,
    batchnorm_inference,
    merge_statistics,
)
