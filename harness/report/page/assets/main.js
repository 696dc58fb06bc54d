// The pairwise matrix, sortable tables, keys, and the beginning.
// @ts-check

/** What one pair's cell says, from the row's side. @param {Test} test @param {number} sign @param {Board} of */
function pairCell(test, sign, of) {
  const better = of.lower_is_better ? -sign * test.diff : sign * test.diff;
  const decided = test.p_holm <= 0.05 && test.diff !== 0;
  const told = decided ? (better > 0 ? "better" : "worse") : "not shown";
  const points = `${sign * test.diff > 0 ? "+" : ""}${(of.scale * sign * test.diff).toFixed(1)}`;
  const [low, high] = sign > 0 ? [test.low, test.high] : [-test.high, -test.low];
  const [wins, losses] = sign > 0 ? [test.wins, test.losses] : [test.losses, test.wins];
  const finds = test.detectable === null ? "" : `; finds ${(of.scale * test.detectable).toFixed(1)} in 4 of 5 cases`;
  const title = `${points} [${(of.scale * low).toFixed(1)}, ${(of.scale * high).toFixed(1)}], p ${shownP(test.p)}, `
    + `Holm ${shownP(test.p_holm)} (${test.test}); ${wins} won, ${losses} lost, ${test.ties} equal${finds}`;
  return {text: `${points}${decided ? (better > 0 ? " ▲" : " ▼") : ""}`, kind: told === "better" ? "right" : told === "worse" ? "wrong" : "some", title, told};
}

/** @type {Board|null} */
let paired = null;

/** All pairs of the board: row minus column; a click shows the problems on which the two differ. */
function drawPairs() {
  const of = board();
  if (of === paired) return;
  paired = of;
  /** @type {Map<string, Test>} */
  const tests = new Map(of.tests.map((test) => [`${test.a}:${test.b}`, test]));
  const table = el("table", {class: "pairs"}, el("caption", {}, `${of.title}: row minus column, in ${of.unit === "%" ? "points" : of.unit || "units"}; ▲ ▼ where a test shows it (5 %, Holm)${data.boards.length > 1 ? "; the suite is chosen under Problems" : ""}`));
  table.append(el("tr", {}, el("td"), ...of.runs.map((run) => el("th", {scope: "col", title: run.model}, run.model))));
  of.runs.forEach((row, a) => {
    const line = el("tr", {}, el("th", {scope: "row"}, row.model));
    of.runs.forEach((_, b) => {
      const test = tests.get(a < b ? `${a}:${b}` : `${b}:${a}`);
      if (a === b || test === undefined) {
        line.append(el("td", {}, a === b ? "" : "–"));
        return;
      }
      const {text, kind, title, told} = pairCell(test, a < b ? 1 : -1, of);
      const show = () => {
        Object.assign(state, {base: b, run: a, col: a, row: 0, f: "differ", item: -1});
        drawAll();
        writeHash(true);
        at("explore").scrollIntoView();
      };
      line.append(el("td", {}, el("button", {type: "button", class: kind, title, "aria-label": `${of.runs[a].model} against ${of.runs[b].model}: ${told}, ${title}`, onclick: show}, text)));
    });
    table.append(line);
  });
  at("pair-table").replaceChildren(of.runs.length > 1 ? table : el("p", {}, "There is one run only."));
}

/** A click on a column's title sorts the table by it. */
function sortable() {
  for (const table of document.querySelectorAll("main > section .scroll > table")) {
    table.querySelectorAll("thead th").forEach((head, place) => {
      const sort = () => {
        const body = /** @type {HTMLTableSectionElement} */ (table.querySelector("tbody"));
        const down = head.getAttribute("aria-sort") !== "descending";
        const key = (/** @type {Element} */ row) => row.children[place].textContent || "";
        const rows = [...body.children].sort((x, y) => {
          const [a, b] = [key(x), key(y)];
          const [n, m] = [parseFloat(a), parseFloat(b)];
          if (Number.isNaN(n) !== Number.isNaN(m)) return Number.isNaN(n) ? 1 : -1;
          const order = Number.isNaN(n) ? a.localeCompare(b) : n - m;
          return down ? -order : order;
        });
        table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        body.replaceChildren(...rows);
      };
      const title = head.textContent || "";
      head.replaceChildren(el("button", {type: "button", class: "sort", onclick: sort}, title));
    });
  }
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && target.id === "search") target.blur();
  else if (event.key === "Escape" && state.item >= 0) closeItem();
  if (["INPUT", "SELECT", "TEXTAREA"].includes(target.tagName)) return;
  const steps = {j: [1, 0], k: [-1, 0], h: [0, -1], l: [0, 1], ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]};
  const step = /** @type {Object<string, number[]>} */ (steps)[event.key];
  if (step !== undefined && (event.key.length === 1 || target.id === "grid")) {
    move(step[0], step[1]);
    if (state.item >= 0) {
      state.item = shownRows[state.row];
      drawItem();
      writeHash();
    }
    event.preventDefault();
  } else if (event.key === "/") {
    at("search").focus();
    event.preventDefault();
  } else if (event.key === "f") {
    const names = Object.keys(FILTERS);
    state.f = names[(names.indexOf(state.f) + 1) % names.length];
    state.row = 0;
    drawAll();
    writeHash();
  } else if (event.key === "t") fold();
  else if (event.key === "d") { diffing = !diffing; drawItem(); }
  else if (event.key === "Enter" && target.id === "grid" && shownRows.length) openItem(state.row, state.col);
}

function drawAll() {
  drawControls();
  drawPairs();
  drawExplorer();
  drawItem();
}

async function begin() {
  data = JSON.parse(await inflate("data"));
  sortable();
  if (data.boards.length === 0) return;
  for (const id of ["pairs", "explore"]) at(id).hidden = false;
  readHash();
  if (state.q !== "" || state.item >= 0) await texts();
  drawAll();
  at("grid").addEventListener("scroll", drawRows, {passive: true});
  window.addEventListener("resize", drawRows);
  window.addEventListener("hashchange", () => {
    if (location.hash !== "" && !location.hash.includes("=")) return;  // a link to a section
    readHash();
    drawAll();
  });
  document.addEventListener("keydown", onKey);
  document.documentElement.dataset.ready = "yes";
}

begin().catch((error) => {
  at("failed").textContent = `This browser cannot read the data of the page (${error}). Tables above are complete.`;
  at("failed").hidden = false;
});
