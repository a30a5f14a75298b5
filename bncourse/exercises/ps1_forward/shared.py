"""What the exercises of the NumPy sets share: their tolerance, and constants people write."""

from types import MappingProxyType

# Each has a case in float32, so float64 is asked for float64's own digits: float32 arithmetic
# inside is off by 1e-8 at least. benchmarks/tolerances.py prints both sides of the gap.
TOLERANCE = MappingProxyType({"float64": 1e-9, "float32": 1e-3})

# Written into the code where the argument belongs, by the name of the mistake.
OWN_EPS = MappingProxyType(
    {"eps ignored": "1e-5", "eps ignored, 1e-6": "1e-6", "eps ignored, 1e-8": "1e-8"}
)
