"""Batch norm in Triton with several programs a channel: sums of parts first, then all merges them.

Two launches a direction, and still 3 |x| forward and 5 |x| backward, by (Y1). One program a channel
leaves most of a GPU idle where channels are few.
"""

import triton
import triton.language as tl

# Enough for every GPU of today to have several on each of its processors.
_PROGRAMS = 2048
_MOST_PARTS = 64


@triton.jit
def _address(i, c, C: tl.constexpr, HW: tl.constexpr):
    return (i // HW * C + c) * HW + i % HW


@triton.jit
def statistics_kernel(
    x_ptr,
    means_ptr,
    squares_ptr,
    n: tl.constexpr,
    C: tl.constexpr,
    HW: tl.constexpr,
    PART: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The mean of a part of a channel, and its sum of squared deviations from that."""
    c, part = tl.program_id(0), tl.program_id(1)
    lanes = tl.arange(0, BLOCK)
    first = part * PART
    # Distances from a value of the part do not cancel where the mean is large.
    shift = tl.load(x_ptr + _address(first, c, C, HW)).to(tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    squares = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, PART, BLOCK):
        i = first + start + lanes
        x = tl.load(x_ptr + _address(i, c, C, HW), mask=i < n, other=0.0).to(tl.float32)
        distance = tl.where(i < n, x - shift, 0.0)
        total += distance
        squares += distance * distance
    count = tl.minimum(n - first, PART)
    of_shift = tl.sum(total) / count
    at = c * tl.num_programs(1) + part
    tl.store(means_ptr + at, shift + of_shift)
    tl.store(squares_ptr + at, tl.sum(squares) - of_shift * of_shift * count)


@triton.jit
def normalise_kernel(
    x_ptr,
    gamma_ptr,
    beta_ptr,
    running_mean_ptr,
    running_var_ptr,
    means_ptr,
    squares_ptr,
    y_ptr,
    mean_ptr,
    inv_std_ptr,
    momentum,
    eps,
    n: tl.constexpr,
    C: tl.constexpr,
    HW: tl.constexpr,
    PART: tl.constexpr,
    PARTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """y of a part of a channel; the program of the first part stores what it has one of."""
    c, part = tl.program_id(0), tl.program_id(1)
    parts = tl.arange(0, PARTS)
    there = parts < tl.num_programs(1)
    at = c * tl.num_programs(1) + parts
    means = tl.load(means_ptr + at, mask=there, other=0.0)
    counts = tl.where(there, tl.minimum(n - parts * PART, PART), 0).to(tl.float32)
    # (F8) for many.
    mean = tl.sum(counts * means) / n
    between = counts * (means - mean) * (means - mean)
    var = tl.sum(tl.load(squares_ptr + at, mask=there, other=0.0) + between) / n
    inv_std = 1 / tl.sqrt(var + eps)
    if part == 0:
        tl.store(mean_ptr + c, mean)
        tl.store(inv_std_ptr + c, inv_std)
        old_mean = tl.load(running_mean_ptr + c)
        old_var = tl.load(running_var_ptr + c)
        tl.store(running_mean_ptr + c, old_mean + momentum * (mean - old_mean))
        tl.store(running_var_ptr + c, old_var + momentum * (var * n / (n - 1) - old_var))
    scale = tl.load(gamma_ptr + c) * inv_std
    beta = tl.load(beta_ptr + c)
    lanes = tl.arange(0, BLOCK)
    for start in range(0, PART, BLOCK):
        i = part * PART + start + lanes
        where = _address(i, c, C, HW)
        x = tl.load(x_ptr + where, mask=i < n, other=0.0).to(tl.float32)
        tl.store(y_ptr + where, (x - mean) * scale + beta, mask=i < n)


@triton.jit
def sums_kernel(
    dy_ptr,
    x_ptr,
    mean_ptr,
    inv_std_ptr,
    sums_ptr,
    products_ptr,
    n: tl.constexpr,
    C: tl.constexpr,
    HW: tl.constexpr,
    PART: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The sums of dy and of dy x_hat over a part of a channel."""
    c, part = tl.program_id(0), tl.program_id(1)
    lanes = tl.arange(0, BLOCK)
    mean = tl.load(mean_ptr + c)
    total = tl.zeros((BLOCK,), tl.float32)
    products = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, PART, BLOCK):
        i = part * PART + start + lanes
        where = _address(i, c, C, HW)
        dy = tl.load(dy_ptr + where, mask=i < n, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + where, mask=i < n, other=0.0).to(tl.float32)
        total += dy
        products += dy * (x - mean)
    at = c * tl.num_programs(1) + part
    tl.store(sums_ptr + at, tl.sum(total))
    tl.store(products_ptr + at, tl.sum(products) * tl.load(inv_std_ptr + c))


@triton.jit
def dx_kernel(
    dy_ptr,
    x_ptr,
    gamma_ptr,
    mean_ptr,
    inv_std_ptr,
    sums_ptr,
    products_ptr,
    dx_ptr,
    dgamma_ptr,
    dbeta_ptr,
    n: tl.constexpr,
    C: tl.constexpr,
    HW: tl.constexpr,
    PART: tl.constexpr,
    PARTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """dx of a part of a channel; the program of the first part stores dgamma and dbeta."""
    c, part = tl.program_id(0), tl.program_id(1)
    parts = tl.arange(0, PARTS)
    there = parts < tl.num_programs(1)
    at = c * tl.num_programs(1) + parts
    dbeta = tl.sum(tl.load(sums_ptr + at, mask=there, other=0.0))
    dgamma = tl.sum(tl.load(products_ptr + at, mask=there, other=0.0))
    if part == 0:
        tl.store(dbeta_ptr + c, dbeta)
        tl.store(dgamma_ptr + c, dgamma)
    mean, inv_std = tl.load(mean_ptr + c), tl.load(inv_std_ptr + c)
    scale = tl.load(gamma_ptr + c) * inv_std
    lanes = tl.arange(0, BLOCK)
    for start in range(0, PART, BLOCK):
        i = part * PART + start + lanes
        where = _address(i, c, C, HW)
        dy = tl.load(dy_ptr + where, mask=i < n, other=0.0).to(tl.float32)
        x = tl.load(x_ptr + where, mask=i < n, other=0.0).to(tl.float32)
        x_hat = (x - mean) * inv_std
        tl.store(dx_ptr + where, scale * (dy - (dbeta + x_hat * dgamma) / n), mask=i < n)


def parts_of(n, channels, block):
    """Return (values in a part, parts of a channel): whole blocks, and no part is empty."""
    wanted = min(_MOST_PARTS, max(1, _PROGRAMS // channels), triton.cdiv(n, block))
    size = block * triton.cdiv(triton.cdiv(n, wanted), block)
    return size, triton.cdiv(n, size)


def forward(tensors, sizes, momentum, eps, block, warps):
    """Launch the two kernels of the forward pass.

    Args:
        tensors: x, gamma, beta, running_mean, running_var, and for the results y, mean, inv_std,
            by name.
        sizes: n, C and HW, by name.
        momentum, eps: as in the layer.
        block, warps: how wide a program works, and on how many groups of 32 threads.
    """
    part, parts = parts_of(sizes["n"], sizes["C"], block)
    means, squares = (tensors["mean"].new_empty(sizes["C"] * parts) for _ in range(2))
    shared = {"PART": part, "BLOCK": block, "num_warps": warps, **sizes}
    grid = sizes["C"], parts
    statistics_kernel[grid](tensors["x"], means, squares, **shared)
    pointers = {f"{name}_ptr": tensor for name, tensor in tensors.items()}
    normalise_kernel[grid](
        **pointers,
        means_ptr=means,
        squares_ptr=squares,
        momentum=momentum,
        eps=eps,
        PARTS=triton.next_power_of_2(parts),
        **shared,
    )


def backward(tensors, sizes, block, warps):
    """Launch the two kernels of the backward pass.

    Args:
        tensors: dy, x, gamma, mean, inv_std, and for the results dx, dgamma, dbeta, by name.
        sizes, block, warps: as in ``forward``.
    """
    part, parts = parts_of(sizes["n"], sizes["C"], block)
    sums, products = (tensors["mean"].new_empty(sizes["C"] * parts) for _ in range(2))
    shared = {"PART": part, "BLOCK": block, "num_warps": warps, **sizes}
    grid = sizes["C"], parts
    read = [tensors[name] for name in ("dy", "x", "mean", "inv_std")]
    sums_kernel[grid](*read, sums, products, **shared)
    pointers = {f"{name}_ptr": tensor for name, tensor in tensors.items()}
    dx_kernel[grid](
        **pointers,
        sums_ptr=sums,
        products_ptr=products,
        PARTS=triton.next_power_of_2(parts),
        **shared,
    )
