"""The outer wall: a bubblewrap command line around the zygote.

It answers these threats: reading the course (only the system, Python and the files of bncourse that
a submission runs are visible, read-only), answers to be found (no file with one is among them; see
``rooms``), the network (there is none), other processes (own PID and IPC namespaces), the
environment of the grader (it starts empty), and processes that outlive the grader (they die with
it). The inner wall, one per submission, is in ``isolate``.
"""

import glob
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from bncourse.errors import CourseError, NoSandbox
from bncourse.grading.rooms import PACKAGE, seen_by

BWRAP = "bwrap"
INSTALL = "Install bubblewrap, for example with: sudo apt-get install bubblewrap"

# What programs need of /etc: the linker, fonts and the time zone. No users, hosts or keys.
_ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "fonts", "localtime")

# One thread per submission: workers run side by side, and results do not depend on their number.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def command(arguments, gpu=False, shown=None):
    """Return the command line that runs Python with ``arguments`` inside the sandbox.

    Args:
        arguments: what follows the name of the interpreter.
        gpu: whether to pass the NVIDIA devices through.
        shown: the files of bncourse that are visible, relative to the package; by default those
            that every submission sees.
    """
    wall = [
        shutil.which(BWRAP) or BWRAP,
        *("--unshare-pid", "--unshare-ipc", "--unshare-net", "--unshare-uts"),
        *("--unshare-cgroup-try", "--die-with-parent", "--new-session"),
        *("--hostname", "sandbox", "--clearenv"),
    ]
    if os.getuid() != 0:
        wall += ["--unshare-user"]
    # Before the folders of Python, which may be in /tmp themselves.
    wall += ["--perms", "1777", "--tmpfs", "/tmp", "--chdir", "/tmp"]
    wall += ["--dev", "/dev"] + system() + _python() + (_gpu() if gpu else [])
    wall += _package(seen_by() if shown is None else shown)
    # The host's /proc, so that each submission may mount a fresh one over it: the kernel refuses
    # that where a part of the present one is covered, as in bubblewrap's own --proc.
    wall += ["--bind", "/proc", "/proc"]
    # An ordinary user owns the root folder that bubblewrap makes: a submission could leave files
    # there for the next one.
    wall += ["--remount-ro", "/", "--remount-ro", "/dev"]
    for name, value in environment(gpu).items():
        wall += ["--setenv", name, value]
    return [*wall, "--", sys.executable, "-I", *arguments]


def environment(gpu=False):
    """Return the whole environment of a sandbox; nothing of the grader's own is in it."""
    # Else Keras asks for a GPU when it is imported. A process that has asked leaves the GPU
    # unusable to its forks, and every submission is a fork.
    told = {"KERAS_TORCH_DEVICE": "cuda"} if gpu else {}
    # Triton reads it when it is imported, which torch may do before a submission can.
    told["TRITON_INTERPRET"] = "0" if gpu else "1"
    return told | {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": "/tmp",
        # No list of users is visible, and torch asks for the name of whom it works for.
        "USER": "student",
        "IPYTHONDIR": "/tmp/.ipython",
        "MPLCONFIGDIR": "/tmp/.matplotlib",
        "KERAS_HOME": "/tmp/.keras",
        "KERAS_BACKEND": "torch",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONDONTWRITEBYTECODE": "1",
        **dict.fromkeys(_THREADS, "1"),
    }


def system():
    """Return the options that show the system's programs and libraries, read-only."""
    options = ["--ro-bind", "/usr", "/usr"]
    for name in ("/bin", "/sbin", "/lib", "/lib64", "/lib32"):
        if os.path.islink(name):
            options += ["--symlink", os.readlink(name), name]
        elif os.path.isdir(name):
            options += ["--ro-bind", name, name]
    # By name, as in ``parents``: the linker finds no library of the driver without its cache.
    options += ["--dir", "/etc"]
    for name in _ETC:
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return options


def python_folders():
    """Return the folders of the interpreter and its environment, but for /usr."""
    folders = dict.fromkeys([sys.base_prefix, sys.prefix])
    return [folder for folder in folders if not Path(folder).is_relative_to("/usr")]


def visible_folders():
    """Return the folders of Python and of bncourse, none of them inside another or in /usr."""
    folders = dict.fromkeys([*python_folders(), str(PACKAGE)])
    return [
        folder
        for folder in folders
        if not any(
            Path(folder).is_relative_to(other) for other in ("/usr", *folders) if other != folder
        )
    ]


def _python():
    options = []
    for folder in python_folders():
        options += [*parents(folder), "--ro-bind", folder, folder]
    return options


def _package(shown):
    """Return the options that cover bncourse, wherever it is, and show some of its files."""
    options = [*parents(PACKAGE), "--tmpfs", str(PACKAGE)]
    for folder in sorted({(PACKAGE / name).parent for name in shown} - {PACKAGE}):
        options += ["--dir", str(folder)]
    for name in shown:
        options += ["--ro-bind", str(PACKAGE / name), str(PACKAGE / name)]
    return [*options, "--remount-ro", str(PACKAGE)]


def parents(folder):
    """Return the options that make the folders above a folder."""
    # By name, since the folders that bubblewrap adds by itself are closed to others.
    above = reversed(Path(folder).parents[:-1])
    return [word for parent in above for word in ("--dir", str(parent))]


def _gpu():
    devices = sorted(glob.glob("/dev/nvidia*"))
    return [word for device in devices for word in ("--dev-bind", device, device)]


def require_hidden(course):
    """Refuse a course that the sandbox would show: its solutions would be there to run.

    Raises:
        CourseError: a folder that every submission sees holds the course.
    """
    course = Path(course).resolve()
    for folder in ("/usr", *map(os.path.realpath, python_folders())):
        if course.is_relative_to(folder):
            raise CourseError(
                f"The course must not lie in a folder that submissions see, such as that of the "
                f"Python environment: move one of them. Received: {course} in {folder}"
            )


@cache
def require():
    """Refuse a machine on which bubblewrap or nested user namespaces do not work.

    Raises:
        NoSandbox: they do not.
        CourseError: they do, but the Python inside does not find this copy of bncourse.
    """
    if sys.platform != "linux":
        raise NoSandbox(
            f"The sandbox needs Linux. Received: {sys.platform}. "
            "Grade in a Linux virtual machine or container."
        )
    if shutil.which(BWRAP) is None:
        raise NoSandbox(f"bubblewrap (bwrap) is not installed. {INSTALL}")
    trial = [*command(["-m", "bncourse.grading.inside.isolate"])]
    done = subprocess.run(trial, capture_output=True, text=True, timeout=60)
    # The sandbox shows this copy only, and Python looks for the one that was installed.
    if "ModuleNotFoundError" in done.stderr:
        raise CourseError(_other_copy(PACKAGE.parent))
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise NoSandbox(
            f"This machine forbids the namespaces that the sandbox needs: {reason}. On Ubuntu, "
            "user namespaces may be switched off by AppArmor "
            "(sysctl kernel.apparmor_restrict_unprivileged_userns); in a container, grade outside "
            "of it or in a virtual machine."
        )


def _other_copy(course):
    return (
        f"The Python environment must belong to this copy of the course, {course}. "
        f"Received: {sys.prefix}, made for another one. "
        f"Remove {course / '.venv'}, if there is one, and run make setup in {course}"
    )


def why_not():
    """Return the reason why there is no sandbox here, or None.

    Raises:
        CourseError: as ``require``.
    """
    try:
        require()
    except NoSandbox as reason:
        return str(reason)
    return None
