"""Why a mutant of a model solution may pass the self-check; ``mutation.py`` finds them.

By exercise, a reason with the changed lines that it explains, as ``old line => new line``.
"""

# What they compute is what the exercise asks for, on every input that it allows.
EQUIVALENT = {}

# What they compute is wrong, and no case or rule says so yet: the reason says which would.
OPEN = {}


def reasons(exercise):
    """Return {changed line: its reason} of an exercise."""
    return {
        line: reason
        for table in (EQUIVALENT, OPEN)
        for reason, lines in table.get(exercise, {}).items()
        for line in lines
    }
