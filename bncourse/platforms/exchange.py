"""Collect from nbgrader's exchange without following links.

A student can write anything into the inbound folder of the exchange. nbgrader copies it with the
instructor's rights and follows links, so a link to a file of the instructor's becomes that file.
"""

import shutil
import tempfile
from pathlib import Path

from nbgrader.exchange.default import ExchangeCollect

from bncourse.grading.hand_in import is_plain
from bncourse.platforms.unpack import NOTEBOOK


class SafeCollect(ExchangeCollect):
    """nbgrader's collect; set it as ``c.ExchangeFactory.collect``."""

    def do_copy(self, src, dest, log=None):
        """Copy a hand-in, and leave a note in the place of a notebook that is a link."""
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder, "plain")
            shutil.copytree(src, plain, symlinks=True, ignore=_not_plain)
            for path in Path(src).rglob("*"):
                if not is_plain(path):
                    self.log.warning("Refused %s: it is a link or a device", path)
                    if path.suffix == NOTEBOOK:
                        note = plain / path.relative_to(src)
                        note.write_text("Refused when it was collected. It is a link.\n")
            super().do_copy(plain, dest, log)


def _not_plain(folder, names):
    return [name for name in names if not is_plain(Path(folder, name))]
