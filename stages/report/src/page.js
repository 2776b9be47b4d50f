"use strict";
// The page's logic: downloads, tables that sort and filter, the map of items, samples, and the way from an answer to
// its seeds. All texts are set as text, never as markup.
const root = document.documentElement;
const byId = (id) => document.getElementById(id);
const { words, tables, samples: store } = JSON.parse(byId("data").textContent);
for (const { text, rows } of Object.values(tables)) {
  // Words stand once: columns of them have their places.
  for (const row of rows) for (const at of text) row[at] = row[at] === null ? null : words[row[at]];
}
for (const row of store.rows) {
  for (const name of ["what", "stage"]) row[name] = store.words[row[name]];
  for (const pair of [...row.fields, ...row.from]) pair[0] = store.words[pair[0]];
}
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const shorten = (text, most) => (text.length > most ? text.slice(0, most - 1).trimEnd() + "…" : text);
/** Whether a text has all words of a field. */
function matches(text, field) {
  const low = text.toLowerCase();
  return field.value.toLowerCase().split(/\s+/).every((word) => low.includes(word));
}
const one = (x) => (x == null ? "–" : String(Math.round(x * 1000) / 1000));

/** An element: `make("a", { href: "#" }, "words", otherElement)`; what is `null` is left out. */
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child != null));
  return element;
}

let silence;
function say(words) {
  byId("status").textContent = words;
  clearTimeout(silence);
  silence = setTimeout(() => say(""), 6000);
}

