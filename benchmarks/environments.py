"""Fresh environments, as a student makes them: what an installation takes, and what runs in it."""

import contextlib
import re
import resource
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_MEGABYTE = 1_000_000
_UNITS = {"kB": 1e3, "MB": 1e6, "GB": 1e9}


class Refused(RuntimeError):
    """pip installs nothing; the message is the last line of its log."""


@dataclass(frozen=True)
class Installed:
    """What an installation took.

    Args:
        seconds: that one core worked for it.
        download: megabytes that were downloaded.
        disk: megabytes of the whole environment.
    """

    seconds: float
    download: int
    disk: int


@dataclass(frozen=True)
class Environment:
    """A fresh virtual environment.

    Args:
        folder: where it is.
    """

    folder: Path

    @property
    def python(self):
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def install(self, *requirements):
        """Install packages without pip's cache, and return the Installed.

        Raises:
            Refused: pip cannot.
        """
        pip = [self.python, "-m", "pip", "install", "--no-cache-dir", "--progress-bar", "off"]
        start = worked()
        done = subprocess.run([*pip, *requirements], cwd=ROOT, capture_output=True, text=True)
        seconds = worked() - start
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise Refused((errors or done.stderr.splitlines() or [""])[-1])
        sizes = re.findall(r"^ *Downloading .*\(([\d.]+) ([kMG]B)\)", done.stdout, re.M)
        download = sum(float(size) * _UNITS[unit] for size, unit in sizes)
        # A wheel that is on this machine already is one that a student downloads.
        wheels = re.findall(r"^ *Processing (/.*\.whl)", done.stdout, re.M)
        download += sum(Path(wheel).stat().st_size for wheel in wheels)
        return Installed(seconds, round(download / _MEGABYTE), self.megabytes())

    def megabytes(self):
        """Return the megabytes of the environment on disk."""
        files = (path for path in self.folder.rglob("*") if not path.is_symlink())
        return round(sum(path.stat().st_size for path in files if path.is_file()) / _MEGABYTE)

    def version(self, package):
        """Return the version of a package in the environment."""
        code = f"from importlib.metadata import version; print(version({package!r}))"
        return self.run("-c", code).strip()

    def run(self, *arguments, env=None):
        """Return what its Python prints.

        Raises:
            RuntimeError: it fails; the message is the end of what it says.
        """
        done = subprocess.run(
            [self.python, *arguments], cwd=ROOT, env=env, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        return done.stdout


def worked():
    """Return the seconds that a core has worked for the processes that were started here.

    Unlike the time that passes, they hardly change when the machine has other things to do.
    """
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextlib.contextmanager
def environment(python):
    """Yield a fresh Environment of an interpreter, and remove it afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        yield Environment(Path(folder))
