// A batch of images as a block of numbers: which entries share one mean and one variance.
import { normalizeAmong, shares } from "./maths.js";
import { clamp, show, text } from "./moving.js";

const IMAGES = 3;
const CHANNELS = 4;
const SIDE = 3;
const PIXELS = SIDE * SIDE;
const EPS = 1e-5;
const WORDS = {
  batch: "Batch norm",
  layer: "Layer norm",
  instance: "Instance norm",
  group: "Group norm",
  rms: "RMS norm",
};

const CELL = 26;
const PLANE = SIDE * CELL + 6;
const LEFT = 60;
const TOP = 22;

const up = (count) => [...Array(count).keys()];

/** Digits that differ from image to image, from channel to channel and inside of each. */
export const BLOCK = up(IMAGES).flatMap((image) =>
  up(CHANNELS).flatMap((channel) =>
    up(PIXELS).map((pixel) => ({
      image,
      channel,
      pixel,
      value: (2 * image + 3 * channel + ((5 * pixel + 2 * image * channel) % 7)) % 10,
    })),
  ),
);

const chosenIn = (state) =>
  BLOCK.find(
    ({ image, channel, pixel }) =>
      image === state.image - 1 && channel === state.channel - 1 && pixel === state.pixel - 1,
  );
const perGroup = (state) => CHANNELS / state.groups;
const corner = ({ image, channel, pixel }) => [
  LEFT + channel * PLANE + (pixel % SIDE) * CELL,
  TOP + image * PLANE + Math.floor(pixel / SIDE) * CELL,
];

function cell(entry, inSet) {
  const [x, y] = corner(entry);
  return (
    `<rect x="${x + 0.5}" y="${y + 0.5}" width="${CELL - 1}" height="${CELL - 1}" ` +
    `class="cell${inSet ? " shared" : ""}"/>` +
    text(x + CELL / 2, y + 18, String(entry.value), inSet ? "plain name" : "plain muted")
  );
}

/** @type {import("./moving.js").Figure} */
export default {
  name: "sharing",
  label:
    "A batch of three images, one a row, with four channels, one a column, of nine pixels each. " +
    "Coloured are the entries that share a mean and a variance with the chosen one. In batch norm " +
    "they are all pixels of its channel, in all three images.",
  size: [400, TOP + IMAGES * PLANE],
  controls: [
    {
      kind: "radio",
      name: "method",
      label: "Normalisation",
      value: "batch",
      options: Object.entries(WORDS).map(([value, words]) => [value, words.replace(" norm", "")]),
    },
    { kind: "range", name: "image", label: "image", min: 1, max: IMAGES, step: 1, value: 2 },
    { kind: "range", name: "channel", label: "channel", min: 1, max: CHANNELS, step: 1, value: 2 },
    { kind: "range", name: "pixel", label: "pixel", min: 1, max: PIXELS, step: 1, value: 5 },
    {
      kind: "radio",
      name: "groups",
      label: "Groups, G, of group norm",
      value: 2,
      idle: (state) => state.method !== "group",
      options: [1, 2, 4].map((count) => [count, String(count)]),
    },
  ],
  numbers(state) {
    const chosen = chosenIn(state);
    const among = BLOCK.map((entry) => shares(state.method, chosen, entry, perGroup(state)));
    const entries = BLOCK.filter((_, i) => among[i]).map(({ value }) => value);
    const found = normalizeAmong(state.method, chosen.value, entries, EPS);
    return { among, count: entries.length, ...found };
  },
  draw(state, { among }) {
    const [x, y] = corner(chosenIn(state));
    return [
      ...up(CHANNELS).map((i) =>
        text(LEFT + i * PLANE + (SIDE * CELL) / 2, 14, `channel ${i + 1}`, "small"),
      ),
      ...up(IMAGES).map((i) =>
        text(LEFT - 6, TOP + i * PLANE + (SIDE * CELL) / 2 + 4, `image ${i + 1}`, "small end"),
      ),
      ...BLOCK.map((entry, i) => cell(entry, among[i])),
      `<rect x="${x}" y="${y}" width="${CELL}" height="${CELL}" class="chosen"/>`,
      `<rect x="${LEFT}" y="${TOP}" width="${CHANNELS * PLANE}" height="${IMAGES * PLANE}" ` +
        `class="pick" data-handle="block"/>`,
    ].join("");
  },
  say(state, { count, mean, var: spread, xHat }) {
    const size =
      state.method === "rms"
        ? `a mean square, ${show(spread)}, and no mean`
        : `the mean ${show(mean)} and the variance ${show(spread)}`;
    const among = state.method === "batch" ? "all images" : "one image";
    return (
      `${WORDS[state.method]}: ${count} entries of ${among} share ${size}. ` +
      `The chosen ${chosenIn(state).value} becomes ${show(xHat)}.`
    );
  },
  drag(state, handle, x, y) {
    const [across, down] = [x - LEFT, y - TOP];
    const channel = clamp(Math.floor(across / PLANE), 0, CHANNELS - 1);
    const image = clamp(Math.floor(down / PLANE), 0, IMAGES - 1);
    const [column, line] = [across - channel * PLANE, down - image * PLANE].map((each) =>
      clamp(Math.floor(each / CELL), 0, SIDE - 1),
    );
    return { ...state, image: image + 1, channel: channel + 1, pixel: line * SIDE + column + 1 };
  },
};
