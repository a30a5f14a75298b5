"""Hand-ins with a pickle that runs code when it is loaded."""

from bncourse.trial.corpus.forgeries import writes
from bncourse.trial.corpus.making import Bad, cell, notebook, write

# Set in the environment of the process that loads the pickle; the self-test looks for it.
LOADED = "BNCOURSE_LOADED"
_CODE = f"import os; os.environ[{LOADED!r}] = 'yes'"
POISON = f"cbuiltins\nexec\n(S{_CODE!r}\ntR.".encode()


def cases():
    """Return the cases."""
    return [
        Bad(44, "poisoned weights beside the notebook", _weights, flag="weights.pt was not read"),
        cell(
            44,
            "loads a poisoned pickle in a cell",
            f"import io, os, pickle, torch\nPOISON = {POISON!r}\npickle.loads(POISON)",
            "torch.load(io.BytesIO(POISON), weights_only=False)",
            f"print('loaded', os.environ[{LOADED!r}])",
            shows="loaded yes",
        ),
        writes(
            44,
            "sends the grader a poisoned pickle",
            "struct.pack('!cQ', b'J', len(poison)) + poison",
            f"poison = {POISON!r}",
        ),
    ]


def _weights(folder):
    write(folder, notebook())
    for name in ("weights.pt", "model.keras", "cache.pkl"):
        (folder / name).write_bytes(POISON)
