"""The protocol takes every byte from the student's process for forged."""

import io
import json
import socket
import struct
import threading
import time

import numpy as np
import pytest

from bncourse.grading.inside.protocol import (
    BadFrame,
    Channel,
    Closed,
    OutOfTime,
    array_from_bytes,
    array_to_bytes,
)


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    channel = Channel(ours, control_limit=100_000, arrays_limit=100_000)
    yield channel, theirs
    channel.close()
    theirs.close()


def soon():
    return time.monotonic() + 20


def frame(kind, payload, length=None):
    return struct.pack("!cQ", kind, len(payload) if length is None else length) + payload


def announce(*labels):
    return frame(b"J", json.dumps({"arrays": labels}).encode())


def npy(descr="'<f8'", shape="(2,)", data=b"\0" * 16, fortran="False"):
    header = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8", "i8", "u1", "?"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (1, 0, 4)])
def test_arrays_survive_the_journey(ends, dtype, shape):
    channel, theirs = ends
    array = np.arange(np.prod(shape, dtype=int)).astype(dtype).reshape(shape)
    other = Channel(theirs, 10_000, 100_000)
    other.send({"word": "hé"}, {"y": np.array(array, order="F")}, soon())
    message, arrays = channel.receive(soon())
    assert message == {"word": "hé"}
    assert np.array_equal(arrays["y"], array)
    assert arrays["y"].dtype == np.dtype(dtype).newbyteorder("=")
    assert arrays["y"].flags.writeable


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_order_survives_as_in_numpys_own_format(order):
    array = np.array(np.arange(6.0).reshape(2, 3), order=order)
    sent = array_to_bytes(array)
    buffer = io.BytesIO()
    np.save(buffer, array)
    assert np.array_equal(np.load(io.BytesIO(sent)), array)
    for payload in (sent, buffer.getvalue()):
        got = array_from_bytes(payload)
        assert np.array_equal(got, array)
        assert got.flags.f_contiguous == array.flags.f_contiguous


def test_views_are_sent_as_what_they_show():
    array = np.arange(12.0).reshape(3, 4)
    for view in (array[:, ::2], array[::-1], array.T[1:], np.broadcast_to(1.0, (2, 3))):
        assert np.array_equal(array_from_bytes(array_to_bytes(view)), view)


def test_objects_are_never_sent():
    with pytest.raises(ValueError, match="not a plain number"):
        array_to_bytes(np.array([object()]))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"garbage",
        b"\x93NUMPY\x09\x00\x10\x00",
        npy(descr="'|O'"),
        npy(descr="'<c16'"),
        npy(descr="'<U4'"),
        npy(descr="'<M8[s]'"),
        npy(descr="[('a', '<f8')]"),
        npy(descr="('<f8', (2,))", shape="(1,)"),
        npy(descr="__import__('os').getpid()"),
        npy(shape="(3,)"),
        npy(shape="(1,)"),
        npy(shape="(10**12,)"),
        npy(shape="(1099511627776, 1099511627776)"),
        npy(shape="(-2,)"),
        npy(shape="(-1, -2)"),
        npy(shape="(2.0,)"),
        npy(shape="(True, 2)"),
        npy(shape="2"),
        npy(shape="(1, 1, 1, 1, 1, 1, 1, 1, 2)"),
        npy(shape="(" + "1, " * 3000 + "2)"),
        npy(shape="(0, 5)"),
        npy(shape=f"(0, {10**17}, {10**17})", data=b""),
        npy(shape="(" + "9" * 19 + ",)"),
        npy(shape="(2,)\n"),
        npy(shape="(" + "1" * 5000),
        npy(shape="(" + "1, " * 20 + "1" * 18 + "x)"),
        npy(descr="'<f3'"),
        npy(descr="'<f8\\x00'"),
        npy(fortran="None"),
        npy()[:8] + b"\xff\xff" + npy()[10:],
        array_to_bytes(np.ones(3))[:-1],
        array_to_bytes(np.ones(3)) + b"x",
    ],
)
def test_an_npy_header_that_lies_is_a_bad_frame(payload):
    with pytest.raises(BadFrame):
        array_from_bytes(payload)


def test_a_pickled_array_is_not_read():
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(BadFrame):
        array_from_bytes(buffer.getvalue())


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200 OK\r\n",
        frame(b"J", b"", length=2**63),
        frame(b"J", b"x" * 200_000),
        frame(b"J", b"not json"),
        frame(b"J", b"\xff\xfe"),
        frame(b"J", b"[1, 2]"),
        frame(b"J", b"[" * 90_000),
        frame(b"J", b'{"id": ' + b"9" * 5_000 + b', "arrays": []}'),
        frame(b"J", b"{}"),
        frame(b"J", b'{"arrays": "y"}'),
        frame(b"J", b'{"arrays": [1]}'),
        announce("y", "y"),
        announce(*map(str, range(2000))),
        announce("y" * 1000),
        announce("y") + frame(b"J", b"{}"),
        announce("y") + frame(b"A", b"", length=200_000),
        announce("a", "b") + frame(b"A", array_to_bytes(np.zeros(10_000))) * 2,
    ],
)
def test_a_forged_frame_is_a_bad_frame(ends, sent):
    channel, theirs = ends
    # A second thread, since a large forgery does not fit the buffer of the socket.
    sender = threading.Thread(target=_send_and_ignore_errors, args=(theirs, sent))
    sender.start()
    with pytest.raises(BadFrame):
        channel.receive(soon())
    channel.close()
    sender.join()


def _send_and_ignore_errors(sock, data):
    try:
        sock.sendall(data)
    except OSError:
        return


@pytest.mark.parametrize("sent", [b"", b"J", frame(b"J", b"{", length=50), announce("y")])
def test_a_truncated_frame_means_closed(ends, sent):
    channel, theirs = ends
    theirs.sendall(sent)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(Closed):
        channel.receive(soon())


@pytest.mark.parametrize("sent", [b"", b"J", frame(b"J", b"{", length=50), announce("y")])
def test_a_slow_frame_runs_out_of_time(ends, sent):
    channel, theirs = ends
    theirs.sendall(sent)
    with pytest.raises(OutOfTime):
        channel.receive(time.monotonic() + 0.05)


def test_dripping_bytes_do_not_extend_the_deadline(ends):
    channel, theirs = ends
    stop = threading.Event()

    def drip():
        while not stop.wait(0.01):
            _send_and_ignore_errors(theirs, b"\0")

    theirs.sendall(struct.pack("!cQ", b"J", 9_000))
    dripping = threading.Thread(target=drip)
    dripping.start()
    try:
        with pytest.raises(OutOfTime):
            channel.receive(time.monotonic() + 0.2)
    finally:
        stop.set()
        dripping.join()


def test_a_reader_that_does_not_read_runs_out_of_time(ends):
    channel, _ = ends
    with pytest.raises(OutOfTime):
        channel.send({}, {"x": np.zeros(4_000_000)}, time.monotonic() + 0.2)


def test_sending_to_a_dead_process_means_closed(ends):
    channel, theirs = ends
    theirs.close()
    with pytest.raises(Closed):
        channel.send({}, {"x": np.zeros(1_000_000)}, soon())
