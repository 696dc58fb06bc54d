// The grid of problems and models: k of n in each cell, filters, keys. Only the rows in sight are in the document.
// @ts-check

const ROW = 26;
/** @type {number[]} */
let shownRows = [];
let drawn = "";

const FILTERS = {
  all: "all problems",
  differ: "where they differ",
  lost: "lost: the one held against was better",
  won: "won: better than the one held against",
  cut: "cut by the token limit",
  one: "solved by one model only",
  none: "solved by nobody",
};

/** Whether a problem passes the filter. @param {Board} of @param {number} p */
function passes(of, p) {
  const sign = of.lower_is_better ? -1 : 1;
  const chosen = state.run >= 0 ? [of.runs[state.run]] : of.runs;
  const base = state.base >= 0 ? of.runs[state.base].means[p] : null;
  const known = of.runs.map((run) => run.means[p]).filter((mean) => mean !== null);
  switch (state.f) {
    case "differ": {
      const compared = state.run >= 0 && state.base >= 0 ? [chosen[0].means[p], base] : known;
      return compared.every((mean) => mean !== null) && new Set(compared).size > 1;
    }
    case "lost":
      return base !== null && chosen.some((run) => run.means[p] !== null && sign * (Number(run.means[p]) - base) < 0);
    case "won":
      return base !== null && chosen.some((run) => run.means[p] !== null && sign * (Number(run.means[p]) - base) > 0);
    case "cut":
      return chosen.some((run) => run.marks[p].includes("c"));
    case "one":
      return known.filter((mean) => Number(mean) > 0).length === 1;
    case "none":
      return known.length > 0 && known.every((mean) => mean === 0);
    default:
      return true;
  }
}

/** What the search field says: words anywhere (ids, tags, questions, answers), or /a regular expression/.
 * @returns {((text: string) => boolean)|null} */
function wanted() {
  const query = state.q.trim();
  if (query === "") return null;
  const pattern = /^\/(.+)\/(i?)$/.exec(query);
  if (pattern === null) return (text) => text.toLowerCase().includes(query.toLowerCase());
  try {
    const compiled = new RegExp(pattern[1], pattern[2]);
    return (text) => compiled.test(text);
  } catch {
    return () => false;
  }
}

/** @type {Map<string, string>} */
const searched = new Map();

/** All text of a problem, for the search; "" where the file has none. @param {number} p */
function textOf(p) {
  const key = `${state.b}:${p}`;
  let found = searched.get(key);
  if (found === undefined) {
    const line = lines?.get(key);
    const parts = [];
    const item = line === undefined ? null : /** @type {Item} */ (JSON.parse(line));
    if (item !== null) {
      parts.push(...(item.asked || []).map((turn) => turn[1]), item.gold || "");
      for (const samples of Object.values(item.runs)) {
        for (const one of samples) parts.push(one.thought || "", one.text || "", one.answer || "");
      }
    }
    found = parts.join("\n");
    searched.set(key, found);
  }
  return found;
}

/** The problems to show, in the data's order. */
function choose() {
  const of = board();
  const found = wanted();
  shownRows = [];
  for (let p = 0; p < of.problems.length; p++) {
    if (!passes(of, p)) continue;
    if (found !== null && !found(of.problems[p]) && !found(of.tags[p]) && !found(textOf(p))) continue;
    shownRows.push(p);
  }
}

/** "3/4", with a word for what is not right or wrong; a class for its colour. @param {Run} run @param {number} p */
function cellOf(run, p) {
  const mean = run.means[p];
  if (mean === null) return {text: run.ns[p] ? "–" : "·", kind: "missing", told: "nothing scored"};
  const n = run.ns[p];
  const right = mean * n;
  const whole = mean >= 0 && mean <= 1 && Math.abs(right - Math.round(right)) < 1e-4;
  const cut = (run.marks[p].match(/c/g) || []).length;
  const text = whole ? `${Math.round(right)}/${n}` : mean.toFixed(2);
  const kind = mean >= 1 ? "right" : mean <= 0 ? "wrong" : "some";
  return {text: text + (cut ? " ✂" : ""), kind, told: `${text} right${cut ? `, ${cut} cut` : ""}`};
}

