"""Which code is running: a hash of everything that has a say in a verdict."""

import hashlib
from pathlib import Path

import bncourse

# Folders of bncourse that only draw, measure, collect and show.
_NO_SAY = ("figures", "lab", "platforms", "similar", "trial")


def hash_of_code():
    """Return the hash of the code on the disk."""
    total = hashlib.sha256()
    package = Path(bncourse.__file__).parent
    for path in sorted(package.rglob("*.py")):
        if path.relative_to(package).parts[0] not in _NO_SAY:
            total.update(path.read_bytes())
    return total.hexdigest()


# At import: a server that runs for weeks has the code of its start, whatever the disk holds later.
CODE = hash_of_code()
