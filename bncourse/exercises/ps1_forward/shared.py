"""What the exercises of the NumPy sets share: their tolerance, and constants people write."""

from types import MappingProxyType

from bncourse.exercise import FLOAT64_TOLERANCE
from bncourse.exercises import hints
from bncourse.slips import Instead

# benchmarks/tolerances.py prints both sides of the gap.
TOLERANCE = MappingProxyType({"float64": FLOAT64_TOLERANCE, "float32": 1e-3})

# Written into the code where the argument belongs, by the name of the mistake.
OWN_EPS = MappingProxyType(
    {
        "eps ignored": "1e-5",
        "eps ignored, 1e-6": "1e-6",
        "eps ignored, 1e-7": "1e-7",
        "eps ignored, 1e-8": "1e-8",
    }
)


def own_eps(slip, see, step, formula):
    """Return the slips that set eps themselves, or raise a small one.

    Args:
        slip: the method of the Right solution.
        see: as in Mistake.
        step: the name of a step that few slips replace. eps is set before it and not under the
            root, so that the root may be wrong as well.
        formula: what stands in that step.
    """

    def with_eps(name, hint, eps):
        return slip(name, hint, see, **{step: Instead(f"eps = {eps}\n{step} = {formula}")})

    return [
        *[with_eps(name, hints.own_value("eps", eps), eps) for name, eps in OWN_EPS.items()],
        with_eps("small eps raised", hints.SMALL_EPS_RAISED, "max(eps, 1e-5)"),
    ]
