"""Problem set 2, the backward pass in NumPy: its exercises and their known mistakes.

One module per exercise. A mistake is a slip in the right solution, or a function of its own:
the sample class hands it in, and the tests prove that it is rejected under its own name.
"""

from bncourse.exercises.ps2_backward import (
    batchnorm_backward,
    batchnorm_backward_staged,
    batchnorm_inference_backward,
    batchnorm_jacobian,
    numerical_gradient,
)

EXERCISES = (
    numerical_gradient.EXERCISE,
    batchnorm_backward_staged.EXERCISE,
    batchnorm_backward.EXERCISE,
    batchnorm_jacobian.EXERCISE,
    batchnorm_inference_backward.EXERCISE,
)
