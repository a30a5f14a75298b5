"""What the exercises of this set share: their precision, and slips in gamma, beta and eps."""

from types import MappingProxyType

from bncourse.exercise import FLOAT64_TOLERANCE
from bncourse.exercises import hints
from bncourse.exercises.ps3_convolution.families import in_float32, own_eps

# As in problem set 3: float64 is asked for its own digits, beside a case in float32.
TOLERANCE = MappingProxyType({"float64": FLOAT64_TOLERANCE, "float32": 1e-4})

# A case whose mean is near 1e6: its rounding is 1e-10, and E[x^2] - E[x]^2 is off by 1e-4.
NEAR_A_MILLION = MappingProxyType({"rtol": 1e-7, "noisy": True})


def scale_and_shift_slips(slip, see, x_hat="x_hat"):
    """Return the slips of a right solution that ends in ``y = gamma * x_hat + beta``.

    Args:
        slip: the method of the Right solution.
        see: as in Mistake.
        x_hat: the name that the normalised values have there.
    """
    return [
        slip("scale and shift missing", hints.SCALE_AND_SHIFT_NOT_APPLIED, see, y=x_hat),
        slip("gamma missing", hints.GAMMA_MISSING, see, y=f"{x_hat} + beta"),
        slip("beta missing", hints.BETA_MISSING, see, y=f"gamma * {x_hat}"),
        slip("beta scaled", hints.SHIFT_BEFORE_SCALE, see, y=f"gamma * ({x_hat} + beta)"),
        slip(
            "gamma and beta swapped", hints.GAMMA_AND_BETA_SWAPPED, see, y=f"beta * {x_hat} + gamma"
        ),
    ]


__all__ = ["NEAR_A_MILLION", "TOLERANCE", "in_float32", "own_eps", "scale_and_shift_slips"]
