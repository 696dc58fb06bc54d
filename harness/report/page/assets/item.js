// One problem: what was asked, and the answers of any number of models side by side.
// @ts-check

let unfolded = false;

/** Opens the problem of a row. @param {number} row @param {number} col */
async function openItem(row, col) {
  Object.assign(state, {row, col, item: shownRows[row], k: 0});
  drawRows();
  writeHash(true);
  await drawItem();
  at("item").scrollIntoView({block: "start"});
}

function closeItem() {
  state.item = -1;
  drawItem();
  writeHash(true);
  at("grid").focus();
}

/** Text in which the extracted answer, where it last stands, is marked. @param {string} text @param {string} [answer] */
function marked(text, answer) {
  const box = el("div", {class: "text"});
  const place = answer ? text.lastIndexOf(answer) : -1;
  if (place < 0 || !answer) box.append(text);
  else box.append(text.slice(0, place), el("mark", {title: "extracted answer"}, answer), text.slice(place + answer.length));
  return box;
}

/** Words of two texts that are not in both, marked. @param {string} before @param {string} after */
function wordDiff(before, after) {
  const words = [before, after].map((text) => text.split(/(\s+)/).slice(0, 1600));
  const [a, b] = words;
  const width = b.length + 1;
  const longest = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      longest[i * width + j] = a[i] === b[j] ? longest[(i + 1) * width + j + 1] + 1
        : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
    }
  }
  const box = el("div", {class: "text"});
  let i = 0, j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      box.append(a[i]);
      i++; j++;
    } else if (j >= b.length || (i < a.length && longest[(i + 1) * width + j] >= longest[i * width + j + 1])) box.append(el("del", {}, a[i++]));
    else box.append(el("ins", {}, b[j++]));
  }
  return box;
}

const WORDS = {r: "right", w: "wrong", p: "partly right", n: "no answer", c: "cut", u: "unscored", e: "failed"};

/** The samples of one model as a strip of buttons. @param {Run} run @param {Sample[]} samples @param {number} chosen */
function strip(run, samples, chosen) {
  const marks = run.marks[state.item];
  return el("div", {class: "strip", role: "group", "aria-label": `samples of ${run.model}`}, ...samples.map((sample, place) => {
    const mark = /** @type {keyof WORDS} */ (marks[place] || "u");
    const choose = () => { state.k = place; drawItem(); writeHash(); };
    return el("button", {type: "button", class: `mark ${mark}`, "aria-pressed": place === chosen, title: WORDS[mark], onclick: choose}, `${sample.k + 1} ${WORDS[mark]}`);
  }));
}

/** @param {Object<string, *>} one */
function judgment(one) {
  const marks = (one.marks || []).map((/** @type {string[]} */ mark) => el("li", {}, mark.join(": ")));
  return el("div", {class: "judgment"},
    el("p", {}, `${one.judge}${one.order === "single" ? "" : `, ${one.order}`}: ${one.label ?? `unread (${one.why})`}`),
    one.reason ? el("p", {class: "text"}, one.reason) : null, marks.length ? el("ul", {}, ...marks) : null);
}

/** What one model said. @param {Board} of @param {number} place @param {Sample[]} samples @param {Sample|null} other */
function column(of, place, samples, other) {
  const run = of.runs[place];
  const box = el("article", {class: `answer${place === state.base ? " base" : ""}`}, el("h4", {}, run.model));
  if (samples.length === 0) {
    box.append(el("p", {}, `${cellOf(run, state.item).text}; no text is in this file`));
    return box;
  }
  const chosen = Math.min(state.k, samples.length - 1);
  const sample = samples[chosen];
  if (samples.length > 1) box.append(strip(run, samples, chosen));
  const facts = [sample.status || "not graded", sample.value === null || sample.value === undefined ? "" : `value ${sample.value}`,
    sample.answer ? `answer ${sample.answer}` : "", sample.tokens ? `${sample.tokens} tokens` : "", sample.finish === "length" ? "cut" : ""];
  box.append(el("p", {class: "facts"}, facts.filter(Boolean).join(", ")));
  if (sample.why) box.append(el("p", {class: "why"}, sample.why));
  if (sample.error) box.append(el("p", {class: "why"}, `failed: ${sample.error}`));
  if (sample.thought !== undefined) {
    box.append(el("details", {class: "thought", open: unfolded}, el("summary", {}, `thought, ${sample.thought.length.toLocaleString("en")} characters`), el("div", {class: "text"}, sample.thought)));
  }
  if (sample.text !== undefined) box.append(other?.text !== undefined ? wordDiff(other.text, sample.text) : marked(sample.text, sample.answer));
  for (const one of sample.judged || []) box.append(judgment(one));
  return box;
}

let diffing = false;

/** Draws the problem that is open, or nothing. */
async function drawItem() {
  const box = at("item");
  const of = board();
  if (state.item < 0) {
    box.replaceChildren();
    box.hidden = true;
    return;
  }
  const line = (await texts()).get(`${state.b}:${state.item}`);
  const item = /** @type {Item|null} */ (line === undefined ? null : JSON.parse(line));
  const beside = [...new Set([state.base, state.col].filter((place) => place >= 0))];
  const places = state.all ? of.runs.map((_, place) => place) : beside;
  const ofBase = item?.runs[String(state.base)] || [];
  const held = ofBase[Math.min(state.k, ofBase.length - 1)] ?? null;
  const columns = places.map((place) => column(of, place, item?.runs[String(place)] || [], diffing && place !== state.base ? held : null));
  const toggle = () => { state.all = state.all ? 0 : 1; drawItem(); writeHash(); };
  box.replaceChildren(el("div", {},
    el("h2", {}, `${of.problems[state.item]}`),
    el("p", {class: "facts"}, of.tags[state.item]),
    el("div", {class: "buttons"},
      el("button", {type: "button", onclick: closeItem}, "back to the grid (Esc)"),
      el("button", {type: "button", "aria-pressed": state.all === 1, onclick: toggle}, "all models"),
      el("button", {type: "button", "aria-pressed": unfolded, onclick: fold}, "thoughts (t)"),
      el("button", {type: "button", "aria-pressed": diffing, onclick: () => { diffing = !diffing; drawItem(); }}, "words that differ (d)")),
    ...(item?.asked || []).map((turn) => el("div", {class: "asked"}, el("b", {}, turn[0]), el("div", {class: "text"}, turn[1]))),
    el("p", {}, item?.gold ? `gold: ${item.gold}` : ""),
    item === null ? el("p", {}, "The texts of this problem are not in this file.") : null,
    item !== null && !item.asked ? el("p", {}, "The question is not in this file: write it with --data-dir.") : null,
    ...(item?.options?.length && !item.asked ? [el("ul", {}, ...item.options.map((option) => el("li", {}, option)))] : []),
    el("div", {class: "answers"}, ...columns),
  ));
  box.hidden = false;
}

function fold() {
  unfolded = !unfolded;
  drawItem();
}
