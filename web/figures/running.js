// Running statistics on their way from a guess to the population, batch by batch.
import { mean, normalize, normals, updateRunning, variance } from "./maths.js";
import { clamp, path, round, scale, show, text } from "./moving.js";

const TRUE = { mean: 3, var: 4 };
const START = { mean: 0, var: 1 };
const EXAMPLE = 7;
const EPS = 1e-5;
const STEPS = 100;
const toX = scale(0, STEPS, 34, 392);
const MEANS = { key: "mean", name: "mean", low: -1, high: 7, top: 26, bottom: 140 };
const VARIANCES = { key: "var", name: "variance", low: 0, high: 12, top: 182, bottom: 296 };

/** The batches of a stream, drawn from the population. @param {number} seed @param {number} count */
export function batches(seed, count) {
  const next = normals(seed);
  const value = () => TRUE.mean + Math.sqrt(TRUE.var) * next();
  return Array.from({ length: STEPS }, () => Array.from({ length: count }, value));
}

const evaluate = ({ mean: mu, var: sigma2 }) => normalize([EXAMPLE], mu, sigma2, EPS)[0];

/** One chart: what each batch says, what the layer keeps, what is true. */
function chart({ key, name, low, high, top, bottom }, reported, trail, at) {
  const toY = (value) => round(scale(low, high, bottom, top)(clamp(value, low, high)));
  const seen = reported.filter((each) => each[key] >= low && each[key] <= high);
  const line = trail.map((each, t) => `${t ? "L" : "M"}${round(toX(t))} ${toY(each[key])}`).join("");
  const last = [toX(trail.length - 1), toY(trail.at(-1)[key])].map(round);
  const mark = at === null ? "" : path(`M${round(toX(at))} ${top}V${bottom}`, "line norm thin");
  return [
    text(34, top - 10, `running ${name}`, "start name stat"),
    path(`M34 ${top}V${bottom}H392`, "axis"),
    ...[low, high].map((value) => text(28, toY(value) + 4, show(value), "end small")),
    ...seen.map((each) => `<circle cx="${round(toX(each.t))}" cy="${toY(each[key])}" r="2.2" class="data"/>`),
    path(`M34 ${toY(TRUE[key])}H392`, "line ink dashed"),
    text(390, toY(TRUE[key]) - 6, `true: ${TRUE[key]}`, "end small"),
    path(line, "line stat"),
    `<circle cx="${last[0]}" cy="${last[1]}" r="5" class="stat"/>`,
    mark,
  ].join("");
}

/** @type {import("./moving.js").Figure} */
export default {
  name: "running",
  label:
    "Two charts over a hundred batches. Small dots are the mean and the unbiased variance of each " +
    "batch and scatter widely. A line, the running value, starts at mean 0 and variance 1 and " +
    "climbs slowly towards the true values, 3 and 4.",
  size: [400, 320],
  controls: [
    { kind: "button", name: "train", label: "Train on" },
    { kind: "button", name: "evaluate", label: "Evaluate now" },
    { kind: "button", name: "other", label: "Other batches" },
    {
      kind: "radio",
      name: "count",
      label: "Examples in a batch, N",
      value: 4,
      options: [2, 4, 16, 64].map((count) => [count, String(count)]),
    },
    { kind: "range", name: "momentum", label: "momentum", min: 0.01, max: 1, step: 0.01, value: 0.1 },
    { kind: "range", name: "steps", label: "batches", min: 0, max: STEPS, step: 1, value: 25 },
  ],
  numbers({ count, momentum, steps, seed = 1, at = null }) {
    const seen = batches(seed, count).slice(0, steps);
    const trail = [START];
    for (const batch of seen) trail.push(updateRunning(trail.at(-1), batch, momentum));
    const reported = seen.map((batch, i) => {
      const unbiased = (variance(batch) * count) / (count - 1);
      return { t: i + 1, mean: mean(batch), var: unbiased };
    });
    const evaluated = at === null || at > steps ? null : { at, y: evaluate(trail[at]) };
    return { ...trail.at(-1), startLeft: (1 - momentum) ** steps, evaluated, trail, reported };
  },
  draw: (state, { trail, reported, evaluated }) =>
    [
      chart(MEANS, reported, trail, evaluated && evaluated.at),
      chart(VARIANCES, reported, trail, evaluated && evaluated.at),
      text(34, 314, "0", "small"),
      text(213, 314, "batches, t", "small"),
      text(392, 314, String(STEPS), "small end"),
    ].join(""),
  say(state, { mean: mu, var: sigma2, startLeft, evaluated }) {
    if (evaluated) {
      return (
        `Evaluated after ${evaluated.at} batches, with γ = 1 and β = 0: the example ${EXAMPLE} ` +
        `becomes ${show(evaluated.y)}. With the true statistics it is ${show(evaluate(TRUE))}.`
      );
    }
    return (
      `After ${state.steps} batches: running mean ${show(mu)}, running variance ${show(sigma2)}. ` +
      `The start, 0 and 1, still weighs ${show(100 * startLeft, 1)} %.`
    );
  },
  press(state, name) {
    if (name === "evaluate") return { ...state, at: state.steps };
    if (name === "other") return { ...state, seed: (state.seed ?? 1) + 1, at: null };
    const done = state.steps >= STEPS;
    return { ...state, steps: done ? 0 : state.steps, at: null, going: done || !state.going };
  },
  pace: 60,
  tick: (state) =>
    state.going && state.steps < STEPS ? { ...state, steps: state.steps + 1 } : null,
};
