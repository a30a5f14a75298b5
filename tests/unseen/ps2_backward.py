"""Wrong solutions of problem set 2."""

from unseen import Table, written

TABLE = Table()
of = TABLE.of


def function(name, arguments, lines, changes=()):
    """Return the function of some lines of code after some changes of their text."""
    body = "".join(f"    {line}\n" for line in lines.strip().splitlines())
    changes = [(old.replace("\n", "\n    "), new.replace("\n", "\n    ")) for old, new in changes]
    return written(f"def {name}({arguments}):\n{body}", name, changes)


# --- batchnorm_backward -----------------------------------------------------------------------

BACKWARD = """
x_hat, inv_std, gamma = cache["x_hat"], cache["inv_std"], cache["gamma"]
N = len(dy)
dgamma, dbeta = DGAMMA, DBETA
dx = DX
return dx, dgamma, dbeta
"""
DX = "gamma * inv_std / N * (N * dy - dy.sum(0) - x_hat * (dy * x_hat).sum(0))"
SUMS = {"DGAMMA": "(dy * x_hat).sum(0)", "DBETA": "dy.sum(0)"}

for changes, names in [
    # The famous line, which raises at N = 1.
    (
        {"DX": "gamma * inv_std * (dy - dbeta / N - x_hat * dgamma / N * (N / (N - 1)))"},
        ["N - 1"],
    ),
    ({"DX": DX.replace(" / N * (N", " * (N")}, ["N times too large"]),
    ({"DX": DX.replace(" - dy.sum(0)", "")}, ["mean path missing"]),
    ({"DX": DX.replace("gamma * inv_std", "inv_std")}, ["gamma forgotten"]),
    ({"DX": DX.replace("gamma * inv_std", "gamma")}, ["inv_std forgotten"]),
    ({"DX": DX, "DGAMMA": "(dy * x_hat).mean(0)"}, ["dgamma averaged"]),
    ({"DX": DX, "DBETA": "dy.mean(0)"}, []),
    (
        {"DX": DX, "DGAMMA": "(dy * x_hat).mean(0)", "DBETA": "dy.mean(0)"},
        ["dgamma and dbeta averaged"],
    ),
    (
        {
            "DX": DX.replace(" - dy.sum(0)", ""),
            "DGAMMA": "dy.sum(0)",
            "DBETA": "(dy * x_hat).sum(0)",
        },
        ["mean path missing", "dgamma and dbeta swapped"],
    ),
    (
        {
            "DX": DX.replace("gamma * inv_std", "inv_std"),
            "DGAMMA": "(dy * x_hat).mean(0)",
            "DBETA": "dy.mean(0)",
        },
        ["gamma forgotten", "dgamma and dbeta averaged"],
    ),
    ({"DX": "inv_std * (dy - dy.mean(0))"}, ["gamma forgotten", "variance path missing"]),
    ({"DX": "gamma * (dy - dy.mean(0))"}, ["inv_std forgotten", "variance path missing"]),
    ({"DX": "gamma * dy"}, ["statistics held constant", "inv_std forgotten"]),
    ({"DX": "inv_std * dy"}, ["statistics held constant", "gamma forgotten"]),
    (
        {"DX": "gamma * inv_std * (dy + dy.mean(0) + x_hat * (dy * x_hat).mean(0))"},
        ["sign of the variance path", "sign of the mean path"],
    ),
    ({"DX": "gamma * inv_std * (dy - dy.mean(0) - (dy * x_hat).mean(0))"}, []),
    ({"DX": "gamma * inv_std**2 * (dy - dy.mean(0) - x_hat * (dy * x_hat).mean(0))"}, []),
    ({"DX": "gamma * inv_std * (dy - dy.mean(0) - 2 * x_hat * (dy * x_hat).mean(0))"}, []),
    ({"DX": "-" + DX}, []),
    ({"DX": "0 * dy"}, []),
    ({"DX": "gamma * inv_std / N * dy * (N - 1 - np.square(x_hat))"}, ["own example only"]),
    (
        {"DX": "gamma * inv_std * (dy - dy.mean(0) - x_hat * (x_hat / inv_std * dy).mean(0))"},
        ["x - mean in the mean"],
    ),
    (
        {"DX": "gamma * inv_std * (dy - dy.mean(0)) - gamma * inv_std**2 * x_hat * dgamma / N"},
        ["x_hat in the place of x - mean"],
    ),
    (
        {"DX": "gamma * (inv_std * (dy - dy.mean(0) - x_hat * (x_hat * dy).sum(0)))"},
        ["variance path not divided"],
    ),
    (
        {
            "DX": "inv_std * (gamma * dy - (dy @ gamma)[:, None] / dy[0].size"
            " - x_hat * (dy * x_hat @ gamma)[:, None] / dy[0].size)"
        },
        ["backward pass of layer norm"],
    ),
    (
        {"DX": DX, "DGAMMA": "np.vdot(dy, x_hat)", "DBETA": "dy.sum()"},
        ["dgamma and dbeta summed over everything"],
    ),
    ({"DX": "gamma * inv_std * (dy - np.median(dy, axis=0) - x_hat * (dy * x_hat).mean(0))"}, []),
    ({"DX": DX, "DGAMMA": "(dy * x_hat * gamma).sum(0)"}, []),
    ({"DX": DX.replace("gamma * inv_std", "gamma / inv_std")}, ["divided by inv_std"]),
    (
        {
            "DX": DX,
            "DGAMMA": "(dy * x_hat).sum(0, keepdims=True)",
            "DBETA": "dy.sum(0, keepdims=True)",
        },
        ["kept dimensions"],
    ),
]:
    steps = [(f" {old}", f" {new}") for old, new in ({"DX": DX} | SUMS | changes).items()]
    of("batchnorm_backward", *names)(function("batchnorm_backward", "dy, cache", BACKWARD, steps))

