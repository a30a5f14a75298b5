"""Show the claims of ``bncourse/claims.py`` as cards, which a verdict filters.

A page asks for a group with ``{claims} GROUP`` in a fence of three backticks and nothing else in
it, and for the choice of a verdict with an empty ``{claims-filter}`` fence. The filter is a row of
radio buttons and a few lines of course.css: it needs no script.
"""

import re

from bncourse import claims

_FENCE = re.compile(r"^```\{claims\} (\w+)\n```$", re.M)
_FILTER = "```{claims-filter}\n```"


def css_class(verdict):
    """Return the class of what has a verdict.

    >>> css_class("not supported")
    'claim-not-supported'
    """
    return f"claim-{verdict.replace(' ', '-')}"


def card(claim):
    """Return a Claim as a card in MyST: claim, verdict, question and answer, evidence folded."""
    places = " · ".join(claims.links(claim))
    return f"""\
(claim-{claim.number})=
:::::{{div}} claim {css_class(claim.verdict)}
**{claim.number}.** {{bdg-secondary-line}}`{claim.verdict}` {claim.claim}

*{claim.question}* {claim.answer} {places}

::::{{dropdown}} Evidence
{claim.evidence}
::::
:::::
"""


def cards(group):
    """Return the cards of a group in MyST.

    Raises:
        ValueError: if there is no such group.
    """
    if group not in claims.GROUPS:
        raise ValueError(f"A group must be one of {', '.join(claims.GROUPS)}. Received: {group}")
    return "\n".join(card(claim) for claim in claims.CLAIMS if claim.group == group)


def choice():
    """Return the radio buttons in MyST: all claims, or those of one verdict, with their number."""
    verdicts = [claim.verdict for claim in claims.CLAIMS]
    buttons = [_button("claim-all", "all", len(verdicts), " checked")]
    buttons += [_button(css_class(v), v, verdicts.count(v)) for v in claims.VERDICTS]
    inside = "".join(buttons)
    return (
        "```{raw} html\n"
        f'<fieldset class="claims-filter"><legend>Show</legend>{inside}</fieldset>\n'
        "```"
    )


def _button(name, words, count, checked=""):
    return (
        f'<label><input type="radio" name="claims-filter" id="show-{name}"{checked}> '
        f"{words} ({count})</label>\n"
    )


def expanded(text):
    """Return the text of a page with its claims and their filter in the place of the fences."""
    return _FENCE.sub(lambda found: cards(found[1]), text).replace(_FILTER, choice())


def _fill_page(app, name, source):
    source[0] = expanded(source[0])


def setup(app):
    """Fill in the claims before a page is read."""
    app.connect("source-read", _fill_page, priority=300)
    return {"parallel_read_safe": True}
