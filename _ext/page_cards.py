"""Say in the head of each page what it is about: for search engines, and for who shares its link.

A chapter is described by its question. What needs an address (the card, the canonical link and
sitemap.xml) is written where one is set in bncourse/addresses.py, and nowhere else.
"""

from html import escape
from pathlib import Path

from docutils import nodes

from bncourse import addresses
from bncourse.contents import CHAPTERS

_QUESTIONS = {f"chapters/{each.page}": each.question for each in CHAPTERS}
_LONGEST = 160


def _description(name, doctree):
    """Return the question of a chapter, or else the first paragraph of a page; both on one line."""
    first = next((each.astext() for each in doctree.findall(nodes.paragraph)), "")
    words = " ".join(_QUESTIONS.get(name, first).split())
    return words if len(words) <= _LONGEST else words[:_LONGEST].rsplit(" ", 1)[0] + " ..."


def tags(title, description, address=""):
    """Return the tags of one page; those of its card only with an address.

    >>> print(tags("A & B", "Why?"))
    <meta name="description" content="Why?">
    >>> tags("A & B", "Why?", "https://example.org/a.html").splitlines()[2]
    '<meta property="og:title" content="A &amp; B">'
    """
    found = [("name", "description", description)]
    if address:
        card = {"type": "article", "title": title, "description": description, "url": address}
        found += [("property", f"og:{key}", value) for key, value in card.items()]
        found += [("name", "twitter:card", "summary")]
    return "\n".join(
        f'<meta {kind}="{key}" content="{escape(value)}">' for kind, key, value in found if value
    )


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
        written = tags(title, _description(pagename, doctree), addresses.page(pagename))
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
