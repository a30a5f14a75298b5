"""Wrong solutions of problem set 3."""

from unseen import Table, written

TABLE = Table()


def take_in(name, source, rows):
    for changes, names in rows:
        TABLE.of(name, *names)(written(source, name, changes))


SPATIAL = """\
def spatial_batchnorm_forward(x, gamma, beta, eps=1e-5):
    N, C, H, W = x.shape
    m = N * H * W
    rows = np.moveaxis(x, 1, 3).reshape(m, C)
    centred = rows - rows.sum(0) / m
    std = ((centred**2).sum(0) / m + eps) ** 0.5
    x_hat = centred / std
    y = x_hat * gamma + beta
    back = lambda a: np.moveaxis(a.reshape(N, H, W, C), 3, 1)
    return back(y), {"x_hat": back(x_hat), "inv_std": 1 / std, "gamma": gamma}
"""
take_in(
    "spatial_batchnorm_forward",
    SPATIAL,
    [
        ([("sum(0) / m + eps", "sum(0) / max(m - 1, 1) + eps")], ["unbiased variance"]),
        ([("x, gamma, beta,", "x, beta, gamma,")], []),
        ([("x, gamma, beta,", "x, *, gamma, beta,")], []),
        ([("x_hat * gamma", "x_hat * np.where(gamma == 0, 1, gamma)")], []),
        (
            [
                (
                    "(centred**2).sum(0) / m",
                    "((rows.astype(float) ** 2).sum(0) / m - (rows.astype(float).sum(0) / m) ** 2)",
                )
            ],
            ["cancellation in float64"],
        ),
        (
            [("sum(0) / m + eps", "sum(0) / (m - 1) + eps"), (" + beta", "")],
            ["unbiased variance", "beta missing"],
        ),
        ([("x_hat * gamma + beta", "(x_hat + beta) * gamma")], ["beta scaled"]),
        ([("x_hat * gamma + beta", "x_hat * beta + gamma")], ["gamma and beta swapped"]),
        ([("x_hat * gamma + beta", "x_hat * gamma - beta")], []),
        ([('"inv_std": 1 / std', '"inv_std": std')], ["cache holds the standard deviation"]),
        (
            [('"inv_std": 1 / std', '"inv_std": std'), ("x_hat * gamma", "x_hat")],
            ["cache holds the standard deviation", "gamma missing"],
        ),
        ([('back(x_hat), "inv', 'back(y), "inv')], ["cache holds y"]),
        ([("m + eps) ** 0.5", "m) ** 0.5 + eps")], ["eps outside the root"]),
        (
            [("m + eps) ** 0.5", "m) ** 0.5"), ("x_hat * gamma + beta", "x_hat")],
            ["eps missing", "scale and shift missing"],
        ),
        ([("m + eps) ** 0.5", "m + eps**2) ** 0.5")], []),
        (
            [
                (
                    "m = N * H * W\n    rows = np.moveaxis(x, 1, 3).reshape(m, C)",
                    "m = N * H * W\n    rows = x.reshape(m, C)",
                )
            ],
            ["reshaped without moving the channels"],
        ),
        (
            [
                ("np.moveaxis(x, 1, 3)", "x"),
                ("np.moveaxis(a.reshape(N, H, W, C), 3, 1)", "a.reshape(x.shape)"),
            ],
            ["reshaped without moving the channels"],
        ),
        (
            [("np.moveaxis(a.reshape(N, H, W, C), 3, 1)", "a.reshape(x.shape)")],
            ["reshaped back without moving the channels"],
        ),
        ([("centred = rows", "centred = rows * 1.0; rows = rows * 1.001; centred = rows")], []),
        ([("1 / std", "1 / std[:, None]")], []),
        (
            [("return back(y)", "return y.reshape(N, C, H, W)")],
            ["y alone reshaped back without moving the channels"],
        ),
        ([("np.moveaxis(x, 1, 3)", "x.transpose(0, 3, 2, 1)")], []),
        ([("return back(y)", "return y.reshape(N, H, W, C)")], []),
        ([("** 0.5", "** 0.5 + 0 * np.sqrt(0.0)"), ("1 / std", "1 / (std**2)")], []),
        ([("(centred**2).sum(0) / m", "(centred**2).sum(0) / N")], []),
        (
            [
                ("eps=1e-5):", "eps=1e-5, cache={}):"),
                ("return back(y), {", "cache.update({"),
                ('"gamma": gamma}', '"gamma": gamma})\n    return back(y), cache'),
            ],
            [],
        ),
        ([("return back(y), {", "return back(y).astype('f4'), {")], []),
    ],
)

