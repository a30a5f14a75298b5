"""System calls that the kernel refuses a submission.

It answers two threats. Memory that nobody can count: memory files, the shared memory of System V
and shared memory without a file stay while no process has them in its tables, and pages in a pipe
belong to nobody, so neither a limit nor the watch sees them; what waits in a socket is nobody's
either, so its buffer keeps the size that the watch counts; locks on parts of a file are the
kernel's, as many as there are bytes. Ways around the namespaces: keys that the kernel keeps outlive
a submission, and the next one or the grader's user shares them; sockets to the host of a virtual
machine know no network namespace; a ring makes calls unfiltered; a few further calls, such as that
of a debugger, are there to take over other programs or the kernel, and no answer needs them.
"""

import ctypes
import errno
import os
import platform
import struct

# By machine: its number for the audit, those of socket, mmap, setsockopt and fcntl, and
# memfd_create, memfd_secret, shmget, msgget, semget, add_key, request_key, keyctl, io_uring_setup,
# vmsplice, io_setup, ptrace, bpf, perf_event_open, userfaultfd.
_CALLS = {
    "x86_64": (
        *(0xC000003E, 41, 9, 54, 72),
        (319, 447, 29, 68, 64, 248, 249, 250, 425, 278, 206, 101, 321, 298, 323),
    ),
    "aarch64": (
        *(0xC00000B7, 198, 222, 208, 25),
        (279, 447, 194, 186, 190, 217, 218, 219, 425, 75, 0, 117, 280, 241, 282),
    ),
}
_AF_VSOCK = 40
# MAP_SHARED and MAP_ANONYMOUS among the flags of mmap.
_SHARED_MEMORY = 0x21
# SOL_SOCKET, and of its options SO_SNDBUF, SO_RCVBUF, SO_SNDBUFFORCE, SO_RCVBUFFORCE.
_SOL_SOCKET, _BUFFERS = 1, (7, 8, 32, 33)
# F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW.
_LOCKS = (6, 7, 37, 38)
# A number that no call has, below those of x32.
_NO_CALL = 0x3FFFFFFF
# Above it are the calls of the x32 interface: the same under other numbers.
_X32 = 0x40000000

_LOAD, _EQUAL, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
# Where the filter finds them; of an argument its lower half, which is all of an int.
_NUMBER, _MACHINE, _FIRST, _SECOND, _THIRD, _FOURTH = 0, 4, 16, 24, 32, 40
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | errno.ENOSYS, 0x80000000
# The call does nothing and says that all went well: honest programs ask for larger buffers and lock
# their files, too.
_IGNORE = 0x00050000
_PR_SET_SECCOMP, _FILTER = 22, 2

_LIBC = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))


def refuse_calls(shared_memory=False):
    """Have the kernel answer ENOSYS to these from now on; needs PR_SET_NO_NEW_PRIVS.

    Args:
        shared_memory: whether shared memory without a file is left to the watch: CUDA shares some
            with its driver.

    Raises:
        OSError: on a machine of another kind, or if the kernel has no filters.
    """
    if platform.machine() not in _CALLS:
        raise OSError(
            errno.ENOSYS,
            f"the sandbox knows the machines {sorted(_CALLS)}. Received: {platform.machine()}",
        )
    machine, socket, mmap, setsockopt, fcntl, calls = _CALLS[platform.machine()]
    mmap = _NO_CALL if shared_memory else mmap
    code = _program(machine, socket, mmap, setsockopt, fcntl, calls)
    packed = b"".join(struct.pack("HBBI", *line) for line in code)
    held = ctypes.create_string_buffer(packed, len(packed))
    program = _Program(len(code), ctypes.addressof(held))
    if _LIBC.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")


def _program(machine, socket, mmap, setsockopt, fcntl, calls):
    """Return the filter as lines of (operation, lines to skip if true, if false, operand)."""
    # Label of the line, operation, label to go to if true, if false ("": the next line), operand.
    lines = [
        ("", _LOAD, "", "", _MACHINE),
        ("", _EQUAL, "", "kill", machine),
        ("", _LOAD, "", "", _NUMBER),
        ("", _AT_LEAST, "refuse", "", _X32),
        *(("", _EQUAL, "refuse", "", call) for call in calls),
        ("", _EQUAL, "socket", "", socket),
        ("", _EQUAL, "mmap", "", mmap),
        ("", _EQUAL, "lock", "", fcntl),
        ("", _EQUAL, "option", "allow", setsockopt),
        ("socket", _LOAD, "", "", _FIRST),
        ("", _EQUAL, "refuse", "allow", _AF_VSOCK),
        ("mmap", _LOAD, "", "", _FOURTH),
        ("", _AND, "", "", _SHARED_MEMORY),
        ("", _EQUAL, "refuse", "allow", _SHARED_MEMORY),
        ("option", _LOAD, "", "", _SECOND),
        ("", _EQUAL, "", "allow", _SOL_SOCKET),
        ("", _LOAD, "", "", _THIRD),
        *(("", _EQUAL, "ignore", "", option) for option in _BUFFERS),
        ("allow", _RETURN, "", "", _ALLOW),
        ("lock", _LOAD, "", "", _SECOND),
        *(("", _EQUAL, "ignore", "", command) for command in _LOCKS),
        ("", _RETURN, "", "", _ALLOW),
        ("refuse", _RETURN, "", "", _REFUSE),
        ("ignore", _RETURN, "", "", _IGNORE),
        ("kill", _RETURN, "", "", _KILL),
    ]
    places = {label: place for place, (label, *_) in enumerate(lines)}
    return [
        (operation, *(places[to] - place - 1 if to else 0 for to in (yes, no)), operand)
        for place, (_, operation, yes, no, operand) in enumerate(lines)
    ]
