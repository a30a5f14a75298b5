// A batch of up to four numbers on its way through the layer; every number can be dragged.
import { batchnormForward } from "./maths.js";
import { clamp, path, round, scale, show, text } from "./moving.js";

const LETTERS = ["x₁", "x₂", "x₃", "x₄"];
const X = { from: -5, to: 25, y: 62 };
const X_HAT = { from: -2, to: 2, y: 172 };
const Y = { from: -9, to: 9, y: 282 };
const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵" };
const LEFT = 20;
const RIGHT = 380;

const place = ({ from, to }) => scale(from, to, LEFT, RIGHT);
const batch = (state) => ["x1", "x2", "x3", "x4"].slice(0, state.count).map((key) => state[key]);
const eps = (state) => 10 ** state.eps;

/** Lift labels that would touch. @param {number[]} at @param {string[]} words */
function levels(at, words) {
  const found = [];
  const order = at.map((_, index) => index).sort((a, b) => at[a] - at[b]);
  order.forEach((index, rank) => {
    const before = order[rank - 1];
    const close = rank && at[index] - at[before] < 4 * (words[index] + words[before]).length + 3;
    found[index] = close ? (found[before] + 1) % 3 : 0;
  });
  return found;
}

/** @param {{from: number, to: number, y: number}} axis @param {number[]} values @param {string} kind */
function row(axis, values, kind, title) {
  const at = values.map(place(axis));
  const words = values.map((value) => show(value));
  const up = levels(at, words);
  const zero = place(axis)(0);
  return [
    text(LEFT - 12, axis.y - 46, title, `${kind} start name`),
    path(`M${LEFT} ${axis.y}H${RIGHT}`, "axis"),
    path(`M${round(zero)} ${axis.y - 5}V${axis.y + 5}`, "axis"),
    text(zero, axis.y + 19, "0", "small"),
    ...at.map((x) => `<circle cx="${round(x)}" cy="${axis.y}" r="7" class="${kind}"/>`),
    ...at.map((x, i) => text(x, axis.y - 14 - 14 * up[i], words[i], "small")),
  ].join("");
}

function threads(from, to, above, below) {
  return above
    .map((value, i) => {
      const [start, end] = [place(from)(value), place(to)(below[i])].map(round);
      const middle = (from.y + to.y) / 2;
      return path(`M${start} ${from.y}C${start} ${middle} ${end} ${middle} ${end} ${to.y}`, "thread");
    })
    .join("");
}

/** The mean, and one standard deviation to both sides of it. */
function spread({ mean, var: sigma2 }) {
  const at = place(X);
  const [low, mid, high] = [-1, 0, 1]
    .map((side) => at(mean + side * Math.sqrt(sigma2)))
    .map((x) => round(clamp(x, LEFT - 15, RIGHT + 15)));
  return (
    path(`M${low} ${X.y + 12}H${high}M${mid} ${X.y + 7}V${X.y + 17}`, "stat line") +
    text(clamp(mid, 45, 355), X.y + 33, `μ = ${show(mean)}, σ = ${show(Math.sqrt(sigma2))}`, "stat")
  );
}

const handle = (x, i) =>
  `<circle cx="${round(place(X)(x))}" cy="${X.y}" r="20" class="handle" data-handle="x${i + 1}"/>`;

/** @type {import("./moving.js").Figure} */
export default {
  name: "scrub",
  label:
    "Three number lines. The batch 3, 9, 11, 17 with its mean 10 and standard deviation 5; " +
    "centred and scaled it is −1.4, −0.2, 0.2, 1.4; scaled and shifted by gamma and beta " +
    "it is 1.3, 1.9, 2.1, 2.7.",
  size: [400, 306],
  controls: [
    {
      kind: "radio",
      name: "count",
      label: "Examples in the batch, N",
      value: 4,
      options: [1, 2, 3, 4].map((count) => [count, String(count)]),
    },
    ...[3, 9, 11, 17].map((value, i) => ({
      kind: "range",
      name: `x${i + 1}`,
      label: LETTERS[i],
      min: X.from,
      max: X.to,
      step: 0.5,
      value,
      idle: (state) => i >= state.count,
    })),
    { kind: "range", name: "gamma", label: "γ", min: -3, max: 3, step: 0.1, value: 0.5 },
    { kind: "range", name: "beta", label: "β", min: -3, max: 3, step: 0.1, value: 2 },
    {
      kind: "range",
      name: "eps",
      label: "ε",
      min: -5,
      max: 2,
      step: 1,
      value: -5,
      shown: (power) => `10${[...String(power)].map((each) => SUPERSCRIPT[each]).join("")}`,
    },
  ],
  numbers: (state) => batchnormForward(batch(state), state.gamma, state.beta, eps(state)),
  draw: (state, numbers) =>
    [
      threads(X, X_HAT, batch(state), numbers.xHat),
      threads(X_HAT, Y, numbers.xHat, numbers.y),
      spread(numbers),
      row(X, batch(state), "data", "the batch x"),
      row(X_HAT, numbers.xHat, "norm", "x̂ = (x − μ) / √(σ² + ε)"),
      row(Y, numbers.y, "learn", "y = γ x̂ + β"),
      ...batch(state).map(handle),
    ].join(""),
  say(state, { mean, var: sigma2, xHat, y }) {
    const sizes = xHat.map((each) => show(each)).join(", ");
    const words =
      `Mean ${show(mean)}, biased variance ${show(sigma2)}. ` +
      `x̂: ${sizes}. y: ${y.map((each) => show(each)).join(", ")}.`;
    if (state.count === 1) return `${words} A batch of one is its own mean: y is β, whatever x is.`;
    const apart = sigma2 > 1000 * eps(state);
    if (state.count === 2 && apart) return `${words} Two examples become −1 and 1, wherever they stand.`;
    if (sigma2 === 0) return `${words} Equal examples all become 0.`;
    return words;
  },
  drag(state, key, x) {
    const value = Math.round(2 * scale(LEFT, RIGHT, X.from, X.to)(x)) / 2;
    return { ...state, [key]: clamp(value, X.from, X.to) };
  },
};
