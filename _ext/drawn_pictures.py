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
    """Write a picture, and its form for a phone if it has one.

    Returns:
        ``{attribute of the image: path}``.
    """
    made = PICTURES[name]()
    _, more = made._repr_mimebundle_()
    paths = {"uri": Path(folder, f"{name}.svg")}
    paths["uri"].write_text(made._repr_svg_())
    if TALL in more:
        paths["tall"] = Path(folder, f"{name}-tall.svg")
        paths["tall"].write_text(more[TALL]["image/svg+xml"])
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
                for attribute, path in draw(name, folder).items():
                    image[attribute] = f"/{path.relative_to(root)}"
                image["classes"].append("drawn")


def setup(app):
    """Draw while a page is read: the figures of a page are part of what Sphinx keeps of it."""
    app.add_transform(Drawn)
    return {"parallel_read_safe": True, "version": "1"}
