// Set formulas: a line of JSON in, {tex, display}; a line of JSON out, {html} or {error}.
//
// KaTeX writes each formula twice: for the eye, and as MathML for whoever listens to it.

import { createInterface } from "node:readline";
import katex from "katex";

/** @param {{tex: string, display: boolean}} formula */
function set({ tex, display }) {
  try {
    const options = { displayMode: display, strict: "error", output: "htmlAndMathml" };
    return { html: katex.renderToString(tex, options) };
  } catch (error) {
    return { error: error.message };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(set(JSON.parse(line)))}\n`);
}
