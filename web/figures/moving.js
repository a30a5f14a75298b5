// What all moving figures share: their markup, which the build writes into the page, and the few
// lines that make it answer. A figure computes `numbers` from its state and draws from both.

/**
 * @typedef {Record<string, any>} State values of the controls by name, and what buttons add
 * @typedef {object} Control
 * @property {"range" | "radio" | "button"} kind
 * @property {string} name
 * @property {string} label
 * @property {number | string} [value] at rest
 * @property {number} [min]
 * @property {number} [max]
 * @property {number} [step]
 * @property {(value: number) => string} [shown] the value in words
 * @property {[number | string, string][]} [options] of a radio: value and words
 * @property {(state: State) => boolean} [idle] whether it does nothing at present
 *
 * @typedef {object} Figure
 * @property {string} name
 * @property {string} label what the picture shows, for who does not see it
 * @property {[number, number]} size of the picture, in units of its own
 * @property {Control[]} controls
 * @property {(state: State) => Record<string, any>} numbers
 * @property {(state: State, numbers: Record<string, any>) => string} draw the inside of the SVG
 * @property {(state: State, numbers: Record<string, any>) => string} say in a sentence
 * @property {(state: State, name: string) => State} [press] a button
 * @property {(state: State, handle: string, x: number, y: number) => State} [drag]
 * @property {(state: State) => State | null} [tick] the next state while it runs
 * @property {number} [pace] milliseconds from one state to the next
 */

/** @param {Figure} figure @returns {State} */
export function rest(figure) {
  const valued = figure.controls.filter((each) => each.kind !== "button");
  return Object.fromEntries(valued.map((each) => [each.name, each.value]));
}

/** A number as the page prints it. @param {number} value @param {number} [digits] */
export function show(value, digits = 2) {
  const text = String(Number(value.toFixed(digits)));
  return (text === "-0" ? "0" : text).replace("-", "−");
}

/** A straight map from one range to another. */
export const scale = (from, to, start, end) => (value) =>
  start + ((value - from) / (to - from)) * (end - start);

/** @param {number} value @param {number} least @param {number} most */
export const clamp = (value, least, most) => Math.min(most, Math.max(least, value));

/**
 * @param {number} x
 * @param {number} y
 * @param {string} words
 * @param {string} [kind] classes: what it means, and start or end for where it is held
 */
export const text = (x, y, words, kind = "") =>
  `<text x="${round(x)}" y="${round(y)}" class="${kind}">${words}</text>`;

/** @param {string} d @param {string} kind */
export const path = (d, kind) => `<path d="${d}" class="${kind}"/>`;

export const round = (value) => Math.round(value * 100) / 100;

const idOf = (figure, control) => `moving-${figure.name}-${control.name}`;
const shown = (control, value) => (control.shown ?? ((each) => show(each)))(Number(value));

/** @param {Figure} figure */
function controlsMarkup(figure) {
  const buttons = figure.controls
    .filter((each) => each.kind === "button")
    .map((each) => {
      const idle = each.idle?.(rest(figure)) ? " disabled" : "";
      return `<button type="button" name="${each.name}"${idle}>${each.label}</button>`;
    });
  const others = figure.controls
    .filter((each) => each.kind !== "button")
    .map((each) => controlMarkup(figure, each));
  const row = buttons.length ? `<div class="moving-buttons">${buttons.join("")}</div>` : "";
  return row + others.join("");
}

/** @param {Figure} figure @param {Control} control */
function controlMarkup(figure, control) {
  const id = idOf(figure, control);
  const idle = control.idle?.(rest(figure)) ? " disabled" : "";
  if (control.kind === "radio") {
    const options = control.options.map(([value, words]) => {
      const checked = value === control.value ? " checked" : "";
      return (
        `<label><input type="radio" name="${id}" value="${value}"${checked}${idle}>` +
        `<span>${words}</span></label>`
      );
    });
    return (
      `<fieldset data-control="${control.name}"><legend>${control.label}</legend>` +
      `<div>${options.join("")}</div></fieldset>`
    );
  }
  const { min, max, step, value } = control;
  return (
    `<div class="moving-range" data-control="${control.name}">` +
    `<label for="${id}">${control.label}</label><span>${shown(control, value)}</span>` +
    `<input id="${id}" type="range" min="${min}" max="${max}" step="${step}" value="${value}"` +
    ` aria-valuetext="${shown(control, value)}" autocomplete="off"${idle}></div>`
  );
}

const quoted = (words) => words.replaceAll("&", "&amp;").replaceAll('"', "&quot;");

