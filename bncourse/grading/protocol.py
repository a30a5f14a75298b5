"""Messages between the grader and the student's process: JSON and plain arrays, no pickle.

A message is one JSON frame, whose ``arrays`` lists labels, and one array frame per label::

    frame = kind (1 byte, J or A) + length (8 bytes, big endian) + payload

The payload of an array frame is a ``.npy`` file. Every byte that comes from the student's process
may be forged, so each length is checked against a cap before anything is allocated, an ``.npy``
header must account for exactly the bytes that follow it, and every wait has a deadline.
"""

import io
import json
import math
import struct
import time

import numpy as np

_HEADER = struct.Struct("!cQ")
_CHUNK = 2**20
_NPY_HEADER_LIMIT = 4096
_MOST_ARRAYS = 64
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
            for part in parts:
                self.sock.settimeout(_remaining(deadline))
                self.sock.sendall(part)
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
        data = bytearray()
        while len(data) < count:
            try:
                self.sock.settimeout(_remaining(deadline))
                chunk = self.sock.recv(min(count - len(data), _CHUNK))
            except TimeoutError:
                raise OutOfTime from None
            except OSError:
                raise Closed from None
            if not chunk:
                raise Closed
            data += chunk
        return bytes(data)


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
    """Return an array as the bytes of an ``.npy`` file; objects are refused."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def array_from_bytes(payload):
    """Return the array in the bytes of an ``.npy`` file, or raise BadFrame.

    The header is checked before anything is allocated: a real dtype of numbers, and a shape that
    accounts for exactly the bytes that follow.
    """
    stream = io.BytesIO(payload)
    try:
        shape, fortran, dtype = _read_npy_header(stream)
    except Exception as error:
        # A forged header reaches NumPy's parser, whose exceptions are of many kinds.
        raise BadFrame(f"not an .npy header: {type(error).__name__}") from None
    _require_plain(shape, dtype)
    rest = memoryview(payload)[stream.tell() :]
    if math.prod(shape) * dtype.itemsize != len(rest):
        raise BadFrame(f"shape {shape} of {dtype} does not account for {len(rest)} bytes")
    flat = np.frombuffer(rest, dtype=dtype).astype(dtype.newbyteorder("="))
    return flat.reshape(shape, order="F" if fortran else "C")


def _read_npy_header(stream):
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    return read(stream, max_header_size=_NPY_HEADER_LIMIT)


def _require_plain(shape, dtype):
    if dtype.kind not in "fiub" or dtype.shape or dtype.hasobject:
        raise BadFrame(f"dtype {dtype} is not a plain number")
    if len(shape) > _MOST_DIMENSIONS or any(type(n) is not int or n < 0 for n in shape):
        raise BadFrame("the shape must be a few non-negative integers")
