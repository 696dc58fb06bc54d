// Reading the data, the state (which is the address after #), and small helpers. All text goes in through text nodes.
// @ts-check

/** @typedef {{run_id: string, model: string, value: number, rank: number|null, n: number, means: (number|null)[],
 *   ns: number[], marks: string[], tokens: (number|null)[]}} Run */
/** @typedef {{a: number, b: number, diff: number, low: number, high: number, p: number, p_holm: number, test: string,
 *   wins: number, losses: number, ties: number, detectable: number|null}} Test */
/** @typedef {{title: string, suite: string, metric: string, scale: number, unit: string, lower_is_better: boolean,
 *   problems: string[], tags: string[], runs: Run[], tests: Test[], baseline: number|null}} Board */
/** @typedef {{k: number, text?: string, thought?: string, error?: string, finish?: string, tokens?: number|null,
 *   value?: number|null, status?: string, answer?: string, why?: string, judged?: Object<string, *>[]}} Sample */
/** @typedef {{b: number, p: number, asked?: [string, string][], gold?: string, options?: string[],
 *   runs: Object<string, Sample[]>}} Item */

/** @type {{boards: Board[]}} */
let data = {boards: []};
/** @type {Map<string, string>|null} */
let lines = null;

const START = {b: 0, base: -1, run: -1, f: "all", q: "", row: 0, col: 0, item: -1, k: 0, all: 0};
const state = {...START};

/** An element with attributes ("on…" are listeners) and children; a string becomes a text node, never markup.
 * @param {string} tag @param {Object<string, *>} [attributes] @param {...(Node|string|null)} children */
function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, String(value));
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** @param {string} id */
const at = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** A data block of this file as text. @param {string} id */
async function inflate(id) {
  const raw = atob(at(id).textContent || "");
  if (raw.length === 0) return "";
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

/** Every problem's line of the texts, by "board:problem"; inflated when first asked for. */
async function texts() {
  if (lines === null) {
    if (document.readyState === "loading") await new Promise((done) => document.addEventListener("DOMContentLoaded", done));
    const found = new Map();
    for (const line of (await inflate("texts")).split("\n")) {
      const key = /^\{"b":(\d+),"p":(\d+)/.exec(line);
      if (key !== null) found.set(`${key[1]}:${key[2]}`, line);
    }
    lines = found;
  }
  return lines;
}

const board = () => data.boards[state.b];

/** The state as the address says it; what it does not say, or says wrongly, stands as at the start. */
function readHash() {
  const given = new URLSearchParams(location.hash.slice(1));
  Object.assign(state, START);
  for (const name of /** @type {(keyof typeof START)[]} */ (Object.keys(START))) {
    const value = given.get(name);
    if (value === null) continue;
    if (typeof START[name] === "number") {
      if (/^-?\d{1,9}$/.test(value)) Object.assign(state, {[name]: Number(value)});
    } else Object.assign(state, {[name]: value});
  }
  if (board() === undefined) state.b = 0;
  const runs = board() ? board().runs.length : 0;
  if (!given.has("base")) state.base = board()?.baseline ?? -1;
  for (const name of /** @type {("base"|"run")[]} */ (["base", "run"])) {
    if (state[name] >= runs || state[name] < -1) state[name] = -1;
  }
  state.col = Math.max(0, Math.min(state.col, runs - 1));
  if (!board() || state.item >= board().problems.length) state.item = -1;
}

/** Writes the state into the address, so that a view can be sent. @param {boolean} [step] a step that "back" undoes */
function writeHash(step = false) {
  const given = new URLSearchParams();
  for (const name of /** @type {(keyof typeof START)[]} */ (Object.keys(START))) {
    const usual = name === "base" ? (board()?.baseline ?? -1) : START[name];
    if (state[name] !== usual) given.set(name, String(state[name]));
  }
  const hash = given.toString() ? `#${given}` : "#explore";
  if (hash === location.hash) return;
  if (step) history.pushState(null, "", hash);
  else history.replaceState(null, "", hash);
}

/** Names without the beginning that all of them share, up to a mark that separates. @param {string[]} names */
function shortNames(names) {
  let shared = names.length > 1 ? names[0] : "";
  for (const name of names) while (!name.startsWith(shared)) shared = shared.slice(0, -1);
  const cut = Math.max(...[":", "/", "-", "_", " ", "="].map((mark) => shared.lastIndexOf(mark))) + 1;
  return names.map((name) => name.slice(cut) || name);
}

/** @param {number} p */
const shownP = (p) => (p < 0.001 ? "<0.001" : p.toFixed(3));
