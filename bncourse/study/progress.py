"""``bncourse progress``: how far a notebook is, as it was saved."""

import argparse
import sys
from pathlib import Path

from bncourse.notebook import lines_on


def main(arguments):
    """Run the verb, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="bncourse progress",
        description="Print what is done of a problem set, and what is still open.",
        epilog="Example: bncourse progress forward.ipynb",
    )
    parser.add_argument("notebooks", nargs="+", metavar="NOTEBOOK", help="as Jupyter saved it")
    for path in parser.parse_args(arguments).notebooks:
        try:
            print("\n".join(lines_on(path)))
        except FileNotFoundError:
            print(f"There is no {path} in {Path.cwd()}. {_others()}", file=sys.stderr)
            return 2
        except (OSError, ValueError, TypeError, AttributeError) as error:
            why = f"for a Python file: bncourse watch {path}" if path.endswith(".py") else error
            print(
                f"NOTEBOOK must be a notebook in format 4. Received: {path} ({why})",
                file=sys.stderr,
            )
            return 2
    return 0


def _others():
    found = sorted(path.name for path in Path.cwd().glob("*.ipynb"))
    return f"Here is: {', '.join(found)}." if found else "Go to the folder of your notebook first."