// Light and dark.
const themes = { auto: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" };
function theme(name) {
  root.dataset.theme = name;
  byId("theme").textContent = themes[name];
  try { localStorage.setItem("theme", name); } catch { /* A page of a disk may have no storage. */ }
}
function startTheme() {
  let kept = "auto";
  try { kept = localStorage.getItem("theme"); } catch { /* As above. */ }
  theme(themes[kept] ? kept : "auto");
  byId("theme").addEventListener("click", () => {
    const names = Object.keys(themes);
    theme(names[(names.indexOf(root.dataset.theme) + 1) % names.length]);
  });
}

// Downloads.
function csv({ columns, rows }) {
  const cell = (value) => {
    if (value == null) return "";
    let text = String(value);
    // A spreadsheet would run a text that begins like a formula.
    if (typeof value !== "number" && /^[=+@\t\r]|^-./.test(text) && isNaN(text)) text = "'" + text;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [columns, ...rows].map((row) => row.map(cell).join(",") + "\r\n").join("");
}
function download(name) {
  const url = URL.createObjectURL(new Blob(["\ufeff", csv(tables[name])], { type: "text/csv" }));
  make("a", { href: url, download: `${name}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
function startDownloads() {
  for (const button of all("[data-download]")) {
    const title = button.closest("figure, .table")?.querySelector(".title, caption")?.textContent || "";
    button.setAttribute("aria-label", `Data of “${title}” as CSV`);
    button.addEventListener("click", () => download(button.dataset.download));
  }
}

// Tables.
const worth = (cell) => (cell.dataset.sort === undefined ? cell.textContent.trim() : Number(cell.dataset.sort));
const missing = (value) => value === "" || value === "–" || value === "-";
function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return a.localeCompare(b, "en", { numeric: true });
}
function sort(table, column) {
  const heads = all("thead th", table);
  const down = heads[column].getAttribute("aria-sort") === "ascending";
  heads.forEach((head, place) => head.setAttribute("aria-sort", place !== column ? "none" : down ? "descending" : "ascending"));
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => ({ row, value: worth(row.cells[column]) }));
  // What has no value is last, whichever way.
  rows.sort((a, b) => missing(a.value) - missing(b.value) || (down ? compare(b.value, a.value) : compare(a.value, b.value)));
  body.append(...rows.map(({ row }) => row));
}
function startTable(table) {
  const rows = [...table.tBodies[0].rows];
  all("thead th", table).forEach((head, column) => {
    head.setAttribute("aria-sort", "none");
    head.replaceChildren(make("button", { type: "button", click: () => sort(table, column) }, head.textContent));
  });
  if (rows.length < 6) return;
  const count = make("span", { role: "status", class: "quiet" });
  const chosen = [];
  const fields = [];
  const search = make("input", { type: "search", input: filter });
  function filter() {
    let shown = 0;
    for (const row of rows) {
      const fits = chosen.every(([column, select]) => !select.value || row.cells[column].textContent === select.value);
      row.hidden = !(fits && matches(row.textContent, search));
      shown += !row.hidden;
    }
    count.textContent = shown < rows.length ? `${shown} of ${rows.length} rows` : `${rows.length} rows`;
  }
  const controls = document.querySelector(`[data-controls="${table.id}"]`);
  for (const column of (table.dataset.filters || "").split(" ").filter(Boolean).map(Number)) {
    const values = [...new Set(rows.map((row) => row.cells[column].textContent))];
    if (values.length < 2 || values.length > 80) continue;
    const select = choice(["", "all"], ...values.map((value) => [value, value]));
    select.addEventListener("change", filter);
    chosen.push([column, select]);
    fields.push(make("label", {}, table.tHead.rows[0].cells[column].textContent, select));
  }
  controls.prepend(...fields, make("label", {}, "Find", search), count);
  filter();
}
const choice = (...options) => make("select", {}, options.map(([value, words]) => make("option", { value }, words)));

// The map of items: what lies under the pointer.
function startMap(svg) {
  const { map, metric, left, top, width, row, columns, rows } = svg.dataset;
  const place = map.split("-")[1];
  const on = (type, act) => svg.addEventListener(type, (event) => {
    const box = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / box.width;
    const column = Math.floor((((event.clientX - box.left) * scale - left) / width) * columns);
    const arm = Math.floor(((event.clientY - box.top) * scale - top) / row);
    if (column >= 0 && column < columns && arm >= 0 && arm < rows) act(tables[map].rows[column], 2 + metric * rows + arm);
  });
  on("pointermove", (item, at) => {
    say(`${item[0]}${item[1] ? ` (${item[1]})` : ""} · ${tables[map].columns[at]}: ${one(item[at])}`);
  });
  on("click", ([id]) => {
    if (!views[place]?.only(id)) say(`${id}: its answers have no room on this page`);
  });
}

// Samples.
const views = {};
const STEP = 10;
const label = (row) => `${row.what} ${row.id}`;
function rowLink(place, brief) {
  const row = store.rows[place];
  const [, words] = row.fields[0] || [];
  const whole = words ? `${label(row)}: ${shorten(words, 90)}` : label(row);
  return make("a", { href: `#row-${place}`, title: whole, "aria-label": whole }, (brief && words) || whole);
}
const signs = { improved: "▲ improved", regressed: "▼ regressed" };
function answerRow(about, { arm, prediction, finish_reason: end, scores, flip, resembling }) {
  const marks = about.metrics.map((name, place) => `${name} ${one(scores[place])}`);
  if (end && end !== "stop") marks.push(`ended by ${end}`);
  const baseline = about.arms[arm] === about.baseline && about.baseline !== "baseline" ? "baseline" : null;
  return make("li", { class: flip || "" },
    make("div", {}, make("b", {}, about.arms[arm]), make("p", { class: "mark-word" }, signs[flip] || baseline)),
    make("div", {}, make("p", {}, prediction || "(empty)"), make("p", { class: "quiet" }, marks.join(" · "))),
    make("div", { class: "quiet" }, resembling.length ? "Trained on, and like the question:" : "No training row is like the question.",
      make("ul", {}, resembling.map((row) => make("li", {}, rowLink(row, true))))));
}
function sampleArticle(about, sample) {
  return make("article", { class: "sample" },
    make("h4", { tabindex: "-1" }, sample.id, sample.task ? make("span", { class: "quiet" }, ` ${sample.task}`) : null),
    make("p", {}, sample.instruction),
    sample.input ? make("p", { class: "quiet" }, sample.input) : null,
    make("p", {}, make("b", {}, "Expected: "), sample.references.join(" / ") || "–"),
    sample.passages.length
      ? make("details", {}, make("summary", {}, `Passages (${sample.passages.length})`),
        make("dl", {}, sample.passages.flatMap((place) => {
          const [id, text] = store.passages[place];
          return [make("dt", {}, id), make("dd", {}, text)];
        })))
      : null,
    make("ul", { class: "answers", "aria-label": `Answers to ${sample.id}` }, sample.answers.map((answer) => answerRow(about, answer))));
}
function startSamples(block) {
  const about = store.comparisons[block.dataset.samples];
  const list = make("div");
  const count = make("span", { role: "status", class: "quiet" });
  const search = make("input", { type: "search" });
  const tasks = [...new Set(about.samples.map((sample) => sample.task).filter(Boolean))].sort();
  const task = choice(["", "all"], ...tasks.map((name) => [name, name]));
  const flip = choice(["", "all"], ["regressed", "▼ regressed"], ["improved", "▲ improved"], ["changed", "changed"], ["same", "unchanged"]);
  const arm = choice(["", "any arm"], ...about.arms.map((name, place) => [place, name]).filter(([, name]) => name !== about.baseline));
  const more = make("button", { type: "button", click: () => show(shown + STEP, shown) });
  const back = make("button", { type: "button", click: () => { single = null; show(STEP); } }, "Show all again");
  let shown = STEP;
  let single = null;
  const fits = (sample) => {
    if (single !== null) return sample.id === single;
    if (task.value && sample.task !== task.value) return false;
    const answers = sample.answers.filter((answer) => !arm.value || answer.arm === Number(arm.value));
    const changed = (kind) => answers.some((answer) => answer.flip && (kind === "changed" || answer.flip === kind));
    if (flip.value === "same" ? changed("changed") : flip.value && !changed(flip.value)) return false;
    const { id, instruction, input, references } = sample;
    const text = [id, instruction, input, ...references, ...answers.map((answer) => answer.prediction)];
    return matches(text.join("\n"), search);
  };
  function show(most, focus) {
    shown = most;
    const fit = about.samples.filter(fits);
    list.replaceChildren(...fit.slice(0, most).map((sample) => sampleArticle(about, sample)));
    count.textContent = `${fit.length} of ${about.samples.length} samples`;
    more.hidden = fit.length <= most;
    more.textContent = `Show ${Math.min(STEP, fit.length - most)} more`;
    back.hidden = single === null;
    if (focus !== undefined) list.children[focus]?.querySelector("h4").focus();
  }
  for (const control of [task, flip, arm]) control.addEventListener("change", () => show(STEP));
  search.addEventListener("input", () => show(STEP));
  const fields = [["Change", flip], ["in", arm], ...(tasks.length ? [["Task", task]] : []), ["Find", search]];
  const labels = fields.map(([words, field]) => make("label", {}, words, field));
  block.append(make("div", { class: "controls" }, labels, back, count), list, make("p", {}, more));
  views[block.dataset.samples] = {
    only(id) {
      if (!about.samples.some((sample) => sample.id === id)) return false;
      single = id;
      show(1, 0);
      return true;
    },
    choose(wanted) {
      single = null;
      flip.value = wanted.get("flip") || "";
      arm.value = wanted.get("arm") || "";
      show(STEP);
      block.scrollIntoView();
      flip.focus({ preventScroll: true });
    },
  };
  show(STEP);
}

// Rows, and what they come from.
const dialog = byId("row");
let trail = [];
function showRow(place) {
  const row = store.rows[place];
  if (!row) return;
  const known = trail.indexOf(place);
  trail = known < 0 ? [...trail, place] : trail.slice(0, known + 1);
  const used = store.rows.flatMap((other, at) => other.from.filter(([, from]) => from === place).map(([how]) => [how, at]));
  const title = make("h2", { id: "row-title", tabindex: "-1" }, label(row));
  dialog.replaceChildren(
    make("header", {}, title, make("button", { type: "button", click: () => dialog.close() }, "Close")),
    make("p", { class: "quiet" }, row.stage ? `from the stage ${row.stage}` : ""),
    trail.length > 1
      ? make("p", {}, "Way here: ", trail.slice(0, -1).flatMap((at) => [make("a", { href: `#row-${at}` }, label(store.rows[at])), " › "]), label(row))
      : "",
    make("dl", {}, row.fields.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])),
    make("h3", {}, "Comes from"),
    row.from.length ? make("ul", {}, row.from.map(([how, at]) => make("li", {}, `${how}: `, rowLink(at)))) : make("p", {}, "Nothing: here the way ends."),
    row.more ? make("p", { class: "note" }, `${row.more} more are not shown.`) : "",
    used.length
      ? make("details", {}, make("summary", {}, `Used for ${used.length} of the rows here`),
        make("ul", {}, used.slice(0, 20).map(([how, at]) => make("li", {}, `${how} of `, rowLink(at)))))
      : "");
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  title.focus();
}
function follow() {
  const [, name, query] = /^#([^?]*)\??(.*)$/.exec(location.hash) || [];
  const [kind, place] = (name || "").split(/-(?=\d+$)/);
  if (kind === "row") return showRow(Number(place));
  trail = [];
  if (dialog.open) dialog.close();
  if (kind === "samples" && query) views[place]?.choose(new URLSearchParams(query));
}
function startRows() {
  dialog.addEventListener("close", () => {
    trail = [];
    // The address no longer names the row; the place on the page stays.
    if (location.hash.startsWith("#row-")) history.replaceState(null, "", "#main");
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  addEventListener("hashchange", follow);
  follow();
}

root.classList.add("live");
if (matchMedia("(max-width: 64rem)").matches) document.querySelector("nav details").open = false;
startTheme();
startDownloads();
all("table[id]").forEach(startTable);
all("[data-samples]").forEach(startSamples);
all("svg[data-map]").forEach(startMap);
startRows();
