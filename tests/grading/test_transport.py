"""The inputs of a case arrive in the sandbox as they were sent."""

import numpy as np
import pytest

from bncourse.grading.inside.transport import decode, encode


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 3, 1, 2), (3, 2, 1, 0)])
def test_the_order_in_memory_travels(axes):
    sent = np.arange(24.0).reshape(1, 2, 3, 4).transpose(axes)
    arrays = {}
    structure = encode({"x": sent}, arrays)
    # What carries the arrays keeps their values and their shape only.
    received = decode(structure, {label: np.array(a, order="C") for label, a in arrays.items()})
    assert np.array_equal(received["x"], sent)
    assert received["x"].strides == sent.strides


def test_a_scalar_is_no_array():
    arrays = {}
    structure = encode({"eps": np.float32(0.5), "groups": 3}, arrays)
    received = decode(structure, arrays)
    assert type(received["eps"]) is np.float32
    assert received == {"eps": 0.5, "groups": 3}
