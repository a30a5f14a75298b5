"""What the exercises of the capstone share: parts that are handed to the student's object."""

import contextlib

import torch
from torch import nn

from bncourse.exercise import FLOAT64_TOLERANCE, Unusable, describe
from bncourse.exercises.torch_drive import settings

TOLERANCE = {"float64": FLOAT64_TOLERANCE, "float32": 1e-3}


class Centring(nn.Module):
    """A norm that divides by nothing: y = weight (x - mean of the batch) + bias."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.ran_in_training = True

    def forward(self, x):
        self.ran_in_training = self.training
        return self.weight * (x - x.mean(0)) + self.bias


@contextlib.contextmanager
def seeded(seed):
    """Start torch's random state from a seed in a block, and put it back after it."""
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed notes the stack for each kind of device, which takes longer than a net.
        torch.default_generator.manual_seed(seed)
        yield


def require_drawn(made, make, seed):
    """Raise Unusable unless what is made starts from torch's random state.

    Args:
        made: a module that was made from a seed.
        make: of a seed, a module.
        seed: a whole number.
    """
    first = dict(made.named_parameters())
    one, other = (dict(make(each).named_parameters()) for each in (seed, seed + 1))
    for name, value in one.items():
        if name in first and not torch.equal(value, first[name]):
            raise Unusable(
                f"{name} starts with other numbers though torch's random state is the same, so "
                "that no run can be repeated. Draw it from that state."
            )
        # What starts at a constant is the same at each seed.
        constant = bool((value == value.flatten()[0]).all())
        if not constant and name in other and torch.equal(value, other[name]):
            raise Unusable(
                f"{name} starts the same whatever torch's random state is, so that all runs begin "
                "alike. Draw it from that state, and set no seed: the caller does."
            )


def require_names(found, asked):
    """Raise Unusable unless an object has the parameters that it must have, and no others."""
    kinds = [
        ("Missing", [name for name in asked if name not in found]),
        ("Too many", [name for name in found if name not in asked]),
    ]
    differences = [f"{word}: {listed(names)}." for word, names in kinds if names]
    if differences:
        raise Unusable(f"Its parameters must be those of the table. {' '.join(differences)}")


def require_saved(module, asked):
    """Raise Unusable if a module saves more than what it must have, or leaves a hook on itself."""
    more = [name for name in module.state_dict() if name not in asked]
    if more:
        raise Unusable(
            f"state_dict() must hold the names of the table only, so that checkpoints load. "
            f"Received also: {listed(more)}."
        )
    require_no_hook(module)


def require_no_hook(module):
    """Raise Unusable if something runs in every pass of a module unasked."""
    if any(value for words, value in settings(module).items() if "hooks" in words):
        raise Unusable("It leaves a hook on the module, which runs in every pass.")


def listed(names):
    """Return the first names of a list, and how many follow: grading cuts off a long message."""
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more


def require_module(made, what):
    """Raise Unusable unless something is a torch.nn.Module."""
    if not isinstance(made, nn.Module):
        raise Unusable(f"{what} must be a torch.nn.Module. Received: {describe(made)}.")


def load(module, arrays):
    """Put arrays into the parameters and buffers of a module, by their names."""
    state = dict(module.named_parameters()) | dict(module.named_buffers())
    with torch.no_grad():
        for name, array in arrays.items():
            given = torch.from_numpy(array)
            if state[name].shape != given.shape:
                raise Unusable(
                    f"{name} must have shape {tuple(given.shape)}. "
                    f"Received: shape {tuple(state[name].shape)}."
                )
            state[name].copy_(given)
