"""Put what the text of a page waits for into its head: one file to come, in the place of twenty.

Themes and extensions bring some twenty files of style, most of whose rules no page here can use,
and a browser shows no text before the last of them has come. Once all pages are written, what can
be used becomes one style, the same for all of them.
"""

import functools
import itertools
import re
from pathlib import Path, PurePosixPath

import tinycss2

_SHEET = re.compile(r'\s*<link\b(?=[^>]*\brel="stylesheet")[^>]*\bhref="([^"?]+)[^>]*>')
# Scripts further down in the page read what it sets, so it cannot wait.
_OPTIONS = re.compile(r'<script src="[^"]*\b(_static/documentation_options\.js)[^"]*"></script>')
_STYLE = re.compile(
    r'\s*<style data-sheets="([^"]*)">.*?</style>(?:\s*<noscript><style>.*?</style></noscript>)?',
    re.S,
)
_NAMES = re.compile(r'\b(?:class|id)="([^"]*)"')
_WORD = re.compile(r"-?-?\w[\w-]*")
_DEFINED = re.compile(r"--[\w-]+:|keyframes [\w-]+")
_ADDRESS = re.compile(r"""url\((["']?)(?!data:|#|/|\w+:)([^)"']+)\1\)""")
# Scripts that name more than they ever add to a page here.
_TALKATIVE = ("bootstrap", "fontawesome", "pyodide/", "locales/", "vendor/", "searchtools")
# What bootstrap adds all the same, to show and to hide: panels, menus, words beside a button.
_ADDED = {"show", "showing", "hiding", "collapse", "collapsing", "collapsed", "fade", "active"} | {
    f"{name}{part}"
    for name in ("tooltip", "bs-tooltip")
    for part in ("", "-inner", "-arrow", "-auto", "-top", "-bottom", "-start", "-end")
}
_DARK = re.compile(r"""\[data-theme=["']?dark["']?\]""")
_NESTING = {"media", "supports", "layer", "container"}


def written(rules, names, read):
    """Return rules of a style as text: those that can apply, without comments and spare spaces.

    Args:
        rules: of tinycss2.
        names: the classes and ids that occur.
        read: the custom properties and animations that something refers to; None for all.

    >>> style = "a.b, .c { color: red; --x: 1 } .c d { top: 0 } @media print { .b { top: 0 } }"
    >>> written(tinycss2.parse_stylesheet(style), {"b"}, set())
    'a.b{color:red}@media print{.b{top:0}}'
    """
    return "".join(_rule(each, names, read) for each in rules)


def dark_without_script(rules):
    """Return the rules of the dark theme as text, for a page whose theme no script can set.

    Args:
        rules: of tinycss2.

    >>> style = "html[data-theme=dark] p,p { top: 0 } @media print {a[data-theme=dark] {top: 1px}}"
    >>> dark_without_script(tinycss2.parse_stylesheet(style))
    'html:not([data-theme]) p{ top: 0 }@media print{a:not([data-theme]){top: 1px}}'
    """
    return "".join(map(_dark_rule, rules))


def _dark_rule(rule):
    if rule.type == "qualified-rule":
        dark = [each for each in map(_text, _parts(rule.prelude)) if _DARK.search(each)]
        selectors = ",".join(_DARK.sub(":not([data-theme])", each) for each in dark)
        return f"{selectors}{{{tinycss2.serialize(rule.content)}}}" if dark else ""
    if rule.type == "at-rule" and rule.content and rule.lower_at_keyword in _NESTING:
        inside = dark_without_script(tinycss2.parse_rule_list(rule.content))
        return f"@{rule.at_keyword} {_text(rule.prelude)}{{{inside}}}" if inside else ""
    return ""


def _rule(rule, names, read):
    if rule.type == "qualified-rule":
        selectors = [_text(each) for each in _parts(rule.prelude) if _named(each) <= names]
        body = _body(rule.content, read)
        return f"{','.join(selectors)}{{{body}}}" if selectors and body else ""
    if rule.type != "at-rule" or rule.lower_at_keyword == "charset":
        return ""
    prelude = _text(rule.prelude)
    if rule.content is None:
        return f"@{rule.at_keyword} {prelude};"
    if rule.lower_at_keyword in _NESTING:
        inside = written(tinycss2.parse_rule_list(rule.content), names, read)
        return f"@{rule.at_keyword} {prelude}{{{inside}}}" if inside else ""
    if rule.lower_at_keyword.endswith("keyframes") and read is not None and prelude not in read:
        return ""
    return f"@{rule.at_keyword} {prelude}{{{_text(rule.content)}}}"


def _parts(prelude):
    """Split the tokens of a list of selectors at its commas."""
    parts = [[]]
    for token in prelude:
        if token == ",":
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _named(selector):
    """Return the classes and ids that a selector asks for; of alternatives and negations, none."""
    found = {token.value for token in selector if token.type == "hash"}
    return found | {
        name.value
        for dot, name in itertools.pairwise(selector)
        if dot == "." and name.type == "ident"
    }


