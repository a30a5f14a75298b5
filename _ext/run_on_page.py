"""Let readers run the exercises that need NumPy only on their page; see web/ for what runs there.

A page learns where its notebook is and which of its parts is which cell. Editors, buttons and
results are made in the browser: without JavaScript the page stays as it was.
"""

import hashlib
from pathlib import Path

from docutils import nodes

from bncourse.registry import PROBLEM_SETS

# What `bncourse book` has bundled, as a folder of static files.
BUNDLE = "_build/web"

PAGES = {f"exercises/{each.name}/{each.notebook}" for each in PROBLEM_SETS if not each.needs}

_INTRO = '<div class="run-intro pst-js-only"></div>'


def _serve_bundle(app, config):
    config.html_static_path.append(BUNDLE)


def _renew(app, env, added, changed, removed):
    """Return the pages to set anew: Sphinx copies static files only where it sets a page."""
    folders = [Path(app.confdir, name) for name in ("_static", BUNDLE)]
    files = sorted(path for each in folders for path in each.rglob("*") if path.is_file())
    digest = hashlib.sha256(b"".join(hashlib.sha256(f.read_bytes()).digest() for f in files))
    if getattr(env, "static_digest", None) == digest.hexdigest():
        return []
    env.static_digest = digest.hexdigest()
    return sorted(PAGES)


def _number_cells(app, doctree):
    if app.env.docname in PAGES:
        # Below the heading: what comes there holds its place from the start.
        doctree[0].insert(1, nodes.raw("", _INTRO, format="html"))
        for cell in doctree.findall(nodes.container):
            if cell.get("nb_element") == "cell_code":
                cell["ids"].append(f"notebook-cell-{cell['cell_index']}")


def _add_scripts(app, pagename, templatename, context, doctree):
    if pagename in PAGES:
        notebook = context["pathto"](f"_sources/{pagename}.ipynb", 1)
        app.add_js_file("run/page.js", type="module", **{"data-notebook": notebook})


def setup(app):
    """Serve the bundle, number the cells, and load the script where there is something to run."""
    app.connect("config-inited", _serve_bundle)
    app.connect("env-get-outdated", _renew)
    app.connect("doctree-read", _number_cells)
    app.connect("html-page-context", _add_scripts)
    return {"parallel_read_safe": True, "version": "1"}
