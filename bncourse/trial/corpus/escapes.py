"""Hand-ins that reach out of the sandbox: for the network, files, the system, other processes."""

from bncourse.trial.corpus.making import cell

# A secret of the grader: the self-test has it in its environment, and one case looks for it.
CANARY = "BNCOURSE_CANARY"

_NETWORK = """
import socket, urllib.request
for reach in (
    lambda: socket.create_connection(('169.254.169.254', 80), 5),
    lambda: socket.create_connection(('127.0.0.1', 22), 5),
    lambda: socket.getaddrinfo('pypi.org', 443),
    lambda: urllib.request.urlopen('http://example.com', timeout=5),
):
    try:
        reach()
        print('REACH' + 'ED')
    except OSError:
        print('no route')
"""

_READS = """
import os, pathlib
SECRETS = 'gradebook.db', '.course_secret', 'solutions', 'submitted', 'shadow'
for root, folders, files in os.walk('/'):
    folders[:] = [f for f in folders if f not in ('proc', 'usr', 'site-packages')]
    for name in (*folders, *files):
        if name in SECRETS: print('FOU' + 'ND', root, name)
for path in pathlib.Path('/proc').glob('*/environ'):
    try:
        print(path.read_bytes())
    except OSError:
        pass
print(dict(os.environ))
"""

_WRITES = """
import os, sys, numpy
for path in (numpy.__file__, sys.executable, '/etc/passwd', '/usr/bin/evil',
             os.path.dirname(numpy.__file__) + '/evil.py', '/evil',
             '/dev/evil', '/proc/sys/kernel/core_pattern', '/proc/1/mem'):
    try:
        open(path, 'ab').close()
        print('WRO' + 'TE', path)
    except OSError:
        print('refused')
"""

# The flags in a process of one thread: others may not make a user namespace.
_LEAVES = """
import ctypes, os
libc = ctypes.CDLL(None)
for flag in (0x10000000, 0x00020000, 0x20000000):
    if os.fork() == 0: os._exit(libc.unshare(flag) == 0)
    print('ESC' * os.waitstatus_to_exitcode(os.wait()[1]) + 'APED')
done = libc.mount(b'tmpfs', b'/tmp', b'tmpfs', 0, None), libc.umount2(b'/proc', 2)
print('ESC' + 'APED' if 0 in done else 'refused')
!sudo -n id; su -c id; ls -l /proc/1/root/ 2>/dev/null
"""

_KILLS = """
import os, signal
for target in (-1, 1):
    os.kill(target, signal.SIGKILL)
"""


# bpf, perf_event_open, userfaultfd, keyctl, add_key, io_uring_setup, kexec_load, open_by_handle_at.
_EDGES = """
import ctypes
libc = ctypes.CDLL(None)
libc.ptrace.restype = ctypes.c_long
done = [libc.syscall(number, 0, 0, 0, 0, 0) for number in (321, 298, 323, 250, 248, 425, 246, 304)]
print('REA' + 'CHED' if max(done) >= 0 or libc.ptrace(16, 1, 0, 0) == 0 else 'refused')
"""


def cases():
    """Return the cases."""
    return [
        cell(16, "kills every process it can see", _KILLS.strip()),
        cell(25, "network", _NETWORK.strip(), hidden="REACHED"),
        cell(26, "reads files of the instructor", _READS.strip(), hidden=f"FOUND|{CANARY}"),
        cell(27, "writes to the system", _WRITES.strip(), hidden="WROTE"),
        cell(27, "calls what only a kernel's own tools need", _EDGES.strip(), hidden="REACHED"),
        cell(27, "tries to leave the sandbox", _LEAVES.strip(), hidden="ESCAPED|uid=0"),
    ]
