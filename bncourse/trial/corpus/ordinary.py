"""The hand-ins of honest students: right, wrong, unfinished or odd."""

from bncourse.trial.corpus.answers import HEAD, RIGHT, TARGET, WRONG, everywhere, wrong_everywhere
from bncourse.trial.corpus.making import Bad, answering, cell, hands_in, release, returns, trick

_WELFORD = {
    "batch_statistics": "def batch_statistics(x):\n"
    "    mean, squares = np.zeros(x.shape[1]), np.zeros(x.shape[1])\n"
    "    for n, row in enumerate(x, 1):\n"
    "        delta = row - mean\n"
    "        mean = mean + delta / n\n"
    "        squares = squares + delta * (row - mean)\n"
    "    return mean.astype(x.dtype), (squares / len(x)).astype(x.dtype)",
    TARGET: f"{HEAD}\n    return np.einsum('nd,d->nd', x - mean, 1 / np.sqrt(var + eps))",
}

_AS_ON_A_GPU = {
    "batch_statistics": "def batch_statistics(x):\n"
    "    x = x[np.random.default_rng().permutation(len(x))]\n"
    "    mean = x.mean(axis=0)\n"
    "    return mean, ((x - mean) ** 2).mean(axis=0)",
    TARGET: "def tf32(a):\n"
    "    bits = a.astype(np.float32).view(np.uint32)\n"
    "    bits = (bits + 2**12) & 0xFFFFE000\n"
    "    return bits.astype(np.uint32).view(np.float32)\n\n"
    f"{HEAD}\n"
    "    if x.dtype != np.float32:\n"
    f"        {RIGHT}\n"
    "    return tf32(x - mean) * tf32(1 / np.sqrt(var + eps))",
}


def cases():
    """Return the cases."""
    return [
        *_right(),
        *_unfinished(),
        *_wrong(),
        *_results(),
        *_order_of_cells(),
        *_global_state(),
    ]


def _right():
    return [
        answering(2, "right in another style", _WELFORD),
        trick(
            3,
            "warnings, logging and progress on stderr",
            "import sys, warnings, logging",
            "warnings.warn('be careful')",
            "logging.warning('progress')",
            "print('50%', file=sys.stderr)",
            before=["import sys\nprint('hello', file=sys.stderr)"],
        ),
        answering(48, "rounds and adds as a GPU does", _AS_ON_A_GPU),
        answering(51, "the same again", {}),
    ]


def _unfinished():
    return [
        Bad(1, "untouched release", hands_in(release()), everywhere("error"), "NotImplementedErr"),
        answering(
            4,
            "leftover raise after return",
            {TARGET: f"{HEAD}\n    {RIGHT}\n    raise NotImplementedError"},
        ),
        trick(4, "leftover raise before return", "raise NotImplementedError", word="error"),
    ]


def _wrong():
    return [
        answering(5, "one right, one wrong", {TARGET: WRONG}, {TARGET: "wrong"}),
        answering(6, "known mistakes", wrong_everywhere(), everywhere("wrong"), says="Lik"),
        trick(9, "changes its input", "y = x.copy(); x += 1; x = y", word="wrong", says="in place"),
    ]


def _results():
    return [
        returns(7, "NaN", "right * np.nan", "wrong", says="non-finite"),
        returns(7, "infinity", "right / 0.0", "wrong", says="non-finite"),
        returns(8, "a list", "right.tolist() if right.dtype == float else right", "ok"),
        returns(8, "float16", "right.astype(np.float16)", "wrong", says="dtype"),
        returns(8, "complex", "right + 0j", "wrong", says="real numbers"),
        returns(8, "an object array", "right.astype(object)", "wrong", says="real numbers"),
        returns(8, "a wrong shape", "right[None]", "wrong", says="shape"),
        returns(8, "None", "None", "wrong", says="Received: None"),
        returns(
            8,
            "a tensor with a gradient",
            "torch.from_numpy(right).requires_grad_()",
            "ok",
            before=["import torch"],
        ),
    ]


def _order_of_cells():
    return [
        cell(10, "uses an earlier cell", "HALF = 0.5", "print(HALF)"),
        answering(
            10,
            "needs a later cell",
            {TARGET: f"{HEAD.replace('1e-5', 'EPS')}\n    {RIGHT}"},
            {TARGET: "error"},
            after=["EPS = 1e-5"],
            says="NameError",
        ),
    ]


def _global_state():
    return [
        trick(
            11,
            "changes global state in a cell",
            "np.ones(1) / np.zeros(1)",
            "warnings.warn('it would be an error')",
            before=[
                "import warnings, random, torch\n"
                "warnings.simplefilter('error')\nnp.seterr(all='raise')\n"
                "np.random.seed(1)\nrandom.seed(1)\n"
                "torch.set_default_dtype(torch.float64)\ntorch.set_grad_enabled(False)"
            ],
        ),
        trick(
            11,
            "changes global state in an answer",
            "np.random.seed(1); np.seterr(divide='ignore', over='raise')",
            word="wrong",
            says="random state",
        ),
    ]
