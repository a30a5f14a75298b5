// A formula that is wider than its place scrolls; the keyboard reaches those, and stops at no other.

function reach() {
  // First all that is read, then all that is written: a browser lays the page out once.
  const formulas = [...document.querySelectorAll("article .katex-display")];
  const scrolls = formulas.map((each) => each.scrollWidth > each.clientWidth + 1);
  formulas.forEach((formula, i) => {
    if (scrolls[i] === (formula.tabIndex === 0)) return;
    if (scrolls[i]) formula.tabIndex = 0;
    else formula.removeAttribute("tabindex");
  });
}

document.addEventListener("DOMContentLoaded", () => {
  const article = document.querySelector("article");
  // The page of the search has none.
  if (!article) return;
  new ResizeObserver(reach).observe(article);
  // A fold that opens shows formulas that had no width before.
  document.addEventListener("toggle", reach, true);
});
