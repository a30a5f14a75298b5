"""Problem set 8, the capstone: a residual block, training, a deep net on the student's layer."""

from bncourse.exercises.ps8_capstone.block import residual_block
from bncourse.exercises.ps8_capstone.net import deep_net
from bncourse.exercises.ps8_capstone.training import train

EXERCISES = (residual_block, train, deep_net)
