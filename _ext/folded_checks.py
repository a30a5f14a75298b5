"""Fold each check of an equation behind one line: "checked: (B7)" opens it.

A check is a code cell whose first line is ``# checks (B7)``. Its text stays as short as that: what
Jupyter Book needs for the fold is written here, once.
"""

import re

_CHECK = re.compile(
    r"^```\{code-cell\}(?P<kernel>[^\n]*)\n(?::[^\n]*\n)*\n*"
    r"(?P<first># checks (?P<tags>\([^\n]*\))\n)",
    re.M,
)


def fold(text):
    """Return the MyST text of a page with its checks folded.

    >>> print(fold("```{code-cell} ipython3\\n# checks (F1)\\nassert x == 1\\n```"))
    ```{code-cell} ipython3
    ---
    tags: [hide-cell]
    mystnb:
      code_prompt_show: "checked: (F1)"
      code_prompt_hide: "checked: (F1)"
    ---
    # checks (F1)
    assert x == 1
    ```
    """
    return _CHECK.sub(_folded, text)


def _folded(found):
    words = f'"checked: {found["tags"]}"'
    return (
        f"```{{code-cell}}{found['kernel']}\n"
        "---\n"
        "tags: [hide-cell]\n"
        "mystnb:\n"
        f"  code_prompt_show: {words}\n"
        f"  code_prompt_hide: {words}\n"
        "---\n"
        f"{found['first']}"
    )


def _fold_page(app, name, source):
    if name.startswith("chapters/"):
        source[0] = fold(source[0])


def setup(app):
    """Read each chapter as if its folds were written in it."""
    app.connect("source-read", _fold_page)
    return {"parallel_read_safe": True}
