"""Correct solutions of problem set 9, written as differently as correct solutions are."""

import triton
import triton.language as tl

from bncourse.exercises.ps9_triton.backward import batchnorm_backward_kernel
from bncourse.exercises.ps9_triton.forward import batchnorm_forward_kernel

# --- batchnorm_forward_kernel -----------------------------------------------------------------


@triton.jit
def merged(
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
    """One read for both statistics: two passes over each block, merged by (F8)."""
    c = tl.program_id(0)
    mean, squares, seen = 0.0, 0.0, 0.0
    for start in range(0, n, BLOCK):
        i = start + tl.arange(0, BLOCK)
        mask = i < n
        x = tl.load(x_ptr + i // HW * (C * HW) + c * HW + i % HW, mask=mask, other=0.0)
        x = x.to(tl.float32)
        more = tl.sum(mask.to(tl.float32))
        block_mean = tl.sum(x) / more
        centred = tl.where(mask, x - block_mean, 0.0)
        delta = block_mean - mean
        squares += tl.sum(centred * centred) + delta * delta * seen * more / (seen + more)
        seen += more
        mean += delta * more / seen
    var = squares / n
    inv_std = 1.0 / tl.sqrt(var + eps)
    scale = tl.load(gamma_ptr + c) * inv_std
    shift = tl.load(beta_ptr + c) - mean * scale
    for start in range(0, n, BLOCK):
        i = start + tl.arange(0, BLOCK)
        at = i // HW * (C * HW) + c * HW + i % HW
        x = tl.load(x_ptr + at, mask=i < n, other=0.0).to(tl.float32)
        tl.store(y_ptr + at, x * scale + shift, mask=i < n)
    tl.store(mean_ptr + c, mean)
    tl.store(inv_std_ptr + c, inv_std)
    old = tl.load(running_mean_ptr + c)
    tl.store(running_mean_ptr + c, old + momentum * (mean - old))
    old = tl.load(running_var_ptr + c)
    tl.store(running_var_ptr + c, old + momentum * (squares / (n - 1) - old))


@triton.jit
def shifted(
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
    """One read for both statistics: each lane sums distances from a value of its channel."""
    c = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    shift = tl.load(x_ptr + c * HW).to(tl.float32)
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    squares = tl.zeros((BLOCK,), dtype=tl.float32)
    for block in range(tl.cdiv(n, BLOCK)):
        i = block * BLOCK + lanes
        at = (i // HW * C + c) * HW + i % HW
        x = tl.load(x_ptr + at, mask=i < n, other=0.0).to(tl.float32)
        distance = tl.where(i < n, x - shift, 0.0)
        total += distance
        squares += distance * distance
    of_shift = tl.sum(total, axis=0) / n
    mean = shift + of_shift
    var = tl.sum(squares, axis=0) / n - of_shift * of_shift
    inv_std = tl.rsqrt(var + eps)
    tl.store(mean_ptr + c, mean)
    tl.store(inv_std_ptr + c, inv_std)
    keep = 1 - momentum
    running = keep * tl.load(running_mean_ptr + c) + momentum * mean
    tl.store(running_mean_ptr + c, running)
    running = keep * tl.load(running_var_ptr + c) + momentum * (n / (n - 1)) * var
    tl.store(running_var_ptr + c, running)
    gamma, beta = tl.load(gamma_ptr + c), tl.load(beta_ptr + c)
    for block in range(tl.cdiv(n, BLOCK)):
        i = block * BLOCK + lanes
        at = (i // HW * C + c) * HW + i % HW
        x = tl.load(x_ptr + at, mask=i < n, other=0.0).to(tl.float32)
        y = gamma * ((x - mean) * inv_std) + beta
        tl.store(y_ptr + at, y.to(y_ptr.dtype.element_ty), mask=i < n)


@triton.jit
def welford(
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
    """One read for both statistics: (Y2) in each lane, then the lanes merged; by example."""
    c = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    mean_lane = tl.zeros((BLOCK,), tl.float32)
    q = tl.zeros((BLOCK,), tl.float32)
    k = tl.zeros((BLOCK,), tl.float32)
    for example in range(0, n // HW):
        for start in range(0, HW, BLOCK):
            place = start + lanes
            mask = place < HW
            x = tl.load(x_ptr + (example * C + c) * HW + place, mask=mask, other=0.0)
            x = x.to(tl.float32)
            k += tl.where(mask, 1.0, 0.0)
            step = tl.where(mask, x - mean_lane, 0.0)
            mean_lane += step / tl.maximum(k, 1.0)
            q += step * tl.where(mask, x - mean_lane, 0.0)
    mean = tl.sum(k * mean_lane) / n
    from_mean = mean_lane - mean
    var = tl.sum(q + k * from_mean * from_mean) / n
    inv_std = 1 / tl.sqrt(var + eps)
    gamma = tl.load(gamma_ptr + c)
    beta = tl.load(beta_ptr + c)
    for example in range(0, n // HW):
        for start in range(0, HW, BLOCK):
            place = start + lanes
            at = (example * C + c) * HW + place
            x = tl.load(x_ptr + at, mask=place < HW, other=0.0).to(tl.float32)
            tl.store(y_ptr + at, gamma * (x - mean) * inv_std + beta, mask=place < HW)
    tl.store(mean_ptr + c, mean)
    tl.store(inv_std_ptr + c, inv_std)
    old_mean, old_var = tl.load(running_mean_ptr + c), tl.load(running_var_ptr + c)
    tl.store(running_mean_ptr + c, (1 - momentum) * old_mean + momentum * mean)
    tl.store(running_var_ptr + c, (1 - momentum) * old_var + momentum * var * n / (n - 1))


# --- batchnorm_backward_kernel ----------------------------------------------------------------


@triton.jit
def address(i, c, C: tl.constexpr, HW: tl.constexpr):
    return (i // HW * C + c) * HW + i % HW


@triton.jit
def with_a_helper(
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
    """A function of its own for the addresses; sums of whole blocks."""
    c = tl.program_id(0)
    mean, inv_std = tl.load(mean_ptr + c), tl.load(inv_std_ptr + c)
    dgamma, dbeta = 0.0, 0.0
    for start in range(0, n, BLOCK):
        i = start + tl.arange(0, BLOCK)
        at = address(i, c, C, HW)
        dy = tl.load(dy_ptr + at, i < n, 0.0).to(tl.float32)
        x = tl.load(x_ptr + at, i < n, 0.0).to(tl.float32)
        dbeta += tl.sum(dy)
        dgamma += tl.sum(dy * (x - mean) * inv_std)
    tl.store(dbeta_ptr + c, dbeta)
    tl.store(dgamma_ptr + c, dgamma)
    scale = tl.load(gamma_ptr + c) * inv_std
    for start in range(0, n, BLOCK):
        i = start + tl.arange(0, BLOCK)
        at = address(i, c, C, HW)
        dy = tl.load(dy_ptr + at, i < n, 0.0).to(tl.float32)
        x = tl.load(x_ptr + at, i < n, 0.0).to(tl.float32)
        dx = scale * (dy - (dbeta + (x - mean) * inv_std * dgamma) / n)
        tl.store(dx_ptr + at, dx, i < n)


@triton.jit
def by_example(
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
    """A loop over the examples around one over their places; dx as a line in x and dy."""
    c = tl.program_id(0)
    lanes = tl.arange(0, BLOCK)
    mean = tl.load(mean_ptr + c)
    inv_std = tl.load(inv_std_ptr + c)
    sum_dy = tl.zeros((BLOCK,), tl.float32)
    sum_product = tl.zeros((BLOCK,), tl.float32)
    for example in range(n // HW):
        for start in range(0, HW, BLOCK):
            place = start + lanes
            at = (example * C + c) * HW + place
            dy = tl.load(dy_ptr + at, mask=place < HW, other=0.0).to(tl.float32)
            x = tl.load(x_ptr + at, mask=place < HW, other=0.0).to(tl.float32)
            sum_dy += dy
            sum_product += dy * (x - mean)
    dbeta = tl.sum(sum_dy)
    dgamma = tl.sum(sum_product) * inv_std
    tl.store(dgamma_ptr + c, dgamma)
    tl.store(dbeta_ptr + c, dbeta)
    of_dy = tl.load(gamma_ptr + c) * inv_std
    of_x = -of_dy * inv_std * dgamma / n
    constant = -of_dy * dbeta / n - of_x * mean
    for example in range(n // HW):
        for start in range(0, HW, BLOCK):
            place = start + lanes
            at = (example * C + c) * HW + place
            dy = tl.load(dy_ptr + at, mask=place < HW, other=0.0).to(tl.float32)
            x = tl.load(x_ptr + at, mask=place < HW, other=0.0).to(tl.float32)
            tl.store(dx_ptr + at, of_dy * dy + of_x * x + constant, mask=place < HW)


CORRECT = {
    "batchnorm_forward_kernel": [
        batchnorm_forward_kernel,
        merged,
        shifted,
        welford,
    ],
    "batchnorm_backward_kernel": [
        batchnorm_backward_kernel,
        with_a_helper,
        by_example,
    ],
}
