"""What the exercises of the NumPy sets share: their tolerance, and constants people write."""

from types import MappingProxyType

from bncourse.exercise import FLOAT64_TOLERANCE

# benchmarks/tolerances.py prints both sides of the gap.
TOLERANCE = MappingProxyType({"float64": FLOAT64_TOLERANCE, "float32": 1e-3})

# Written into the code where the argument belongs, by the name of the mistake.
OWN_EPS = MappingProxyType(
    {"eps ignored": "1e-5", "eps ignored, 1e-6": "1e-6", "eps ignored, 1e-8": "1e-8"}
)
