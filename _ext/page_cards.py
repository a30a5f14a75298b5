"""Say in the head of each page what it is about: for search engines, and for who shares its link.

A chapter is described by its question. What needs an address (the card with its picture, the
canonical link and sitemap.xml) is written where one is set in bncourse/addresses.py, and nowhere
else.
"""

import textwrap
from html import escape
from pathlib import Path

from docutils import nodes
from matplotlib.figure import Figure

from bncourse import addresses
from bncourse.contents import CHAPTERS

_QUESTIONS = {f"chapters/{each.page}": each.question for each in CHAPTERS}
_LONGEST = 160
# Where the pictures of the cards are, as the site serves them.
CARDS = "_static/cards"
# What sites that show cards ask for.
_PIXELS = (1200, 630)


def _description(name, doctree):
    """Return the question of a chapter, or else the first paragraph of a page; both on one line."""
    first = next((each.astext() for each in doctree.findall(nodes.paragraph)), "")
    words = " ".join(_QUESTIONS.get(name, first).split())
    return words if len(words) <= _LONGEST else words[:_LONGEST].rsplit(" ", 1)[0] + " ..."


def tags(title, description, address="", picture=""):
    """Return the tags of one page; those of its card only with an address.

    Args:
        title: of the page.
        description: in a sentence.
        address: of the page.
        picture: the address of the picture of its card.

    >>> print(tags("A & B", "Why?"))
    <meta name="description" content="Why?">
    >>> tags("A & B", "Why?", "https://example.org/a.html").splitlines()[2]
    '<meta property="og:title" content="A &amp; B">'
    """
    found = [("name", "description", description)]
    if address:
        card = {"type": "article", "title": title, "description": description, "url": address}
        card |= {"image": picture, "image:alt": title} if picture else {}
        found += [("property", f"og:{key}", value) for key, value in card.items()]
        found += [("name", "twitter:card", "summary_large_image" if picture else "summary")]
    return "\n".join(
        f'<meta {kind}="{key}" content="{escape(value)}">' for kind, key, value in found if value
    )


def draw(title, question, target):
    """Draw the picture of a card: the title, the question, and four numbers before and after.

    Args:
        title: of the page.
        question: a sentence below it.
        target: the file to write.
    """
    width, height = _PIXELS
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor="white")
    figure.text(0.06, 0.88, textwrap.fill(title, 30), size=46, weight="bold", va="top")
    figure.text(0.06, 0.46, textwrap.fill(question, 60), size=24, va="top", color="#444444")
    axes = figure.add_axes((0.06, 0.04, 0.88, 0.18))
    axes.set_axis_off()
    batch = (3, 9, 11, 17)
    for height, numbers, color in (
        (1, batch, "#5F6673"),
        (0, [(x - 10) / 5 for x in batch], "#0B6BB0"),
    ):
        axes.axhline(height, color="#D0D4DA", zorder=0)
        axes.plot(numbers, [height] * len(batch), "o", color=color, markersize=16)
    axes.set(xlim=(-4, 19), ylim=(-0.4, 1.4))
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target)


def sitemap(pages, site):
    """Return the text of sitemap.xml.

    >>> print(sitemap(["index"], "https://example.org"))
    <?xml version="1.0" encoding="utf-8"?>
    <urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
    <url><loc>https://example.org/index.html</loc></url>
    </urlset>
    """
    places = [f"<url><loc>{escape(addresses.page(each, site))}</loc></url>" for each in pages]
    head = '<?xml version="1.0" encoding="utf-8"?>'
    schema = "http://www.sitemaps.org/schemas/sitemap/0.9"
    return "\n".join([head, f'<urlset xmlns="{schema}">', *places, "</urlset>"])


def _set_base(app, config):
    if addresses.SITE:
        config.html_baseurl = f"{addresses.SITE}/"


def _add_tags(app, pagename, templatename, context, doctree):
    if doctree:
        title = app.env.titles[pagename].astext()
        description, address = _description(pagename, doctree), addresses.page(pagename)
        picture = ""
        if address:
            picture = f"{CARDS}/{pagename.replace('/', '-')}.png"
            draw(title, description, Path(app.outdir, picture))
        written = tags(title, description, address, picture and f"{addresses.SITE}/{picture}")
        context["metatags"] = f"{context.get('metatags', '')}\n{written}\n"


def _write_sitemap(app, exception):
    if addresses.SITE and not exception and app.builder.format == "html":
        text = sitemap(sorted(app.env.found_docs), addresses.SITE)
        Path(app.outdir, "sitemap.xml").write_text(text)


def setup(app):
    """Describe each page, and list all of them where the site has an address."""
    app.connect("config-inited", _set_base)
    app.connect("html-page-context", _add_tags)
    app.connect("build-finished", _write_sitemap)
    return {"parallel_read_safe": True}
