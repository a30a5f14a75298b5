"""Hand-ins that flood the notebook, leave things running or wait for somebody."""

from bncourse.trial.corpus.making import cell, trick

_CUT = "[the output is cut here]"

# The process of a submission counts what it shows, and can leave that out.
_FORGED_TEXT = """
text = {"output_type": "stream", "name": "stdout", "text": "forged" + "x" * 2**14}
get_ipython().recorder.outputs += [text] * 100
"""

# 1.9 MiB in base64, which is as much as one cell may show.
_PICTURE = """
import base64
from IPython.display import display
def picture(size):
    head = b'\\x89PNG\\r\\n\\x1a\\n\\0\\0\\0\\rIHDR' + 2 * size.to_bytes(4, 'big')
    return base64.b64encode(head + bytes(1_493_984)).decode()
PICTURE = picture(600)
def show(): display({'image/png': PICTURE}, raw=True)
"""


def cases():
    """Return the cases."""
    return [*_floods(), *_left_behind(), *_questions()]


def _floods():
    lines = '"\\n".join(str(i) for i in range(1000))'
    return [
        trick(22, "a thousand lines", f"print({lines})"),
        cell(22, "a flood of text", "for _ in range(10**5): print('x' * 10**4)", shows=_CUT),
        cell(
            22,
            "a flood of displays",
            "from IPython.display import display\nfor i in range(10**5): display(i)",
            shows=_CUT,
        ),
        cell(22, "a huge traceback", "raise ValueError('x' * 10**8)", shows=_CUT),
        cell(22, "outputs past the recorder", _FORGED_TEXT.strip(), shows="forged"),
        cell(22, "many large pictures", _PICTURE.strip(), *150 * ["show()"], shows="image/png"),
        cell(
            22,
            "a picture of a billion pixels",
            _PICTURE.strip(),
            "PICTURE = picture(32_000)",
            "show()",
            hidden="image/png",
        ),
        trick(22, "a huge exception", "raise ValueError('x' * 10**8)", word="error"),
        cell(22, "terminal codes", "print('\\x1b[31m\\x1b]0;title\\x07' * 10**5)", hidden="\\x1b"),
    ]


def _left_behind():
    return [
        cell(
            23,
            "leaves processes and threads behind",
            "import subprocess, threading, time, atexit\n"
            "subprocess.Popen(['sleep', '9999'], start_new_session=True)\n"
            "threading.Thread(target=time.sleep, args=(9999,)).start()\n"
            "atexit.register(time.sleep, 9999)",
            "!nohup sleep 9999 >/dev/null 2>&1 &",
        ),
    ]


def _questions():
    return [
        trick(24, "asks for input", "input()", word="error"),
        trick(24, "starts a debugger", "import pdb; pdb.set_trace()", word="error"),
        cell(24, "%debug", "1 / 0", "%debug"),
    ]
