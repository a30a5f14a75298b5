"""Hand-ins that speak to the grader in the name of the runner."""

from bncourse.trial.corpus.answers import HEAD, SOLUTIONS, TARGET, everywhere
from bncourse.trial.corpus.cheats import cheat
from bncourse.trial.corpus.making import answering, cell, trick

_NOISE = """
import os
for fd in range(3, 64):
    try: os.write(fd, b'\\x00' * 4096)
    except OSError: pass
"""

_LIES = """
from bncourse.grading.inside.runner import Runner
def lie(self, message, arrays):
    answer = {'error': None, 'message': '', 'rules': [], 'printed': ''}
    return {'attempts': [answer] * len(message['cases'])}, {}
Runner.do_attempt = lie
"""


_ENDLESS = r"""
import bncourse.grading.inside.protocol as protocol
fields = b"{'descr': '<f8', 'fortran_order': False, 'shape': (0, %d, %d), }" % (10**17, 10**17)
start = b'\x93NUMPY\x01\x00' + (118).to_bytes(2, 'little')
protocol.array_to_bytes = lambda array: start + fields.ljust(117) + b'\n'
"""


# The socket on which process 1 says how the runner ended, had by pidfd_open and pidfd_getfd.
_ENDS = """
import ctypes, os, socket
call = ctypes.CDLL(None).syscall
one = call(434, 1, 0)
for fd in range(3, 64):
    taken = call(438, one, fd, 0)
    if taken >= 0:
        try: socket.socket(fileno=taken).send(b'{"ended": 77}')
        except OSError: pass
os._exit(5)
"""


def cases():
    """Return the cases."""
    return [
        trick(
            37,
            "tells another end than its own",
            *_ENDS.strip().splitlines(),
            word="crashed",
            says="exit code 5",
        ),
        trick(
            37,
            "closes every descriptor",
            "import os",
            "os.closerange(0, 256)",
            word="crashed",
        ),
        cheat(37, "writes noise into every descriptor", _NOISE, flag="a cell: tamper"),
        writes(
            37,
            "answers in the name of the runner",
            "struct.pack('!cQ', b'J', len(text)) + text",
            'text = b\'{"id": "x", "attempts": [], "arrays": []}\'',
        ),
        *_malformed(),
        writes(37, "claims a frame of 8 exabytes", "struct.pack('!cQ', b'J', 2**63)"),
        answering(
            37,
            "an array without elements and with endless sides",
            {},
            everywhere("crashed"),
            before=[_ENDLESS.strip()],
            flag="tamper",
        ),
        answering(
            37, "patches the runner in memory", {}, everywhere("wrong"), before=[_LIES.strip()]
        ),
    ]


def _malformed():
    """Return cases with an output that is none; nobody may read what it says in its place."""
    says = {"output_type": "[/x]"}, {"output_type": "display_data", "data": ["[/x]"]}
    forge, other = (f"get_ipython().recorder.outputs.append({output})" for output in says)
    hidden = {"flag": "tamper", "hidden": "[/x]"}
    return [
        cell(37, "an output of no known type", forge, **hidden),
        cell(37, "an output without data", other, **hidden),
        answering(
            37,
            "an output of no known type, in the cell of an answer",
            {TARGET: f"{SOLUTIONS[TARGET]}\n\n{forge}"},
            {TARGET: "crashed"},
            **hidden,
        ),
    ]


def writes(number, name, frame, *lines):
    """Return a case whose target writes a frame into every descriptor that it finds."""
    source = "\n    ".join(
        [
            HEAD,
            "import os, struct",
            *lines,
            "for fd in range(3, 64):",
            f"    try: os.write(fd, {frame})",
            "    except OSError: pass",
            "return x",
        ]
    )
    return answering(number, name, {TARGET: source}, {TARGET: "crashed"}, flag="tamper")
