"""Collect from nbgrader's exchange what is safe to copy, without following links.

A student can write anything into the inbound folder of the exchange. nbgrader copies it with the
instructor's rights and follows links, so a link to a file of the instructor's becomes that file.
"""

import shutil
import tempfile
from pathlib import Path

from nbgrader.exchange.default import ExchangeCollect

from bncourse.grading.intake.odd import odd_paths
from bncourse.platforms.unpack import NOTEBOOK


class SafeCollect(ExchangeCollect):
    """nbgrader's collect; set it as ``c.ExchangeFactory.collect``."""

    def do_copy(self, src, dest, log=None):
        """Copy a hand-in, and leave a note in the place of a notebook that is refused."""
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder, "plain")
            odd = odd_paths(src, kept=())
            shutil.copytree(src, plain, symlinks=True, ignore=_those_in(odd))
            for path, reason in odd.items():
                self.log.warning("Refused %s: it %s", path, reason)
                if path.suffix == NOTEBOOK:
                    note = plain / path.relative_to(src)
                    note.write_text(f"Refused when it was collected. It {reason}.\n")
            super().do_copy(plain, dest, log)


def _those_in(paths):
    return lambda folder, names: [name for name in names if Path(folder, name) in paths]
