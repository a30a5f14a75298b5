"""Wrong solutions of problem set 9."""

import inspect

import triton
import triton.language as tl
from solutions_ps9_triton import by_example, merged, shifted, welford, with_a_helper

from unseen import Table, written

TABLE = Table()


def take_in(exercise, kernel, rows):
    source = inspect.getsource(kernel.fn)
    more = {"address": getattr(inspect.getmodule(kernel.fn), "address", None)}
    for changes, names in rows:
        made = written(source, kernel.__name__, changes, triton=triton, tl=tl, **more)
        TABLE.of(exercise, *names)(made)


take_in(
    "batchnorm_forward_kernel",
    merged,
    [
        ([("(squares / (n - 1) - old)", "(squares / n - old)")], ["biased running variance"]),
        ([("old + momentum * (mean - old)", "mean + momentum * (old - mean)")], []),
        ([("delta * delta * seen * more / (seen + more)", "0.0")], []),
        ([("tl.sqrt(var + eps)", "tl.sqrt(var) + eps")], []),
        ([("x * scale + shift", "x * scale + shift + mean * scale")], []),
        ([("c * HW + i % HW, mask", "c + i % HW, mask")], []),
    ],
)
take_in(
    "batchnorm_forward_kernel",
    shifted,
    [
        (
            [("distance = tl.where(i < n, x - shift, 0.0)", "distance = x - shift")],
            [],
        ),
        (
            [("(i // HW * C + c) * HW + i % HW", "(c * (n // HW) + i // HW) * HW + i % HW")],
            ["channels first of all"],
        ),
        (
            [("gamma * ((x - mean) * inv_std) + beta", "(x - mean) * inv_std + beta")],
            ["gamma left out"],
        ),
        ([("momentum * (n / (n - 1)) * var", "momentum * var")], ["biased running variance"]),
        (
            [
                ("keep = 1 - momentum", "keep = momentum"),
                ("momentum * mean", "(1 - momentum) * mean"),
                ("momentum * (n / (n - 1)) * var", "(1 - momentum) * (n / (n - 1)) * var"),
            ],
            ["momentum of the old value"],
        ),
    ],
)
take_in(
    "batchnorm_forward_kernel",
    welford,
    [
        ([("var = tl.sum(q + k * from_mean * from_mean) / n", "var = tl.sum(q) / n")], []),
        (
            [
                (
                    "tl.store(inv_std_ptr + c, inv_std)",
                    "tl.store(inv_std_ptr + c, tl.sqrt(var + eps))",
                )
            ],
            ["standard deviation stored"],
        ),
        (
            [
                (
                    "var = tl.sum(q + k * from_mean * from_mean) / n",
                    "var = tl.sum(q + k * from_mean * from_mean) / (n - 1)",
                ),
                ("momentum * var * n / (n - 1)", "momentum * var"),
            ],
            ["unbiased variance"],
        ),
    ],
)
take_in(
    "batchnorm_backward_kernel",
    with_a_helper,
    [
        ([("dbeta + (x - mean) * inv_std * dgamma", "dbeta")], ["variance path left out"]),
        (
            [("(dbeta + (x - mean) * inv_std * dgamma) / n", "(x - mean) * inv_std * dgamma / n")],
            ["mean path left out"],
        ),
        ([("* inv_std * dgamma) / n", "* dgamma) / n")], []),
        ([("dbeta += tl.sum(dy)", "dbeta = tl.sum(dy)")], []),
        (
            [
                ("tl.store(dbeta_ptr + c, dbeta)", "tl.store(dbeta_ptr + c, dgamma)"),
                ("tl.store(dgamma_ptr + c, dgamma)", "tl.store(dgamma_ptr + c, dbeta)"),
            ],
            ["dgamma and dbeta swapped"],
        ),
    ],
)
take_in(
    "batchnorm_backward_kernel",
    by_example,
    [
        (
            [("dgamma = tl.sum(sum_product) * inv_std", "dgamma = tl.sum(sum_product)")],
            ["x centred and not divided"],
        ),
        (
            [("of_dy = tl.load(gamma_ptr + c) * inv_std", "of_dy = inv_std")],
            ["gamma left out of dx"],
        ),
        (
            [("of_x = -of_dy * inv_std * dgamma / n", "of_x = of_dy * inv_std * dgamma / n")],
            ["sign of the variance path"],
        ),
    ],
)