SPATIAL_BACKWARD = """\
def spatial_batchnorm_backward(dy, cache):
    x_hat, gamma, inv_std = cache["x_hat"], cache["gamma"], cache["inv_std"]
    m = dy.size // dy.shape[1]
    dbeta = np.einsum("nchw->c", dy)
    dgamma = np.einsum("nchw,nchw->c", dy, x_hat)
    wide = lambda v: v[None, :, None, None]
    inner = dy - wide(dbeta) / m - x_hat * wide(dgamma) / m
    return wide(gamma * inv_std) * inner, dgamma, dbeta
"""
take_in(
    "spatial_batchnorm_backward",
    SPATIAL_BACKWARD,
    [
        ([("dy - wide(dbeta) / m", "dy")], ["path through the mean missing"]),
        ([(" - x_hat * wide(dgamma) / m", "")], ["path through the variance missing"]),
        ([("inner = dy", "inner = dy.clip(-100, 100)")], []),
        ([("gamma * inv_std", "inv_std")], ["gamma forgotten in dx"]),
        ([("gamma * inv_std", "gamma")], ["inv_std forgotten in dx"]),
        (
            [("gamma * inv_std", "1 + 0 * gamma")],
            ["gamma forgotten in dx", "inv_std forgotten in dx"],
        ),
        ([("dy.size // dy.shape[1]", "len(dy)")], ["divided by N only"]),
        ([("dy.size // dy.shape[1]", "1")], ["sums in place of means"]),
        (
            [("dy.size // dy.shape[1]", "dy.size")],
            ["divided by all channels", "means over all channels"],
        ),
        ([("inner, dgamma, dbeta", "inner, dbeta, dgamma")], ["dgamma and dbeta swapped"]),
        (
            [("inner, dgamma, dbeta", "inner, dbeta, dgamma"), ("dy - wide(dbeta) / m", "dy")],
            ["dgamma and dbeta swapped", "path through the mean missing"],
        ),
        ([("inner, dgamma, dbeta", "inner, dgamma / m, dbeta / m")], ["averaged"]),
        ([("inner, dgamma, dbeta", "inner, dgamma / m, dbeta")], ["dgamma averaged"]),
        ([("inner, dgamma, dbeta", "inner, dgamma, dbeta / m")], []),
        ([("inner, dgamma, dbeta", "m * inner, dgamma, dbeta")], ["N*H*W times too large"]),
        ([("inner, dgamma, dbeta", "-inner, dgamma, dbeta")], []),
        (
            [("- x_hat * wide(dgamma)", "+ x_hat * wide(dgamma)"), ("gamma * inv_std", "inv_std")],
            ["sign of the variance path", "gamma forgotten in dx"],
        ),
        ([("x_hat * wide(dgamma) / m", "x_hat**2 * wide(dgamma) / m")], []),
        ([("dy.size // dy.shape[1]", "dy.size // dy.shape[1] - 1")], ["N*H*W - 1 in both means"]),
        (
            [
                (
                    "wide(gamma * inv_std) * inner, dgamma, dbeta",
                    "dgamma, dbeta, wide(gamma * inv_std) * inner",
                )
            ],
            ["dx returned last"],
        ),
        ([("inner, dgamma, dbeta", "inner, gamma * dgamma, dbeta")], ["gamma in dgamma"]),
        (
            [
                (
                    "return wide(gamma * inv_std) * inner",
                    "rows = np.moveaxis(wide(gamma * inv_std) * inner, 1, 3)\n"
                    "    return rows.reshape(dy.shape)",
                )
            ],
            ["reshaped back without moving the channels"],
        ),
        ([('cache["gamma"], cache', 'cache.pop("gamma"), cache')], ["cache overwritten"]),
    ],
)

