"""Set the formulas when the site is built, so that a page shows them without running anything.

KaTeX does it, in one process of Node for the whole site; see web/formulas.js. Style and fonts are
served from the site. A formula that KaTeX refuses is a warning, which stops the build.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

from docutils import nodes
from sphinx.util import logging

from bncourse.commands.bundle import install, node_command

STYLE = "katex/katex.min.css"
# What comes with the site, as a folder of static files.
SERVED = "_build/formulas"

_LOG = logging.getLogger(__name__)
# The environments in which MyST and Sphinx expect what KaTeX calls a display.
_AROUND = re.compile(r"\s*\\begin\{equation\*\}(.*)\\end\{equation\*\}\s*", re.DOTALL)
# Of each font the first form, which every browser takes.
_EARLY_FONTS = ("KaTeX_Main-Regular", "KaTeX_Math-Italic")
_PRELOAD = '<link rel="preload" href="{}" as="font" type="font/woff2" crossorigin>\n'
_OLDER_FONTS = re.compile(r',url\([^)]*\.(woff|ttf)\) format\("\w+"\)')


class Setter:
    """KaTeX in a process that lasts.

    Args:
        modules: the folder with node_modules and formulas.js.
    """

    def __init__(self, modules):
        self._process = subprocess.Popen(
            node_command("node", "formulas.js"),
            cwd=modules,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._known = {}

    def __call__(self, tex, display):
        """Return the answer to a formula: ``{"html": ...}`` or ``{"error": ...}``."""
        asked = json.dumps({"tex": tex, "display": display})
        if asked not in self._known:
            self._process.stdin.write(f"{asked}\n")
            self._process.stdin.flush()
            self._known[asked] = json.loads(self._process.stdout.readline())
        return self._known[asked]

    def close(self):
        """End the process."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def _start(app):
    if app.builder.format != "html":
        return
    app.formulas = Setter(install(Path(app.confdir)))


def serve(katex, target):
    """Copy the style of KaTeX and the fonts that it needs.

    Args:
        katex: the folder of the package.
        target: the folder to make.
    """
    shutil.rmtree(target, ignore_errors=True)
    (target / "fonts").mkdir(parents=True)
    style = (katex / "katex.min.css").read_text(encoding="utf-8")
    (target / "katex.min.css").write_text(_OLDER_FONTS.sub("", style), encoding="utf-8")
    for font in (katex / "fonts").glob("*.woff2"):
        shutil.copy(font, target / "fonts")


def _end(app, exception):
    if hasattr(app, "formulas"):
        app.formulas.close()


def _serve_static(app, config):
    # Before Sphinx asks whether the folder is there.
    katex = install(Path(app.confdir)) / "node_modules" / "katex" / "dist"
    serve(katex, Path(app.confdir, SERVED, "katex"))
    config.html_static_path.append(SERVED)


def _add_style(app, pagename, templatename, context, doctree):
    if doctree is not None and any(
        next(doctree.findall(kind), None) is not None for kind in (nodes.math, nodes.math_block)
    ):
        app.add_css_file(STYLE)
        # They come with the text: a line of it breaks elsewhere once a formula has its own letters.
        for font in _EARLY_FONTS:
            address = context["pathto"](f"_static/katex/fonts/{font}.woff2", 1)
            context["metatags"] = context.get("metatags", "") + _PRELOAD.format(address)


def _inline(translator, node):
    translator.body.append(_set(translator, node, display=False))
    raise nodes.SkipNode


def _block(translator, node):
    ids = "".join(f' id="{name}"' for name in node.get("ids", ())[:1])
    translator.body.append(f'<div class="math"{ids}>')
    translator.body.append(_set(translator, node, display=True))
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def _set(translator, node, display):
    tex = node.astext()
    around = _AROUND.fullmatch(tex)
    answer = translator.builder.app.formulas(around[1] if around else tex, display)
    if "error" in answer:
        _LOG.warning("KaTeX refuses the formula %r: %s", tex, answer["error"], location=node)
    return answer.get("html", "")


def setup(app):
    """Take the place of MathJax, which would set each formula again in each reader's browser."""
    app.add_html_math_renderer("katex", (_inline, None), (_block, None))
    app.connect("config-inited", _serve_static)
    app.connect("builder-inited", _start)
    app.connect("html-page-context", _add_style)
    app.connect("build-finished", _end)
    return {"parallel_read_safe": True, "parallel_write_safe": False, "version": "1"}
