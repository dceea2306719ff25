// What the page does: playing, marking, choosing, answering. State and time line stand before this.

const FIRST_KEYS = 9; // labels that a number key stands for
const chosen = { kind: "", item: null }; // an action, a stretch or a suggestion
const current = { label: data.all_labels[0] ?? "" };
const opened = new Map(); // label or kind of stretch -> number of the picture where it began
const added = []; // labels that this page has made

const tell = (words) => (byId("said").textContent = words);
const knownLabels = () => [...new Set([...data.all_labels, ...added, ...labels.actions.map((a) => a.label)])];
let shownSec = null; // of the picture on the screen while the video runs

/* ---- where the video is ---- */

const pictureNow = () => pictureAt(clock.playing() && shownSec !== null ? shownSec : clock.now());

function goToPicture(k) {
  const at = Math.max(0, Math.min(k, END - 1));
  // A little inside, so that no rounding shows the picture before it.
  const inside = Math.min(0.002, ((times[at + 1] ?? extent) - times[at]) / 4);
  seek(times[at] + inside);
}

function step(pictures) {
  clock.pause();
  goToPicture(pictureNow() + pictures);
}

function paintNow(now) {
  const k = pictureAt(now);
  const from = times[k] + SLACK_SEC;
  byId("clock").textContent = `${fineText(times[k])} · picture ${k + 1} of ${END}`;
  const under = labels.actions.filter((a) => a.start_sec <= from && from < a.end_sec);
  byId("now").replaceChildren(under.length ? "Now: " : "Now: no action");
  for (const a of under) byId("now").append(el("b", {}, swatch(colourOf(a.label)), a.label));
}

function beforePaint() {
  const { item } = chosen;
  if (item && byId("repeat").checked && clock.now() >= Math.min(item.end_sec, extent - 0.05)) {
    goToPicture(nearest(item.start_sec));
  }
}

/* ---- choosing ---- */

function pick(kind, item) {
  Object.assign(chosen, { kind: item ? kind : "", item });
}

function select(kind, item, { stay = false } = {}) {
  pick(kind, item);
  if (item && !stay) {
    goToPicture(nearest(item.start_sec));
    showTime(item.start_sec, item.end_sec);
  }
  if (item) tell(wordsOf(kind, item));
  changed();
}

/** Go to the action before or after the chosen one, or else the playhead. */
function walk(direction) {
  const list = labels.actions;
  const at = list.indexOf(chosen.item);
  const now = clock.now();
  const beyond = list.findIndex((a) => a.start_sec > now);
  const next = at >= 0 ? at + direction : direction > 0 ? beyond : (beyond < 0 ? list.length : beyond) - 1;
  if (list[next]) select("actions", list[next]);
  else tell(direction > 0 ? "No later action" : "No earlier action");
}

/* ---- marking ---- */

function addAction(span, from = null) {
  const action = { label: current.label, note: "", more: {}, ...span };
  if (from) accepted.set(action, from);
  pick("actions", action);
  edit(`${wordsOf("actions", action)}; added`, { actions: [...labels.actions, action].sort(byTime) });
}

function begin() {
  if (!current.label) {
    nameLabel();
    return tell("Name the first label, then mark");
  }
  opened.set(current.label, pictureNow());
  pick("", null);
  tell(`${current.label} begins at ${fineText(times[pictureNow()])}`);
  changed();
}

/** End what was begun: of the current label, or else what was begun last. */
function finish() {
  const open = [...opened.keys()].filter((label) => !(label in STRETCHES));
  const label = open.includes(current.label) ? current.label : open.pop();
  if (label === undefined) return tell("Nothing was begun: S begins an action");
  const [a, b] = [opened.get(label), pictureNow()].sort((x, y) => x - y);
  opened.delete(label);
  addAction({ label, start_sec: times[a], end_sec: times[b + 1] });
}

/** Begin a stretch, and end it the next time. */
function stretch(kind) {
  if (!opened.has(kind)) {
    opened.set(kind, pictureNow());
    tell(`${STRETCHES[kind]}: from ${fineText(times[pictureNow()])}; once more ends it`);
    return changed();
  }
  const [a, b] = [opened.get(kind), pictureNow()].sort((x, y) => x - y);
  opened.delete(kind);
  const item = { start_sec: times[a], end_sec: times[b + 1] };
  pick(kind, item);
  edit(`${wordsOf(kind, item)}; added`, { [kind]: [...labels[kind], item].sort(byTime) });
}

function edgeHere(edge) {
  const { kind, item } = chosen;
  if (!item || kind === "suggested") return tell("Choose an action first");
  moveEdge(kind, item, edge, pictureNow() + (edge === "end_sec" ? 1 : 0));
}

