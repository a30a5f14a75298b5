"""Hand-ins that are no notebooks, or not the right one: links, damage, other names."""

import json
import os

from nbformat import v3, v4

from bncourse.trial.corpus.answers import (
    IMPORTS,
    NOTEBOOK,
    SOLUTIONS,
    TARGET,
    WRONG,
    everywhere,
)
from bncourse.trial.corpus.making import Bad, hands_in, notebook, write

_MALFORMED = everywhere("malformed")


def cases():
    """Return the cases."""
    return [*_links(), *_too_large(), *_damaged(), *_names()]


def _links():
    return [
        Bad(28, "symbolic link", _links_to(lambda a, b: b.symlink_to(a)), _MALFORMED, "link"),
        Bad(28, "hard link", _links_to(lambda a, b: os.link(a, b)), _MALFORMED, "link"),
        Bad(28, "link to a device", lambda f: (f / NOTEBOOK).symlink_to("/dev/zero"), _MALFORMED),
        Bad(28, "pipe", lambda folder: os.mkfifo(folder / NOTEBOOK), _MALFORMED),
        Bad(28, "links beside the notebook", _writes_links_beside),
    ]


def _links_to(make_link):
    def make(folder):
        write(folder.parent, notebook(), "real.ipynb")
        make_link(folder.parent / "real.ipynb", folder / NOTEBOOK)

    return make


def _writes_links_beside(folder):
    write(folder, notebook())
    (folder / "data.txt").symlink_to("/etc/passwd")
    (folder / "zero").symlink_to("/dev/zero")


def _too_large():
    huge = notebook()
    huge.cells[0]["attachments"] = {"a.png": {"image/png": "A" * 30_000_000}}
    return [
        Bad(29, "attachments of 30 MB", hands_in(huge), _MALFORMED, "too large"),
        Bad(29, "deep JSON", _hands_in_bytes(b'{"a":' * 10**6), _MALFORMED),
    ]


def _damaged():
    good = json.dumps(notebook()).encode()
    old = json.dumps(_in_format_3()).encode()
    cells = json.dumps(notebook({TARGET: WRONG})["cells"]).encode()
    twice = good[:-1] + b', "cells": ' + cells + b"}"
    return [
        Bad(30, "broken JSON", _hands_in_bytes(good[:-9]), _MALFORMED),
        Bad(30, "empty file", _hands_in_bytes(b""), _MALFORMED),
        Bad(30, "binary", _hands_in_bytes(bytes(range(256))), _MALFORMED),
        Bad(30, "wrong encoding", _hands_in_bytes(good.decode().encode("utf-16")), _MALFORMED),
        Bad(30, "cells twice, the last count", _hands_in_bytes(twice), {TARGET: "wrong"}),
        Bad(30, "no number as version", _hands_in_bytes(b'{"nbformat": NaN}'), _MALFORMED),
        Bad(30, "a long number", _hands_in_bytes(b'{"nbformat": %s}' % (b"9" * 9999)), _MALFORMED),
        Bad(30, "format 3", _hands_in_bytes(old), flag="found by its content"),
    ]


def _in_format_3():
    cells = [v3.new_code_cell(source) for source in (IMPORTS, *SOLUTIONS.values())]
    return v3.new_notebook(worksheets=[v3.new_worksheet(cells=cells)])


def _hands_in_bytes(data):
    return lambda folder: (folder / NOTEBOOK).write_bytes(data)


def _names():
    notes = v4.new_notebook(cells=[v4.new_markdown_cell("notes")])
    return [
        Bad(31, "renamed", _hands_in_as({"forward (1).ipynb": notebook()}), flag="renamed"),
        Bad(
            31,
            "renamed, beside a notebook of other things",
            _hands_in_as({"bn.ipynb": notebook(), "notes.ipynb": notes}),
            flag="renamed",
        ),
        Bad(
            31,
            "renamed, and either could be meant",
            _hands_in_as({"bn.ipynb": notebook(), "second.ipynb": notebook()}),
            everywhere("missing"),
            flag="missing notebook",
        ),
        Bad(31, "missing", _hands_in_as({}), everywhere("missing"), flag="missing notebook"),
    ]


def _hands_in_as(notebooks):
    """Return what writes notebooks into a folder, ``{name: notebook}``."""

    def make(folder):
        for name, nb in notebooks.items():
            write(folder, nb, name)

    return make
