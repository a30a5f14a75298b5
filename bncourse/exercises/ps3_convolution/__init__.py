"""Problem set 3, convolutions and relatives in NumPy: its exercises and their known mistakes.

One module per exercise. A mistake is a slip in the right solution, or a function of its own:
the sample class hands it in, and the tests prove that it is rejected under its own name.
"""

from bncourse.exercises.ps3_convolution import (
    fold_batchnorm,
    groupnorm_forward,
    layernorm_backward,
    layernorm_forward,
    spatial_batchnorm_backward,
    spatial_batchnorm_forward,
)

EXERCISES = (
    spatial_batchnorm_forward.EXERCISE,
    spatial_batchnorm_backward.EXERCISE,
    layernorm_forward.EXERCISE,
    layernorm_backward.EXERCISE,
    groupnorm_forward.EXERCISE,
    fold_batchnorm.EXERCISE,
)
