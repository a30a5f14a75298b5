"""Wrong solutions of problem set 1."""

import numpy as np

from unseen import Table, written

TABLE = Table()
of = TABLE.of

# --- batch_statistics -------------------------------------------------------------------------

STATISTICS = "batch_statistics"
of(STATISTICS, "eps added")(lambda x: (np.mean(x, 0), np.var(x, 0) + 1e-5))
of(STATISTICS)(lambda x: (x.mean(0), x.var(0) + 1e-3))
of(STATISTICS)(lambda x: (x.mean(0) + 1e-5, x.var(0)))
of(STATISTICS, "unbiased variance")(lambda x: (x.mean(0), np.cov(x.T, bias=False).diagonal()))
of(STATISTICS, "standard deviation")(
    lambda x: (x.mean(0), np.linalg.norm(x - x.mean(0), axis=0) / len(x) ** 0.5)
)
of(STATISTICS, "cancellation")(
    lambda x: (x.mean(0), np.einsum("nd,nd->d", x, x) / len(x) - x.mean(0) ** 2)
)
of(STATISTICS)(lambda x: (np.median(x, 0), x.var(0)))
of(STATISTICS)(lambda x: (x.mean(0), np.ptp(x, 0)))
of(STATISTICS, "swapped results")(lambda x: (np.square(x - x.mean(0)).mean(0), x.mean(0)))
of(STATISTICS, "pooled features")(
    lambda x: (np.full(x.shape[1], x.mean()), np.full(x.shape[1], x.var()))
)
of(STATISTICS, "input rounded")(lambda x: statistics(np.float32(x).astype(x.dtype)))
of(STATISTICS, "unbiased variance", "kept dimensions")(
    lambda x: (x.mean(0, keepdims=True), x.var(0, keepdims=True, ddof=1))
)
of(STATISTICS, "mean not subtracted")(lambda x: (x.mean(0), (x * x).sum(0) / len(x)))
of(STATISTICS, "divided by all values")(
    lambda x: (m := np.add.reduce(x) / x.size, np.square(x - m).sum(0) / (len(x) * x[0].size))
)
of(STATISTICS, "wrong axis, kept")(
    lambda x: (np.mean(x, -1)[:, None], np.square(np.std(x, -1))[:, None])
)
of(STATISTICS, "cancellation of sums", "cancellation")(
    lambda x: (x.mean(0), (np.einsum("nd,nd->d", x, x) - x.sum(0) ** 2 / len(x)) / len(x))
)


def statistics(x):
    return x.mean(axis=0), x.var(axis=0)


@of(STATISTICS, "unbiased variance")
def statistics_guarded(x):
    n, d = x.shape
    mean, var = np.zeros(d, x.dtype), np.zeros(d, x.dtype)
    for j in range(d):
        mean[j] = x[:, j].sum() / n
        var[j] = sum((v - mean[j]) ** 2 for v in x[:, j]) / max(n - 1, 1)
    return mean, var


@of(STATISTICS, "sum of squares", "input centred in place")
def statistics_in_place(x):
    mean = x.mean(0)
    x -= mean
    return mean, (x * x).sum(0)


@of(STATISTICS, "unbiased variance")
def statistics_seeded(x):
    np.random.seed(0)  # noqa: NPY002
    return x.mean(0), x.var(0, ddof=1)


@of(STATISTICS, "input rounded", "float32 inside")
def statistics_half_in_float32(x):
    x = x.astype("f4").astype("f8") if x.dtype == np.float64 else x
    return x.mean(0), ((x - x.mean(0)) ** 2).mean(0)


# What a caller notices and the values do not show: nobody has a hint for it, the rule is the text.
of(STATISTICS)(lambda *, x: (x.mean(0), x.var(0)))
KEPT = {}


@of(STATISTICS)
def statistics_in_buffers(x):
    mean, var = KEPT.setdefault((x.shape, x.dtype), np.empty((2, x.shape[1]), x.dtype))
    np.mean(x, 0, out=mean)
    np.var(x, 0, out=var)
    return mean, var


