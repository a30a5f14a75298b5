"""Pages are executed, by kernels that fork from a process which has imported what is large."""

import os
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_notebook

from bncourse.commands.book import SETTING, execute_pages
from bncourse.commands.kernels import WarmKernels

ROOT = Path(__file__).parents[1]
PAGE = """---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {name: python3, display_name: Python 3, language: python}
---

# A page

```{code-cell} ipython3
1 + 1
```
"""


def run(*cells, cwd):
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    client = NotebookClient(
        notebook, kernel_name="python3", kernel_manager_class=WarmKernels, timeout=600
    )
    client.execute(cwd=str(cwd))
    return [cell.outputs for cell in notebook.cells]


def look_twice(cwd):
    look = "import os, sys\nprint('torch' in sys.modules, 'seen' in globals(), os.getcwd())"
    pages = [run(f"{look}\nseen = True", cwd=cwd) for _ in range(2)]
    return [outputs[0].text.split() for (outputs,) in pages]


def test_a_kernel_has_imported_what_is_large_and_nothing_of_another_page(tmp_path):
    # A process has one server of forks, which another test may have started with other imports.
    with ProcessPoolExecutor(1, get_context("spawn")) as own:
        seen = own.submit(look_twice, tmp_path).result()
    assert seen == [["True", "False", str(tmp_path)]] * 2


def test_a_kernel_draws_into_its_page(tmp_path):
    (outputs,) = run("import matplotlib.pyplot as plt\nplt.plot([1, 2]);", cwd=tmp_path)
    assert "image/png" in outputs[0].data


def test_a_kernel_starts_processes_and_ends_with_its_page(tmp_path):
    ids, child = run(
        "import os\nprint(os.getpid())",
        "from multiprocessing import get_context\n"
        "each = get_context('fork').Process(target=print, args=('child',))\n"
        "each.start()\neach.join()\nprint(each.exitcode)",
        cwd=tmp_path,
    )
    assert child[-1].text.endswith("0\n")
    end = time.monotonic() + 60
    while os.path.exists(f"/proc/{ids[0].text.strip()}"):
        assert time.monotonic() < end, "the kernel is still there"
        time.sleep(0.1)


def test_what_a_cell_raises_stops_the_page(tmp_path):
    with pytest.raises(CellExecutionError, match="no such page"):
        run("raise ValueError('no such page')", cwd=tmp_path)


def test_a_page_is_executed_once_and_then_read_again(tmp_path):
    """Sphinx goes by the text of a page, which is the same where its numbers are not."""
    for name in ("_config.yml", "_ext"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "chapters").mkdir()
    (tmp_path / "chapters" / "page.md").write_text(PAGE)
    doctree = tmp_path / SETTING / "_build" / ".doctrees" / "chapters" / "page.doctree"
    doctree.parent.mkdir(parents=True)
    cache, said = tmp_path / "_build" / ".jupyter_cache", []

    def is_kept():
        doctree.touch()
        execute_pages(tmp_path, cache, 1, said.append)
        return doctree.exists()

    assert not is_kept()
    assert is_kept(), "nothing has changed"
    assert len(said) == 2
    shutil.rmtree(cache)
    assert not is_kept()
