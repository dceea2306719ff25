// What the sections of a report's page are made of; `timeline.js` stands before this.
const INK = "#222", MUTED = "#5f5f5f", GRID = "#ddd";
const COLOURS = ["#009E73", "#56B4E9", "#E69F00", "#0072B2", "#CC79A7", "#8c8c8c", "#e4e4e4"];
const MISSED = "#b00020", CURVE = "#D55E00", BLUE = "#4d9ccb";
const kindNames = data.kinds.map((kind) => kind.name);
const state = { k: data.shown, label: "", sort: { key: "AP", falling: true } };

const part = () => data.diagnosis.thresholds[data.tious[state.k]];
const percent = (share) => (100 * share).toFixed(1);
const signed = (share) => `${share >= 0.0005 ? "+" : ""}${percent(Math.max(share, 0))}`;
const bound = (name) => name.replace(/ (s|%)$/, "\u00a0$1"); // the unit stays with its number
const capital = (words) => words[0].toUpperCase() + words.slice(1);

// A table: `heads` are [text, class of the column, key to sort by], `rows` texts and nodes.
function table(caption, heads, rows, chosen = () => false) {
  const kind = (n) => heads[n][1] ?? "";
  const head = heads.map((h, n) => el("th", { scope: "col", class: kind(n) }, headContent(...h)));
  heads.forEach(([, , key], n) => key && head[n].setAttribute("aria-sort", sortState(key)));
  const body = rows.map((row, r) => el("tr", { class: chosen(r) ? "chosen" : "" },
    ...row.map((cell, n) => n ? el("td", { class: kind(n) }, cell) : el("th", { scope: "row" }, cell))));
  const whole = el("table", {}, el("caption", {}, caption),
    el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body));
  return el("div", { class: "table", tabindex: "0", role: "region", "aria-label": caption }, whole);
}

function headContent(text, kind, key) {
  if (!key) return text;
  const arrow = { ascending: " ▲", descending: " ▼", none: "" }[sortState(key)];
  const button = el("button", { type: "button" }, text + arrow);
  button.addEventListener("click", () => {
    const again = state.sort.key === key;
    state.sort = { key, falling: again ? !state.sort.falling : kind.includes("number") };
    drawClasses();
    [...byId("classes").querySelectorAll("button")]
      .find((b) => b.textContent.startsWith(text)).focus();
  });
  return button;
}

function sortState(key) {
  if (state.sort.key !== key) return "none";
  return state.sort.falling ? "descending" : "ascending";
}

// A bar of coloured parts [{value, colour, name}], `total` wide; it stretches with its cell.
function bar(parts, total, { height = 16, mark = null } = {}) {
  const words = parts.filter((p) => p.name && p.value).map((p) => `${p.name} ${p.value}`).join(", ");
  // Without names it only repeats the number beside it: there is nothing to read out.
  const spoken = words ? { role: "img", "aria-label": words } : { "aria-hidden": "true" };
  const node = svg("svg", { width: "100%", height, ...spoken });
  let left = 0;
  for (const { value, colour, name } of parts) {
    const width = 100 * Math.max(value, 0) / (total || 1);
    const rect = svg("rect", { x: `${left}%`, width: `${width}%`, y: 0, height, fill: colour });
    if (name) rect.append(svg("title", {}, `${name}: ${value}`));
    node.append(rect);
    left += width;
  }
  if (mark !== null) {
    const x = `${100 * mark}%`;
    node.append(svg("line", { x1: x, x2: x, y1: 0, y2: height, stroke: INK, "stroke-width": 2 }));
  }
  return node;
}

const plainBar = (share, colour = BLUE, mark = null) =>
  bar([{ value: Math.min(share, 1), colour }], 1, { mark });

const legend = (entries) => el("ul", { class: "legend" },
  ...entries.map(([words, colour, border]) => el("li", {}, swatch(colour, border), words)));

const named = (name, colour) =>
  el("span", { class: "named" }, swatch(colour), el("span", {}, capital(name)));

const noted = (words, note, kind = "note") =>
  el("div", {}, words, el("div", { class: kind }, note));

const folded = (words, content) => el("details", {}, el("summary", {}, words), content);

const text = (x, y, words, attributes = {}) =>
  svg("text", { x, y, fill: MUTED, "font-size": 13, ...attributes }, words);
