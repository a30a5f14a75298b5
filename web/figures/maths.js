// The formulas of the moving figures, for one feature: plain functions of plain arrays. Each is
// compared with bncourse.reference by tests/test_moving.py.

/** @param {number[]} values */
export const mean = (values) => values.reduce((sum, each) => sum + each, 0) / values.length;

/** (F2), biased. @param {number[]} values @param {number} centre */
export const variance = (values, centre = mean(values)) =>
  mean(values.map((each) => (each - centre) ** 2));

/** (F3). @param {number[]} x @param {number} mu @param {number} sigma2 @param {number} eps */
export const normalize = (x, mu, sigma2, eps) =>
  x.map((each) => (each - mu) / Math.sqrt(sigma2 + eps));

/**
 * (F4), and all that stands on the way to it.
 * @param {number[]} x
 * @param {number} gamma
 * @param {number} beta
 * @param {number} eps
 */
export function batchnormForward(x, gamma, beta, eps) {
  const mu = mean(x);
  const sigma2 = variance(x, mu);
  const xHat = normalize(x, mu, sigma2, eps);
  const invStd = 1 / Math.sqrt(sigma2 + eps);
  return { mean: mu, var: sigma2, invStd, xHat, y: xHat.map((each) => gamma * each + beta) };
}

/**
 * (B7), in the order of a subtraction: what arrives, its mean, its part along x_hat, what is left.
 * @param {number[]} dy
 * @param {{xHat: number[], invStd: number}} cache of the forward pass
 * @param {number} gamma
 */
export function batchnormBackward(dy, { xHat, invStd }, gamma) {
  const dyMean = mean(dy);
  const along = mean(dy.map((each, i) => each * xHat[i]));
  const alongPart = xHat.map((each) => each * along);
  const left = dy.map((each, i) => each - dyMean - alongPart[i]);
  return { dyMean, alongPart, left, dx: left.map((each) => gamma * invStd * each) };
}

/**
 * Which channels of which images share their statistics with one plane: batch norm and its kin.
 * @param {string} method
 * @param {{image: number, channel: number}} chosen from 0
 * @param {{image: number, channel: number}} other
 * @param {number} perGroup channels in a group
 */
export function shares(method, chosen, other, perGroup) {
  const group = ({ channel }) => Math.floor(channel / perGroup);
  const [image, channel] = ["image", "channel"].map((key) => chosen[key] === other[key]);
  if (method === "batch") return channel;
  if (method === "instance") return image && channel;
  if (method === "group") return image && group(chosen) === group(other);
  return image;
}

/**
 * Normalise one value with the entries that share its statistics. RMS norm knows no mean.
 * @param {string} method
 * @param {number} value
 * @param {number[]} entries
 * @param {number} eps
 */
export function normalizeAmong(method, value, entries, eps) {
  const centre = method === "rms" ? 0 : mean(entries);
  const spread = variance(entries, centre);
  return { mean: centre, var: spread, xHat: normalize([value], centre, spread, eps)[0] };
}

/**
 * (F6): the running statistics after one more batch, PyTorch's convention.
 * @param {{mean: number, var: number}} running
 * @param {number[]} batch of at least two
 * @param {number} momentum weight of the new value
 */
export function updateRunning(running, batch, momentum) {
  const [centre, count] = [mean(batch), batch.length];
  const unbiased = (variance(batch, centre) * count) / (count - 1);
  return {
    mean: (1 - momentum) * running.mean + momentum * centre,
    var: (1 - momentum) * running.var + momentum * unbiased,
  };
}

/** Random numbers between 0 and 1, the same ones for the same seed: mulberry32. @param {number} seed */
export function uniforms(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Standard normal numbers from uniform ones, by Box and Muller. @param {number} seed */
export function normals(seed) {
  const next = uniforms(seed);
  return () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
}

/**
 * The squared error of one unit, weights before a batch norm with gamma 1 and beta 0, over a batch.
 * @param {number[]} weights
 * @param {number[][]} inputs
 * @param {number[]} targets
 * @param {number} eps
 */
export function unitLoss(weights, inputs, targets, eps) {
  const z = inputs.map((row) => row.reduce((sum, each, k) => sum + each * weights[k], 0));
  const cache = batchnormForward(z, 1, 0, eps);
  const errors = cache.y.map((each, i) => each - targets[i]);
  const dy = errors.map((each) => each / errors.length);
  const { dx: dz } = batchnormBackward(dy, cache, 1);
  const gradient = weights.map((_, k) => inputs.reduce((sum, row, i) => sum + row[k] * dz[i], 0));
  return { z, xHat: cache.xHat, loss: mean(errors.map((each) => each ** 2)) / 2, gradient };
}