LAYER = """\
def layernorm_forward(x, gamma, beta, eps=1e-5):
    D = x.shape[1]
    centred = x - (x.sum(1) / D)[:, None]
    var = np.einsum("nd,nd->n", centred, centred) / D
    inv_std = (var + eps) ** -0.5
    x_hat = centred * inv_std[:, None]
    y = x_hat * gamma + beta
    return y, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}
"""
take_in(
    "layernorm_forward",
    LAYER,
    [
        ([(" / D\n    inv", " / (D - 1)\n    inv")], ["unbiased variance"]),
        (
            [(" / D\n    inv", " / (D - 1)\n    inv"), (" + beta", "")],
            ["unbiased variance", "beta missing"],
        ),
        ([("(var + eps) ** -0.5", "1 / (var**0.5 + eps)")], ["eps outside the root"]),
        ([("(var + eps) ** -0.5", "1 / (var + eps)")], ["root missing"]),
        (
            [
                ("(var + eps) ** -0.5", "1 / (var + eps)"),
                ("x_hat * gamma + beta", "x_hat * beta + gamma"),
            ],
            ["root missing", "gamma and beta swapped"],
        ),
        ([("(var + eps) ** -0.5", "var**-0.5")], ["eps missing"]),
        ([("x_hat * gamma + beta", "x_hat + beta")], ["gamma missing"]),
        ([("x_hat * gamma + beta", "gamma * (x_hat + beta)")], ["beta scaled"]),
        ([("x - (x.sum(1) / D)[:, None]", "1.0 * x")], ["root mean square"]),
        ([("x - (x.sum(1) / D)[:, None]", "x - np.median(x, 1)[:, None]")], []),
        ([('"x_hat": x_hat', '"x_hat": centred')], ["cache holds the centred batch"]),
        (
            [('"x_hat": x_hat', '"x_hat": centred'), (" + beta", "")],
            ["cache holds the centred batch", "beta missing"],
        ),
    ],
)

LAYER_BACKWARD = """\
def layernorm_backward(dy, cache):
    x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"][:, None], cache["gamma"]
    D = dy.shape[1]
    g = gamma * dy
    dx = inv_std / D * (D * g - g.sum(1)[:, None] - x_hat * (g * x_hat).sum(1)[:, None])
    return dx, (dy * x_hat).sum(0), dy.sum(0)
"""
take_in(
    "layernorm_backward",
    LAYER_BACKWARD,
    [
        ([(" - g.sum(1)[:, None]", "")], ["path through the mean missing"]),
        ([("g = gamma * dy", "g = dy")], ["gamma forgotten in dx"]),
        (
            [
                ("g = gamma * dy", "g = dy"),
                ("(dy * x_hat).sum(0), dy.sum(0)", "dy.sum(0), (dy * x_hat).sum(0)"),
            ],
            ["gamma forgotten in dx", "dgamma and dbeta swapped"],
        ),
        ([("inv_std / D", "inv_std")], ["D times too large"]),
        ([("inv_std / D", "1 / D")], ["inv_std forgotten in dx"]),
        ([("inv_std / D", "-inv_std / D")], []),
        ([("g = gamma * dy", "g = (gamma * dy).clip(-100, 100)")], []),
        (
            [
                (
                    "return dx, (dy * x_hat).sum(0), dy.sum(0)",
                    "return (dy * x_hat).sum(0), dy.sum(0), dx",
                )
            ],
            ["dx returned last"],
        ),
        ([("(dy * x_hat).sum(0)", "(g * x_hat).sum(0)")], ["gamma in dgamma"]),
        ([("(g * x_hat).sum(1)", "(dy * x_hat).sum(1)")], []),
        (
            [("g = gamma * dy", "g = dy"), ("inv_std / D *", "gamma * inv_std / D *")],
            ["gamma outside the means"],
        ),
        ([("(dy * x_hat).sum(0), dy.sum(0)", "(dy * x_hat).mean(0), dy.mean(0)")], ["averaged"]),
        (
            [("(dy * x_hat).sum(0), dy.sum(0)", "(g * x_hat).sum(0), g.sum(0)")],
            ["gamma in dgamma and dbeta"],
        ),
        (
            [("(dy * x_hat).sum(0), dy.sum(0)", "(dy * x_hat).sum(1), dy.sum(1)")],
            ["summed over the features"],
        ),
    ],
)