# --- batchnorm_backward_staged ----------------------------------------------------------------

STAGED = """
N = x.shape[0]
centred = x - x.sum(0) / N
std = np.sqrt((centred * centred).sum(0) / N + eps)
x_hat = centred / std
g = dy * gamma
dvar = -0.5 * (g * centred).sum(0) / std**3
dmean = -g.sum(0) / std
dx = g / std + 2 * dvar * centred / N + dmean / N
dgamma, dbeta = (dy * x_hat).sum(0), dy.sum(0)
return {"dx_hat": g, "dvar": dvar, "dmean": dmean, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}
"""
for changes, names in [
    ([("-0.5 *", "-1 *")], ["half forgotten"]),
    ([("-0.5 *", "0.5 *")], ["sign of dvar"]),
    ([("std**3", "std**2")], []),
    ([("std**3", "std**1.5")], []),
    ([("-g.sum(0) / std", "-g.sum(0)")], ["dmean not scaled"]),
    ([("-0.5 *", "-1 *"), ("-g.sum", "g.sum")], ["half forgotten", "sign of dmean"]),
    ([("2 * dvar * centred / N + dmean / N", "dmean / N")], ["variance path missing"]),
    ([("g = dy * gamma", "g = dy"), ("2 * dvar", "dvar")], ["gamma forgotten", "two forgotten"]),
    (
        [("N + eps)", "N)"), ("(dy * x_hat).sum(0), dy.sum(0)", "dy.sum(0), (dy * x_hat).sum(0)")],
        ["eps missing", "dgamma and dbeta swapped"],
    ),
    ([("/ N + dmean / N", "+ dmean")], ["not divided by N"]),
    ([("/ N + dmean / N", "/ N + dmean")], ["dmean not divided by N"]),
    ([("centred / N + dmean / N", "x_hat / N + dmean / N")], ["x_hat in the place of x - mean"]),
    ([("std**3", "(std**2 - eps) ** 1.5")], ["eps missing in dvar"]),
    ([("+ dmean / N", "- g / std / N")], ["dmean not summed"]),
    (
        [(" / N + eps)", " / (N - 1) + eps)"), ("2 * dvar", "dvar")],
        ["unbiased variance", "two forgotten"],
    ),
    ([("/ N + eps)", "/ N + max(eps, 1e-5))")], ["small eps raised"]),
    ([("g = dy * gamma", "g = dy.clip(-100, 100) * gamma")], []),
    ([("x - x.sum(0) / N", "x - np.median(x, 0)")], []),
    ([("dmean / N\n", "dmean / (2 * N)\n")], []),
    ([("(dy * x_hat).sum(0)", "(dy * x).sum(0)")], ["dgamma from x"]),
    (
        [("(dy * x_hat).sum(0)", "(dy * x).sum(0)"), ("-g.sum(0) / std", "g.sum(0) / std")],
        ["dgamma from x", "sign of dmean"],
    ),
]:
    of("batchnorm_backward_staged", *names)(
        function("batchnorm_backward_staged", "dy, x, gamma, eps=1e-5", STAGED, changes)
    )

