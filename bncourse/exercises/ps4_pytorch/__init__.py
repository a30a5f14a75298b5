"""Problem set 4, batch norm in PyTorch: its exercises and their known mistakes.

Each spec drives the student's object through torch and compares the arrays that come out with
NumPy.
"""

from bncourse.exercises.ps4_pytorch.fold import fold_conv_bn
from bncourse.exercises.ps4_pytorch.function import batchnorm_function
from bncourse.exercises.ps4_pytorch.layer import batchnorm_layer
from bncourse.exercises.ps4_pytorch.recalibrate import recalibrate

EXERCISES = (batchnorm_layer, fold_conv_bn, recalibrate, batchnorm_function)