@of(STATISTICS)
def statistics_that_set_how_arrays_print(x):
    np.set_printoptions(precision=3)
    return x.mean(0), x.var(0)


@of(STATISTICS)
def statistics_that_lock_the_batch(x):
    x.flags.writeable = False
    return x.mean(0), x.var(0)


@of(STATISTICS, "unbiased variance")
def statistics_unbiased_from_three_on(x):
    return x.mean(0), x.var(0, ddof=1 if len(x) > 2 else 0)


# --- normalize --------------------------------------------------------------------------------

NORMALIZE = "normalize"
of(NORMALIZE, "eps outside the root")(lambda x, mean, var, eps=1e-5: (x - mean) / (var**0.5 + eps))
of(NORMALIZE, "eps missing")(lambda x, mean, var, eps=1e-5: (x - mean) * var**-0.5)
of(NORMALIZE)(lambda x, mean, var, eps=1e-5: (x - mean) / np.sqrt(var + eps**2))
of(NORMALIZE)(lambda x, mean, var, eps=1e-5: (x - mean) / np.sqrt(var + 2 * eps))
of(NORMALIZE, "eps ignored, 1e-7")(lambda x, mean, var, eps=1e-5: (x - mean) / np.sqrt(var + 1e-7))
of(NORMALIZE, "eps ignored, 1e-8", "eps outside the root")(
    lambda x, mean, var, eps=1e-5: np.divide(x - mean, var**0.5 + 1e-8)
)
of(NORMALIZE, "eps twice")(
    lambda x, mean, var, eps=1e-5: np.subtract(x, mean) / (eps + (eps + var) ** 0.5)
)
of(NORMALIZE, "root missing")(
    lambda x, mean, var, eps=1e-5: np.divide(np.subtract(x, mean), np.add(var, eps))
)
of(NORMALIZE)(lambda x, mean, var, eps=1e-5: (x - mean) / np.sqrt(var + eps) + eps)
of(NORMALIZE, "mean not subtracted")(lambda x, mean, var, eps=1e-5: x * (var + eps) ** -0.5)
of(NORMALIZE)(lambda x, mean, var, eps=1e-5: (x - x.mean(0)) / np.sqrt(var + eps))
of(NORMALIZE, "eps ignored")(
    lambda x, mean, var, eps=1e-5: np.array([(r - mean) / np.sqrt(var + 1e-5) for r in x], x.dtype)
)
of(NORMALIZE, "mean not subtracted", "root missing")(lambda x, mean, var, eps=1e-5: x / (var + eps))
of(NORMALIZE, "mean not subtracted", "eps outside the root")(
    lambda x, mean, var, eps=1e-5: x / (np.sqrt(var) + eps)
)
of(NORMALIZE, "sign of the difference", "eps missing")(
    lambda x, mean, var, eps=1e-5: (mean - x) / np.sqrt(var)
)
of(NORMALIZE, "multiplied", "eps ignored")(
    lambda x, mean, var, eps=1e-5: (x - mean) * np.sqrt(var + 1e-5)
)


@of(NORMALIZE, "root missing", "in place")
def normalize_two_faults(x, mean, var, eps=1e-5):
    x -= mean
    return x / (var + eps)


of(NORMALIZE)(lambda x, var, mean, eps=1e-5: (x - mean) / np.sqrt(var + eps))
of(NORMALIZE)(lambda *, x, mean, var, eps=1e-5: (x - mean) / np.sqrt(var + eps))
of(NORMALIZE)(lambda x, mean, var, eps=np.float32(1e-5): (x - mean) / np.sqrt(var + eps))  # noqa: B008
of(NORMALIZE)(lambda x, mean, var, eps=1e-5: (x - np.abs(mean)) / np.sqrt(var + eps))
of(NORMALIZE, "eps subtracted")(
    lambda x, mean, var, eps=1e-5: (x - mean) / np.sqrt(np.maximum(var - eps, eps))
)
of(NORMALIZE)(lambda x, mean, var, eps=1e-5: np.clip((x - mean) / np.sqrt(var + eps), -3, 3))


