"""Slips that stand in several exercises of this set, and the precision that all of them ask for."""

from types import MappingProxyType

from bncourse.exercise import FLOAT64_TOLERANCE
from bncourse.exercises import hints
from bncourse.slips import Instead

# Far above the spread of correct solutions in each dtype, and far below what a computation in the
# next lower precision is off by; benchmarks/tolerances.py prints both.
TOLERANCE = MappingProxyType({"float64": FLOAT64_TOLERANCE, "float32": 1e-4})


def own_eps(slip, see, step, formula, before=None):
    """Return the slips that put something else where var + eps stands.

    Args:
        slip: the method of the Right solution.
        see: as in Mistake.
        step: the name of the step.
        formula: its expression, with {} for var + eps.
        before: (name, expression) of a step before it that few slips replace, if there is one. A
            number in the place of eps is then set there, so that the root may be wrong as well.
    """
    return [
        slip(
            "eps subtracted",
            hints.EPS_SUBTRACTED,
            see,
            **{step: formula.format("var - eps")},
        ),
        slip(
            "eps as a floor",
            hints.EPS_AS_A_FLOOR,
            see,
            **{step: formula.format("np.maximum(var, eps)")},
        ),
        *[
            slip(
                f"eps ignored, {value}",
                hints.own_value("eps", value),
                see,
                **_with_eps(value, step, formula, before),
            )
            for value in ("1e-5", "1e-6", "1e-8")
        ],
        slip(
            "small eps raised",
            hints.SMALL_EPS_RAISED,
            see,
            **_with_eps("max(eps, 1e-5)", step, formula, before),
        ),
        slip(
            "another default for eps",
            "eps has another default than the 1e-5 of the task: who leaves eps out gets another "
            "result.",
            see,
            eps="1e-8",
        ),
    ]


def _with_eps(value, step, formula, before):
    if before is None:
        return {step: formula.format(f"var + {value}")}
    name, expression = before
    return {name: Instead(f"eps = {value}\n{name} = {expression}")}


def cancelling(slip, see, x, axes):
    """Return the slips that take the variance as E[x^2] - E[x]^2.

    Args:
        slip, see: as in ``own_eps``.
        x: the name of what is squared.
        axes: the expression of the axes that are reduced.
    """

    def means(of):
        mean = f"{of}.mean(axis={axes}, keepdims=True)"
        return f"({of}**2).mean(axis={axes}, keepdims=True) - {mean}**2"

    return [
        slip("cancellation", hints.CANCELLATION, see, var=means(x)),
        slip(
            "cancellation in float64",
            hints.CANCELLATION_IN_FLOAT64,
            see,
            var=f"({means(f'{x}.astype(np.float64)')}).astype({x}.dtype)",
        ),
    ]


def in_float32(slip, see, what, rounded, inside):
    """Return the slips that keep seven digits where sixteen are asked.

    Args:
        slip, see: as in ``own_eps``.
        what: the beginning of a sentence on what is rounded, such as "The images are".
        rounded: the steps that round an argument and compute in its dtype all the same.
        inside: the steps that compute in float32.
    """
    return [
        slip(
            "rounded to float32",
            f"{what} rounded to float32, which keeps seven digits. Compute in the dtype of the "
            "arguments.",
            see,
            **rounded,
        ),
        slip(
            "float32 inside",
            "float64 goes in, and float32 is what you compute with: it keeps seven digits. Compute "
            "in the dtype of the arguments.",
            see,
            **inside,
        ),
    ]
