// The search: finds places, not pages, among those that _ext/search_places.py has written.
//
// A Greek letter and its name are one word, and so are x with a hat and x_hat.

const MOST_SHOWN = 40;
const GREEK = new Map(
  (
    "α:alpha β:beta γ:gamma δ:delta ϵ:epsilon ε:epsilon ζ:zeta η:eta θ:theta κ:kappa λ:lambda " +
    "μ:mu ν:nu ξ:xi π:pi ρ:rho σ:sigma τ:tau φ:phi ϕ:phi χ:chi ψ:psi ω:omega ∂:partial ∇:nabla"
  )
    .split(" ")
    .map((pair) => pair.split(":")),
);
const ANY_GREEK = new RegExp(`[${[...GREEK.keys()].join("")}]`, "gu");
const KINDS = { equation: "equation", term: "word", letter: "letter", figure: "figure", work: "source" };
// Of two places that match alike, the one that explains comes first.
const WORTH = { letter: 10, term: 8, section: 4, equation: 2, figure: 0, work: 0 };
const DEFINES = new Set(["letter", "term"]);
const TITLE = { same: 20, stem: 16, start: 10 };
const TEXT = { same: 4, stem: 3, start: 1 };
const CODE = { same: 2, stem: 1, start: 1 };
const AROUND = { same: 1, stem: 1, start: 0 };

// Sphinx's stemmer and its words that tell nothing come with language_data.js.
const stems = new Map();
function stem(word) {
  if (!stems.has(word)) stems.set(word, new Stemmer().stemWord(word));
  return stems.get(word);
}

/** @param {string} text @returns {string[]} its words, in small letters; of a name_with_parts also the parts */
function wordsOf(text) {
  const plain = text
    .toLowerCase()
    .normalize("NFD")
    .replaceAll(ANY_GREEK, (letter) => ` ${GREEK.get(letter)}`)
    .replaceAll(/(?<=\p{L})\u0302/gu, "_hat")
    .replaceAll(/(?<=\p{L})\u0304/gu, "_bar")
    .replaceAll(/\p{M}/gu, "");
  const found = plain.match(/[\p{L}\p{N}_]+/gu) ?? [];
  const parts = found.flatMap((word) => (/._./.test(word) ? [word, ...word.split("_").filter(Boolean)] : [word]));
  // The one name that the code cuts short.
  return parts.flatMap((word) => (word === "var" ? ["var", "variance"] : [word]));
}

/** Words with how often each is there. */
class Words {
  constructor(text) {
    this.all = wordsOf(text);
    this.count = new Map();
    for (const word of this.all) this.count.set(word, (this.count.get(word) ?? 0) + 1);
    this.stems = new Set([...this.count.keys()].map(stem));
    this.line = ` ${this.all.join(" ")} `;
  }

  /** @param {string} word @param {{same: number, stem: number, start: number}} points */
  points(word, points) {
    if (this.count.has(word)) return points.same + Math.min(this.count.get(word), 8) / 4;
    if (this.stems.has(stem(word))) return points.stem;
    return word.length > 2 && this.line.includes(` ${word}`) ? points.start : 0;
  }

  /** What share of all that is said these words are. */
  share(words) {
    return words.reduce((sum, word) => sum + (this.count.get(word) ?? 0), 0) / (this.all.length || 1);
  }

  phrases(words) {
    return this.line.split(` ${words.join(" ")} `).length - 1;
  }
}

// The headings that every chapter has, such as "Recall", tell nothing of what stands below them.
const COMMON = 5;

let places = null;
function allPlaces() {
  places ??= PLACES.map(([kind, page, anchor, title, text, under, code]) => ({
    ...{ kind, page, anchor, title, text, under, code },
    named: new Words(title),
    said: new Words(text),
    coded: new Words(code),
    around: new Words(under),
  }));
  const count = new Map();
  for (const { named } of places) count.set(named.line, (count.get(named.line) ?? 0) + 1);
  for (const place of places)
    place.worth = count.get(place.named.line) > COMMON ? 0 : WORTH[place.kind];
  return places;
}

