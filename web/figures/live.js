// Wakes the moving figures of a page; each page loads those that it shows.
import { wake } from "./moving.js";

for (const box of document.querySelectorAll("[data-moving]")) {
  const figure = await import(`./${box.dataset.moving}.js`);
  wake(box, figure.default);
}
