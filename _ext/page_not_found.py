"""Write 404.html, the page for addresses that lead nowhere, so that it works under any path.

A host shows it in the place of any missing address, however deep, so no relative link of it can
be right. It carries its own style, and a script that finds the nearest folder above that is a site.
"""

from html import escape
from pathlib import Path
from string import Template

from bncourse.contents import CHAPTERS, number_of

_DARK = "color-scheme: dark; --page: #14161a; --text: #e4e2dc; --link: #62b6f0; --line: #3a404a"
_TEMPLATE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Not here: $title</title>
<style>
:root { color-scheme: light; --page: #fff; --text: #222832; --link: #0b6bb0; --line: #d0d4da; }
@media (prefers-color-scheme: dark) { :root:not([data-theme=light]) { $dark } }
:root[data-theme=dark] { $dark }
html { background: var(--page); color: var(--text); }
body { max-width: 38rem; margin: 3rem auto; padding: 0 1rem; font: 1rem/1.55 sans-serif; }
a { color: var(--link); }
li { padding: 0.2rem 0; }
input, button { font: inherit; padding: 0.5rem 0.8rem; }
nav { border-top: 1px solid var(--line); }
</style>
<script>
// As the button of the other pages was set: dark, light, or as the system is.
try { document.documentElement.dataset.theme = localStorage.mode ?? ""; } catch { /* none kept */ }
</script>
</head>
<body>
<main>
<h1>There is no page here</h1>
<p>The address may be mistyped, or the page has moved.</p>
<noscript><p>The course begins further up in the address.</p></noscript>
<div hidden>
<p><a href="index.html">$title</a></p>
<form action="search.html">
<label for="q">Search the course</label>
<input id="q" name="q" type="search"> <button>Search</button>
</form>
<nav aria-label="Chapters"><ol>
$chapters
</ol></nav>
</div>
</main>
<script type="module">
const folders = location.pathname.split("/").slice(0, -1);
for (; folders.length; folders.pop()) {
  const root = folders.join("/") + "/";
  const found = await fetch(root + "objects.inv", { method: "HEAD" });
  if (!found.ok) continue;
  for (const link of document.links) link.href = root + link.getAttribute("href");
  document.forms[0].action = root + document.forms[0].getAttribute("action");
  document.querySelector("[hidden]").hidden = false;
  break;
}
</script>
</body>
</html>
""")


def page(title):
    """Return the text of the page.

    >>> "chapters/forward.html" in page("A course")
    True
    """
    chapters = "\n".join(
        f'<li value="{number_of(each)}"><a href="chapters/{each.page}.html">'
        f"{escape(each.title)}</a></li>"
        for each in CHAPTERS
    )
    return _TEMPLATE.substitute(title=escape(title), chapters=chapters, dark=_DARK)


def _write(app, exception):
    if not exception and app.builder.format == "html":
        Path(app.outdir, "404.html").write_text(page(app.config.html_title))


def setup(app):
    """Write the page once the others are written."""
    app.connect("build-finished", _write)
    return {"parallel_read_safe": True}
