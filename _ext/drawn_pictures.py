"""Show the pictures of the notebooks as the figures they were drawn from.

A notebook carries its pictures as pixels on white, in its text
(``bncourse/figures/problem_sets.py``). A page has room for more: lines that are sharp at any size,
at home in the dark, and a form for a phone, as the figures of the chapters have them.
"""

import base64
from pathlib import Path

from docutils import nodes
from sphinx.transforms import SphinxTransform

from bncourse.figures.problem_sets import PICTURES
from bncourse.figures.style import TALL

_PNG = "data:image/png;base64,"


def name_of(uri, folder):
    """Return the name of the picture that an address holds, or None.

    Args:
        uri: the address of an image.
        folder: where the pictures of the notebooks are.
    """
    if not uri.startswith(_PNG):
        return None
    content = base64.b64decode(uri.removeprefix(_PNG))
    paths = (Path(folder, f"{name}.png") for name in PICTURES)
    return next((path.stem for path in paths if path.read_bytes() == content), None)


def draw(name, folder):
    """Write a picture, and its form for a phone, as lines where lines are few enough.

    Returns:
        ``{attribute of the image: path}``.
    """
    made = PICTURES[name]()
    _, more = made._repr_mimebundle_()
    forms = {
        "uri": (f"{name}.svg", made._repr_svg_()),
        "tall": (f"{name}-tall.svg", more.get(TALL, {}).get("image/svg+xml")),
    }
    paths = {}
    for attribute, (file, lines) in forms.items():
        if lines:
            paths[attribute] = Path(folder, file)
            paths[attribute].write_text(lines)
    return paths


class Drawn(SphinxTransform):
    """Put the drawn form in the place of the pixels, before Sphinx collects the files of images."""

    default_priority = 400

    def apply(self, **_):
        """Look at each image of a page."""
        root = Path(self.app.srcdir)
        folder = Path(self.app.doctreedir).parent / "pictures"
        for image in self.document.findall(nodes.image):
            if name := name_of(image["uri"], root / "pictures"):
                folder.mkdir(parents=True, exist_ok=True)
                paths = draw(name, folder)
                image.attributes |= {each: f"/{p.relative_to(root)}" for each, p in paths.items()}
                if "uri" in paths:
                    image["classes"].append("drawn")


def setup(app):
    """Draw while a page is read: the figures of a page are part of what Sphinx keeps of it."""
    app.add_transform(Drawn)
    return {"parallel_read_safe": True, "version": "1"}
