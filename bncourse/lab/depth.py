"""How the size of a signal changes on its way through many random layers."""

import numpy as np

from bncourse.lab.threads import one_thread
from bncourse.reference.forward import batch_statistics, normalize


@one_thread()
def second_moments(
    width: int, depth: int, gain: float, seed: int, batch_norm: bool = False
) -> np.ndarray:
    """Return the mean square of what enters the ReLU of each layer.

    (W3) Each layer is expected to multiply it by gain / 2.

    Args:
        width: units in every layer, and features of the input.
        depth: number of layers.
        gain: width times the variance of the weights.
        seed: of the batch of 100 standard normal examples, and of the weights.
        batch_norm: normalise what enters the ReLU, and measure it after that.

    Returns:
        (depth,) mean squares over examples and units.
    """
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((100, width))
    moments = []
    for _ in range(depth):
        z = a @ rng.normal(0, np.sqrt(gain / width), (width, width))
        if batch_norm:
            z = normalize(z, *batch_statistics(z))
        moments.append((z**2).mean())
        a = np.maximum(z, 0)
    return np.array(moments)
