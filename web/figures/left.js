// What batch norm leaves of a gradient, as a subtraction: bars that can be dragged.
import { batchnormBackward, batchnormForward } from "./maths.js";
import { clamp, round, scale, show, text } from "./moving.js";

// The example by hand of the chapter, and an eps that is next to nothing.
const X = [3, 9, 11, 17];
const GAMMA = 0.5;
const CACHE = batchnormForward(X, GAMMA, 0, 1e-12);
const EXAMPLES = [1, 2, 3, 4];
const LIMIT = 10;
const PRESETS = { one: [10, 0, 0, 0], all: [5, 5, 5, 5], along: [-7, -1, 1, 7] };
const WIDTH = 190;
const HEIGHT = 150;
// No bar is longer: the rows of the projection have absolute sums of at most 1.48.
const toY = scale(15, -15, 34, HEIGHT - 12);

const arriving = (state) => EXAMPLES.map((i) => state[`dy${i}`]);
const size = (values) => values.reduce((sum, each) => sum + each ** 2, 0);
const list = (values) => values.map((each) => show(each)).join(", ");

/** One of the four charts. */
function panel(column, line, title, values, kind) {
  const left = column * (WIDTH + 20);
  const top = line * (HEIGHT + 8);
  const bars = values.map((value, i) => {
    const x = left + 12 + 45 * i;
    const [zero, end] = [toY(0), toY(value)].map((each) => top + each);
    const [upper, height] = [Math.min(zero, end), Math.abs(zero - end)].map(round);
    return (
      `<rect x="${x}" y="${upper}" width="31" height="${height}" class="${kind}"/>` +
      text(x + 15.5, value < 0 ? end + 14 : end - 5, show(value, 1), "small")
    );
  });
  const zero = round(top + toY(0));
  return (
    text(left, top + 15, title, `${kind} start name`) +
    `<path d="M${left} ${zero}H${left + WIDTH}" class="axis"/>${bars.join("")}`
  );
}

const handle = (dy, i) =>
  `<circle cx="${45 * i + 27.5}" cy="${round(toY(dy))}" r="22" class="handle" ` +
  `data-handle="dy${i + 1}"/>`;

/** @type {import("./moving.js").Figure} */
export default {
  name: "left",
  label:
    "Four bar charts over four examples, read as a subtraction. The gradient dy that arrives, " +
    "10, 0, 0, 0; minus its mean, 2.5 for each; minus its part along x-hat, " +
    "4.9, 0.7, −0.7, −4.9; what is left, 2.6, −3.2, −1.8, 2.4.",
  size: [400, 2 * HEIGHT + 8],
  controls: [
    { kind: "button", name: "one", label: "Pull on one" },
    { kind: "button", name: "all", label: "Pull on all alike" },
    { kind: "button", name: "along", label: "Pull along x̂" },
    ...EXAMPLES.map((i) => ({
      kind: "range",
      name: `dy${i}`,
      label: `dy${"₁₂₃₄"[i - 1]}`,
      min: -LIMIT,
      max: LIMIT,
      step: 1,
      value: PRESETS.one[i - 1],
    })),
  ],
  numbers(state) {
    const dy = arriving(state);
    const parts = batchnormBackward(dy, CACHE, GAMMA);
    const whole = size(dy);
    const shares = [dy.map(() => parts.dyMean), parts.alongPart, parts.left].map((each) =>
      whole ? size(each) / whole : 0,
    );
    return { ...parts, shares };
  },
  draw: (state, { dyMean, alongPart, left }) =>
    [
      panel(0, 0, "dy, as it arrives", arriving(state), "data"),
      panel(1, 0, "− its mean", EXAMPLES.map(() => dyMean), "stat"),
      panel(0, 1, "− its x̂ part", alongPart, "norm"),
      panel(1, 1, "= what is left", left, "ink"),
      ...arriving(state).map(handle),
    ].join(""),
  say(state, { shares, left, dx }) {
    if (!size(arriving(state))) return "No gradient arrives, none is left.";
    const [inMean, along, rest] = shares.map((each) => `${show(100 * each, 0)} %`);
    const words =
      `Of |dy|², ${inMean} is its mean, ${along} lies along x̂, ${rest} is left. ` +
      `Times γ r = ${show(GAMMA * CACHE.invStd)}: dx = ${list(dx)}.`;
    return size(left) < 1e-9
      ? `${words} No input can move what normalising takes away.`
      : words;
  },
  press(state, name) {
    if (!PRESETS[name]) return state;
    return { ...state, ...Object.fromEntries(PRESETS[name].map((dy, i) => [`dy${i + 1}`, dy])) };
  },
  drag(state, key, x, y) {
    const value = Math.round(scale(toY(0), toY(1), 0, 1)(y));
    return { ...state, [key]: clamp(value, -LIMIT, LIMIT) };
  },
};
