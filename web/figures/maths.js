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
