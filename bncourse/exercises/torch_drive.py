"""What the exercises in torch share: calls that watch the input, gradients, options of a model."""

import contextlib
import gc
import itertools

import torch

from bncourse.exercise import FLOAT64_TOLERANCE, Unusable, describe, nested_parts
from bncourse.rules import calls_ready_made

# bfloat16 keeps 8 bits of a number: an output may be off by 2^-8, and the tolerance is ten times
# that. The statistics behind it are kept in float32, and have a tolerance of their own.
TOLERANCE = {"float64": FLOAT64_TOLERANCE, "float32": 1e-3, "bfloat16": 5e-2}


@contextlib.contextmanager
def one_thread():
    """Run torch on one thread, as a block or as a decorator.

    The tensors here are small: on a busy machine the wait for a second thread takes far longer than
    the work.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def tensor(array, device):
    """Return a tensor that holds an array's values in its memory order, apart from it."""
    return torch.from_numpy(array).to(device, copy=True)


def called(function, x, *arguments):
    """Return what ``function`` makes of ``x``; it must leave x, its memory and autograd alone."""
    # A clone can be changed in place where a leaf of the graph cannot: the finding is ours then.
    given = x.clone()
    tracked, needed = torch.is_grad_enabled(), given.requires_grad
    y = function(given, *arguments)
    if not isinstance(y, torch.Tensor):
        raise Unusable(f"The output must be a tensor. Received: {describe(y)}.")
    if torch.is_grad_enabled() is not tracked:
        raise Unusable("It leaves torch's gradient switch changed. That is for the caller to set.")
    if given._version:
        raise Unusable("It changes its input x in place. Work on new tensors.")
    if given.requires_grad is not needed:
        raise Unusable("It changes requires_grad of its input x. That is for the caller to set.")
    if _hooks_on(given) or given.retains_grad:
        raise Unusable(
            "It leaves a hook on its input x, or has it keep its gradient. x is the caller's."
        )
    if y.requires_grad and not tracked:
        raise Unusable(
            "Under torch.no_grad() it makes a graph all the same. That switch is the caller's."
        )
    if y.dtype != x.dtype:
        raise Unusable(f"The output must have the dtype of x, {x.dtype}. Received: {y.dtype}.")
    if not torch.equal(given, x):
        # Through .data, which counts no versions.
        raise Unusable("It changes its input x in place. Work on new tensors.")
    if y.untyped_storage().data_ptr() == given.untyped_storage().data_ptr():
        raise Unusable("Its output shares memory with its input x. Return a new tensor.")
    return y


