// A link to an equation that stands in a fold opens the fold.
function openFolds() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const folds = [];
  for (let each = target; each; each = each.parentElement) {
    if (each.tagName === "DETAILS" && !each.open) folds.push(each);
  }
  folds.forEach((each) => (each.open = true));
  if (folds.length) target.scrollIntoView();
}

window.addEventListener("hashchange", openFolds);
window.addEventListener("load", openFolds);
