"""Where the course is published: the one setting of its two addresses.

Fill them in when you publish, then run ``make exercises`` and commit what changes. While they are
empty, every command works from the folder of the course or from a wheel of it.
"""

from urllib.parse import quote

# On GitHub, such as https://github.com/OWNER/COURSE
REPOSITORY = ""
# The website, such as https://OWNER.github.io/COURSE
SITE = ""


def source(repository=None):
    """Return what pip installs the course from: an archive, since not everybody has git.

    Args:
        repository: its address; by default the setting.
    """
    repository = REPOSITORY if repository is None else repository
    return f"bncourse @ {repository}/archive/refs/heads/main.zip" if repository else "."


def page(name, site=None):
    """Return the address of a page of the website, or nothing where no website is set.

    Args:
        name: such as "chapters/forward", or "chapters/forward#F1".
        site: the address of the website; by default the setting.

    >>> page("chapters/forward#F1", "https://example.org/course")
    'https://example.org/course/chapters/forward.html#f1'
    """
    site = SITE if site is None else site
    name, mark, tag = name.partition("#")
    return f"{site}/{name}.html{mark}{tag.lower()}" if site else ""


def colab(notebook, repository=None):
    """Return the address that opens a notebook of the repository in Colab, or nothing.

    >>> colab("exercises/a/b.ipynb", "https://github.com/x/y")
    'https://colab.research.google.com/github/x/y/blob/main/exercises/a/b.ipynb'
    """
    repository = REPOSITORY if repository is None else repository
    place = repository.partition("github.com/")[2]
    host = "https://colab.research.google.com/github"
    return f"{host}/{place}/blob/main/{notebook}" if place else ""


def binder(notebook, repository=None):
    """Return the address that opens a notebook of the repository in Binder, or nothing.

    >>> binder("exercises/a/b.ipynb", "https://github.com/x/y")
    'https://mybinder.org/v2/gh/x/y/main?labpath=exercises%2Fa%2Fb.ipynb'
    """
    repository = REPOSITORY if repository is None else repository
    place = repository.partition("github.com/")[2]
    path = quote(notebook, safe="")
    return f"https://mybinder.org/v2/gh/{place}/main?labpath={path}" if place else ""