/** Draws the rows in sight. */
function drawRows() {
  const of = board();
  const box = at("grid");
  at("rows").style.height = `${shownRows.length * ROW}px`;
  const first = Math.max(0, Math.floor(box.scrollTop / ROW) - 4);
  const last = Math.min(shownRows.length, first + Math.ceil(box.clientHeight / ROW) + 8);
  const now = `${state.b} ${first} ${last} ${state.row} ${state.col} ${state.base} ${shownRows.length} ${shownRows[first]}`;
  if (now === drawn) return;
  drawn = now;
  const made = [];
  for (let row = first; row < last; row++) {
    const p = shownRows[row];
    const line = el("div", {role: "row", class: "row", "aria-rowindex": row + 2});
    line.style.top = `${row * ROW}px`;
    const open = () => openItem(row, state.col);
    line.append(el("span", {role: "rowheader", class: "name", title: of.tags[p], onclick: open}, of.problems[p]));
    of.runs.forEach((run, col) => {
      const {text, kind, told} = cellOf(run, p);
      const current = row === state.row && col === state.col;
      const label = `${of.problems[p]}, ${run.model}: ${told}`;
      const about = {role: "gridcell", class: `cell ${kind}${current ? " current" : ""}`, "aria-label": label};
      line.append(el("span", {...about, id: current ? "current" : null, onclick: () => openItem(row, col)}, text));
    });
    made.push(line);
  }
  at("rows").replaceChildren(...made);
}

/** Filters again and draws everything of the explorer. */
function drawExplorer() {
  const of = board();
  choose();
  state.row = Math.max(0, Math.min(state.row, shownRows.length - 1));
  drawn = "";
  const head = el("div", {role: "row", class: "row head", "aria-rowindex": 1}, el("span", {role: "columnheader", class: "name"}, "problem"));
  const names = shortNames(of.runs.map((run) => run.model));
  of.runs.forEach((run, col) => {
    const about = {role: "columnheader", class: `cell${col === state.base ? " base" : ""}`, title: run.model};
    head.append(el("span", about, names[col]));
  });
  at("head").replaceChildren(head);
  const count = `${shownRows.length.toLocaleString("en")} of ${of.problems.length.toLocaleString("en")} problems`;
  const needs = (state.f === "lost" || state.f === "won") && state.base < 0;
  at("count").textContent = needs ? "choose what is held against" : count;
  at("grid").setAttribute("aria-rowcount", String(shownRows.length + 1));
  drawRows();
}

/** Moves the current cell and brings it into sight. @param {number} rows @param {number} cols */
function move(rows, cols) {
  state.row = Math.max(0, Math.min(state.row + rows, shownRows.length - 1));
  state.col = Math.max(0, Math.min(state.col + cols, board().runs.length - 1));
  const box = at("grid");
  if (state.row * ROW < box.scrollTop) box.scrollTop = state.row * ROW;
  if ((state.row + 2) * ROW > box.scrollTop + box.clientHeight) box.scrollTop = (state.row + 3) * ROW - box.clientHeight;
  drawRows();
  writeHash();
  const cell = document.getElementById("current");
  if (cell !== null && typeof cell.scrollIntoView === "function") cell.scrollIntoView({block: "nearest", inline: "nearest"});
}

/** A list to choose from. @param {string} label @param {string} name @param {[string, string][]} choices */
function chooser(label, name, choices) {
  const list = /** @type {HTMLSelectElement} */ (el("select", {id: `choose-${name}`}));
  for (const [value, text] of choices) list.append(el("option", {value}, text));
  list.value = String(state[/** @type {"f"} */ (name)]);
  list.addEventListener("change", () => {
    const value = name === "f" ? list.value : Number(list.value);
    if (name === "b") Object.assign(state, START, {b: value, base: data.boards[Number(value)].baseline ?? -1});
    else Object.assign(state, {[name]: value, row: 0});
    drawAll();
    writeHash(true);
  });
  return el("label", {}, `${label} `, list);
}

/** The controls above the grid, as the state has them. */
function drawControls() {
  const of = board();
  const models = of.runs.map((run, place) => /** @type {[string, string]} */ ([String(place), run.model]));
  const boards = data.boards.map((one, place) => /** @type {[string, string]} */ ([String(place), one.title]));
  const search = /** @type {HTMLInputElement} */ (el("input", {
    id: "search", type: "search", placeholder: "words or /pattern/", "aria-label": "Search ids, tags, questions, answers",
  }));
  search.value = state.q;
  search.addEventListener("input", async () => {
    await texts();
    state.q = search.value;
    state.row = 0;
    drawExplorer();
    writeHash();
  });
  const focused = document.activeElement?.id || "";
  at("controls").replaceChildren(
    chooser("Suite", "b", boards),
    chooser("held against", "base", [["-1", "nothing"], ...models]),
    chooser("look at", "run", [["-1", "any model"], ...models]),
    chooser("show", "f", Object.entries(FILTERS)),
    search,
    el("output", {id: "count", for: "search"}),
  );
  if (focused.startsWith("choose-")) at(focused).focus();
}