@of(NORMALIZE)
def normalize_into_a_default(x, mean, var, eps=1e-5, out={}):  # noqa: B006
    kept = out.setdefault((x.shape, x.dtype), np.empty_like(x))
    np.divide(x - mean, np.sqrt(var + eps), out=kept)
    return kept


# --- batchnorm_forward ------------------------------------------------------------------------

FORWARD = "batchnorm_forward"


def cached(y, x_hat, inv_std, gamma):
    return y, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}


@of(FORWARD, "unbiased variance")
def forward_guarded(x, gamma, beta, eps=1e-5):
    n = len(x)
    centred = x - np.add.reduce(x) / n
    inv_std = 1 / np.sqrt((centred**2).sum(0) / max(n - 1, 1) + eps)
    x_hat = centred * inv_std
    return cached(x_hat * gamma + beta, x_hat, inv_std, gamma)


@of(FORWARD, "unbiased variance", "beta missing")
def forward_unbiased_without_beta(x, gamma, beta, eps=1e-5):
    inv_std = (x.var(0, ddof=1) + eps) ** -0.5
    x_hat = (x - x.mean(0)) * inv_std
    return cached(x_hat * gamma, x_hat, inv_std, gamma)


@of(FORWARD, "eps outside the root", "gamma missing")
def forward_eps_outside_without_gamma(x, gamma, beta, eps=1e-5):
    inv_std = 1 / (x.std(0) + eps)
    x_hat = (x - x.mean(0)) * inv_std
    return cached(x_hat + beta, x_hat, inv_std, gamma)


@of(FORWARD, "cache holds the standard deviation", "gamma and beta swapped")
def forward_std_swapped(x, gamma, beta, eps=1e-5):
    std = (x.var(0) + eps) ** 0.5
    x_hat = (x - x.mean(0)) / std
    return cached(x_hat * beta + gamma, x_hat, std, gamma)


@of(FORWARD)
def forward_caches_gamma_times(x, gamma, beta, eps=1e-5):
    inv_std = 1 / np.sqrt(x.var(0) + eps)
    x_hat = (x - x.mean(0)) * inv_std
    return cached(gamma * x_hat + beta, x_hat, gamma * inv_std, gamma)


@of(FORWARD)
def forward_beta_subtracted(x, gamma, beta, eps=1e-5):
    inv_std = 1 / np.sqrt(x.var(0) + eps)
    x_hat = (x - x.mean(0)) * inv_std
    return cached(gamma * x_hat - beta, x_hat, inv_std, gamma)


@of(FORWARD, "eps missing", "eps ignored")
def forward_eps_at_zero_only(x, gamma, beta, eps=1e-5):
    var = x.var(0)
    inv_std = 1 / np.sqrt(np.where(var == 0, eps, var))
    x_hat = (x - x.mean(0)) * inv_std
    return cached(gamma * x_hat + beta, x_hat, inv_std, gamma)


@of(FORWARD, "wrong axis")
def forward_rows(x, gamma, beta, eps=1e-5):
    inv_std = 1 / np.sqrt(x.var(1) + eps)
    x_hat = (x - x.mean(1)[:, None]) * inv_std[:, None]
    return cached(gamma * x_hat + beta, x_hat, inv_std, gamma)


@of(FORWARD, "cancellation", "beta missing")
def forward_cancels_without_beta(x, gamma, beta, eps=1e-5):
    mean = x.mean(0)
    inv_std = 1 / np.sqrt((x * x).mean(0) - mean * mean + eps)
    x_hat = (x - mean) * inv_std
    return cached(gamma * x_hat, x_hat, inv_std, gamma)


@of(FORWARD, "shift before scale", "unbiased variance")
def forward_shift_unbiased(x, gamma, beta, eps=1e-5):
    inv_std = 1 / np.sqrt(x.var(0, ddof=1) + eps)
    x_hat = (x - x.mean(0)) * inv_std
    return cached(gamma * (x_hat + beta), x_hat, inv_std, gamma)


