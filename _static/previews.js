// What a link to an equation, a word or a source leads to, shown beside it: under a mouse that rests
// there, and where the keyboard stands. Escape takes it away. A finger follows the link as ever.

const RESTING = 250;
const LEAVING = 200;

/** Whether a link leads to something short enough to be shown, by its address alone. */
function leadsToPreview(link) {
  const { hash, pathname } = link;
  return /^#(term-.+|[a-z]\d+)$/.test(hash) || (hash && pathname.endsWith("/bibliography.html"));
}

const isHere = (link) => link.href.split("#")[0] === location.href.split("#")[0];

/** Pages that were asked for, by address. */
const pages = new Map();
function pageOf(link) {
  if (isHere(link)) return document;
  const address = link.href.split("#")[0];
  if (!pages.has(address)) {
    const read = async () => {
      const answer = await fetch(address);
      if (!answer.ok) throw new Error(`${address}: ${answer.status}`);
      return new DOMParser().parseFromString(await answer.text(), "text/html");
    };
    pages.set(address, read());
  }
  return pages.get(address);
}

/** @returns {Node[]} a copy of what an address names, with nothing in it to name or to follow */
function copyOf(target) {
  const parts = [target];
  if (target.tagName === "DT") {
    let next = target;
    while (next?.tagName === "DT") next = next.nextElementSibling;
    if (next) parts.push(next);
  }
  return parts.map((part) => {
    const copy = part.cloneNode(true);
    copy.querySelectorAll(".headerlink, .fn-bracket, .label").forEach((each) => each.remove());
    copy.querySelectorAll("a").forEach((each) => each.replaceWith(...each.childNodes));
    for (const each of [copy, ...copy.querySelectorAll("[id], [tabindex], [role]")])
      for (const name of ["id", "tabindex", "role"]) each.removeAttribute(name);
    const box = document.createElement("div");
    // A term and its meaning need a list around them; here they are a line each.
    if (copy.tagName === "DT" || copy.tagName === "DD") box.append(...copy.childNodes);
    else box.append(copy);
    box.className = copy.tagName === "DT" ? "preview-term" : "";
    return box;
  });
}

class Previews {
  constructor(article) {
    this.article = article;
    this.box = null;
    this.link = null;
    this.timer = 0;
    article.addEventListener("pointerover", (event) => this.point(event));
    article.addEventListener("pointerout", (event) => this.leave(event));
    article.addEventListener("focusin", ({ target }) => {
      if (target.matches("a.reference:focus-visible") && leadsToPreview(target)) this.show(target);
    });
    article.addEventListener("focusout", () => this.hide());
    document.addEventListener("keydown", ({ key }) => {
      if (key === "Escape") this.hide();
    });
  }

  point({ target, pointerType }) {
    if (pointerType === "touch") return;
    if (this.box?.contains(target)) clearTimeout(this.timer);
    const link = target.closest?.("a.reference");
    if (!link || link === this.link || this.box?.contains(link) || !leadsToPreview(link)) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.show(link), RESTING);
  }

  leave({ target, pointerType }) {
    if (pointerType === "touch" || !(target.closest?.("a.reference") || this.box?.contains(target))) return;
    clearTimeout(this.timer);
    // The way from the link to the preview takes a moment.
    if (this.link !== document.activeElement) this.timer = setTimeout(() => this.hide(), LEAVING);
  }

  async show(link) {
    this.hide();
    this.link = link;
    let target = null;
    try {
      const page = await pageOf(link);
      target = page.getElementById(decodeURIComponent(link.hash.slice(1)));
    } catch {
      // The link still leads there.
    }
    if (this.link !== link || !target) return;
    this.box = document.createElement("div");
    this.box.className = "preview";
    this.box.id = "preview";
    this.box.append(...copyOf(target));
    // The browser's own tooltip would lie upon it.
    link.removeAttribute("title");
    link.setAttribute("aria-describedby", "preview");
    this.article.append(this.box);
    this.place();
  }

  /** Put the preview below its link, or above where there is no room. */
  place() {
    // A link that goes on in the next line has two boxes.
    const at = this.link.getClientRects()[0];
    const around = this.article.getBoundingClientRect();
    const { width, height } = this.box.getBoundingClientRect();
    const left = Math.min(at.left - around.left, around.width - width);
    const below = at.bottom + height + 8 < window.innerHeight || at.top < height + 8;
    this.box.style.left = `${Math.max(0, left)}px`;
    this.box.style.top = `${(below ? at.bottom + 6 : at.top - height - 6) - around.top}px`;
  }

  hide() {
    clearTimeout(this.timer);
    this.box?.remove();
    this.link?.removeAttribute("aria-describedby");
    this.box = this.link = null;
  }
}

document.addEventListener("DOMContentLoaded", () => {
  const article = document.querySelector("article");
  if (article) new Previews(article);
});