/** The figure at rest with its numbers, without its caption. @param {Figure} figure */
export function markup(figure) {
  const state = rest(figure);
  const numbers = figure.numbers(state);
  const [width, height] = figure.size;
  const longest = Math.max(
    ...figure.controls.filter(({ kind }) => kind === "range").map(({ label }) => label.length),
  );
  return (
    `<div class="moving" data-moving="${figure.name}"` +
    ` data-numbers="${quoted(JSON.stringify(numbers))}"><div class="moving-picture">` +
    `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${figure.label}">` +
    `${figure.draw(state, numbers)}</svg>` +
    `<p class="moving-says" role="status">${figure.say(state, numbers)}</p></div>` +
    `<form class="moving-controls" aria-label="Controls of the figure"` +
    ` style="--label: ${longest}ch">` +
    `${controlsMarkup(figure)}</form></div>`
  );
}

/** One figure of a page, awake. */
class Live {
  /** @param {HTMLElement} box @param {Figure} figure */
  constructor(box, figure) {
    Object.assign(this, { box, figure, state: rest(figure), running: 0 });
    this.svg = box.querySelector("svg");
    this.says = box.querySelector(".moving-says");
    this.form = box.querySelector("form");
    // Some browsers bring back what a form held before a reload.
    this.form.reset();
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", () => this.set({ ...this.state, ...this.read() }));
    this.form.addEventListener("click", ({ target }) => {
      if (target.tagName === "BUTTON") this.press(target.name);
    });
    if (figure.drag) this.listenToPointers();
    // What there is to see at rest the build has drawn.
    box.dataset.live = "";
  }

  /** @param {Control} control */
  at(control) {
    return this.form.querySelector(`[data-control="${control.name}"]`);
  }

  read() {
    const values = {};
    for (const control of this.figure.controls) {
      if (control.kind === "range") {
        values[control.name] = this.at(control).querySelector("input").valueAsNumber;
      } else if (control.kind === "radio") {
        const chosen = this.at(control).querySelector("input:checked").value;
        values[control.name] = typeof control.value === "number" ? Number(chosen) : chosen;
      }
    }
    return values;
  }

  set(state) {
    this.state = state;
    for (const control of this.figure.controls) this.showControl(control);
    this.render();
  }

  /** @param {Control} control */
  showControl(control) {
    const value = this.state[control.name];
    if (control.kind === "radio") {
      for (const each of this.at(control).querySelectorAll("input")) {
        each.checked = each.value === String(value);
        each.disabled = control.idle?.(this.state) ?? false;
      }
    } else if (control.kind === "range") {
      const input = this.at(control).querySelector("input");
      if (input.valueAsNumber !== value) input.value = String(value);
      input.disabled = control.idle?.(this.state) ?? false;
      input.setAttribute("aria-valuetext", shown(control, value));
      this.at(control).querySelector("span").textContent = shown(control, value);
    } else if (control.idle) {
      this.form.elements[control.name].disabled = control.idle(this.state);
    }
  }

  render() {
    const numbers = this.figure.numbers(this.state);
    this.svg.innerHTML = this.figure.draw(this.state, numbers);
    this.says.innerHTML = this.figure.say(this.state, numbers);
    this.box.dataset.numbers = JSON.stringify(numbers);
  }

  press(name) {
    this.set(this.figure.press(this.state, name));
    if (this.figure.tick) this.run();
  }

  /** Go on as long as there is a next state; where motion is unwanted, go to the last at once. */
  run() {
    clearTimeout(this.running);
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      let state = this.state;
      for (let next = state; next; next = this.figure.tick(state)) state = next;
      this.set(state);
      return;
    }
    const next = this.figure.tick(this.state);
    // What changes all the time is not read out, but what it comes to is.
    this.says.setAttribute("role", next ? "none" : "status");
    if (!next) {
      this.render();
      return;
    }
    this.running = setTimeout(() => {
      this.set(this.figure.tick(this.state) ?? this.state);
      this.run();
    }, this.figure.pace);
  }

  listenToPointers() {
    let held = null;
    const move = (event) => {
      const at = new DOMPoint(event.clientX, event.clientY);
      const { x, y } = at.matrixTransform(this.svg.getScreenCTM().inverse());
      this.set(this.figure.drag(this.state, held, x, y));
    };
    this.svg.addEventListener("pointerdown", (event) => {
      held = event.target.dataset.handle ?? null;
      if (held === null) return;
      // The picture is drawn anew with each move; the whole of it keeps the pointer.
      this.svg.setPointerCapture(event.pointerId);
      event.preventDefault();
      move(event);
    });
    this.svg.addEventListener("pointermove", (event) => held !== null && move(event));
    for (const end of ["pointerup", "pointercancel"]) {
      this.svg.addEventListener(end, () => (held = null));
    }
  }
}

/** @param {HTMLElement} box @param {Figure} figure */
export const wake = (box, figure) => new Live(box, figure);
