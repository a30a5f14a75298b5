"""Figures that move: ``:::{moving} scrub`` shows web/figures/scrub.js, with the content as caption.

The build draws each figure at rest, by the code that draws it in the browser, so that a page
without JavaScript has its picture. Only a page with such a figure loads scripts and styles for it.
"""

import json
import subprocess
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective
from sphinx.util.fileutil import copy_asset

from bncourse.commands.bundle import node_command

FOLDER = Path(__file__).parents[1] / "web" / "figures"
SERVED = "figures"


def run_node(*arguments):
    """Return what Node prints when it runs a module of web/figures.

    Raises:
        RuntimeError: if it fails; the message is what it said.
    """
    command = node_command("node", *arguments)
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"Node failed.\n{done.stderr}")
    return done.stdout


def at_rest(*names):
    """Return the markup of figures at rest, without captions, as a dict by name."""
    return json.loads(run_node("at_rest.js", *names))


class Moving(SphinxDirective):
    """Put a moving figure here; other pages refer to it as ``fig-moving-NAME``."""

    required_arguments = 1
    has_content = True

    def run(self):
        """Return a figure node: the markup at rest and the caption."""
        name = self.arguments[0]
        if not (FOLDER / f"{name}.js").exists():
            raise self.error(f"moving names a module of web/figures. Received: {name}")
        for path in FOLDER.glob("*.js"):
            self.env.note_dependency(str(path))
        figure = nodes.figure("", nodes.raw("", at_rest(name)[name], format="html"))
        figure["classes"].append("moving-figure")
        figure["names"].append(f"fig-moving-{name}")
        self.set_source_info(figure)
        self.state.document.note_explicit_target(figure, figure)
        figure += self._caption()
        return [figure]

    def _caption(self):
        parsed = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, parsed)
        if len(parsed) != 1 or not isinstance(parsed[0], nodes.paragraph):
            raise self.error(f"A moving figure needs a caption of one paragraph: {self.content}")
        return nodes.caption("", "", *parsed[0].children)


def _serve(app):
    if app.builder.format == "html":
        copy_asset(FOLDER, Path(app.outdir, "_static", SERVED))


def _add_files(app, pagename, templatename, context, doctree):
    figures = doctree.findall(nodes.figure) if doctree else ()
    if any("moving-figure" in each["classes"] for each in figures):
        app.add_css_file(f"{SERVED}/moving.css")
        app.add_js_file(f"{SERVED}/live.js", type="module")


def setup(app):
    """Add the directive, and serve its modules."""
    app.add_directive("moving", Moving)
    app.connect("builder-inited", _serve)
    app.connect("html-page-context", _add_files)
    return {"parallel_read_safe": True, "version": "1"}
