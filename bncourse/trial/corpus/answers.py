"""The right and the wrong answers to the problem set that the corpus is handed in for."""

from bncourse.registry import load

PROBLEM_SET = "ps1_forward"
NOTEBOOK = "forward.ipynb"
IMPORTS = "import numpy as np\n\nfrom bncourse import check"

SOLUTIONS = {
    "batch_statistics": """
def batch_statistics(x):
    mean = x.mean(axis=0)
    return mean, ((x - mean) ** 2).mean(axis=0)
""",
    "normalize": """
def normalize(x, mean, var, eps=1e-5):
    return (x - mean) / np.sqrt(var + eps)
""",
    "batchnorm_forward": """
def batchnorm_forward(x, gamma, beta, eps=1e-5):
    mean, var = x.mean(axis=0), x.var(axis=0)
    inv_std = 1 / np.sqrt(var + eps)
    x_hat = (x - mean) * inv_std
    return gamma * x_hat + beta, {"x_hat": x_hat, "inv_std": inv_std, "gamma": gamma}
""",
    "update_running": """
def update_running(running_mean, running_var, x, momentum=0.1):
    mean, var = x.mean(axis=0), x.var(axis=0, ddof=1)
    return (
        (1 - momentum) * running_mean + momentum * mean,
        (1 - momentum) * running_var + momentum * var,
    )
""",
    "batchnorm_inference": """
def batchnorm_inference(x, gamma, beta, running_mean, running_var, eps=1e-5):
    return gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta
""",
    "merge_statistics": """
def merge_statistics(count_a, mean_a, var_a, count_b, mean_b, var_b):
    count = count_a + count_b
    delta = mean_b - mean_a
    mean = mean_a + delta * count_b / count
    within = (count_a * var_a + count_b * var_b) / count
    return count, mean, within + delta**2 * count_a * count_b / count**2
""",
}
SOLUTIONS = {name: source.strip() for name, source in SOLUTIONS.items()}
ALL = tuple(SOLUTIONS)

# The one exercise that most tricks are played in.
TARGET = "normalize"
HEAD = "def normalize(x, mean, var, eps=1e-5):"
RIGHT = "return (x - mean) / np.sqrt(var + eps)"
WRONG = f"{HEAD}\n    return np.zeros_like(x)"


def body(*lines):
    """Return the target with these lines before its right answer."""
    return "\n    ".join([HEAD, *"\n".join([*lines, RIGHT]).splitlines()])


def everywhere(word):
    """Return the same outcome for every exercise."""
    return dict.fromkeys(ALL, word)


def wrong_everywhere():
    """Return answers that are wrong in the way of the first known mistake of each exercise."""
    from bncourse.trial.sample_class import source_of

    specs = load(PROBLEM_SET)
    return {name: source_of(specs[name].mistakes[0], name) for name in ALL}
