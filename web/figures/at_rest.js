// Prints the figures that are named, at rest, as a JSON object of their markup: the build puts it
// into the pages, so that a page without JavaScript has its pictures.
import { markup } from "./moving.js";

const found = {};
for (const name of process.argv.slice(2)) {
  found[name] = markup((await import(`./${name}.js`)).default);
}
process.stdout.write(JSON.stringify(found));
