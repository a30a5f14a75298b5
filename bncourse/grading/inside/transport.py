"""The inputs of a case as a JSON structure and plain arrays, and back."""

import numpy as np


def encode(inputs, arrays):
    """Return the structure of a mapping of inputs, and add its arrays to ``arrays``.

    >>> arrays = {}
    >>> encode({"eps": 0.5, "x": np.zeros(2)}, arrays)
    {'eps': 0.5, 'x': {'array': ['0', [0]]}}
    >>> arrays
    {'0': array([0., 0.])}
    """
    return {name: _encode(value, arrays) for name, value in inputs.items()}


def _encode(value, arrays):
    if isinstance(value, np.ndarray):
        # The order in memory decides how sums are rounded, so it travels too.
        axes = sorted(range(value.ndim), key=lambda axis: -abs(value.strides[axis]))
        return {"array": [_add(value.transpose(axes), arrays), axes]}
    if isinstance(value, np.generic):
        return {"scalar": _add(np.asarray(value), arrays)}
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_encode(part, arrays) for part in value]}
    if isinstance(value, dict):
        return {"dict": [[key, _encode(part, arrays)] for key, part in value.items()]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"An input must be made of arrays and scalars. Received: {type(value)}.")


def _add(array, arrays):
    label = str(len(arrays))
    arrays[label] = array
    return label


def decode(structure, arrays):
    """Return the inputs that ``encode`` took apart."""
    return {name: _decode(value, arrays) for name, value in structure.items()}


def _decode(value, arrays):
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "array":
        label, axes = content
        return arrays[label].transpose(np.argsort(axes))
    if kind == "scalar":
        return arrays[content][()]
    if kind == "dict":
        return {key: _decode(part, arrays) for key, part in content}
    parts = [_decode(part, arrays) for part in content]
    return tuple(parts) if kind == "tuple" else parts