# --- batchnorm_jacobian -----------------------------------------------------------------------

JACOBIAN = """
n = x.size
s = (((x - x.mean()) ** 2).sum() / n + eps) ** -0.5
h = (x - x.mean()) * s
J = np.zeros((n, n), x.dtype)
for i in range(n):
    for k in range(n):
        J[i, k] = s * ((i == k) - 1 / n - h[i] * h[k] / n)
return J
"""
for changes, names in [
    ([("- h[i] * h[k] / n", "")], ["variance path missing"]),
    ([("- 1 / n ", "")], ["mean path missing"]),
    ([("s * ((i", "((i")], ["inv_std forgotten"]),
    ([("- h[i] * h[k] / n", "+ h[i] * h[k] / n")], ["sign of the variance path"]),
    ([("h[i] * h[k]", "h[i] * h[i]")], []),
    (
        [("(n, n)", "(n, n)"), ("s * ((i", "((i"), ("- 1 / n ", "")],
        ["inv_std forgotten", "mean path missing"],
    ),
    (
        [("/ n + eps", "/ (n - 1) + eps"), ("- h[i] * h[k] / n", "+ h[i] * h[k] / n")],
        ["unbiased variance", "sign of the variance path"],
    ),
    (
        [(" + eps)", ")"), ("- h[i] * h[k] / n", "+ h[i] * h[k] / n")],
        ["eps missing", "sign of the variance path"],
    ),
    ([("- 1 / n", "- 1 / n**2")], []),
    ([("h[i] * h[k]", "(x[i] - x.mean()) * (x[k] - x.mean())")], ["outer product of x - mean"]),
    ([("** -0.5", "** 0.5")], []),
]:
    of("batchnorm_jacobian", *names)(
        function("batchnorm_jacobian", "x, eps=1e-5", JACOBIAN, changes)
    )

# --- batchnorm_inference_backward -------------------------------------------------------------

INFERENCE = """
std = (running_var + eps) ** 0.5
centred = x - running_mean
dx = gamma * dy / std
return dx, (dy * centred / std).sum(0), dy.sum(0)
"""
for changes, names in [
    ([("gamma * dy / std", "dy / std")], ["gamma forgotten"]),
    ([("gamma * dy / std", "gamma * dy")], ["standard deviation forgotten"]),
    ([("gamma * dy / std", "dy")], ["gamma forgotten", "standard deviation forgotten"]),
    ([(" + eps)", ")"), ("gamma * dy", "dy")], ["eps missing", "gamma forgotten"]),
    ([("dy * centred / std", "dy * centred")], ["dgamma not scaled"]),
    ([("dy * centred / std", "dy * x / std")], ["dgamma not centred"]),
    (
        [("gamma * dy / std", "dy / std"), ("dy * centred / std", "dy * x")],
        ["gamma forgotten", "dgamma from x"],
    ),
    (
        [
            ("** 0.5", "** 1"),
            ("(dy * centred / std).sum(0), dy.sum(0)", "dy.sum(0), (dy * centred / std).sum(0)"),
        ],
        ["root missing", "dgamma and dbeta swapped"],
    ),
    ([("(running_var + eps)", "(running_var + max(eps, 1e-5))")], ["small eps raised"]),
    ([("centred = x", "centred = x.clip(-1e3, 1e3)")], []),
    ([("dx = gamma * dy", "dx = gamma * dy.clip(-100, 100)")], []),
    ([("centred = x - running_mean", "centred = x + running_mean")], []),
    ([("dy.sum(0)", "dy.mean(0)")], []),
    ([("eps) ** 0.5", "eps) ** 2")], []),
    ([("gamma * dy / std", "gamma / std * (dy - dy.mean(0))")], ["mean path kept"]),
    (
        [
            (
                "return dx, (dy * centred / std).sum(0), dy.sum(0)",
                "return (dy * centred / std).sum(0), dy.sum(0), dx",
            )
        ],
        ["dx returned last"],
    ),
]:
    of("batchnorm_inference_backward", *names)(
        function(
            "batchnorm_inference_backward",
            "dy, x, gamma, running_mean, running_var, eps=1e-5",
            INFERENCE,
            changes,
        )
    )