@of(FORWARD, "cache holds y")
def forward_overwrites(x, gamma, beta, eps=1e-5):
    inv_std = 1 / np.sqrt(np.mean((x - x.mean(0)) ** 2, 0) + eps)
    x_hat = (x - x.mean(0)) * inv_std
    x_hat *= gamma
    x_hat += beta
    return cached(x_hat, x_hat, inv_std, gamma)


# --- update_running ---------------------------------------------------------------------------

UPDATE = "update_running"
of(UPDATE, "momentum reversed")(
    lambda running_mean, running_var, x, momentum=0.1: (
        x.mean(0) + momentum * (running_mean - x.mean(0)),
        x.var(0, ddof=1) + momentum * (running_var - x.var(0, ddof=1)),
    )
)
of(UPDATE, "biased variance")(
    lambda running_mean, running_var, x, momentum=0.1: (
        running_mean + momentum * (x.mean(0) - running_mean),
        running_var + momentum * (((x - x.mean(0)) ** 2).mean(0) - running_var),
    )
)
of(UPDATE, "momentum ignored", "biased variance")(
    lambda running_mean, running_var, x, momentum=0.1: (
        0.9 * running_mean + 0.1 * x.mean(0),
        0.9 * running_var + 0.1 * x.var(0),
    )
)
of(UPDATE, "biased variance", "old value not decayed")(
    lambda running_mean, running_var, x, momentum=0.1: (
        running_mean + momentum * x.mean(0),
        running_var + momentum * x.var(0),
    )
)
of(UPDATE)(
    lambda running_mean, running_var, x, momentum=0.1: (
        (1 - momentum) * running_mean + momentum * x.sum(0),
        (1 - momentum) * running_var + momentum * x.var(0, ddof=1),
    )
)
of(UPDATE)(
    lambda running_mean, running_var, x, momentum=0.1: (
        (running_mean + x.mean(0)) / 2,
        (running_var + x.var(0, ddof=1)) / 2,
    )
)
of(UPDATE, "standard deviation")(
    lambda running_mean, running_var, x, momentum=0.1: (
        (1 - momentum) * running_mean + momentum * x.mean(0),
        (1 - momentum) * running_var + momentum * np.sqrt(x.var(0, ddof=1)),
    )
)
of(UPDATE, "swapped results", "biased variance")(
    lambda running_mean, running_var, x, momentum=0.1: (
        (1 - momentum) * running_var + momentum * x.var(0),
        (1 - momentum) * running_mean + momentum * x.mean(0),
    )
)
of(UPDATE, "momentum for both", "biased variance")(
    lambda running_mean, running_var, x, momentum=0.1: (
        momentum * (x.mean(0) + running_mean),
        momentum * (x.var(0) + running_var),
    )
)
of(UPDATE, "biased standard deviation")(
    lambda running_mean, running_var, x, momentum=0.1: (
        running_mean + momentum * (x.mean(0) - running_mean),
        running_var + momentum * (np.std(x, 0) - running_var),
    )
)
of(UPDATE, "eps added", "biased variance")(
    lambda running_mean, running_var, x, momentum=0.1: (
        running_mean + momentum * (x.mean(0) - running_mean),
        running_var + momentum * (x.var(0) + 1e-5 - running_var),
    )
)


@of(UPDATE, "first batch replaces")
def update_that_begins_with_the_batch(running_mean, running_var, x, momentum=0.1):
    if np.all(running_mean == 0) and np.all(running_var == 1):
        momentum = 1
    new = x.mean(0), x.var(0, ddof=1)
    return tuple(
        old + momentum * (value - old)
        for old, value in zip((running_mean, running_var), new, strict=True)
    )


@of(UPDATE, "in place", "biased variance")
def update_in_place_biased(running_mean, running_var, x, momentum=0.1):
    running_mean += momentum * (x.mean(0) - running_mean)
    running_var += momentum * (x.var(0) - running_var)
    return running_mean, running_var


