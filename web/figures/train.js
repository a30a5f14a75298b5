// Two small networks with the same weights, one with batch norm, trained side by side.
import { forward, rings, start, step } from "./net.js";
import { clamp, path, round, scale, show, text } from "./moving.js";

export const DATA = rings(1, 48);
const LAYERS = 6;
const UNITS = 8;
const STEPS = 150;
const SHARES = [0.05, 0.25, 0.5, 0.75, 0.95];
const NETS = { plain: false, normed: true };
const WORDS = { plain: "without batch norm", normed: "with batch norm" };
const KINDS = { plain: "data", normed: "norm" };
const LIMIT = 1.5;

/** @param {number} seed @param {number} size @param {boolean} batchNorm */
export const network = (seed, size, batchNorm) =>
  start(seed, { layers: LAYERS, units: UNITS, size, batchNorm });

/** @param {number[]} sorted @param {number} share between two neighbours by a straight line */
function quantile(sorted, share) {
  const at = share * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

function summary(net) {
  const { loss, hidden } = forward(net, DATA);
  const spread = hidden.map((rows) => {
    const sorted = rows.flat().sort((a, b) => a - b);
    return SHARES.map((share) => quantile(sorted, share));
  });
  return { loss, spread };
}

// What was computed last, so that one more step is one more step.
let run = { key: "" };

/** Both networks from the start to a step. @returns {Record<string, ReturnType<typeof summary>[]>} */
function trained(seed, size, rate, steps) {
  const key = [seed, size, rate].join();
  if (run.key !== key) {
    run = { key, nets: {}, seen: { plain: [], normed: [] } };
    for (const name of Object.keys(NETS)) {
      run.nets[name] = network(seed, size, NETS[name]);
      run.seen[name].push(summary(run.nets[name]));
    }
  }
  for (const name of Object.keys(NETS)) {
    while (run.seen[name].length <= steps) {
      run.nets[name] = step(run.nets[name], DATA, rate);
      run.seen[name].push(summary(run.nets[name]));
    }
  }
  return run.seen;
}

/** The spread of what each layer hands on: nine tenths thin, one half thick, the median a dot. */
function layers(left, name, spread) {
  const toY = scale(-1, 1, 132, 36);
  const bars = spread.map((quantiles, i) => {
    const x = left + 20 + 26 * i;
    const [least, low, middle, high, most] = quantiles.map((each) => round(toY(each)));
    return (
      path(`M${x} ${least}V${most}`, `line thin ${KINDS[name]}`) +
      path(`M${x} ${low}V${high}`, `line thick ${KINDS[name]}`) +
      `<circle cx="${x}" cy="${middle}" r="4" class="${KINDS[name]}"/>` +
      text(x, 152, String(i + 1), "small")
    );
  });
  return [
    text(left - 16, 16, WORDS[name], `start name ${KINDS[name]}`),
    ...[-1, 0, 1].map((value) => path(`M${left} ${toY(value)}H${left + 168}`, "thread")),
    ...[-1, 1].map((value) => text(left - 5, toY(value) + 4, show(value), "end small")),
    ...bars,
    text(left + 88, 170, "layer", "small"),
  ].join("");
}

const toX = scale(0, STEPS, 24, 394);
const toHeight = (loss) => round(scale(0, LIMIT, 290, 206)(clamp(loss, 0, LIMIT)));

function curve(name, losses) {
  const line = losses.map((loss, t) => `${t ? "L" : "M"}${round(toX(t))} ${toHeight(loss)}`).join("");
  const [x, y] = [round(toX(losses.length - 1)), toHeight(losses.at(-1))];
  return path(line, `line ${KINDS[name]}`) + `<circle cx="${x}" cy="${y}" r="5" class="${KINDS[name]}"/>`;
}

const halfSpan = ({ spread }) => spread.at(-1)[3] - spread.at(-1)[1];
const power = (value) => show(2 ** value, 2);

/** @type {import("./moving.js").Figure} */
export default {
  name: "train",
  label:
    "Two networks of six tanh layers after sixty steps, from the same small weights. Without batch " +
    "norm the activations shrink to zero from layer to layer and the loss has not moved. With " +
    "batch norm they fill the range from −1 to 1 in every layer, and the loss has fallen.",
  size: [400, 312],
  controls: [
    { kind: "button", name: "train", label: "Train on" },
    { kind: "button", name: "other", label: "Other weights" },
    {
      kind: "range",
      name: "size",
      label: "weights",
      min: -2,
      max: 2,
      step: 0.25,
      value: -1,
      shown: power,
    },
    {
      kind: "range",
      name: "rate",
      label: "rate",
      min: -4,
      max: 2,
      step: 0.25,
      value: -1,
      shown: power,
    },
    { kind: "range", name: "steps", label: "steps", min: 0, max: STEPS, step: 1, value: 60 },
  ],
  numbers({ size, rate, steps, seed = 2 }) {
    const seen = trained(seed, 2 ** size, 2 ** rate, steps);
    const parts = Object.keys(NETS).map((name) => {
      const losses = seen[name].slice(0, steps + 1).map(({ loss }) => loss);
      return [name, { losses, loss: losses.at(-1), spread: seen[name][steps].spread }];
    });
    return Object.fromEntries(parts);
  },
  draw: (state, numbers) =>
    [
      layers(24, "plain", numbers.plain.spread),
      layers(226, "normed", numbers.normed.spread),
      text(8, 198, "loss", "start name"),
      path("M24 206V290H392", "axis"),
      text(20, 294, "0", "end small"),
      path(`M24 ${toHeight(Math.log(2))}H392`, "line ink dashed"),
      text(390, toHeight(Math.log(2)) - 6, "guessing", "end small"),
      curve("plain", numbers.plain.losses),
      curve("normed", numbers.normed.losses),
      text(24, 308, "0", "small"),
      text(208, 308, "steps", "small"),
      text(392, 308, String(STEPS), "small end"),
    ].join(""),
  say: ({ steps }, { plain, normed }) =>
    `After ${steps} steps: loss ${show(plain.loss, 3)} without and ${show(normed.loss, 3)} with ` +
    `batch norm. Half of what layer ${LAYERS} hands on lies within ` +
    `${show(halfSpan(plain))} without and ${show(halfSpan(normed))} with it.`,
  press(state, name) {
    if (name === "other") return { ...state, seed: (state.seed ?? 2) + 1, going: false };
    const done = state.steps >= STEPS;
    return { ...state, steps: done ? 0 : state.steps, going: done || !state.going };
  },
  pace: 40,
  tick: (state) =>
    state.going && state.steps < STEPS ? { ...state, steps: state.steps + 1 } : null,
};
