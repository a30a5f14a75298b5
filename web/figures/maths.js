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