function remove() {
  const { kind, item } = chosen;
  if (kind === "suggested") return reject();
  if (!item) return tell("Choose an action first");
  pick("", null);
  edit(`${wordsOf(kind, item)}; deleted`, replace(kind, item));
}

/* ---- labels ---- */

/** Go to the field for labels, and scroll no further than it takes: the video stays in view. */
function nameLabel() {
  byId("find").focus({ preventScroll: true });
  byId("find").scrollIntoView({ block: "nearest" });
}

/** Make a label the current one, and give it to the chosen action. */
function useLabel(label) {
  if (!knownLabels().includes(label)) added.push(label);
  current.label = label;
  if (chosen.kind === "actions" && chosen.item.label !== label) {
    const after = { ...chosen.item, label };
    const change = corrected(chosen.item, after);
    pick("actions", after);
    return edit(`Is ${label} now`, change);
  }
  tell(`Label: ${label}`);
  changed();
}

function found() {
  const wanted = byId("find").value.trim().normalize("NFC");
  const fold = (text) => text.toLocaleLowerCase();
  const hits = knownLabels().filter((label) => fold(label).includes(fold(wanted)));
  return { wanted, hits, exact: hits.find((label) => fold(label) === fold(wanted)) };
}

function drawLabels() {
  const { wanted, hits, exact } = found();
  const number = new Map(knownLabels().slice(0, FIRST_KEYS).map((label, n) => [label, n + 1]));
  const rows = hits.map((label) => {
    const button = el(
      "button", { type: "button", class: "label", "aria-pressed": String(label === current.label) },
      el("kbd", {}, String(number.get(label) ?? "")), swatch(colourOf(label)), label,
    );
    button.addEventListener("click", () => takeLabel(label));
    return el("li", {}, button);
  });
  if (wanted && !exact) {
    const button = el("button", { type: "button", class: "label" }, `New label: ${wanted}`);
    button.addEventListener("click", () => takeLabel(wanted));
    rows.push(el("li", {}, button));
  }
  byId("labels").replaceChildren(...rows);
}

function takeLabel(label) {
  byId("find").value = "";
  useLabel(label);
}

function onFindKey(event) {
  event.stopPropagation();
  if (event.key === "Escape") byId("find").value = "";
  if (event.key === "Enter") {
    const { wanted, hits, exact } = found();
    // What is typed in full is meant, else the first that has it in it.
    if (wanted) takeLabel(exact ?? hits[0] ?? wanted);
  }
  if (event.key === "Enter" && event.ctrlKey) return;
  if (event.key === "Escape" || event.key === "Enter") {
    event.preventDefault();
    byId("find").blur();
    drawLabels();
  }
}

/* ---- suggestions ---- */

function suggestion() {
  const left = suggestionsLeft();
  return left.includes(chosen.item) ? chosen.item : left[0];
}

function accept({ stay = false } = {}) {
  const one = suggestion();
  if (!one) return tell("No suggestion is left");
  const [a, b] = [nearest(one.start_sec), nearest(one.end_sec)];
  const start = Math.max(0, Math.min(a, END - 1));
  const end = Math.max(b, start + 1);
  addAction({ label: one.label, start_sec: times[start], end_sec: times[end] }, one);
  if (stay) return goToPicture(start);
  toNextSuggestion();
}

function reject() {
  const one = suggestion();
  if (!one) return tell("No suggestion is left");
  pick("", null);
  edit(`${wordsOf("suggested", one)}; rejected`, { rejected: [...labels.rejected, wrong(one)] });
  toNextSuggestion();
}

function toNextSuggestion(skip = false) {
  const left = suggestionsLeft();
  const at = left.indexOf(chosen.item);
  const next = skip && at >= 0 ? left[(at + 1) % left.length] : left[0];
  if (next) select("suggested", next);
  else if (skip) tell("No suggestion is left");
}

/* ---- the answer for the whole video ---- */

function answer(state, words) {
  edit(words, { state });
}

function toggleDone() {
  if (labels.state === "done") return answer("begun", "Not done yet");
  const open = [...opened.keys()];
  if (open.length) return tell(`${open.join(", ")}: begun and not ended`);
  answer("done", labels.actions.length ? "Done" : "Done: nothing here");
}

function nothingHere() {
  if (labels.actions.length) return tell("There are actions here: delete them first, or say Done");
  toggleDone();
}

async function leave(number) {
  if (number < 0 || number >= data.videos) return tell("There is no further video");
  for (let n = 0; n < 50 && unsaved() && !saving.conflict; n += 1) {
    await new Promise((done) => setTimeout(done, 20));
  }
  location.href = `/video/${number}`;
}
