"""Messages between the grader and the student's process: JSON and plain arrays, no pickle.

A message is one JSON frame, whose ``arrays`` lists labels, and one array frame per label::

    frame = kind (1 byte, J or A) + length (8 bytes, big endian) + payload

The payload of an array frame is a ``.npy`` file. Every byte that comes from the student's process
may be forged, so each length is checked against a cap before anything is allocated, an ``.npy``
header must account for exactly the bytes that follow it, and every wait has a deadline.
"""

import json
import math
import re
import struct
import time

import numpy as np

# What process 1 of a submission reports when the inner wall stands, before any student's code.
WALLED = b'{"walled": true}'

_HEADER = struct.Struct("!cQ")
_CHUNK = 2**20
_NPY_START = 10
_NPY = re.compile(
    rb"\x93NUMPY\x01\x00(..)"
    rb"\{'descr': '([<>|][fiub]\d{1,2})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,18}, ?){0,20}\d{0,18})\), \} *\n",
    re.DOTALL,
)
_MOST_ARRAYS = 1000
_MOST_DIMENSIONS = 8
_LONGEST_LABEL = 200


class Closed(Exception):
    """The other side is gone."""


class OutOfTime(Exception):
    """The other side did not answer before the deadline."""


class BadFrame(Exception):
    """The other side broke the protocol: a forged, oversized or inconsistent message."""


class Channel:
    """One end of a stream socket that carries messages.

    Args:
        sock: a connected stream socket; the channel owns it.
        control_limit: the largest JSON frame accepted, in bytes.
        arrays_limit: the most bytes of arrays accepted in one message.
    """

    def __init__(self, sock, control_limit, arrays_limit):
        self.sock = sock
        self.control_limit = control_limit
        self.arrays_limit = arrays_limit
        self._read_ahead = bytearray()

    def close(self):
        """Close the socket."""
        self.sock.close()

    def send(self, message, arrays=None, deadline=None):
        """Send a message.

        Args:
            message: a dict that JSON can hold.
            arrays: ``{label: ndarray}``.
            deadline: the value of ``time.monotonic()`` to give up at; None waits for ever.

        Raises:
            Closed, OutOfTime: the other side does not read.
        """
        arrays = arrays or {}
        parts = [_frame(b"J", json.dumps({**message, "arrays": list(arrays)}).encode())]
        parts += [_frame(b"A", array_to_bytes(array)) for array in arrays.values()]
        try:
            # At once: each write would wake the other side for a few bytes.
            self.sock.settimeout(_remaining(deadline))
            self.sock.sendall(b"".join(parts))
        except TimeoutError:
            raise OutOfTime from None
        except OSError:
            raise Closed from None

    def receive(self, deadline=None):
        """Return the next message and its arrays.

        Raises:
            Closed, OutOfTime, BadFrame: see there.
        """
        message = _parse_json(self._receive_frame(b"J", self.control_limit, deadline))
        labels = _labels(message.pop("arrays", None))
        arrays, left = {}, self.arrays_limit
        for label in labels:
            payload = self._receive_frame(b"A", left, deadline)
            left -= len(payload)
            arrays[label] = array_from_bytes(payload)
        return message, arrays

    def _receive_frame(self, kind, limit, deadline):
        got, length = _HEADER.unpack(self._receive_bytes(_HEADER.size, deadline))
        if got != kind:
            raise BadFrame(f"expected a frame of kind {kind!r}, received {got!r}")
        if length > limit:
            raise BadFrame(f"a frame of {length} bytes is over the limit of {limit}")
        return self._receive_bytes(length, deadline)

    def _receive_bytes(self, count, deadline):
        # The buffer grows with the bytes that arrive: a lying length reserves no memory.
        data = self._read_ahead
        while len(data) < count:
            try:
                self.sock.settimeout(_remaining(deadline))
                chunk = self.sock.recv(_CHUNK)
            except TimeoutError:
                raise OutOfTime from None
            except OSError:
                raise Closed from None
            if not chunk:
                raise Closed
            data += chunk
        taken = bytes(data[:count])
        del data[:count]
        return taken


def _remaining(deadline):
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise OutOfTime
    return left


def _frame(kind, payload):
    return _HEADER.pack(kind, len(payload)) + payload


def _parse_json(payload):
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise BadFrame(f"not JSON: {type(error).__name__}") from None
    if not isinstance(message, dict):
        raise BadFrame("a message must be a JSON object")
    return message


def _labels(labels):
    good = (
        isinstance(labels, list)
        and len(labels) <= _MOST_ARRAYS
        and all(isinstance(label, str) and len(label) <= _LONGEST_LABEL for label in labels)
        and len(set(labels)) == len(labels)
    )
    if not good:
        raise BadFrame("a message must list its arrays by distinct short labels")
    return labels


def array_to_bytes(array):
    """Return an array of numbers as the bytes of an ``.npy`` file; anything else is refused.

    >>> import io
    >>> np.load(io.BytesIO(array_to_bytes(np.eye(2))))
    array([[1., 0.],
           [0., 1.]])
    """
    _require_number(array.dtype, ValueError)
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    kind = array.dtype.str
    fields = f"{{'descr': '{kind}', 'fortran_order': {fortran}, 'shape': {array.shape}, }}"
    # The format wants the data to start at a multiple of 64 bytes.
    length = -(-(_NPY_START + len(fields) + 1) // 64) * 64 - _NPY_START
    start = b"\x93NUMPY\x01\x00" + length.to_bytes(2, "little")
    return start + fields.ljust(length - 1).encode() + b"\n" + array.tobytes("A")


def array_from_bytes(payload):
    """Return the array in the bytes of an ``.npy`` file, or raise BadFrame.

    The header is checked before anything is allocated: a real dtype of numbers, and a shape that
    accounts for exactly the bytes that follow. It must be spelled as ``array_to_bytes`` spells it;
    a pattern reads that faster than a parser of Python, and leaves nothing to exploit.
    """
    found = _NPY.match(payload)
    if not found or int.from_bytes(found[1], "little") != found.end() - _NPY_START:
        raise BadFrame("not an .npy header")
    shape = tuple(int(n) for n in found[4].split(b",") if n.strip())
    if len(shape) > _MOST_DIMENSIONS:
        raise BadFrame(f"an array of {len(shape)} dimensions")
    dtype = _dtype(found[2].decode())
    size = len(payload) - found.end()
    if math.prod(shape) * dtype.itemsize != size:
        raise BadFrame(f"shape {shape} of {dtype} does not account for {size} bytes")
    flat = np.frombuffer(payload, dtype=dtype, offset=found.end())
    order = "F" if found[3] == b"True" else "C"
    try:
        return flat.astype(dtype.newbyteorder("=")).reshape(shape, order=order)
    except ValueError:
        # An array without elements may have larger sides than memory.
        raise BadFrame(f"there is no array of shape {shape}") from None


def _dtype(text):
    try:
        dtype = np.dtype(text)
    except TypeError:
        raise BadFrame(f"there is no dtype {text}") from None
    _require_number(dtype, BadFrame)
    return dtype


def _require_number(dtype, error):
    if dtype.kind not in "fiub" or dtype.shape:
        raise error(f"dtype {dtype} is not a plain number")