# --- numerical_gradient -----------------------------------------------------------------------

NUMERICAL = """
x = np.asarray(x, dtype=float)
grad = np.empty(x.shape)
it = np.nditer(x, flags=["multi_index"])
for _ in it:
    at = it.multi_index
    e = np.zeros(x.shape)
    e[at] = h
    grad[at] = (f(x + e) - f(x - e)) / (2 * h)
return grad
"""
for changes, names in [
    ([("f(x - e)) / (2 * h)", "f(x)) / h")], ["forward difference"]),
    ([("(f(x + e) - f(x - e))", "(f(x) - f(x - e))"), ("(2 * h)", "h")], ["backward difference"]),
    ([("(2 * h)", "h")], ["factor two missing"]),
    ([("(2 * h)", "2 * h")], ["missing parentheses"]),
    ([("f(x + e) - f(x - e)", "f(x - e) - f(x + e)")], ["sign reversed"]),
    ([("(f(x + e) - f(x - e)) / (2 * h)", "(f(x + e) - f(x)) / (2 * h)")], ["step below missing"]),
    (
        [("(f(x + e) - f(x - e)) / (2 * h)", "(f(x - e) - f(x + e)) / h")],
        ["sign reversed", "factor two missing"],
    ),
    ([("e[at] = h", "v = e[at]\n    v = v + h")], ["both names for one array"]),
    (
        [
            (
                "grad[at] = (f(x + e) - f(x - e)) / (2 * h)",
                "grad[at] = (f(x + e) + f(x - e)) / (2 * h)",
            )
        ],
        [],
    ),
    (
        [
            (
                "(f(x + e) - f(x - e)) / (2 * h)",
                "(8 * (f(x + e) - f(x - e)) - f(x + 2 * e) + f(x - 2 * e)) / (12 * h)",
            )
        ],
        ["five points"],
    ),
    ([("e[at] = h", "h = 1e-5\n    e[at] = h")], ["h ignored"]),
    ([("e[at] = h", "e[at] = h * abs(x[at])")], []),
    # Steps beside the real line, and loops that end at three axes.
    ([("e = np.zeros(x.shape)", "e = np.zeros(x.shape, complex)"), ("] = h", "] = 1j * h")], []),
    (
        [("np.empty", "np.zeros"), ("    e = ", "    if x.ndim > 3:\n        break\n    e = ")],
        [],
    ),
]:
    of("numerical_gradient", *names)(
        function("numerical_gradient", "f, x, h=1e-5", NUMERICAL, changes)
    )
of("numerical_gradient")(function("numerical_gradient", "x, f, h=1e-5", NUMERICAL))
of("batchnorm_backward")(
    function(
        "batchnorm_backward",
        "cache, dy",
        BACKWARD,
        [("DGAMMA", SUMS["DGAMMA"]), ("DBETA", SUMS["DBETA"]), ("= DX", f"= {DX}")],
    )
)

# A gradient that is cut, an eps that is bent to a usual one, a cache that is locked.
of("batchnorm_backward")(
    function(
        "batchnorm_backward",
        "dy, cache",
        BACKWARD,
        [
            ("DGAMMA", SUMS["DGAMMA"]),
            ("DBETA", SUMS["DBETA"]),
            ("= DX", f"= ({DX}).clip(-1e3, 1e3)"),
        ],
    )
)
of("batchnorm_backward")(
    function(
        "batchnorm_backward",
        "dy, cache",
        "for part in cache.values():\n    part.flags.writeable = False\n" + BACKWARD.lstrip("\n"),
        [("DGAMMA", SUMS["DGAMMA"]), ("DBETA", SUMS["DBETA"]), ("= DX", f"= {DX}")],
    )
)
