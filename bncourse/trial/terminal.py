"""A terminal for a page: it runs commands and prints what a reader would see, and no more.

A command that ends otherwise than the page says stops the build, so that a page cannot show what
is no longer true.
"""

import itertools
import os
import re
import subprocess
import sysconfig
import textwrap
from pathlib import Path

# What the pages of the book show without scrolling.
_WIDTH = 78
_LOG = re.compile(r"^\[\w+ \| [A-Z]+\] ")
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? UTC")
_TABLE = re.compile("[\u2500-\u257f]")
_KILLED = 128 + 9


class Terminal:
    """Runs commands in a folder and prints them with their output.

    Args:
        folder: where the commands run.
        home: a folder for what Jupyter keeps, so that nobody's own settings take part, and for the
            temporary files of the commands, which a killed one leaves behind.
        names: ``{text: what is printed in its place}``.
        prompt: what stands before a command.
    """

    def __init__(self, folder, home, names=None, prompt="$ "):
        self.folder, self.prompt = Path(folder), prompt
        self.names = {f"{self.folder}/": "", str(self.folder): "."} | (names or {})
        Path(home).mkdir(exist_ok=True)
        folders = {f"JUPYTER_{kind}_DIR": str(Path(home, kind)) for kind in ("CONFIG", "DATA")}
        folders["TMPDIR"] = str(home)
        path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
        # Unbuffered, so that tables and progress come in their order.
        plain = {"COLUMNS": str(_WIDTH), "TERM": "dumb", "PYTHONUNBUFFERED": "1"}
        self.env = os.environ | folders | plain | {"PATH": path}
        # A Jupyter kernel asks for colours.
        for name in ("FORCE_COLOR", "CLICOLOR_FORCE"):
            self.env.pop(name, None)

    def __call__(self, command, only="", kill_at=None, status=0):
        """Run a command of the shell and print it.

        Args:
            command: as a person types it.
            only: a pattern; lines without it are left out, and "..." stands for them.
            kill_at: a pattern; the first line with it ends the command by ``kill -9``.
            status: the exit status it must have.

        Raises:
            RuntimeError: if it ends in another way.
        """
        ended, lines = self._run(command, kill_at)
        if ended != (_KILLED if kill_at else status):
            raise RuntimeError(f"{command!r} ended with status {ended}:\n" + "\n".join(lines))
        print(self.prompt + command.replace("\n", "\n> "))
        for line in shorten(map(self.clean, lines), only):
            print(line)
        if kill_at:
            print("Killed")

    def _run(self, command, kill_at):
        with subprocess.Popen(
            # exec: the signal shall reach the command, not the shell.
            ["bash", "-c", f"exec {command}" if kill_at else command],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            lines = []
            for line in process.stdout:
                lines.append(line.rstrip())
                if kill_at and re.search(kill_at, line):
                    process.kill()
                    break
        # The shell's way to say that a signal ended a command.
        return (128 - process.returncode if process.returncode < 0 else process.returncode), lines

    def clean(self, line):
        """Return a line without the prefix of a log, without temporary folders and times."""
        for text, instead in self.names.items():
            line = line.replace(text, instead)
        return _TIME.sub("TIME", _LOG.sub("", line)).rstrip()


def shorten(lines, only):
    """Yield the lines with a pattern, folded to the width of the terminal, and "..." for others.

    >>> list(shorten(["a 1", "b", "b", "a 2"], "a"))
    ['a 1', '...', 'a 2']
    """
    for kept, group in itertools.groupby(lines, lambda line: bool(re.search(only, line))):
        if not kept:
            yield "..."
            continue
        for line in group:
            # A table keeps its width: folded it could not be read.
            yield from (
                [line]
                if _TABLE.search(line)
                else textwrap.wrap(line, _WIDTH, subsequent_indent="    ", break_on_hyphens=False)
                or [""]
            )
