"""The tolerance of the exercises that return gradients."""

from bncourse.exercise import DEFAULT_TOLERANCE

# Sums over the batch cancel in part, so float32 arithmetic inside is off by some 1e-6, too close to
# the default; the smallest mistake is off by 0.1.
GRADIENT_TOLERANCE = DEFAULT_TOLERANCE | {"float64": 1e-4}
