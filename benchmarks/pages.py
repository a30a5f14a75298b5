"""Print what there is to read, page by page: words, minutes, figures, equations, checks.

Where the website is built and Chromium is there, also how many screens a page takes, and how many
stand between two pictures.
"""

import functools
import http.server
import os
import shutil
import sys
import threading
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bncourse.contents import CHAPTERS, number_of

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "_ext"))

from reading_time import measure  # noqa: E402

SCREEN = {"width": 1280, "height": 900}
# The height of what there is to read, and the longest part of it without a picture, in pixels;
# what is folded has no height.
HEIGHTS = """() => {
  const box = document.querySelector("article").getBoundingClientRect();
  const pictures = [...document.querySelectorAll("article img, article svg")]
    .map((each) => each.getBoundingClientRect())
    .filter((each) => each.height > 60);
  let [above, longest] = [box.top, 0];
  for (const each of [...pictures, { top: box.bottom, bottom: box.bottom }]) {
    longest = Math.max(longest, each.top - above);
    above = Math.max(above, each.bottom);
  }
  return [box.height, longest];
}"""


def screens(page, address):
    """Return how many screens a page takes, and the longest part of it without a picture.

    Args:
        page: of Playwright.
        address: of the page.
    """
    page.set_viewport_size(SCREEN)
    page.goto(address)
    page.evaluate("document.fonts.ready")
    return [pixels / SCREEN["height"] for pixels in page.evaluate(HEIGHTS)]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


def all_screens(html):
    """Return ``{page: (screens, the longest part without a picture)}`` of a built website."""
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    handler = functools.partial(_Quiet, directory=html)
    with (
        http.server.ThreadingHTTPServer(("localhost", 0), handler) as server,
        sync_playwright() as driver,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        site = f"http://localhost:{server.server_port}/chapters"
        found = {each.page: screens(page, f"{site}/{each.page}.html") for each in CHAPTERS}
        browser.close()
        server.shutdown()
    return found


def main():
    """Measure each chapter as it is in the sources, and on the website if that is built."""
    html = ROOT / "_build" / "html"
    seen = all_screens(html) if html.exists() and shutil.which("chromium") else {}
    table = Table("", "page", "words", "minutes", "figures", "equations", "code", "checks")
    table.add_column("screens")
    table.add_column("without picture")
    for chapter in CHAPTERS:
        page = measure((ROOT / "chapters" / f"{chapter.page}.md").read_text())
        counts = (page.words, page.minutes, page.figures, page.equations, page.code, page.checks)
        heights = (f"{height:.1f}" for height in seen.get(chapter.page, ()))
        table.add_row(str(number_of(chapter)), chapter.page, *map(str, counts), *heights)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
