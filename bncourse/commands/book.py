"""``bncourse book``: build the website, its pages executed side by side."""

import concurrent.futures
import contextlib
import io
import logging
import multiprocessing
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import click
import yaml

from bncourse.commands import Command
from bncourse.commands.bundle import bundle
from bncourse.commands.course import root_option
from bncourse.course import require_course
from bncourse.errors import CourseError
from bncourse.lab.once import shared_by_processes
from bncourse.whole import beside, recover, replace_folder

_LAST_LINES = 40
# Where Jupyter Book sets the pages, relative to the repository.
SETTING = Path("_build", "book")


@click.command(cls=Command, epilog="Example: bncourse book --workers 2")
@root_option
@click.option("--workers", type=click.IntRange(1), help="Pages at a time; one per processor.")
def book(root, workers):
    """Build the website strictly into _build/html: a warning is an error."""
    require_course(root)
    root = Path(root).resolve()
    cache = root / "_build" / ".jupyter_cache"
    execute_pages(root, cache, workers or os.cpu_count(), say=click.echo)
    start = time.monotonic()
    if bundle(root):
        click.echo(f"the exercises for the page are bundled, {time.monotonic() - start:.0f} s")
    log = root / "_build" / "book.log"
    click.echo(f"setting the pages (log: {log.relative_to(root)})")
    start = time.monotonic()
    if _set(root, log):
        tail = log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        raise CourseError("\n".join([*tail, f"The book was not built. The whole log: {log}"]))
    click.echo(f"the book is built, {time.monotonic() - start:.0f} s")


def execute_pages(root, cache, workers, say=print):
    """Execute the pages that are not in the cache yet, several at a time.

    Args:
        root: the repository.
        cache: the folder of the outputs, which the build reads.
        workers: how many at a time.
        say: receives a line of progress for each page.

    Raises:
        CourseError: a page raises; the message says which, and what.
    """
    pages = [page for page in executable_pages(root) if not _is_cached(cache, page)]
    if not pages:
        return
    say(f"executing {len(pages)} pages, {workers} at a time")
    # Each has kernels of its own to fork, so none may inherit those of this process.
    clean = multiprocessing.get_context("spawn")
    with shared_by_processes(), concurrent.futures.ProcessPoolExecutor(workers, clean) as pool:
        # What takes longest first: the guides run the real grader; else the longest text.
        pages.sort(key=lambda page: ("instructors" not in page.name, -page.stat().st_size))
        limit = yaml.safe_load((root / "_config.yml").read_text())["execute"]["timeout"]
        runs = {pool.submit(_execute, page, limit): page for page in pages}
        for done, run in enumerate(concurrent.futures.as_completed(runs), 1):
            page, (notebook, seconds, problem) = runs[run], run.result()
            if problem:
                raise CourseError(f"{page.relative_to(root)} raises:\n{problem}")
            _keep(cache, page, notebook, seconds)
            _forget(root, page)
            say(f"{done}/{len(pages)} {page.relative_to(root)}, {seconds:.0f} s")


def executable_pages(root):
    """Return the pages of the book whose cells run: those with a kernel in their head."""
    pages = sorted((root / "chapters").glob("*.md"))
    return [page for page in pages if page.read_text().startswith("---\njupytext:")]


def _read(page):
    from myst_nb.core.config import NbParserConfig
    from myst_nb.core.read import create_nb_reader
    from myst_parser.config.main import MdParserConfig

    # As the build reads it: the cache tells cells apart by their options, too.
    sys.path.insert(0, str(page.parents[1] / "_ext"))
    from folded_checks import fold

    text = fold(page.read_text())
    return create_nb_reader(str(page), MdParserConfig(), NbParserConfig(), text).read(text)


def _is_cached(cache, page):
    from jupyter_cache import get_cache

    try:
        get_cache(str(cache)).match_cache_notebook(_read(page))
    except KeyError:
        return False
    return True


def _execute(page, limit):
    """Return (notebook, seconds, what it raised or None); runs in a process of its own."""
    from jupyter_cache.executors.utils import single_nb_execution

    from bncourse.commands.kernels import WarmKernels

    notebook = _read(page)
    start = time.monotonic()
    with _quiet():
        result = single_nb_execution(
            notebook,
            cwd=str(page.parent),
            timeout=limit,
            allow_errors=False,
            kernel_manager_class=WarmKernels,
        )
    return notebook, time.monotonic() - start, result.exc_string if result.err else None


@contextlib.contextmanager
def _quiet():
    """Drop what kernels say about their own connection; errors of cells come another way."""
    logging.disable(logging.CRITICAL)
    with open(os.devnull, "w") as nothing, contextlib.redirect_stderr(io.StringIO()):
        kept = os.dup(2)
        os.dup2(nothing.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _keep(cache, page, notebook, seconds):
    from jupyter_cache import get_cache
    from jupyter_cache.base import CacheBundleIn

    bundle = CacheBundleIn(notebook, str(page), data={"execution_seconds": seconds})
    get_cache(str(cache)).cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def _forget(root, page):
    """Have Sphinx read a page again: its text may be the same where its outputs are not."""
    doctrees = root / SETTING / "_build" / ".doctrees"
    doctree = doctrees / page.relative_to(root).with_suffix(".doctree")
    doctree.unlink(missing_ok=True)


def _set(root, log):
    """Set the pages where nobody reads them, put them into their place, and return the status.

    Failed or killed, it leaves the website of before.
    """
    folder, place = root / SETTING, root / "_build" / "html"
    recover(place)
    under_way = folder / "under_way"
    if under_way.exists():
        # A page may be cut short, and Sphinx goes by its time.
        shutil.rmtree(folder)
    folder.mkdir(exist_ok=True)
    under_way.touch()
    status = _build(root, log)
    if status >= 0:
        under_way.unlink()
    if status == 0:
        new = beside(place)
        shutil.rmtree(new, ignore_errors=True)
        # No links: Sphinx writes into files that are there.
        shutil.copytree(folder / "_build" / "html", new)
        replace_folder(new, place)
    return status


def _build(root, log):
    command = [sys.executable, Path(sysconfig.get_path("scripts"), "jupyter-book"), "build", "."]
    options = ["-W", "-n", "--keep-going", "--path-output", SETTING]
    with log.open("w") as file:
        return subprocess.run([*command, *options], cwd=root, stdout=file, stderr=file).returncode
