"""``bncourse progress``: how far a notebook is, as it was saved."""

import argparse
import sys

from bncourse.notebook import lines_on


def main(arguments):
    """Run the verb, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="bncourse progress",
        description="Print what is done of a problem set, and what is still open.",
    )
    parser.add_argument("notebooks", nargs="+", metavar="NOTEBOOK")
    for path in parser.parse_args(arguments).notebooks:
        try:
            print("\n".join(lines_on(path)))
        except (OSError, ValueError, TypeError, AttributeError) as error:
            print(
                f"NOTEBOOK must be a notebook in format 4. Received: {path} ({error})",
                file=sys.stderr,
            )
            return 2
    return 0
