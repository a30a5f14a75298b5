// Weights before a batch norm: stretch them, and only the gradient feels it.
import { unitLoss } from "./maths.js";
import { clamp, path, round, scale, show, text } from "./moving.js";

export const INPUTS = [
  [1, 0.5],
  [-1, 1],
  [0.5, -1.5],
  [-1.5, -0.5],
  [2, 1],
  [-0.5, 1.5],
  [0, -1],
  [-0.5, -1],
];
export const TARGETS = [1, 1, -1, -1, 1, 1, -1, -1];
const EPS = 1e-12;
const RATE = 1;
const LENGTHS = [0.5, 1, 1.5, 2, 2.5, 3];
const CENTRE = [106, 112];
const UNIT = 32;

const weightsOf = (length, degrees) =>
  [Math.cos, Math.sin].map((turn) => length * turn((degrees * Math.PI) / 180));
const norm = (values) => Math.hypot(...values);
const place = ([u, v]) => [CENTRE[0] + UNIT * u, CENTRE[1] - UNIT * v].map(round);
const step = (weights, { gradient }) => weights.map((each, k) => each - RATE * gradient[k]);

function arrow(from, to, kind) {
  const [[x0, y0], [x1, y1]] = [place(from), place(to)];
  const length = Math.hypot(x1 - x0, y1 - y0);
  if (length < 1) return "";
  const [dx, dy] = [(x1 - x0) / length, (y1 - y0) / length];
  const size = Math.min(8, length);
  const side = (sign) =>
    [x1 - size * dx - sign * 0.45 * size * dy, y1 - size * dy + sign * 0.45 * size * dx]
      .map(round)
      .join(" ");
  return path(`M${x0} ${y0}L${x1} ${y1}M${side(1)}L${x1} ${y1}L${side(-1)}`, `line ${kind}`);
}

/** The steps that other lengths of the same weights would make. */
const others = (degrees) =>
  LENGTHS.map((length) => {
    const weights = weightsOf(length, degrees);
    return arrow(weights, step(weights, unitLoss(weights, INPUTS, TARGETS, EPS)), "thin faint");
  }).join("");

function row(y, limit, values, kind, words) {
  const toX = scale(-limit, limit, 236, 392);
  const dots = values.map((each) => `<circle cx="${round(toX(each))}" cy="${y}" r="5" class="${kind}"/>`);
  return (
    text(236, y - 18, words, `start name ${kind}`) +
    path(`M236 ${y}H392`, "axis") +
    path(`M314 ${y - 5}V${y + 5}`, "axis") +
    dots.join("") +
    text(314, y + 20, "0", "small")
  );
}

/** @type {import("./moving.js").Figure} */
export default {
  name: "stretch",
  label:
    "Left, a plane of two weights: an arrow for the weights, and at its tip, at a right angle, the " +
    "step of gradient descent. Fainter steps along the same ray shrink as the weights get longer. " +
    "Right, what the unit computes for eight examples before and after batch norm.",
  size: [400, 224],
  controls: [
    { kind: "range", name: "length", label: "length", min: 0.5, max: 3, step: 0.1, value: 1.5 },
    {
      kind: "range",
      name: "angle",
      label: "angle",
      min: 0,
      max: 355,
      step: 5,
      value: 345,
      shown: (value) => `${value}°`,
    },
  ],
  numbers({ length, angle }) {
    const weights = weightsOf(length, angle);
    const found = unitLoss(weights, INPUTS, TARGETS, EPS);
    const size = norm(found.gradient);
    const turn = (Math.atan2(RATE * size, length) * 180) / Math.PI;
    return { ...found, weights, size, turn };
  },
  draw({ angle }, numbers) {
    const { weights, z, xHat } = numbers;
    const [x, y] = place(weights);
    const [endX, endY] = place(weightsOf(3.3, angle));
    return [
      path(`M${CENTRE[0]} ${CENTRE[1]}L${endX} ${endY}`, "line thin dashed faint"),
      others(angle),
      arrow([0, 0], weights, "learn"),
      arrow(weights, step(weights, numbers), "stat"),
      `<circle cx="${CENTRE[0]}" cy="${CENTRE[1]}" r="3" class="ink"/>`,
      text(2, 14, "weights", "start name learn"),
      text(68, 14, "and step", "start name stat"),
      row(78, 6.6, z, "data", "before, x · w"),
      row(170, 2.2, xHat, "norm", "after batch norm"),
      `<circle cx="${x}" cy="${y}" r="22" class="handle" data-handle="tip"/>`,
    ].join("");
  },
  say: ({ length }, { loss, size, turn }) =>
    `At length ${show(length, 1)} the loss is ${show(loss, 3)}, the gradient ${show(size, 3)} long. ` +
    `A step of rate ${RATE} turns the weights by ${show(turn, 1)}°.`,
  drag(state, handle, x, y) {
    const [u, v] = [(x - CENTRE[0]) / UNIT, (CENTRE[1] - y) / UNIT];
    const degrees = (Math.atan2(v, u) * 180) / Math.PI;
    const length = clamp(Math.round(10 * Math.hypot(u, v)) / 10, 0.5, 3);
    return { ...state, length, angle: (Math.round(degrees / 5) * 5 + 360) % 360 };
  },
};
