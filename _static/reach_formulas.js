// A formula that is wider than its place scrolls; the keyboard reaches those, and stops at no other.

function reach() {
  for (const formula of document.querySelectorAll("article .katex-display")) {
    if (formula.scrollWidth > formula.clientWidth + 1) formula.tabIndex = 0;
    else formula.removeAttribute("tabindex");
  }
}

document.addEventListener("DOMContentLoaded", () => {
  const article = document.querySelector("article");
  // The page of the search has none.
  if (!article) return;
  new ResizeObserver(reach).observe(article);
  // A fold that opens shows formulas that had no width before.
  document.addEventListener("toggle", reach, true);
});