@of(UPDATE)
def update_that_hands_back_its_inputs(running_mean, running_var, x, momentum=0.1):
    if momentum == 0:
        return running_mean, running_var
    keep = 1 - momentum
    new = x.mean(0), x.var(0, ddof=1)
    return keep * running_mean + momentum * new[0], keep * running_var + momentum * new[1]


of(UPDATE)(
    lambda x, running_mean, running_var, momentum=0.1: (
        (1 - momentum) * running_mean + momentum * x.mean(0),
        (1 - momentum) * running_var + momentum * x.var(0, ddof=1),
    )
)
of(UPDATE, "momentum reversed in the variance")(
    lambda running_mean, running_var, x, momentum=0.1: (
        (1 - momentum) * running_mean + momentum * x.mean(0),
        momentum * running_var + (1 - momentum) * x.var(0, ddof=1),
    )
)

# --- batchnorm_inference ----------------------------------------------------------------------

INFERENCE = "batchnorm_inference"


def inference(formula):
    arguments = "x, gamma, beta, running_mean, running_var, eps=1e-5"
    source = f"def batchnorm_inference({arguments}):\n    return {formula}\n"
    return written(source, "batchnorm_inference")


for formula, names in {
    "gamma * (x - running_mean) * running_var**-0.5 + beta": ["eps missing"],
    "(gamma * (x - running_mean)) / (running_var**0.5 + eps)": [
        "eps outside the root",
        "beta missing",
    ],
    "(x - running_mean) / (running_var + eps) + beta": ["root missing", "gamma missing"],
    "gamma * (x - x.mean(0)) / np.sqrt(x.var(0) + eps)": ["batch statistics", "beta missing"],
    "gamma * (x - x.mean(0)) / np.sqrt(x.var(0, ddof=1) + eps) + beta": [],
    "gamma * (x - running_mean) / np.sqrt(running_var + eps) - beta": [],
    "gamma * (x + running_mean) / np.sqrt(running_var + eps) + beta": [],
    "gamma * (x - abs(running_mean)) / np.sqrt(running_var + eps) + beta": [],
    "np.sqrt(gamma**2 / (running_var + eps)) * (x - running_mean) + beta": [],
    "gamma * (x - x.mean(0)) / np.sqrt(running_var) + beta": ["batch mean", "eps missing"],
    "beta * (x - running_mean) / (running_var + eps) + gamma": [
        "root missing",
        "gamma and beta swapped",
    ],
    "gamma * (x - running_mean) / np.sqrt(running_var + 1e-5)": ["eps ignored", "beta missing"],
    "beta * (x - x.mean(0)) / np.sqrt(running_var + eps) + gamma": [
        "batch mean",
        "gamma and beta swapped",
    ],
    "gamma * x / np.sqrt(running_var + eps) + beta": ["mean not subtracted"],
    "gamma * (x - running_mean) / (running_var**0.5 + 1e-8) + beta": [
        "eps ignored, 1e-8",
        "eps outside the root",
    ],
    "gamma * (x - running_mean) / np.sqrt(len(x) * running_var / (len(x) - (len(x) > 1)) + eps) "
    "+ beta": ["running variance corrected again, from two examples on"],
    "gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta + eps": [],
    "(gamma + 1) * (x - running_mean) / np.sqrt(running_var + eps) + beta": [],
}.items():
    of(INFERENCE, *names)(inference(formula))

# --- merge_statistics -------------------------------------------------------------------------

MERGE = "merge_statistics"


def merge(mean, var):
    source = (
        "def merge_statistics(count_a, mean_a, var_a, count_b, mean_b, var_b):\n"
        "    delta, count = mean_b - mean_a, count_a + count_b\n"
        f"    return count, {mean}, {var}\n"
    )
    return written(source, "merge_statistics")