/** @param {string[]} words those that tell something @param {string[]} asked all of them */
function score(place, words, asked) {
  let sum = place.worth;
  for (const word of words) {
    const best = Math.max(
      // A title that holds one of two words tells half as much.
      place.named.points(word, TITLE) / words.length,
      place.said.points(word, TEXT),
      place.coded.points(word, CODE),
      place.around.points(word, AROUND),
    );
    if (!best) return 0;
    sum += best;
  }
  // A definition that says little else is about it.
  if (DEFINES.has(place.kind)) sum += Math.min(12, 40 * place.said.share(words));
  // Without the number of a chapter or an exercise.
  if (place.named.line.replace(/^ \d+ /, " ") === ` ${asked.join(" ")} `) sum += 100;
  else if (words.length > 1 && place.named.phrases(words)) sum += 30;
  else if (words.length > 1 && place.said.phrases(words)) sum += 15 + place.said.phrases(words);
  return sum;
}

/** @param {string} query @returns places, the best one first */
function search(query) {
  const asked = wordsOf(query);
  const telling = asked.filter((word) => !stopwords.includes(word));
  const words = telling.length ? telling : asked;
  if (!words.length) return { words, found: [] };
  const found = allPlaces()
    .map((place) => ({ place, points: score(place, words, asked) }))
    .filter(({ points }) => points)
    .sort((one, other) => other.points - one.points);
  return { words, found: found.map(({ place }) => place) };
}

/** @returns {RegExp} what to mark: the words asked for, as letters or as names, with their endings */
function pattern(words) {
  const escaped = (text) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const forms = words.map((word) => {
    const letters = [...GREEK.keys()].filter((letter) => GREEK.get(letter) === word);
    const hat = word.match(/^(\p{L})_hat$/u);
    const start = escaped(stem(word).length > 2 ? stem(word) : word);
    const whole = word.length > 2 ? `${start}[\\p{L}\\p{N}_]*` : `${start}(?![\\p{L}\\p{N}])`;
    return [...letters, ...(hat ? [`${hat[1]}\\u0302`] : []), `(?<![\\p{L}\\p{N}])${whole}`].join("|");
  });
  return new RegExp(`(${forms.join("|")})`, "giu");
}

const ROOM = 170;
/** @returns {string} the part of a text where the words stand closest together */
function snippet(text, marks) {
  const at = [...text.matchAll(marks)].map(({ index }) => index);
  const within = (from) => at.filter((index) => index >= from && index < from + ROOM / 2).length;
  const best = at.reduce((one, other) => (within(other) > within(one) ? other : one), at[0] ?? 0);
  const sentence = text.lastIndexOf(". ", best) + 2;
  let from = best - sentence < ROOM / 2 ? sentence : text.indexOf(" ", best - ROOM / 3) + 1;
  if (text.length <= ROOM || from === 1) from = 0;
  const part = text.slice(from, from + ROOM);
  const end = from + ROOM < text.length ? `${part.slice(0, part.lastIndexOf(" "))} …` : part;
  return (from ? "… " : "") + end;
}

/** @param {string} tag @param {Record<string, string>} attributes @param {(Node | string)[]} inside */
function element(tag, attributes, ...inside) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...inside);
  return made;
}

function marked(text, marks) {
  return text.split(marks).map((part, i) => (i % 2 ? element("mark", {}, part) : part));
}

function item(place, marks) {
  const root = document.documentElement.dataset.content_root;
  const link = element("a", { href: `${root}${place.page}.html#${place.anchor}` }, place.title);
  const where = [KINDS[place.kind], place.under].filter(Boolean).join(" · ");
  const text = place.text.search(marks) < 0 && place.code.search(marks) >= 0 ? place.code : place.text;
  const said = element("p", { class: "place-text" }, ...marked(snippet(text, marks), marks));
  return element("li", {}, link, " ", element("span", { class: "place-where" }, where), said);
}

function show(query) {
  const { words, found } = search(query);
  const box = document.getElementById("search-results");
  box.replaceChildren();
  if (!words.length) return;
  const count = found.length === 1 ? "1 place" : `${found.length || "No"} places`;
  const rest = found.length > MOST_SHOWN ? `; the first ${MOST_SHOWN} are shown` : "";
  const status = element("p", { role: "status" }, `${count} found${rest}.`);
  const marks = pattern(words);
  const shown = found.slice(0, MOST_SHOWN).map((place) => item(place, marks));
  box.append(status, element("ol", { class: "places" }, ...shown));
}

document.addEventListener("DOMContentLoaded", () => {
  const query = new URLSearchParams(location.search).get("q") ?? "";
  for (const input of document.querySelectorAll("input[name=q]")) {
    input.value = query;
    input.addEventListener("input", () => show(input.value));
  }
  show(query);
});
