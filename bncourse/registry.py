"""The problem sets of the course, and how to find the spec of an exercise by its name.

The table is static: a name is looked up without importing any set, and neither torch nor Keras.
"""

import contextlib
import importlib
import importlib.util
import os
import pkgutil
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bncourse import reference


@dataclass(frozen=True)
class ProblemSet:
    """One problem set.

    Args:
        name: the module in bncourse.exercises that holds its specs; also its folder.
        number: its place in the course.
        title: the heading of its notebook, after "Exercises N: ".
        notebook: the file name of its notebook, without suffix.
        needs: the packages it needs beside NumPy.
        answers: the modules of bncourse.reference that answer its exercises.
        exercises: the names of its exercises, in order.
    """

    name: str
    number: int
    title: str
    notebook: str
    needs: tuple[str, ...]
    answers: tuple[str, ...]
    exercises: tuple[str, ...]


PROBLEM_SETS = (
    ProblemSet(
        name="ps1_forward",
        number=1,
        title="write the forward pass",
        notebook="forward",
        needs=(),
        answers=("forward",),
        exercises=(
            "batch_statistics",
            "normalize",
            "batchnorm_forward",
            "update_running",
            "batchnorm_inference",
            "merge_statistics",
        ),
    ),
    ProblemSet(
        name="ps2_backward",
        number=2,
        title="write the backward pass",
        notebook="backward",
        needs=(),
        answers=("backward",),
        exercises=(
            "numerical_gradient",
            "batchnorm_backward_staged",
            "batchnorm_backward",
            "batchnorm_jacobian",
            "batchnorm_inference_backward",
        ),
    ),
    ProblemSet(
        name="ps3_convolution",
        number=3,
        title="normalise images and their relatives",
        notebook="convolution",
        needs=(),
        answers=("convolution",),
        exercises=(
            "spatial_batchnorm_forward",
            "spatial_batchnorm_backward",
            "layernorm_forward",
            "layernorm_backward",
            "groupnorm_forward",
            "fold_batchnorm",
        ),
    ),
    ProblemSet(
        name="ps4_pytorch",
        number=4,
        title="write the PyTorch layer",
        notebook="pytorch",
        needs=("torch",),
        answers=("layers",),
        exercises=("BatchNorm", "fold_conv_bn", "recalibrate", "BatchNormFunction"),
    ),
    ProblemSet(
        name="ps5_keras",
        number=5,
        title="write the Keras layer, and put it to use",
        notebook="keras",
        needs=("keras",),
        answers=("layers",),
        exercises=("BatchNormalization", "build_classifier"),
    ),
    ProblemSet(
        name="ps6_shift",
        number=6,
        title="put internal covariate shift on trial",
        notebook="shift",
        needs=("torch",),
        answers=("shift",),
        exercises=(
            "activation_percentiles",
            "internal_covariate_shift",
            "NoisyBatchNorm",
            "normalize_once",
            "gradient_predictiveness",
        ),
    ),
    ProblemSet(
        name="ps7_batches",
        number=7,
        title="normalise small, skewed and split batches",
        notebook="batches",
        needs=("torch",),
        answers=("batches", "layers"),
        exercises=(
            "ghost_batchnorm",
            "batch_renorm_forward",
            "batch_layer_norm",
            "sync_batch_statistics",
            "fix_the_bug_1",
            "fix_the_bug_2",
            "fix_the_bug_3",
            "fix_the_bug_4",
            "fix_the_bug_5",
            "fix_the_bug_6",
            "fix_the_bug_7",
        ),
    ),
    ProblemSet(
        name="ps8_capstone",
        number=8,
        title="put your own layer to work",
        notebook="capstone",
        needs=("torch",),
        answers=("layers", "residual"),
        exercises=("ResidualBlock", "train", "deep_net"),
    ),
)

# What no plan of the course counts on, since it needs what not every machine can have. They are
# checked, released and graded as the others are.
OPTIONAL_SETS = (
    ProblemSet(
        name="ps9_triton",
        number=9,
        title="write the layer as one kernel",
        notebook="triton",
        needs=("torch", "triton"),
        answers=("layers",),
        exercises=("batchnorm_forward_kernel", "batchnorm_backward_kernel"),
    ),
)

ALL_SETS = (*PROBLEM_SETS, *OPTIONAL_SETS)

_BY_NAME = {each.name: each for each in ALL_SETS}
_SET_OF = {name: each for each in ALL_SETS for name in each.exercises}


def problem_sets(optional=False):
    """Return the names of the problem sets, in order.

    Args:
        optional: whether to name the optional ones too.
    """
    return [each.name for each in (ALL_SETS if optional else PROBLEM_SETS)]


def names():
    """Return the names of the exercises that are not optional, in the order of the course."""
    return [name for each in PROBLEM_SETS for name in each.exercises]


def exercises_in(problem_set):
    """Return the names of the exercises of one problem set, in order; it is not imported."""
    return _BY_NAME[problem_set].exercises


def set_of(name):
    """Return the ProblemSet that holds the exercise called ``name``, or None."""
    return _SET_OF.get(name)


def needed_by(problem_set):
    """Return the packages that a problem set needs beside NumPy."""
    return _BY_NAME[problem_set].needs


@cache
def load(problem_set):
    """Return ``{name: Exercise}`` of one problem set.

    Raises:
        MissingPackage: if a package that it needs is missing, or too old to be judged rightly.
    """
    require(problem_set)
    module = importlib.import_module(f"bncourse.exercises.{problem_set}")
    return {exercise.name: exercise for exercise in module.EXERCISES}


