// Makes editors of the cells of an exercise page and runs them, check included, in this browser.
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { python } from "@codemirror/lang-python";
import { bracketMatching, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { EditorState, Prec } from "@codemirror/state";
import { EditorView, keymap, lineNumbers } from "@codemirror/view";
import { classHighlighter } from "@lezer/highlight";

const HELP = "Tab indents. Escape, then Tab, leaves the editor. Shift and Enter run it.";

/** @param {string} tag @param {Record<string, string>} attributes @param {(Node | string)[]} inside */
function make(tag, attributes = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...inside);
  return element;
}

const textOf = (cell) => [cell.source].flat().join("");

/** What a reader wrote, kept in this browser under the id of its cell. */
class Answers {
  constructor(notebook) {
    this.prefix = `bncourse:${notebook}:`;
    this.written = new Map();
  }

  get(cell) {
    if (!this.written.has(cell.id)) {
      let kept = null;
      try {
        kept = localStorage.getItem(this.prefix + cell.id);
      } catch {
        // A browser may refuse to keep anything; the page works without.
      }
      this.written.set(cell.id, kept ?? textOf(cell));
    }
    return this.written.get(cell.id);
  }

  set(cell, text) {
    this.written.set(cell.id, text);
    try {
      if (text === textOf(cell)) localStorage.removeItem(this.prefix + cell.id);
      else localStorage.setItem(this.prefix + cell.id, text);
    } catch {
      // As above.
    }
  }
}

/** The Python of this page: one worker at a time, started by the first answer or the first run. */
class Python {
  constructor() {
    this.worker = null;
    this.step = "";
    this.ran = new Map();
    // What was stopped: it must not hold up every cell below it.
    this.stopped = new Map();
    this.ending = null;
  }

  get busy() {
    return this.ending !== null;
  }

  /** Load Python, unless it is there: who begins to write is going to run it. */
  load() {
    if (this.worker) return;
    this.ran.clear();
    this.step = "Loading Python";
    this.worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data }) => (this.step = data.step);
    // The next run tries again, and says what is wrong.
    this.worker.onerror = () => (this.worker = null);
  }

  /** Run cells; those that ran already with the same text are left out, the last ones never. */
  run(above, asked, onProgress) {
    this.load();
    onProgress(this.step);
    const due = above.filter(
      ({ name, source }) => this.ran.get(name) !== source && this.stopped.get(name) !== source,
    );
    this.asked = asked;
    for (const { name, source } of [...due, ...asked]) this.ran.set(name, source);
    const cells = [
      ...due.map((cell) => ({ ...cell, quiet: true })),
      ...asked.map((cell) => ({ ...cell, quiet: false })),
    ];
    return new Promise((resolve) => {
      this.ending = (result) => {
        this.ending = null;
        resolve(result);
      };
      const failed = (text) => this.stop({ ok: false, text: `Python could not run here. ${text}` });
      this.worker.onmessage = ({ data }) => {
        if (data.kind === "progress") onProgress((this.step = data.step));
        else if (data.kind === "failed") failed(data.text);
        else this.ending?.(data);
      };
      this.worker.onerror = (event) => failed(event.message ?? "");
      this.worker.postMessage(cells);
    });
  }

  stop(result = { ok: null, text: "Stopped. The next run starts Python anew." }) {
    if (this.busy) this.stopped.set(this.asked[0].name, this.asked[0].source);
    this.worker?.terminate();
    this.worker = null;
    this.ending?.(result);
  }
}

/** One cell with an editor, its buttons and its result. */
class Cell {
  constructor(page, cell, place, check, below) {
    Object.assign(this, { page, cell, place, check, below });
    this.name = check ? check.metadata.nbgrader.grade_id : cell.id;
    this.box = make("div", { class: "run-cell", [check ? "data-exercise" : "data-cell"]: this.name });
    this.run = make("button", { type: "button", "data-action": "run" }, check ? "Run and check" : "Run");
    this.stop = make("button", { type: "button", "data-action": "stop", disabled: "" }, "Stop");
    this.reset = make("button", { type: "button", "data-action": "reset" }, "Reset");
    this.state = make("span", { class: "run-state", role: "status" });
    this.result = make("pre", { "data-result": "", "aria-live": "polite", hidden: "" });
    this.editor = this.makeEditor();
    this.box.append(
      make("div", { class: "run-editor" }),
      make("div", { class: "run-bar" }, this.run, this.stop, this.reset, this.state),
      this.result,
    );
    this.box.firstChild.append(this.editor.dom);
    this.run.addEventListener("click", () => this.start());
    this.stop.addEventListener("click", () => page.python.stop());
    this.reset.addEventListener("click", () => this.empty());
  }

