// What is wider than its place scrolls; the keyboard reaches that, and stops at nothing else. The theme
// does this for code by laying the page out once for each block; here it costs nothing extra.

const SCROLLING =
  "article .katex-display, pre, .cell_output > .output, .pst-scrollable-table-container, .wide-picture";

const isScrolling = (each) =>
  each.scrollWidth > each.clientWidth + 1 || each.scrollHeight > each.clientHeight + 1;

// A browser calls this once all is laid out: for what it shows, and for what a fold hid once that
// opens. First all is read, then all is written.
const sizes = new ResizeObserver((entries) => {
  const seen = new Set(entries.map(({ target }) => target.closest(SCROLLING)).filter(Boolean));
  const found = [...seen].map((each) => [each, isScrolling(each)]);
  for (const [each, reach] of found) {
    if (reach === (each.tabIndex === 0)) continue;
    if (reach) each.tabIndex = 0;
    else each.removeAttribute("tabindex");
  }
});

document.addEventListener("DOMContentLoaded", () => {
  for (const each of document.querySelectorAll(SCROLLING)) {
    sizes.observe(each);
    // Letters that come late widen what is inside, and not the place.
    if (each.firstElementChild) sizes.observe(each.querySelector(".katex-html") ?? each.firstElementChild);
  }
});
