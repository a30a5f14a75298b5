"""Measure each page of the built website as a browser with an empty cache gets it.

    python benchmarks/speed.py [PAGE ...]

Twice: from this machine, and as if over Fast 3G on a processor four times slower. Printed are the
seconds until text shows, until its formulas do, kB as they travel (gzip), the shift of the layout,
the milliseconds in which the page shows text and does not answer (the total blocking time: what
each task takes beyond 50 ms, from the first text on), how many findings axe has, light and dark.
Last, how long an exercise on its page waits for its first verdict, and for later ones. Seconds
depend on the machine and on what else it does; the rest does not.
"""

import functools
import gzip
import http.server
import io
import os
import shutil
import statistics
import sys
import threading
import time
from dataclasses import astuple, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

HTML = Path(__file__).parents[1] / "_build" / "html"
_LEFT_OUT = {"404", "genindex"}
# As Chromium's developer tools name it: bytes a second, and milliseconds to an answer.
_FAST_3G = {
    "offline": False,
    "latency": 562.5,
    "downloadThroughput": 180e3,
    "uploadThroughput": 84e3,
}
_SLOWER = 4
_WATCH = """
window.seen = { shift: 0 };
window.tasks = [];
new PerformanceObserver((list) => {
  for (const each of list.getEntries()) if (!each.hadRecentInput) seen.shift += each.value;
}).observe({ type: "layout-shift", buffered: true });
new PerformanceObserver((list) => {
  for (const each of list.getEntries()) {
    tasks.push({ start: each.startTime, end: each.startTime + each.duration });
  }
}).observe({ type: "longtask", buffered: true });
"""
# Scripts go on when all files are there, on a slow processor for seconds.
_AT_REST = "performance.now() - (tasks.at(-1)?.end ?? 0) > 1500"
_READ = """async () => {
  await document.fonts.ready;
  const fonts = performance.getEntriesByType("resource").filter((e) => /katex.*woff/.test(e.name));
  const text = performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? NaN;
  const late = tasks.map((each) => each.end - Math.max(each.start, text));
  const all = ["navigation", "resource"].flatMap((kind) => performance.getEntriesByType(kind));
  return {
    text: text / 1000,
    formulas: Math.max(text, ...fonts.map((e) => e.responseEnd)) / 1000,
    size: all.reduce((sum, e) => sum + e.transferSize, 0) / 1000,
    requests: all.length,
    blocked: late.reduce((sum, each) => sum + Math.max(each - 50, 0), 0),
    ...seen,
  };
}"""


@dataclass(frozen=True)
class Visit:
    """What one load of a page took: seconds, kB, milliseconds."""

    text: float
    formulas: float
    size: float
    requests: int
    shift: float
    blocked: float


class _Zipping(http.server.SimpleHTTPRequestHandler):
    """Serves as a host of websites does: compressed, over connections that stay open."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def send_head(self):
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            return super().send_head()
        kind = self.guess_type(str(path))
        packed = kind.startswith("text/") or "javascript" in kind or "json" in kind or "svg" in kind
        data = _zipped(path) if packed else path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        if packed:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        return io.BytesIO(data)


@functools.cache
def _zipped(path):
    return gzip.compress(path.read_bytes(), 6)


def visit(browser, address, slow=False):
    """Load a page once, in a context that has kept nothing.

    Args:
        browser: of Playwright.
        address: of the page.
        slow: whether over Fast 3G, on a slower processor.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(0)
    page.add_init_script(_WATCH)
    if slow:
        session = context.new_cdp_session(page)
        session.send("Network.emulateNetworkConditions", _FAST_3G)
        session.send("Emulation.setCPUThrottlingRate", {"rate": _SLOWER})
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.wait_for_function(_AT_REST, polling=200)
    found = page.evaluate(_READ)
    context.close()
    return Visit(**found)


def findings(browser, address):
    """Return how many rules of axe a page breaks, of any weight, in light and in dark."""
    from axe_playwright_python.sync_playwright import Axe

    broken = set()
    for theme in ("light", "dark"):
        page = browser.new_page()
        page.add_init_script(f"localStorage.mode = localStorage.theme = '{theme}'")
        page.goto(address)
        broken |= {each["id"] for each in Axe().run(page).response["violations"]}
        page.close()
    return sorted(broken)


def verdicts(browser, address):
    """Return the seconds from a click to the verdict on set 1, with an empty cache and then again.

    Args:
        browser: of Playwright.
        address: of the website.
    """
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(0)
    page.goto(f"{address}/exercises/ps1_forward/forward.html")
    cell = page.locator("[data-exercise=batch_statistics]")
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(
        "def batch_statistics(x):\n    return x.mean(axis=0), x.var(axis=0)\n"
    )
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        cell.locator("[data-action=run]").click()
        cell.locator("[data-verdict]").wait_for()
        seconds.append(time.perf_counter() - start)
    context.close()
    return seconds[0], statistics.median(seconds[1:])


def _row(name, near, far, broken):
    cells = [
        f"{near.text:.2f}",
        f"{near.size:.0f}",
        f"{near.requests:.0f}",
        f"{near.shift:.3f}",
        f"{near.blocked:.0f}",
        f"{far.text:.1f}",
        f"{far.formulas:.1f}",
        f"{far.shift:.3f}",
        f"{far.blocked:.0f}",
    ]
    return [name, *cells, " ".join(broken) or "0"]


def _middle(visits):
    """Return the Visit whose numbers are the medians of others."""
    return Visit(*map(statistics.median, zip(*map(astuple, visits), strict=True)))


def main(names):
    """Print the table for pages; for all of them if none is named."""
    from playwright.sync_api import sync_playwright

    found = {str(each.relative_to(HTML))[:-5] for each in HTML.rglob("*.html")}
    names = names or sorted(n for n in found if not n.startswith("_") and n not in _LEFT_OUT)
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not chromium:
        sys.exit("Chromium is missing. On Debian or Ubuntu: apt install chromium")
    heads = ("page", "text s", "kB", "requests", "shift", "blocked ms")
    table = Table(*heads, "3G text s", "formulas s", "shift", "blocked ms", "axe")
    near, far = [], []
    handler = functools.partial(_Zipping, directory=HTML)
    with (
        http.server.ThreadingHTTPServer(("localhost", 0), handler) as server,
        sync_playwright() as driver,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name in names:
            address = f"http://localhost:{server.server_port}/{name}.html"
            near.append(visit(browser, address))
            far.append(visit(browser, address, slow=True))
            table.add_row(*_row(name, near[-1], far[-1], findings(browser, address)))
            print(name, file=sys.stderr)
        first, later = verdicts(browser, f"http://localhost:{server.server_port}")
        browser.close()
        server.shutdown()
    table.add_section()
    table.add_row(*_row("median", _middle(near), _middle(far), []))
    Console(width=150).print(table)
    print(f"first verdict of an exercise: {first:.1f} s, later ones: {later:.2f} s")
    print(f"load of this machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


if __name__ == "__main__":
    main(sys.argv[1:])