  makeEditor() {
    const label = this.check ? `Your answer: ${this.name}` : "Python, to change and run";
    return new EditorView({
      state: EditorState.create({
        doc: this.page.answers.get(this.cell),
        extensions: [
          Prec.highest(
            keymap.of(["Shift-Enter", "Mod-Enter"].map((key) => ({ key, run: () => this.start() }))),
          ),
          lineNumbers(),
          history(),
          python(),
          indentUnit.of("    "),
          indentOnInput(),
          bracketMatching(),
          syntaxHighlighting(classHighlighter),
          keymap.of([...defaultKeymap, ...historyKeymap, indentWithTab]),
          EditorView.contentAttributes.of({ "aria-label": `${label}. ${HELP}`, tabindex: "0" }),
          EditorView.updateListener.of((update) => {
            if (!update.docChanged) return;
            this.page.answers.set(this.cell, this.source);
            const written = update.transactions.some((each) => each.isUserEvent("input"));
            // Not where a reader asks to be spared.
            if (written && !navigator.connection?.saveData) this.page.python.load();
          }),
        ],
      }),
    });
  }

  takePlace() {
    this.place.replaceWith(this.box);
    // As in the notebook: the answer, the check, what it says.
    if (this.below) this.box.firstChild.after(this.below);
  }

  get source() {
    return this.editor.state.doc.toString();
  }

  asSent() {
    return { name: this.name, source: this.source };
  }

  /** @returns {boolean} that the key is dealt with */
  start() {
    this.page.start(this);
    return true;
  }

  empty() {
    const whole = { from: 0, to: this.editor.state.doc.length, insert: textOf(this.cell) };
    this.editor.dispatch({ changes: whole });
    this.show({ ok: null, text: "" });
    this.editor.focus();
  }

  wait(words) {
    this.result.removeAttribute("data-verdict");
    this.result.textContent = "";
    this.result.hidden = true;
    this.state.textContent = words;
    this.stop.disabled = false;
  }

  show({ ok, text }) {
    this.state.textContent = "";
    this.stop.disabled = true;
    this.result.textContent = text;
    this.result.hidden = !text;
    this.result.removeAttribute("data-verdict");
    // Without a check there is nothing to be right or wrong about, but for what it raises.
    if (ok === false || (ok && this.check)) this.result.dataset.verdict = ok ? "ok" : "wrong";
  }
}

/** All cells of one page. */
class Page {
  constructor(notebook, name) {
    this.notebook = notebook;
    this.name = name;
    this.answers = new Answers(name);
    this.python = new Python();
    this.cells = [];
  }

  async build() {
    const cells = this.notebook.cells;
    this.addDownload();
    for (const [index, cell] of cells.entries()) {
      const place = document.getElementById(`notebook-cell-${index}`);
      const grade = cell.metadata.nbgrader;
      if (cell.cell_type === "markdown" && grade?.solution) this.write(cell);
      else if (place && cell.cell_type === "code" && !grade?.grade) {
        const next = cells[index + 1];
        const check = grade?.solution && next?.metadata.nbgrader?.grade ? next : null;
        const below = check && document.getElementById(`notebook-cell-${index + 1}`);
        this.cells.push(new Cell(this, cell, place, check, below));
        // An editor takes a moment: what the reader does meanwhile comes first.
        await new Promise((resolve) => setTimeout(resolve));
      }
    }
    // All at once: each change has the browser lay out all of the page that is below it.
    for (const each of this.cells) each.takePlace();
    document.querySelector(".run-intro").dataset.ready = "";
  }

  /** Give a written answer a field, so that the downloaded notebook holds it. */
  write(cell) {
    const words = textOf(cell).replaceAll("*", "").trim();
    const place = [...document.querySelectorAll("article p")].find((p) => p.textContent === words);
    if (!place) return;
    const label = `Your written answer: ${cell.metadata.nbgrader.grade_id}`;
    const field = make("textarea", { "data-written": cell.id, rows: "5", "aria-label": label });
    field.value = this.answers.get(cell);
    field.addEventListener("input", () => this.answers.set(cell, field.value));
    place.replaceWith(field);
  }

  async start(cell) {
    if (this.python.busy) {
      cell.state.textContent = "Another cell is running. Stop it first.";
      return;
    }
    cell.wait("Running");
    const above = this.cells.slice(0, this.cells.indexOf(cell)).map((each) => each.asSent());
    const asked = [cell.asSent()];
    if (cell.check) {
      asked.push({ name: `check ${cell.name}`, source: textOf(cell.check) });
    }
    cell.show(await this.python.run(above, asked, (step) => (cell.state.textContent = step)));
  }

  addDownload() {
    const button = make("button", { type: "button", "data-action": "download" }, "Download notebook");
    button.addEventListener("click", () => this.download());
    const words =
      "Answer here: each cell below is an editor, and Run checks it in your browser. " +
      "Your first change loads Python, about 9 MB. Your answers stay in this browser; " +
      "the notebook you download holds them, ready to hand in. A cell that draws needs Matplotlib, " +
      "which this page does not carry.";
    document.querySelector(".run-intro").append(make("p", {}, words), button);
  }

  download() {
    const filled = structuredClone(this.notebook);
    filled.cells.forEach((cell, index) => {
      const text = this.answers.get(this.notebook.cells[index]);
      if (text !== textOf(cell)) cell.source = text.split(/(?<=\n)/);
    });
    const file = new Blob([JSON.stringify(filled, null, 1) + "\n"], { type: "application/x-ipynb+json" });
    const link = make("a", { href: URL.createObjectURL(file), download: this.name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
}

const { notebook: address } = document.querySelector("script[data-notebook]").dataset;
const answer = await fetch(address);
if (answer.ok) await new Page(await answer.json(), address.split("/").pop()).build();