def find(name):
    """Return the Exercise called ``name``, or None; only the set that holds it is imported."""
    return load(_SET_OF[name].name)[name] if name in _SET_OF else None


def all_exercises():
    """Return ``{name: Exercise}`` of the whole course, without what is optional."""
    return {name: exercise for each in problem_sets() for name, exercise in load(each).items()}


# --- which answers a notebook may build on ----------------------------------------------------


def open_modules(problem_set):
    """Return the modules of bncourse.reference that work on a problem set may use.

    They answer earlier sets, and neither this one nor a later one. A module that no set declares
    is not among them.
    """
    start = problem_sets(optional=True).index(problem_set)
    earlier = {answer for each in ALL_SETS[:start] for answer in each.answers}
    return tuple(sorted(earlier - {a for each in ALL_SETS[start:] for a in each.answers}))


def closed_modules(exercise):
    """Return the full names of the reference modules that are out of bounds for an exercise.

    Args:
        exercise: its name; where no set holds it, every module is out of bounds.
    """
    home = set_of(exercise)
    opened = open_modules(home.name) if home else ()
    prefix = f"{reference.__name__}."
    return {prefix + name for name in _reference_modules() if name not in opened}


@cache
def _reference_modules():
    return tuple(module.name for module in pkgutil.iter_modules(reference.__path__))


# --- packages ---------------------------------------------------------------------------------

# The oldest versions that were tried with right solutions and every known mistake.
OLDEST = {"numpy": (1, 26), "torch": (2, 6), "keras": (3, 8)}
_TITLES = {"numpy": "NumPy", "torch": "PyTorch", "keras": "Keras", "triton": "Triton"}
# What Keras computes with; the first that is there serves, unless KERAS_BACKEND says otherwise.
BACKENDS = ("torch", "tensorflow", "jax")


class MissingPackage(ImportError):
    """A package is missing, too old or hidden; the message says which, and what to do."""

    def _render_traceback_(self):
        # IPython's hook: show the sentence, not the frames of this package.
        return str(self).splitlines()


def require(problem_set):
    """Do nothing where all is there that a problem set needs.

    Raises:
        MissingPackage: a package that it needs is missing, or too old to be judged rightly; or the
            set is not known here.
    """
    if problem_set not in _BY_NAME:
        raise MissingPackage(
            f"This notebook is newer than the bncourse here, which knows no {problem_set}. "
            "Install the course again, then restart the kernel."
        )
    for package in ("numpy", *needed_by(problem_set)):
        _require(package)


def choose_backend():
    """Have Keras, which chooses its backend when it is first imported, take one that is there."""
    there = [name for name in BACKENDS if _is_there(name)]
    if there:
        os.environ.setdefault("KERAS_BACKEND", there[0])


@contextlib.contextmanager
def told_what_hides():
    """Tell, in place of an import that fails in the block, which file of a student hides a module.

    Python looks for a module beside the program first: a file ``random.py`` there takes the place
    of Python's own, for NumPy too.

    Raises:
        MissingPackage: NumPy is missing, or a file hides it or a module of Python.
    """
    _require_there("numpy")
    try:
        yield
    except Exception as error:
        for path in Path(sys.path[0] if sys.path else "").glob("*.py"):
            loaded = getattr(sys.modules.get(path.stem), "__file__", None) or path
            if path.stem in sys.stdlib_module_names and Path(loaded).resolve() == path.resolve():
                raise MissingPackage(_hides(path, "a module of Python")) from error
        raise


def _hides(path, what):
    return (
        f"A file called {path.name} hides {what} of that name. Rename {path}, then restart the "
        "kernel or the program."
    )


def _require_there(package):
    _require_visible(package)
    if not _is_there(package):
        raise MissingPackage(
            f"This exercise needs {_TITLES[package]}, which is not installed here. "
            f"Install it: pip install {package}",
            name=package,
        )


def _require_visible(package):
    """Raise MissingPackage if a file of the same name hides a package: all of them are folders."""
    with contextlib.suppress(ValueError):
        spec = importlib.util.find_spec(package)
        if spec and spec.origin and spec.submodule_search_locations is None:
            raise MissingPackage(_hides(Path(spec.origin), "the package"), name=package)


def _require(package):
    title = _TITLES[package]
    _require_there(package)
    if package == "keras":
        _require_backend()
    if package not in OLDEST:
        return
    found, oldest = _version(package), ".".join(map(str, OLDEST[package]))
    if tuple(map(int, re.findall(r"\d+", found)[:2])) < OLDEST[package]:
        raise MissingPackage(
            f"{title} must be of version {oldest} or newer. Received: {found}. "
            f'Install it: pip install "{package}>={oldest}", then restart the kernel.'
        )


def _require_backend():
    backend = os.environ.get("KERAS_BACKEND")
    for name in BACKENDS:
        _require_visible(name)
    if backend in BACKENDS and not _is_there(backend):
        raise MissingPackage(
            f"Keras is set to compute with {backend}, which is not installed here. "
            f"Install it: pip install {backend}"
        )
    if not any(map(_is_there, BACKENDS)):
        raise MissingPackage(
            "Keras needs PyTorch, TensorFlow or JAX to compute with, and none is installed here. "
            "Install one: pip install torch"
        )


def _is_there(package):
    try:
        # A mere folder of this name, such as one with data, has no origin.
        return getattr(importlib.util.find_spec(package), "origin", None) is not None
    except ValueError:
        # It is loaded, and was put there without a spec.
        return True


def _version(package):
    loaded = getattr(sys.modules.get(package), "__version__", None)
    if loaded:
        return str(loaded)
    # The import costs more than a look-up of a name, and is needed once.
    from importlib.metadata import version

    return version(package)