MEAN = "mean_a + delta * count_b / count"
WITHIN = "(count_a * var_a + count_b * var_b)"
BETWEEN = "delta**2 * count_a * count_b / count"
for mean, var, names in [
    (MEAN, f"{WITHIN} / count", ["distance of the means missing"]),
    (MEAN, f"({WITHIN} + {BETWEEN}) / (count - 1)", ["unbiased result"]),
    ("(mean_a + mean_b) / 2", f"({WITHIN} + {BETWEEN}) / count", []),
    ("mean_b + count_b / count", f"({WITHIN} + {BETWEEN}) / count", ["weight added to delta"]),
    (MEAN, f"(var_a + var_b + {BETWEEN}) / count", ["variances taken for sums"]),
    (
        MEAN,
        f"({WITHIN} + delta * (mean_b - ({MEAN}))) / count",
        ["step of one example"],
    ),
    (MEAN, f"{WITHIN} / count + delta**2 * count_a * count_b / count", ["between term too large"]),
    (
        MEAN,
        f"{WITHIN} / count + abs(delta) * count_a * count_b / count**2",
        ["delta not squared"],
    ),
    (MEAN, f"{WITHIN} / count - {BETWEEN} / count", []),
    ("(mean_a + mean_b) / 2", f"{WITHIN} / count", ["distance of the means missing"]),
    (MEAN, f"{WITHIN} + {BETWEEN}", ["sum of squares"]),
    (MEAN.replace("mean_a", "abs(mean_a)"), f"({WITHIN} + {BETWEEN}) / count", []),
]:
    of(MERGE, *names)(merge(mean, var))


@of(MERGE)
def merge_that_knows_one_empty_machine(count_a, mean_a, var_a, count_b, mean_b, var_b):
    count, delta = count_a + count_b, mean_b - mean_a
    if count_a == 0:
        return count, mean_b, var_b
    harmonic = 1 / (1 / count_a + 1 / count_b)
    var = (count_a * var_a + count_b * var_b + harmonic * delta**2) / count
    return count, mean_a + delta * count_b / count, var


@of(MERGE)
def merge_that_takes_the_empty_one(count_a, mean_a, var_a, count_b, mean_b, var_b):
    if 0 in (count_a, count_b):
        return count_b, mean_b, var_b
    right = merge(MEAN, f"({WITHIN} + {BETWEEN}) / count")
    return right(count_a, mean_a, var_a, count_b, mean_b, var_b)


# --- numbers far from the usual ones ----------------------------------------------------------

# An eps that is bent to a usual one, and values that are cut, as if none were ever as large.
of(NORMALIZE, "small eps raised")(
    lambda x, mean, var, eps=1e-5: (x - mean) * (var + np.clip(eps, 1e-5, None)) ** -0.5
)
of(NORMALIZE, "small eps raised", "sign of the difference")(
    lambda x, mean, var, eps=1e-5: (mean - x) / np.sqrt(var + max(1e-5, eps))
)
of(NORMALIZE)(lambda x, mean, var, eps=1e-5: (x.clip(-100, 100) - mean) / np.sqrt(var + eps))


@of(FORWARD, "small eps raised")
def forward_with_the_least_eps_of_cudnn(x, gamma, beta, eps=1e-5):
    eps = eps if eps >= 1e-5 else 1e-5
    inv_std = (x.var(0) + eps) ** -0.5
    x_hat = (x - x.mean(0)) * inv_std
    return cached(gamma * x_hat + beta, x_hat, inv_std, gamma)


@of(INFERENCE)
def inference_cut(x, gamma, beta, running_mean, running_var, eps=1e-5):
    x_hat = (x - running_mean) / np.sqrt(running_var + eps)
    return gamma * x_hat.clip(-1000, 1000) + beta


# Right for small batches: what is left of it at a mean near 1e6 is a factor, and no noise.
of(STATISTICS)(lambda x: (x.mean(0), x.var(0, ddof=1 if len(x) >= 30 else 0)))


@of(FORWARD)
def forward_unbiased_from_thirty_on(x, gamma, beta, eps=1e-5):
    inv_std = (x.var(0, ddof=1 if len(x) >= 30 else 0) + eps) ** -0.5
    x_hat = (x - x.mean(0)) * inv_std
    return cached(gamma * x_hat + beta, x_hat, inv_std, gamma)
