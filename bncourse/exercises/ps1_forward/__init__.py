"""Problem set 1, the forward pass in NumPy: its exercises and their known mistakes.

One module per exercise. The mistakes are written as students write them, each whole and on its own:
the sample class hands them in, and the tests prove that each is rejected under its own name.
"""

from bncourse.exercises.ps1_forward import (
    batch_statistics,
    batchnorm_forward,
    batchnorm_inference,
    merge_statistics,
    normalize,
    update_running,
)

EXERCISES = (
    batch_statistics.EXERCISE,
    normalize.EXERCISE,
    batchnorm_forward.EXERCISE,
    update_running.EXERCISE,
    batchnorm_inference.EXERCISE,
    merge_statistics.EXERCISE,
)
