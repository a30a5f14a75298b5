"""The inner wall: what a process does to itself before it runs a student's code.

It answers these threats: two submissions that see or signal each other (own user, PID, IPC,
network and mount namespaces), files left for the next one (own temporary folders, gone with the
job), bombs of memory, disk, processes and open files (limits), and regaining rights (no
capabilities, no set-user-id programs, no further namespaces).
"""

import ctypes
import fcntl
import os
import resource
import signal
import socket
import struct
import sys
from pathlib import Path

from bncourse.grading.inside.seccomp import refuse_calls

_LIBC = ctypes.CDLL(None, use_errno=True)

_NEWNS, _NEWCGROUP, _NEWUTS = 0x00020000, 0x02000000, 0x04000000
_NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 0x08000000, 0x10000000, 0x20000000, 0x40000000
_ALL = _NEWNS | _NEWCGROUP | _NEWUTS | _NEWIPC | _NEWUSER | _NEWPID | _NEWNET

_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND_REC, _MS_PRIVATE_REC = 2, 4, 8, 0x5000, 0x44000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 4, 24, 38
_CAPABILITY_VERSION_3 = 0x20080522
# What a connection may hold: the least, the first and the most bytes. By itself it grows to
# megabytes, which the watch outside counts as one plain socket.
_TCP_BUFFERS = {"tcp_rmem": "4096 131072 131072", "tcp_wmem": "4096 65536 131072"}

# Terminals of one submission: the machine has some thousands for all.
_TERMINAL_OPTIONS = "newinstance,ptmxmode=0666,mode=620,max=16"

# The flags of a network interface, and the first of them.
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1

UNPRIVILEGED = 65534

_MOST_SIGNALS = 1024


def drop_root():
    """Become nobody where the grader runs as root, since limits do not bind root."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
        os.setresuid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
        # Without this the files of the process in /proc would belong to root.
        _prctl(_PR_SET_DUMPABLE, 1)


def enter_namespaces():
    """Enter new namespaces of every kind; children are in the PID namespace, this process not."""
    uid, gid = os.getuid(), os.getgid()
    _check(_LIBC.unshare(_ALL), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{UNPRIVILEGED} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{UNPRIVILEGED} {gid} 1")
    _raise_loopback()


def _raise_loopback():
    """Let the processes of one submission talk: a new network namespace has its loopback down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        found = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        flags = struct.unpack("16sH14x", found)[1]
        if not flags & _IFF_UP:
            up = struct.pack("16sH14x", b"lo", flags | _IFF_UP)
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, up)


def furnish(disk, kept=()):
    """Mount a fresh /proc and empty temporary folders, and work in one of them.

    Args:
        disk: the size of each temporary folder in bytes.
        kept: folders that stay visible, though they may be in a temporary folder.
    """
    flags = _MS_NOSUID | _MS_NODEV
    kept = {folder: os.open(folder, os.O_PATH) for folder in kept if folder.startswith("/tmp/")}
    _mount(None, "/", None, _MS_PRIVATE_REC)
    _mount("proc", "/proc", "proc", flags | _MS_NOEXEC)
    # A submission needs no namespaces, and making them is the usual first step of an escape.
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
    for name, sizes in _TCP_BUFFERS.items():
        Path("/proc/sys/net/ipv4", name).write_text(sizes)
    # These count for the user of all submissions, who has some hundred.
    Path("/proc/sys/user/max_inotify_instances").write_text("16")
    # Mapped into memory it is memory that nobody can count; see ``seccomp``.
    _mount("/dev/null", "/dev/zero", None, _MS_BIND_REC)
    _mount("devpts", "/dev/pts", "devpts", _MS_NOSUID | _MS_NOEXEC, _TERMINAL_OPTIONS)
    for folder in ("/tmp", "/dev/shm"):
        _mount("tmpfs", folder, "tmpfs", flags, f"size={disk},nr_inodes=10k,mode=700")
    for folder, descriptor in kept.items():
        os.makedirs(folder)
        _mount(f"/proc/self/fd/{descriptor}", folder, None, _MS_BIND_REC)
        os.close(descriptor)
    os.mkdir("/tmp/work")
    os.chdir("/tmp/work")


def limit(memory, disk, processes, open_files, cpu_seconds):
    """Set the limits of this process and its children; see Limits for the units.

    ``processes`` may be None: outside a user namespace of its own the limit would count every
    process of the user. ``memory`` may be None: CUDA reserves far more addresses than it uses.
    """
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    addresses = None if memory is None else used + memory
    for what, value in {
        resource.RLIMIT_AS: addresses,
        resource.RLIMIT_FSIZE: disk,
        resource.RLIMIT_NPROC: processes,
        resource.RLIMIT_NOFILE: open_files,
        resource.RLIMIT_CPU: int(cpu_seconds) + 1,
        # At 0 a program of the machine that collects crashes still runs; at 1 it does not.
        resource.RLIMIT_CORE: 1,
        resource.RLIMIT_MEMLOCK: 0,
        # A machine may let its users go before others.
        resource.RLIMIT_RTPRIO: 0,
        resource.RLIMIT_NICE: 0,
        # They wait in the kernel, and count for the user of all submissions.
        resource.RLIMIT_SIGPENDING: _MOST_SIGNALS,
        resource.RLIMIT_MSGQUEUE: 0,
    }.items():
        if value is not None:
            resource.setrlimit(what, (value, value))
    # If the machine runs out of memory all the same, this process goes first.
    Path("/proc/self/oom_score_adj").write_text("1000")


def drop_capabilities():
    """Give up, for good, every right that the new user namespace came with."""
    for capability in range(64):
        # The kernel knows fewer than 64 and refuses the rest.
        _LIBC.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _check(_LIBC.capset(header, nothing), "capset")
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def die_with_parent():
    """Have the kernel kill this process when its parent ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def hide():
    """Let no other process of the submission look into this one or take its descriptors."""
    _prctl(_PR_SET_DUMPABLE, 0)


def show():
    """Undo ``hide``: of a process that cannot be looked into, /proc shows itself nothing either."""
    _prctl(_PR_SET_DUMPABLE, 1)


def close_all_but(descriptors):
    """Close every inherited descriptor but these, and point the standard ones at nothing."""
    nothing = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    kept = sorted({0, 1, 2, *descriptors})
    for below, above in zip(kept, [*kept[1:], None], strict=True):
        os.closerange(below + 1, above if above is not None else _most_descriptors())


def _most_descriptors():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _mount(source, target, kind, flags, options=None):
    words = [word.encode() if word else None for word in (source, target, kind)]
    data = options.encode() if options else None
    _check(_LIBC.mount(*words, ctypes.c_ulong(flags), data), f"mount {target}")


def _prctl(option, value):
    _check(_LIBC.prctl(option, value, 0, 0, 0), f"prctl {option}")


def _check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _trial():
    """Go through every step once; run by ``sandbox.require`` inside the outer wall."""
    drop_root()
    enter_namespaces()
    child = os.fork()
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    furnish(2**20)
    limit(memory=2**30, disk=2**20, processes=64, open_files=64, cpu_seconds=10)
    drop_capabilities()
    refuse_calls()
    close_all_but([])
    os._exit(0)


if __name__ == "__main__":
    _trial()
