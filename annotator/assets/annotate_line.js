// The time line of the page: rows of actions, suggestions and stretches, with edges to drag.

const LANE_PX = 34;
const LEAST_PX = 8; // an action that is shorter on the screen is drawn as long as this
const DRAWN_PX = 6; // a pointer that moved less has clicked
const STRETCHES = { unseen: "not looked at", ignore: "cannot be judged" };
const AGREES = 0.5; // tIoU from which on an action settles a suggestion of its label

const colours = new Map();
function colourOf(label) {
  if (!colours.has(label)) colours.set(label, data.palette[colours.size % data.palette.length]);
  return colours.get(label);
}
for (const label of data.all_labels) colourOf(label);

/** An instant to the picture: as fine as the pictures are. */
const fineText = (seconds) => clockText(seconds, 2);
const fineSpan = (item) => `${fineText(item.start_sec)} – ${fineText(item.end_sec)}`;
const nameOf = (kind, item) => item.label ?? STRETCHES[kind];
const wordsOf = (kind, item) => {
  const score = kind === "suggested" ? `, suggested with score ${item.score.toFixed(2)}` : "";
  return `${nameOf(kind, item)}, ${fineSpan(item)}${score}${item.note ? `, note: ${item.note}` : ""}`;
};

function tiou(a, b) {
  const both = Math.min(a.end_sec, b.end_sec) - Math.max(a.start_sec, b.start_sec);
  const all = Math.max(a.end_sec, b.end_sec) - Math.min(a.start_sec, b.start_sec);
  return all > 0 ? Math.max(both, 0) / all : 0;
}

const settles = (action, s) => action.label === s.label && tiou(action, s) >= AGREES;
const isOf = (rejected, s) => rejected.label === s.label && tiou(rejected, s) > 0.999;
const wrong = ({ label, start_sec, end_sec }) => ({ label, start_sec, end_sec, note: "", more: {} });

/** Suggestions that are neither accepted, corrected nor rejected, best first. */
function suggestionsLeft() {
  return data.suggestions.filter(
    (s) => !labels.actions.some((a) => settles(a, s)) && !labels.rejected.some((r) => isOf(r, s)),
  );
}

const accepted = new WeakMap(); // action -> the suggestion that it was made of

/** Replace an action; what it was made of is rejected while it differs too much to settle that. */
function corrected(old, after) {
  const change = replace("actions", old, after);
  const from = accepted.get(old);
  if (!from) return change;
  accepted.set(after, from);
  const rejected = labels.rejected.filter((r) => !isOf(r, from));
  return { ...change, rejected: settles(after, from) ? rejected : [...rejected, wrong(from)] };
}

/* ---- edges ---- */

/** The span with one edge moved to a boundary, at least a picture long; `k` is its number. */
function withEdge(item, edge, k) {
  if (edge === "start_sec") {
    return { ...item, start_sec: times[Math.min(k, Math.max(nearest(item.end_sec) - 1, 0))] };
  }
  return { ...item, end_sec: times[Math.max(k, Math.min(nearest(item.start_sec) + 1, END))] };
}

function moveEdge(kind, item, edge, k) {
  const after = withEdge(item, edge, k);
  if (after.start_sec === item.start_sec && after.end_sec === item.end_sec) return;
  const name = edge === "start_sec" ? "Start" : "End";
  pick(kind, after);
  const change = kind === "actions" ? corrected(item, after) : replace(kind, item, after);
  edit(`${name} at ${fineText(after[edge])}`, change);
}

/** Show the picture at an edge: the first inside, or the last. */
function showEdge(edge, seconds) {
  const k = nearest(seconds);
  goToPicture(edge === "start_sec" ? k : k - 1);
}

function edgeOf(kind, item, edge, box) {
  const name = edge === "start_sec" ? "Start" : "End";
  const handle = el("div", {
    class: `edge ${edge === "start_sec" ? "first" : "last"}`, role: "slider",
    tabindex: chosen.item === item ? 0 : -1, "data-edge": edge,
    "aria-label": `${name} of ${nameOf(kind, item)}`, "aria-valuemin": 0,
    "aria-valuemax": data.duration_sec.toFixed(3), "aria-valuenow": item[edge].toFixed(3),
    "aria-valuetext": fineText(item[edge]),
  });
  let moving = null;
  handle.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.stopPropagation();
    clock.pause();
    handle.setPointerCapture(event.pointerId);
    moving = item;
  });
  handle.addEventListener("pointermove", (event) => {
    if (!moving) return;
    moving = withEdge(item, edge, nearest(timeAt(event.clientX)));
    placed(box, moving, [0, extent]);
    showEdge(edge, moving[edge]);
    byId("now").textContent = `${name} of ${nameOf(kind, item)}: ${fineText(moving[edge])}`;
  });
  const drop = (event) => {
    if (!moving) return;
    const k = nearest(moving[edge]);
    const same = moving[edge] === item[edge];
    moving = null;
    swallowClick();
    if (event.type === "pointercancel" || same) select(kind, item, { stay: true });
    else moveEdge(kind, item, edge, k);
  };
  handle.addEventListener("pointerup", drop);
  handle.addEventListener("pointercancel", drop);
  handle.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageDown: -10, PageUp: 10 }[event.key];
    if (by === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const k = Math.max(0, Math.min(nearest(item[edge]) + by, END));
    showEdge(edge, times[k]);
    moveEdge(kind, item, edge, k);
  });
  return handle;
}