GROUP = """\
def groupnorm_forward(x, gamma, beta, groups, eps=1e-5):
    N, C = x.shape[:2]
    rows = np.ascontiguousarray(x).reshape(N * groups, -1)
    mean = rows.mean(1)[:, None]
    var = np.square(rows - mean).mean(1)[:, None]
    x_hat = ((rows - mean) / (var + eps) ** 0.5).reshape(x.shape)
    return x_hat * gamma.reshape(C, 1, 1) + beta.reshape(C, 1, 1)
"""
take_in(
    "groupnorm_forward",
    GROUP,
    [
        ([("(var + eps) ** 0.5", "(var**0.5 + eps)")], ["eps outside the root"]),
        ([("(var + eps) ** 0.5", "var**0.5")], ["eps missing"]),
        ([("(var + eps) ** 0.5", "(var + eps)")], ["root missing"]),
        (
            [("(var + eps) ** 0.5", "(var + eps)"), (" + beta.reshape(C, 1, 1)", "")],
            ["root missing", "beta missing"],
        ),
        ([("x_hat * gamma.reshape(C, 1, 1)", "x_hat")], ["gamma missing"]),
        (
            [(".mean(1)[:, None]\n    x_hat", ".sum(1)[:, None] / (rows.shape[1] - 1)\n    x_hat")],
            ["unbiased variance"],
        ),
        ([("N * groups, -1", "N, -1")], ["groups ignored"]),
        ([("(rows - mean) /", "(rows - np.median(rows, 1)[:, None]) /")], []),
        ([("N * groups, -1", "N * (C // groups), -1")], ["number and size of groups confused"]),
        ([("np.ascontiguousarray(x)", "x.ravel(order='K')")], []),
        ([(" + beta.reshape", " - beta.reshape")], []),
    ],
)

FOLD = """\
def fold_batchnorm(weight, bias, gamma, beta, mean, var, eps=1e-5):
    s = gamma * (var + eps) ** -0.5
    w = np.stack([k * row for k, row in zip(s, weight)])
    return w, s * bias + beta - s * mean
"""
take_in(
    "fold_batchnorm",
    FOLD,
    [
        ([("s * bias + beta", "beta")], ["bias forgotten"]),
        ([("s * bias", "bias")], ["bias not scaled"]),
        ([(" - s * mean", "")], ["mean not subtracted"]),
        ([(" - s * mean", ""), ("gamma * (var", "(var")], ["mean not subtracted", "gamma missing"]),
        ([("gamma * (var + eps) ** -0.5", "gamma / (var**0.5 + eps)")], ["eps outside the root"]),
        (
            [("gamma * (var + eps) ** -0.5", "gamma / var**0.5"), ("+ beta ", "")],
            ["eps missing", "beta missing"],
        ),
        ([("- s * mean", "+ s * mean")], ["mean added"]),
        ([("** -0.5", "** -1"), (" - s * mean", "")], ["root missing", "mean not subtracted"]),
        ([("+ beta -", "- beta -")], []),
        ([("(var + eps)", "(var + max(eps, 1e-5))")], ["small eps raised"]),
        ([("return w,", "return w[::-1],")], []),
        ([("(var + eps) ** -0.5", "(var + eps**2) ** -0.5")], []),
        ([("- s * mean", "- mean * (var + eps) ** -0.5")], []),
        ([("return w, s * bias + beta - s * mean", "return s * bias + beta - s * mean, w")], []),
    ],
)
