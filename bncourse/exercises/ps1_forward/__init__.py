"""Problem set 1, the forward pass in NumPy: its exercises and their known mistakes.

One module per exercise. A mistake is a slip in the right solution, or a function of its own:
the sample class hands it in, and the tests prove that it is rejected under its own name.
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
