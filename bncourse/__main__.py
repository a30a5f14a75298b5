"""The command line of the course: ``bncourse``."""

import sys
from importlib.metadata import version

from bncourse.verbs import NEEDS, STUDY, VERBS, plain_help, study, unknown


def main():
    """Run a verb; without the packages that verbs need, say which those are."""
    if sys.argv[1:] == ["--version"]:
        print(f"bncourse {version('bncourse')}")
        return
    if sys.argv[1:] and sys.argv[1] in STUDY:
        try:
            sys.exit(study(sys.argv[1])(sys.argv[2:]))
        except KeyboardInterrupt:
            # Ctrl-C reaches this process too where another one follows a file.
            sys.exit(130)
    try:
        from bncourse.commands import verbs
    except ModuleNotFoundError as missing:
        if sys.argv[1:] in ([], ["--help"]):
            print(plain_help())
            return
        if sys.argv[1:] and sys.argv[1] not in VERBS:
            sys.exit(unknown(sys.argv[1]))
        what = "The verbs are" if missing.name.startswith("bncourse") else f"{missing.name} is"
        sys.exit(f"{what} not installed here. {NEEDS}")
    verbs()


if __name__ == "__main__":
    main()
