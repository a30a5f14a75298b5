"""Problem set 6, internal covariate shift on trial: its exercises and their known mistakes.

Each spec drives the student's object through torch, on networks that NumPy computes too.
"""

from bncourse.exercises.ps6_shift.noise import noisy_batchnorm
from bncourse.exercises.ps6_shift.once import normalize_once
from bncourse.exercises.ps6_shift.percentiles import activation_percentiles
from bncourse.exercises.ps6_shift.predictiveness import gradient_predictiveness
from bncourse.exercises.ps6_shift.shift import internal_covariate_shift

EXERCISES = (
    activation_percentiles,
    internal_covariate_shift,
    noisy_batchnorm,
    normalize_once,
    gradient_predictiveness,
)
