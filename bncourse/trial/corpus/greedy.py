"""Hand-ins that take more than there is: memory, the GPU, processes, the disk."""

from bncourse.trial.corpus.making import cell, trick

_BOMBS = {"item_seconds": 25.0}


def cases():
    """Return the cases."""
    return [*_memory(), *_shared_memory(), *_gpu(), *_processes(), *_disk()]


def _memory():
    return [
        trick(
            18,
            "memory bomb",
            "a = []",
            "while True: a.append(np.ones(2**22))",
            word="limit: memory",
            limits=_BOMBS,
        ),
        trick(
            18,
            "memory bomb in many processes",
            "import os, time",
            "for _ in range(3): os.fork()",
            "a = np.ones(2**24)",
            "time.sleep(60)",
            word="limit: memory",
            limits=_BOMBS,
        ),
        trick(
            18,
            "memory bomb under a name that is no text",
            "import ctypes",
            "ctypes.CDLL(None).prctl(15, b'\\xff\\xfe', 0, 0, 0)",
            "if __import__('os').fork() == 0: __import__('time').sleep(60)",
            "a = np.ones(2**23)",
            "for _ in range(5): __import__('os').fork()",
            "a += 1",
            "__import__('time').sleep(60)",
            word="limit: memory",
            limits=_BOMBS,
        ),
        trick(
            18,
            "memory files",
            "import os",
            "files = [os.memfd_create('bomb') for _ in range(60)]",
            "for file in files: os.write(file, bytes(2**24))",
            word="limit: calls",
        ),
    ]


def _shared_memory():
    return [
        trick(
            18,
            "shared memory that stays out of sight",
            "import mmap",
            "m = mmap.mmap(-1, 2**26)",
            "m.write(bytes(2**26))",
            "m.madvise(mmap.MADV_DONTNEED)",
            word="limit: calls",
        ),
        trick(
            18,
            "a device of zeros as shared memory",
            "import mmap",
            "zeros = open('/dev/zero', 'r+b', buffering=0)",
            "m = mmap.mmap(zeros.fileno(), 2**26)",
            "m.write(bytes(2**26))",
            "m.madvise(mmap.MADV_DONTNEED)",
            word="error",
        ),
        trick(
            18,
            "memory that only a pipe holds",
            "import ctypes, os",
            "libc = ctypes.CDLL(None, use_errno=True)",
            "held = ctypes.create_string_buffer(4096)",
            "part = (ctypes.c_size_t * 2)(ctypes.addressof(held), 4096)",
            "if libc.vmsplice(os.pipe()[1], part, 1, 0) < 0: raise OSError(ctypes.get_errno())",
            word="error",
        ),
        trick(
            18,
            "memory that only sockets hold",
            "import os, socket, time",
            "for _ in range(4): os.fork()",
            "pairs = [socket.socketpair() for _ in range(110)]",
            "for one, _ in pairs:",
            "    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**23)",
            "    one.setblocking(False)",
            "    try:",
            "        while True: one.send(bytes(2**14))",
            "    except BlockingIOError: pass",
            "time.sleep(60)",
            word="limit: memory",
            limits=_BOMBS,
        ),
        trick(
            18,
            "memory in sockets that nobody accepts",
            "import socket, time",
            "asked = []",
            "for number in range(40):",
            "    asked.append(socket.socket(socket.AF_UNIX))",
            "    asked[-1].bind(f'\\0{number}')",
            "    asked[-1].listen(100)",
            # Each would hold what is sent to it.
            "    for _ in range(90): socket.socket(socket.AF_UNIX).connect(f'\\0{number}')",
            "time.sleep(60)",
            word="limit: memory",
            limits=_BOMBS,
        ),
    ]


def _gpu():
    # What torch says when this happens; no GPU is needed to say it.
    full = "raise RuntimeError('CUDA out of memory. Tried to allocate 80.00 GiB.')"
    broken = "raise RuntimeError('CUDA error: an illegal memory access was encountered')"
    return [
        trick(19, "all memory of the GPU", full, word="limit: gpu"),
        trick(19, "an illegal access on the GPU", broken, word="crashed"),
        cell(19, "an illegal access on the GPU in a cell", broken),
    ]


def _processes():
    return [
        trick(
            20,
            "fork bomb",
            "import os",
            "while True: os.fork()",
            word="limit: pids",
            limits=_BOMBS,
        ),
        trick(
            20,
            "thread bomb",
            "import threading, time",
            "while True: threading.Thread(target=time.sleep, args=(99,), daemon=True).start()",
            word="limit: pids",
        ),
        trick(
            20,
            "zombie flood",
            "import os, time",
            "for _ in range(500):",
            "    if os.fork() == 0: os._exit(0)",
            word="limit: pids",
            limits=_BOMBS,
        ),
    ]


def _disk():
    return [
        *[
            trick(
                21,
                f"fills {folder or 'the working folder'}",
                f"for i in range(999): open(f'{folder}{{i}}', 'wb').write(bytes(2**20))",
                word="limit: disk",
            )
            for folder in ("", "/tmp/", "/dev/shm/")
        ],
        trick(
            21,
            "one large file",
            "with open('/tmp/f', 'wb') as f:",
            "    while True: f.write(bytes(2**20))",
            word="limit: disk",
        ),
    ]