def _body(content, read):
    kept = []
    for each in tinycss2.parse_blocks_contents(content, skip_comments=True, skip_whitespace=True):
        if each.type != "declaration":
            kept.append(_text([each]))
        elif read is None or not each.name.startswith("--") or each.name in read:
            important = "!important" if each.important else ""
            kept.append(f"{each.name}:{_text(each.value)}{important}")
    return ";".join(kept)


def _text(tokens):
    return tinycss2.serialize(_bare(tokens)).strip()


def _bare(tokens):
    """Return tokens without comments, each space one space wide, at all depths."""
    kept = [each for each in tokens if each.type != "comment"]
    for each in kept:
        if each.type == "whitespace":
            each.value = " "
        for inside in ("content", "arguments", "prelude"):
            if getattr(each, inside, None):
                setattr(each, inside, _bare(getattr(each, inside)))
    return kept


def collected(root, sheets):
    """Return the text of files of style, one after the other, with what they import.

    Addresses in it count from the root.

    Args:
        root: the folder of the site.
        sheets: paths from there.
    """
    return "\n".join(_sheet(root, PurePosixPath(each)) for each in sheets)


def _sheet(root, path):
    def address(found):
        return f"url({_resolved(path.parent / found[2])})"

    def imported(found):
        return _sheet(root, _resolved(path.parent / found[1]))

    text = _ADDRESS.sub(address, Path(root, path).read_text("utf-8"))
    return re.sub(r"""@import\s*["']([^"']+)["'];""", imported, text)


def _resolved(path):
    parts = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return PurePosixPath(*parts)


def style_of(root, sheets, pages):
    """Return the one style of a site, its addresses counted from the root.

    Args:
        root: the folder of the site.
        sheets: paths from there, in order.
        pages: the texts of all pages.
    """
    scripts = "\n".join(
        path.read_text("utf-8")
        for path in sorted(Path(root, "_static").rglob("*.js"))
        if not any(each in str(path.relative_to(root)) for each in _TALKATIVE)
    )
    names = {name for page in pages for found in _NAMES.findall(page) for name in found.split()}
    names |= _ADDED | set(_WORD.findall(scripts))
    style = written(tinycss2.parse_stylesheet(collected(root, sheets)), names, None)
    # What one property hands on to another goes with it: once more than the longest such chain.
    for _ in range(3):
        read = set(_WORD.findall(_DEFINED.sub("", style))) | set(_WORD.findall(scripts))
        read |= {found for page in pages for found in re.findall(r"var\((--[\w-]+)", page)}
        style = written(tinycss2.parse_stylesheet(style), names, read)
    return style


def put_in(root):
    """Give each page of a site its style, in place of the files that it names.

    A page that has it already gets it anew: a build writes only the pages that changed.

    Args:
        root: the folder of the site.
    """
    root = Path(root)
    paths = [path for path in root.rglob("*.html") if "_static" not in path.parts]
    pages = {path: path.read_text("utf-8") for path in paths}
    sheets = {path: _sheets_of(root, path, text) for path, text in pages.items()}
    order = _merged(sheets.values())
    # The style itself names each class; what pages hold counts without it.
    bare = [_STYLE.sub("", text) for text in pages.values()]
    style = style_of(root, order, bare)
    # The script in the head knows whether the reader's system is dark; without it a rule asks.
    dark = dark_without_script(tinycss2.parse_stylesheet(style))
    dark = f"@media screen and (prefers-color-scheme:dark){{{dark}}}" if dark else ""
    for path, text in pages.items():
        if sheets[path]:
            up = "../" * (len(path.relative_to(root).parts) - 1)
            here, below = (
                each.replace("url(_static/", f"url({up}_static/") for each in (style, dark)
            )
            head = f'\n    <style data-sheets="{" ".join(order)}">{here}</style>'
            head += f"\n    <noscript><style>{below}</style></noscript>" if below else ""
            changed = _OPTIONS.sub(functools.partial(_inline, root), _in_place(text, head))
            if changed != text:
                path.write_text(changed, "utf-8")


def _sheets_of(root, path, text):
    kept = _STYLE.search(text)
    if kept:
        return kept[1].split()
    here = PurePosixPath(path.relative_to(root)).parent
    return [str(_resolved(here / found)) for found in _SHEET.findall(text)]


def _merged(lists):
    """Return what several lists hold, each thing once, in the order that they share.

    >>> _merged([["a", "c"], ["a", "b", "c"]])
    ['a', 'b', 'c']
    """
    merged = []
    for each in lists:
        at = 0
        for name in each:
            if name not in merged:
                merged.insert(at, name)
            at = merged.index(name) + 1
    return merged


def _in_place(text, head):
    """Put the style where the first file of it was named, and no file is any more."""
    first = _STYLE.search(text) or _SHEET.search(text)
    before, after = text[: first.start()], text[first.start() :]
    return before + head + _SHEET.sub("", _STYLE.sub("", after))


def _inline(root, found):
    return f"<script>{Path(root, found[1]).read_text('utf-8').strip()}</script>"


def _put_in(app, exception):
    if not exception and app.builder.format == "html":
        put_in(app.outdir)


def setup(app):
    """Wait for all pages, and for what others still do to them."""
    app.connect("build-finished", _put_in, priority=900)
    return {"parallel_read_safe": True}
