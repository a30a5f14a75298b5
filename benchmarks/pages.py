"""Print what there is to read, page by page: words, minutes, figures, equations, checks."""

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bncourse.contents import CHAPTERS, number_of

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "_ext"))

from reading_time import measure  # noqa: E402


def main():
    """Measure each chapter as it is in the sources."""
    table = Table("", "page", "words", "minutes", "figures", "equations", "code", "checks")
    for chapter in CHAPTERS:
        page = measure((ROOT / "chapters" / f"{chapter.page}.md").read_text())
        counts = (page.words, page.minutes, page.figures, page.equations, page.code, page.checks)
        table.add_row(str(number_of(chapter)), chapter.page, *map(str, counts))
    Console().print(table)


if __name__ == "__main__":
    main()
