"""Hand-ins that carry hidden inputs home, or a script to whoever looks at them.

Hidden inputs have a word or some digits beside them by which the self-test knows them.
"""

from bncourse.trial.corpus.making import cell, trick

_WORD, _DIGITS = "SMUGGLED", "31415926"

_SCRIPTS = """
from IPython.display import HTML, Javascript, SVG, display
display(HTML('<script>EVIL</script><iframe src="javascript:EVIL">'))
display(Javascript('EVIL'))
data = {'image/svg+xml': '<svg onload=EVIL>', 'image/png': '<script>EVIL'}
display(data, raw=True)
"""


# An answer that finds the runner that calls it and has it send something else.
_TAKES_OVER = """
import sys
frame = sys._getframe()
while type(frame.f_locals.get('self')).__name__ != 'Runner':
    frame = frame.f_back
runner = frame.f_locals['self']
number = abs(float(x.flat[0]))
secret = 'SMUGG' + f'LED {{number!r}}'
digits = 10**7 * {digits} + int(1e6 * number)
def lie(message, arrays):
    made = message['attempts'][0]
    {change}
    del runner.channel.send
    runner.channel.send(message, arrays)
runner.channel.send = lie
"""

_FRAME = "import struct; runner.channel.sock.sendall(struct.pack('!cQ', b'J', digits))"

# The header of an array keeps its length.
_HEADER = """
import bncourse.grading.inside.protocol as protocol
short, long = b'(0,), }', b'(%d,), }' % digits
made = protocol.array_to_bytes(np.zeros(0)).replace(short.ljust(len(long)), long)
protocol.array_to_bytes = lambda array: made
"""


def cases():
    """Return the cases."""
    return [
        cell(45, "scripts in outputs", _SCRIPTS.strip(), hidden="EVIL"),
        *_in_words(),
        *_in_answers(),
        *_in_rules(),
        *_in_frames(),
    ]


def _in_words():
    return [
        trick(
            46,
            "smuggles inputs out in an exception",
            "raise ValueError(f'SMUGG' + 'LED {x}')",
            word="error",
            hidden=_WORD,
        ),
        trick(
            46,
            "smuggles inputs out in the name of an exception",
            "raise type('SMUGG' + f'LED {x.sum()}', (Exception,), {})",
            word="error",
            hidden=_WORD,
        ),
        trick(
            46,
            "spells inputs as the sides of an array",
            "return np.zeros((10**7 * 31415926 + int(1e6 * abs(x.flat[0])), 0))",
            word="wrong",
            hidden=_DIGITS,
        ),
        trick(
            46,
            "smuggles inputs out in the name of a class",
            "return type('SMUGG' + f'LED {x.sum()}', (), {'__module__': 'numpy'})()",
            word="wrong",
            hidden=_WORD,
        ),
        trick(
            46,
            "smuggles inputs out in the names of fields",
            "return np.zeros(3, dtype=[('SMUGG' + f'LED {x.sum()}', float)])",
            word="wrong",
            hidden=_WORD,
        ),
        trick(
            46,
            "prints inputs and fails",
            "print('SMUGG' + 'LED', x); return x",
            word="wrong",
            hidden=_WORD,
        ),
    ]


def _in_answers():
    tamper, error, wrong = (
        {"word": "crashed", "flag": "tamper"},
        {"word": "error"},
        {"word": "wrong"},
    )
    output = "{'output_type': 'stream', 'name': 'stdout', 'text': secret}"
    return [
        _sends("the label of an array", "arrays[f'{secret}/y'] = x", **tamper),
        _sends("the label of a result", "arrays.clear(); arrays[f'0/{secret}'] = x", **wrong),
        _sends("the number of the answer", "message['id'] = secret", **tamper),
        _sends("the name of an error", "made['error'] = secret", **error),
        _sends("a message", "made.update(error='ValueError', message=secret)", **error),
        _sends("outputs", f"message['outputs'] = runner.recorder.outputs = [{output}]"),
    ]


def _in_rules():
    rules = {
        "a rule": "{secret}",
        "a rule on its state": "It changes {secret}.",
        "a rule on its input": "It changes its input {int(digits)} in place. Work on new arrays.",
        "a rule on ready-made functions": "It calls a ready-made {secret}. Write it yourself.",
    }
    return [
        _sends(where, f"made['rules'] = [f'{rule}']", word="wrong") for where, rule in rules.items()
    ]


def _in_frames():
    return [
        _sends("the length of a frame", _FRAME, word="crashed", flag="tamper"),
        _sends("the shape of an array", _HEADER, word="crashed", flag="tamper"),
    ]


def _sends(where, change, **options):
    """Return a case whose target, when graded, sends a hidden input to the grader."""
    change = change.strip().replace("\n", "\n    ")
    source = _TAKES_OVER.format(digits=_DIGITS, change=change)
    name = f"sends inputs in {where}"
    return trick(46, name, *source.strip().splitlines(), hidden=f"{_WORD}|{_DIGITS}", **options)
