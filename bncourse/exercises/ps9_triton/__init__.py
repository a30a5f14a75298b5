"""Problem set 9, optional: batch norm as one fused kernel in Triton, forward and backward.

A kernel is interpreted on the CPU and compiled on a GPU; the check is the same.
"""

import os

# Triton reads it once, when it is imported. Two mistakes at once have no source text, and only the
# interpreter takes a kernel without one.
os.environ.setdefault("TRITON_INTERPRET", "1")

from bncourse.exercises.ps9_triton.backward import backward_kernel
from bncourse.exercises.ps9_triton.forward import forward_kernel

EXERCISES = (forward_kernel, backward_kernel)