def require_written(y):
    """Raise Unusable if a ready-made norm has made a tensor, by whatever road it was called.

    The graph of autograd has a node for each operation, also of code that torch has compiled, which
    a watch over calls does not see.

    Args:
        y: a tensor with its graph.
    """
    waiting, seen = [y.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        if "NormBackward" in node.name():
            raise Unusable(calls_ready_made(f"torch operation, {node.name()}"))
        seen.add(node)
        waiting += [after for after, _ in node.next_functions]


@contextlib.contextmanager
def kept_as_leaves(**leaves):
    """Raise Unusable if the block changes what autograd is to do with a tensor.

    Args:
        leaves: tensors by the names that a student knows.
    """
    needed = {name: leaf.requires_grad for name, leaf in leaves.items()}
    yield
    for name, leaf in leaves.items():
        if leaf.requires_grad is not needed[name]:
            raise Unusable(f"It changes requires_grad of {name}. That is for the caller to set.")
        if _hooks_on(leaf):
            raise Unusable(f"It leaves a hook on {name}. {name} is the caller's.")
    if any(leaf.grad is not None for leaf in leaves.values()):
        raise Unusable(
            "It calls backward() itself, and leaves a gradient in .grad. That is for the "
            "training loop: hand on y with its graph."
        )


# What a tool for trained models has no reason to leave changed.
_SETTINGS = ("eps", "momentum", "affine", "track_running_stats", "training")
_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
_HOOKS_OF_PARAMETERS = ("_backward_hooks", "_post_accumulate_grad_hooks")
_HELD = ("_parameters", "_buffers", "_modules")


def settings(model):
    """Return ``{words: value}`` of a model's options, attributes, hooks and trainable weights."""
    found = {}
    for path, module in model.named_modules():
        of = f" of {type(module).__name__}" + (f" ({path})" if path else "")
        found |= {name + of: getattr(module, name) for name in _SETTINGS if hasattr(module, name)}
        found |= {name + of: value for name, value in vars(module).items() if _says(name, value)}
        found["the number of hooks" + of] = _hooks_of(module)
        held = (getattr(module, each) for each in _HELD)
        found["the attributes" + of] = frozenset(vars(module)).union(*held)
        for name, parameter in module.named_parameters(recurse=False):
            found[f"requires_grad of {name}{of}"] = parameter.requires_grad
            found[f"the number of hooks on {name}{of}"] = _hooks_on(parameter)
    return found


def _says(name, value):
    """Return whether an attribute of a module is an option of it, such as inplace of a ReLU."""
    return name[0] != "_" and isinstance(value, bool | int | float | str | tuple)


def hooks(model):
    """Return how many hooks a model holds, those on its parameters included."""
    return sum(map(_hooks_of, model.modules())) + sum(map(_hooks_on, model.parameters()))


def _hooks_of(module):
    return sum(len(getattr(module, name)) for name in _HOOKS)


def _hooks_on(parameter):
    return sum(len(getattr(parameter, name, None) or ()) for name in _HOOKS_OF_PARAMETERS)


def require_settings(model, before):
    """Raise Unusable with the first setting of a model that is not what it was."""
    after = settings(model)
    for words, value in before.items():
        if after.get(words) == value:
            continue
        if isinstance(value, frozenset):
            raise Unusable(_other_attributes(words, value, after.get(words, value)))
        raise Unusable(
            f"It leaves {words} changed. It must be as it was: {value}. "
            f"Received: {after.get(words)}."
        )


def _other_attributes(words, before, after):
    lost, new = sorted(before - after), sorted(after - before)
    what = f"Lost: {lost[0]}" if lost else f"New: {new[0]}"
    return f"It leaves {words} changed. {what}. Keep what you need in variables of your own."


def require_same_parameters(model, before):
    """Raise Unusable if a parameter of a model is another object than before.

    Args:
        model: the module.
        before: ``{name: parameter}``.
    """
    for name, parameter in model.named_parameters():
        if parameter is not before.get(name, parameter):
            raise Unusable(
                f"It puts a new parameter in the place of {name}. An optimizer holds the old one, "
                "and would train that: write into it, with copy_."
            )


def require_same_list(batches, before):
    """Raise Unusable unless a list of batches that was handed in holds the same tensors as before.

    Args:
        batches: the list.
        before: a copy of it.
    """
    if list(map(id, batches)) != list(map(id, before)):
        raise Unusable("It changes the list batches. The caller still needs it: only read from it.")


def require_usable(model):
    """Raise Unusable unless a model can be trained on and saved."""
    for name, value in (*model.named_buffers(), *model.named_parameters()):
        if value.is_inference():
            raise Unusable(
                f"{name} was made under torch.inference_mode(), so the next training step cannot "
                "use it. torch.no_grad() makes plain tensors."
            )
    for name, buffer in model.named_buffers():
        if buffer.requires_grad:
            raise Unusable(f"The buffer {name} is attached to the graph of autograd.")


def kinds(model):
    """Return ``{name: (shape, dtype)}`` of what a model saves."""
    return {name: (tuple(x.shape), x.dtype) for name, x in model.state_dict().items()}


def require_same_kinds(model, before, of=""):
    """Raise Unusable if a model saves other tensors than before.

    Args:
        model: the module.
        before: what ``kinds`` returned.
        of: which module it is, where a student might ask.
    """
    after = kinds(model)
    if after.keys() != before.keys():
        lost, new = sorted(before.keys() - after.keys()), sorted(after.keys() - before.keys())
        what = f"Lost: {lost[0]}" if lost else f"New: {new[0]}"
        raise Unusable(f"The state_dict{of} must hold what it held. {what}.")
    for name, kind in before.items():
        if after[name] != kind:
            raise Unusable(
                f"{name}{of} must keep its shape and dtype, {kind[0]} and {kind[1]}. "
                f"Received: {after[name][0]} and {after[name][1]}."
            )


def require_no_graph(model):
    """Raise Unusable if an attribute of a model or of its parts holds the graph of a batch."""
    for module in model.modules():
        # What a layer puts into its class, all layers share.
        spaces = [vars(module), *map(vars, type(module).__mro__)]
        for name, value in itertools.chain.from_iterable(space.items() for space in spaces):
            for part in nested_parts(value):
                if isinstance(part, torch.Tensor) and part.grad_fn is not None:
                    raise Unusable(
                        f"{_where(name)} holds the graph of autograd: copy.deepcopy fails, and "
                        "what the graph was made of stays in memory."
                    )


@contextlib.contextmanager
def graph_ends(x):
    """Raise Unusable if what the block makes of ``x`` leaves a graph, which no attribute shows.

    Args:
        x: a leaf that requires a gradient. The block must keep nothing that it makes of it.
    """
    node = _node_of(x)
    # As long as a graph that begins at x is there, so is its node, and what is noted on it.
    node.metadata[graph_ends] = True
    yield
    del node
    if graph_ends in _node_of(x).metadata:
        # Two objects that hold each other stay until the next collection.
        gc.collect()
    if graph_ends in _node_of(x).metadata:
        raise Unusable(
            "When the output is gone, its graph is still there: a list or another name outside "
            "holds a tensor of it, and with it the batch. Keep numbers, or what detach() returns."
        )


def _node_of(leaf):
    ((node, _),) = leaf.view_as(leaf).grad_fn.next_functions
    return node


def _where(name):
    return "A buffer" if name == "_buffers" else f"The attribute {name}"


@contextlib.contextmanager
def untouched(**given):
    """Raise Unusable if the block changes one of the tensors that it is given.

    Args:
        given: tensors by the names that a student knows.
    """
    before = {name: value.detach().clone() for name, value in given.items()}
    yield
    for name, value in given.items():
        if value.requires_grad:
            raise Unusable(
                f"It leaves requires_grad of {name} on. The caller still needs {name} as it was: "
                "work on a copy."
            )
        if not torch.equal(value, before[name]):
            raise Unusable(f"It changes {name} in place. Work on new tensors.")


def differentiate(outputs, inputs, vectors=None):
    """Return differentiable gradients of <outputs, vectors>; zeros where there is no path."""
    return _or_zeros(_gradients(outputs, inputs, vectors), inputs)


def differentiate_again(gradients, vectors, inputs):
    """Return the gradients of <gradients, vectors>, by label.

    A random combination of the gradients is one number whose own gradient tests all of them.

    Args:
        gradients: the first gradients, by x, gamma and beta.
        vectors: tensors of the same shapes.
        inputs: dy, x and gamma.
    """
    combination = sum((g * v).sum() for g, v in zip(gradients, vectors, strict=True))
    again = "The gradients that backward returns cannot be differentiated again: "
    if not combination.requires_grad:
        raise Unusable(again + "they are detached, or made outside torch.")
    second = _gradients(combination, inputs)
    if all(gradient is None for gradient in second):
        raise Unusable(again + "no graph leads from them to x, gamma or dy.")
    return dict(zip(SECOND, _or_zeros(second, inputs), strict=True))


def apart(function, leaves, dy, first):
    """Return the gradients where one of x, gamma and beta alone needs one.

    Data needs none, nor does a scale that is frozen. A backward that asks autograd for all three at
    once says aloud that it cannot leave one out. Nothing that is asked for is wrong then, and
    ``first`` stands in for its gradients.

    Args:
        function: of x, gamma and beta.
        leaves: these three, which all need a gradient.
        dy: the gradient that arrives.
        first: the gradients where all three are asked for.
    """
    gradients = []
    for place, leaf in enumerate(leaves):
        given = [each if each is leaf else each.detach() for each in leaves]
        y = called(function, *given)
        if any(each.requires_grad for each in given if each is not leaf):
            raise Unusable(
                "It changes requires_grad of x, gamma or beta. That is for the caller to set."
            )
        gradients += _unless_refused(y, (leaf,), dy, first[place : place + 1])
    return dict(zip(APART, gradients, strict=True))


def _unless_refused(y, inputs, dy, otherwise):
    try:
        return differentiate(y, inputs, dy)
    except Unusable:
        return otherwise


APART = tuple(f"d{name} where {name} alone needs it" for name in ("x", "gamma", "beta"))
FIRST = ("dx", "dgamma", "dbeta")
SECOND = tuple(f"{name} of the double backward" for name in ("dy", "dx", "dgamma"))


def _gradients(outputs, inputs, vectors=None):
    try:
        return torch.autograd.grad(outputs, inputs, vectors, create_graph=True, allow_unused=True)
    except RuntimeError as error:
        sentence = next((s for text, s in _AUTOGRAD.items() if text in str(error)), None)
        if sentence is None:
            raise
        raise Unusable(sentence) from None


# What autograd says in its own words, and what it means here.
_AUTOGRAD = {
    "incorrect number of gradients": (
        "backward must return one gradient for each argument of forward: dx, dgamma, dbeta, and "
        "None for eps."
    ),
    "returned an invalid gradient": (
        "backward must return each gradient in the shape of its argument, and in their order: "
        "dx as x, dgamma as gamma, dbeta as beta."
    ),
    "differentiated Tensors does not require grad": (
        "A tensor that is to get a gradient no longer asks for one: its requires_grad is switched "
        "off. That is for the caller to set."
    ),
    "does not require grad": (
        "The result has no graph: autograd finds no way from it back to the input."
    ),
}


def _or_zeros(gradients, inputs):
    return [
        torch.zeros_like(x) if gradient is None else gradient
        for gradient, x in zip(gradients, inputs, strict=True)
    ]