/* ---- marks and rows ---- */

function spanOf(kind, item, top) {
  const words = wordsOf(kind, item);
  const colour = item.label ? colourOf(item.label) : "#777777";
  const box = el("div", { class: `span ${kind}`, style: { "--colour": colour, top: `${top}px` } });
  const mark = el("button", {
    class: "mark", type: "button", title: words, "aria-label": words,
    "aria-pressed": String(chosen.item === item),
    tabindex: chosen.item === item ? 0 : -1,
    style: { "--fill": kind === "actions" ? colour : "transparent", "--text": inkOn(colour) },
  });
  if (kind === "suggested") mark.textContent = item.score.toFixed(2);
  mark.addEventListener("click", () => select(kind, item));
  box.append(mark);
  if (kind in labels && kind !== "rejected") {
    box.append(edgeOf(kind, item, "start_sec", box), edgeOf(kind, item, "end_sec", box));
  }
  box.classList.toggle("chosen", chosen.item === item);
  return placed(box, { ...item, end_sec: Math.min(item.end_sec, extent) }, [0, extent]);
}

/** Keep the click that ends a drag from the row below, which would seek. */
function swallowClick() {
  const stop = (event) => event.stopPropagation();
  addEventListener("click", stop, { capture: true, once: true });
  setTimeout(() => removeEventListener("click", stop, true), 0);
}

/** Draw an action of a label by dragging over an empty place of its row. */
function drawOn(track, label) {
  let from = null;
  let shape = null;
  track.addEventListener("pointerdown", (event) => {
    const empty = event.target === track && event.pointerType !== "touch" && !event.button;
    if (empty) from = event.clientX;
  });
  track.addEventListener("pointermove", (event) => {
    if (from === null || (!shape && Math.abs(event.clientX - from) < DRAWN_PX)) return;
    if (!shape) {
      track.setPointerCapture(event.pointerId);
      shape = el("div", { class: "span drawn", style: { "--colour": colourOf(label) } });
      track.append(shape);
    }
    const [a, b] = [from, event.clientX].map((x) => nearest(timeAt(x))).sort((x, y) => x - y);
    shape.span = { label, start_sec: times[a], end_sec: times[Math.max(b, Math.min(a + 1, END))] };
    placed(shape, shape.span, [0, extent]);
    goToPicture(nearest(timeAt(event.clientX)));
  });
  const drop = (event) => {
    const drawn = shape?.span;
    shape?.remove();
    [from, shape] = [null, null];
    if (!drawn || event.type === "pointercancel") return;
    swallowClick();
    addAction(drawn);
  };
  track.addEventListener("pointerup", drop);
  track.addEventListener("pointercancel", drop);
}

function addSpans(name, kind, items, ...sign) {
  const { row, track } = addRow(name, ...sign);
  const lanes = lanesOf(items, (LEAST_PX * extent) / Math.max(trackWidth(), 1));
  track.append(...items.map((item, n) => spanOf(kind, item, 2 + lanes[n] * LANE_PX)));
  track.style.height = `${(1 + Math.max(0, ...lanes)) * LANE_PX + 3}px`;
  row.classList.add(kind);
  return track;
}

function drawTimes() {
  const focused = document.activeElement;
  const again = focused?.closest?.(".span.chosen") && (focused.dataset.edge ?? "mark");
  byId("ruler").replaceChildren(...ticksOf([0, extent], trackWidth()));
  byId("rows").replaceChildren();
  const left = suggestionsLeft();
  if (data.suggestions.length) addSpans(`${left.length} suggested`, "suggested", left);
  const open = [...opened.keys()].filter((label) => !(label in STRETCHES));
  const used = new Set([...labels.actions.map((a) => a.label), ...open]);
  if (current.label) used.add(current.label);
  for (const label of knownLabels().filter((name) => used.has(name))) {
    const items = labels.actions.filter((a) => a.label === label);
    drawOn(addSpans(label, "actions", items, swatch(colourOf(label))), label);
  }
  for (const kind of Object.keys(STRETCHES)) {
    if (labels[kind].length) addSpans(STRETCHES[kind], kind, labels[kind]);
  }
  if (saving.conflict) {
    const theirs = saving.conflict.labels.actions;
    addSpans("the other window", "theirs", theirs);
  }
  const box = again && byId("rows").querySelector(".span.chosen");
  box?.querySelector(again === "mark" ? ".mark" : `[data-edge=${again}]`)?.focus();
}
