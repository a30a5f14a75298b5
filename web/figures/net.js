// A small network of tanh layers, with batch norm or without, and its training: compared with NumPy
// by tests/test_moving.py. A batch is an array of rows. Training multiplies each rounding error, so
// what feeds it is made of +, -, *, / and roots alone: these are the same in every browser.
import { batchnormBackward, batchnormForward, mean, uniforms } from "./maths.js";

const EPS = 1e-5;
const INPUTS = 2;
// ln 2 in two parts: whole multiples of the first are exact.
const [LN2_HIGH, LN2_LOW] = [0.6931471803691238, 1.9082149292705877e-10];
const LARGEST = 700;

/** exp(x), to the last digits. @param {number} x */
export function exp(x) {
  const bounded = Math.min(LARGEST, Math.max(-LARGEST, x));
  const doublings = Math.round(bounded / LN2_HIGH);
  const rest = bounded - doublings * LN2_HIGH - doublings * LN2_LOW;
  let value = 1;
  for (let n = 14; n > 0; n -= 1) value = 1 + (rest / n) * value;
  const factor = doublings < 0 ? 0.5 : 2;
  for (let n = Math.abs(doublings); n > 0; n -= 1) value *= factor;
  return value;
}

/** @param {number} x */
const tanh = (x) => 1 - 2 / (exp(2 * x) + 1);

/** Two rings of points; the target says which ring. @param {number} seed @param {number} count */
export function rings(seed, count) {
  const next = uniforms(seed);
  const targets = Array.from({ length: count }, (_, i) => (i % 2 ? 1 : -1));
  const inputs = targets.map((target) => {
    const [u, v] = [next() - 0.5, next() - 0.5];
    const radius = (target > 0 ? 1.6 : 0.7) + 0.4 * (next() - 0.5);
    return [u, v].map((each) => (radius * each) / Math.sqrt(u * u + v * v));
  });
  return { inputs, targets };
}

/**
 * A network whose weights, evenly spread about 0, have the standard deviation size / sqrt(K) in a
 * layer of K inputs.
 * @param {number} seed
 * @param {{layers: number, units: number, size: number, batchNorm: boolean}} kind
 */
export function start(seed, { layers, units, size, batchNorm }) {
  const next = uniforms(seed);
  const widths = [INPUTS, ...Array(layers).fill(units), 1];
  return widths.slice(1).map((width, layer) => {
    const reach = size * Math.sqrt(3 / widths[layer]);
    const row = () => Array.from({ length: width }, () => reach * (2 * next() - 1));
    return {
      weights: Array.from({ length: widths[layer] }, row),
      gamma: Array(width).fill(1),
      beta: Array(width).fill(0),
      normed: batchNorm && layer < layers,
    };
  });
}

// Loops, since all of the time goes here.
function times(rows, weights) {
  const width = weights[0].length;
  return rows.map((row) => {
    const out = new Array(width).fill(0);
    for (let k = 0; k < row.length; k += 1) {
      const each = row[k];
      const factors = weights[k];
      for (let j = 0; j < width; j += 1) out[j] += each * factors[j];
    }
    return out;
  });
}

const transpose = (rows) => rows[0].map((_, j) => rows.map((row) => row[j]));

/** One layer before its tanh: weights, then batch norm or a shift by beta. */
function affine({ weights, gamma, beta, normed }, rows) {
  const z = times(rows, weights);
  if (!normed) return { out: z.map((row) => row.map((each, j) => each + beta[j])) };
  const columns = transpose(z);
  const caches = columns.map((column, j) => batchnormForward(column, gamma[j], beta[j], EPS));
  return { out: transpose(caches.map(({ y }) => y)), caches };
}

/**
 * Loss of a batch, what each hidden layer hands on, and what backward needs.
 * @param {ReturnType<typeof start>} net
 * @param {{inputs: number[][], targets: number[]}} batch
 */
export function forward(net, { inputs, targets }) {
  const levels = [];
  let rows = inputs;
  for (const [index, layer] of net.entries()) {
    const { out, caches } = affine(layer, rows);
    const last = index === net.length - 1;
    const passed = last ? out : out.map((row) => row.map(tanh));
    levels.push({ rows, caches, passed });
    rows = passed;
  }
  const margins = rows.map(([logit], i) => logit * targets[i]);
  // log(1 + exp(-margin)), without an overflow.
  const losses = margins.map((each) => Math.max(-each, 0) + Math.log1p(Math.exp(-Math.abs(each))));
  const arriving = margins.map((each, i) => [-targets[i] / (1 + exp(each)) / targets.length]);
  return { loss: mean(losses), levels, arriving, hidden: levels.slice(0, -1).map((each) => each.passed) };
}

/** The network after one step of gradient descent. @param {number} rate */
export function step(net, batch, rate) {
  const { levels, arriving } = forward(net, batch);
  const after = [];
  let dOut = arriving;
  for (let index = net.length - 1; index >= 0; index -= 1) {
    const [layer, { rows, caches, passed }] = [net[index], levels[index]];
    if (index < net.length - 1) {
      dOut = dOut.map((row, i) => row.map((each, j) => each * (1 - passed[i][j] ** 2)));
    }
    const columns = transpose(dOut);
    const sum = (values) => values.reduce((total, each) => total + each, 0);
    const dBeta = columns.map(sum);
    const dGamma = columns.map((dy, j) =>
      layer.normed ? sum(dy.map((each, i) => each * caches[j].xHat[i])) : 0,
    );
    const dz = layer.normed
      ? transpose(columns.map((dy, j) => batchnormBackward(dy, caches[j], layer.gamma[j]).dx))
      : dOut;
    const dWeights = times(transpose(rows), dz);
    const moved = (values, slopes) => values.map((each, j) => each - rate * slopes[j]);
    after.unshift({
      ...layer,
      weights: layer.weights.map((row, k) => moved(row, dWeights[k])),
      gamma: moved(layer.gamma, dGamma),
      beta: moved(layer.beta, dBeta),
    });
    dOut = times(dz, transpose(layer.weights));
  }
  return after;
}
