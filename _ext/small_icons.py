"""Serve the icons that pages show as a font of their own: 3 kB in the place of 157.

The theme's font of all icons stays where it is. A browser asks for it when a page shows an icon
that is not named here.
"""

import re
from pathlib import Path

import pydata_sphinx_theme
from fontTools import subset

STATIC = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static"
# What comes with the site, as a folder of static files.
SERVED = "_build/icons"
# Those of the buttons, by their names there; those of the boxes in the text follow from its style.
ICONS = (
    *("angle-left", "angle-right", "arrow-up", "bars", "circle-half-stroke", "code", "download"),
    *("expand", "file", "file-lines", "file-pdf", "list", "magnifying-glass", "moon", "outdent"),
    *("pencil", "rocket", "sun"),
)
_OF_BOXES = re.compile(r'--pst-icon-[a-z-]+:\s*"(\\?[^"]+)"')
_FACE = """@font-face {{
  font-family: "Font Awesome 6 Free";
  font-style: normal;
  font-weight: 900;
  font-display: block;
  src: url("icons.woff") format("woff");
  unicode-range: {};
}}
"""


def points(css, names=ICONS):
    """Return the code points of the icons of the pages, by the style of the theme.

    >>> sorted(points('.fa-bars:before,.fa-navicon:before{content:"\\\\f0c9"}', ["bars"]))
    [61641]
    """
    found = set()
    for name in names:
        rule = re.search(rf'\.fa-{name}:before[^{{]*{{content:"\\(\w+)"', css)
        found.add(int(rule[1], 16))
    for shown in _OF_BOXES.findall(css):
        found.add(int(shown[1:], 16) if shown[0] == "\\" else ord(shown))
    return found


def write(folder):
    """Write the font and the style that names it.

    Args:
        folder: where to.
    """
    found = sorted(points((STATIC / "styles" / "pydata-sphinx-theme.css").read_text("utf-8")))
    folder.mkdir(parents=True, exist_ok=True)
    options = subset.Options(flavor="woff", ignore_missing_unicodes=True, notdef_outline=True)
    font = subset.load_font(STATIC / "vendor/fontawesome/webfonts/fa-solid-900.ttf", options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=found)
    subsetter.subset(font)
    subset.save_font(font, folder / "icons.woff", options)
    ranges = ", ".join(f"U+{each:X}" for each in found)
    (folder / "icons.css").write_text(_FACE.format(ranges))


def _serve(app, config):
    write(Path(app.confdir, SERVED))
    config.html_static_path.append(SERVED)


def setup(app):
    """Write them before the pages, which name them last: of two fonts the later one is taken."""
    app.connect("config-inited", _serve)
    app.add_css_file("icons.css", priority=900)
    return {"parallel_read_safe": True}
