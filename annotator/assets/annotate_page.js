// What is drawn beside the time line, what keys and buttons do, and the start.

const KEYS = {
  " ": ["Play or pause", togglePlay],
  ArrowLeft: ["One picture back; with Shift one second", (e) => (e.shiftKey ? jump(-1) : step(-1))],
  ArrowRight: ["One picture on; with Shift one second", (e) => (e.shiftKey ? jump(1) : step(1))],
  ",": ["", () => step(-1)],
  ".": ["", () => step(1)],
  j: ["Five seconds back", () => jump(-5)],
  l: ["Five seconds on", () => jump(5)],
  s: ["Start of an action", begin],
  e: ["End of it", finish],
  "[": ["The chosen action starts at this picture", () => edgeHere("start_sec")],
  "]": ["The chosen action ends with this picture", () => edgeHere("end_sec")],
  "1": ["… 9: the label, for the chosen action and the next ones", () => {}],
  "/": ["Search a label, or make a new one", nameLabel],
  ArrowUp: ["The action before", () => walk(-1)],
  ArrowDown: ["The action after", () => walk(1)],
  Delete: ["Delete what is chosen", remove],
  Backspace: ["", remove],
  Escape: ["Choose nothing", () => select("", null)],
  m: ["Note on the chosen action, or on the video", toNote],
  a: ["Accept the suggestion", () => accept()],
  c: ["Correct it: accept and stay there", () => accept({ stay: true })],
  x: ["Reject it", reject],
  g: ["Go to the next suggestion", () => toNextSuggestion(true)],
  u: ["Start, and end, of a stretch that was not looked at", () => stretch("unseen")],
  i: ["Start, and end, of a stretch that nobody can judge", () => stretch("ignore")],
  d: ["Done with this video; again: not yet", toggleDone],
  n: ["Nothing here: the video has no action", nothingHere],
  r: ["Repeat what is chosen", () => byId("repeat").click()],
  "+": ["Zoom in", () => zoomBy(2)],
  "=": ["", () => zoomBy(2)],
  "-": ["Zoom out", () => zoomBy(0.5)],
  PageDown: ["Next video", () => leave(data.number + 1)],
  PageUp: ["Video before", () => leave(data.number - 1)],
  "?": ["These keys", () => byId("help").toggleAttribute("open")],
};

function jump(seconds) {
  goToPicture(pictureAt(Math.max(0, clock.now() + seconds)));
}

function toNote() {
  byId(chosen.kind === "actions" ? "note" : "video-note").focus();
}

function onKey(event) {
  const { target, key } = event;
  if ((event.ctrlKey || event.metaKey) && !event.altKey) {
    const act = { z: event.shiftKey ? redo : () => undo(), y: redo }[key.toLowerCase()];
    if (!act || target.matches("input[type=text], textarea")) return;
    event.preventDefault();
    return act();
  }
  if (event.altKey || target.matches("input[type=text], textarea, select")) return;
  const own = target.matches("#ruler, .edge") && /^(Arrow|Home|End|Page)/.test(key);
  const pressed = /^( |Enter)$/.test(key) && target.matches("button:not(.mark), a, input, summary");
  const digit = /^[1-9]$/.test(key) && knownLabels()[Number(key) - 1];
  const act = digit ? () => useLabel(digit) : KEYS[key.length === 1 ? key.toLowerCase() : key]?.[1];
  if (own || pressed || !act) return;
  event.preventDefault();
  event.stopPropagation();
  act(event);
}

/* ---- lists and panels ---- */

function itemOf(kind, item) {
  const words = wordsOf(kind, item);
  const button = el(
    "button",
    { type: "button", class: "item", "aria-label": words, "aria-pressed": String(chosen.item === item) },
    item.label ? swatch(colourOf(item.label)) : el("span", { class: "swatch" }),
    el("span", { class: "label" }, nameOf(kind, item), item.note ? el("em", {}, ` ${item.note}`) : ""),
    el("span", { class: "span-text" }, fineSpan(item)),
  );
  button.addEventListener("click", () => select(kind, item));
  return el("li", {}, button);
}

function drawChosen() {
  const { kind, item } = chosen;
  byId("chosen").hidden = !item || kind === "suggested";
  if (byId("chosen").hidden) return;
  byId("chosen-words").textContent = `${nameOf(kind, item)}, ${fineSpan(item)}`;
  byId("note-of").hidden = kind !== "actions";
  byId("note").value = item.note ?? "";
}

function drawSuggestion() {
  const one = suggestion();
  byId("suggestion").hidden = !one;
  if (!one) return;
  const left = suggestionsLeft();
  const words = `${one.label}, ${fineSpan(one)}, score ${one.score.toFixed(2)}`;
  byId("suggested").textContent = `Suggested ${left.indexOf(one) + 1} of ${left.length}: ${words}`;
}

function drawAnswer() {
  const done = labels.state === "done";
  const nothing = done && !labels.actions.length;
  byId("done").setAttribute("aria-pressed", String(done && !nothing));
  byId("nothing").setAttribute("aria-pressed", String(nothing));
  const state = nothing ? "nothing here" : { new: "not begun", begun: "begun", done: "done" }[labels.state];
  const words = [`video ${data.number + 1} of ${data.videos}`, state, plural(labels.actions.length, "action")];
  if (data.reason) words.push(data.reason);
  byId("summary").textContent = words.join(" · ");
  byId("subset").value = labels.subset;
  if (document.activeElement !== byId("video-note")) byId("video-note").value = labels.note;
  byId("undo").disabled = !edits.past.length;
  byId("redo").disabled = !edits.future.length;
}

function drawOpen() {
  const words = [...opened].map(([name, k]) => `${STRETCHES[name] ?? name} since ${fineText(times[k])}`);
  byId("open").textContent = words.length ? `Begun: ${words.join(", ")}` : "";
  byId("unseen").setAttribute("aria-pressed", String(opened.has("unseen")));
  byId("ignore").setAttribute("aria-pressed", String(opened.has("ignore")));
}

/** Draw everything anew after an edit or a choice. */
function changed() {
  const all = [...labels.actions, ...labels.unseen, ...labels.ignore, ...suggestionsLeft()];
  if (!all.includes(chosen.item)) pick("", null);
  drawTimes();
  const kinds = ["actions", "unseen", "ignore"];
  const rows = kinds.flatMap((kind) => labels[kind].map((item) => itemOf(kind, item)));
  const inList = document.activeElement?.matches?.(".item");
  byId("list").replaceChildren(...rows);
  if (inList) byId("list").querySelector("[aria-pressed=true]")?.focus();
  drawLabels();
  drawChosen();
  drawSuggestion();
  drawAnswer();
  drawOpen();
  paintNow(clock.now());
}

/* ---- start ---- */

function listen() {
  listenOnStage();
  document.addEventListener("keydown", onKey, true); // before the video's own controls
  const clicks = {
    "picture-back": () => step(-1), "picture-on": () => step(1), start: begin, end: finish,
    unseen: () => stretch("unseen"), ignore: () => stretch("ignore"), undo: () => undo(), redo,
    done: toggleDone, nothing: nothingHere, accept: () => accept(), reject,
    correct: () => accept({ stay: true }), another: () => toNextSuggestion(true),
    "start-here": () => edgeHere("start_sec"), "end-here": () => edgeHere("end_sec"), delete: remove,
    "keep-both": keepBoth, "keep-mine": () => settle("Yours are kept", {}),
    "take-theirs": () => settle("The other's are taken", saving.conflict.labels),
  };
  for (const [id, act] of Object.entries(clicks)) byId(id).addEventListener("click", act);
  byId("find").addEventListener("input", drawLabels);
  byId("find").addEventListener("keydown", onFindKey);
  byId("note").addEventListener("change", (event) => {
    const after = { ...chosen.item, note: event.target.value };
    const change = corrected(chosen.item, after);
    pick("actions", after);
    edit("Note saved", change);
  });
  byId("video-note").addEventListener("change", (e) => edit("Note saved", { note: e.target.value }));
  byId("subset").addEventListener("change", (e) => edit("Subset saved", { subset: e.target.value }));
  for (const id of ["note", "video-note"]) {
    byId(id).addEventListener("keydown", (event) => event.key === "Escape" && event.target.blur());
  }
  for (const link of [byId("before"), byId("after")]) {
    link.addEventListener("click", (event) => {
      if (!unsaved() || saving.conflict) return;
      event.preventDefault();
      leave(data.number + (link.id === "after" ? 1 : -1));
    });
  }
  addEventListener("beforeunload", (event) => unsaved() && event.preventDefault());
  addEventListener("resize", drawTimes);
}

/** Know which picture is on the screen while the video runs, where the browser says so. */
function watchPictures() {
  if (!video.requestVideoFrameCallback) return;
  const see = (_, { mediaTime }) => {
    shownSec = mediaTime;
    video.requestVideoFrameCallback(see);
  };
  video.requestVideoFrameCallback(see);
  video.addEventListener("seeking", () => (shownSec = null));
}

/** Say that the video is being made ready, and show it when it is. */
async function waitForVideo() {
  byId("no-picture").hidden = false;
  byId("no-picture").textContent = "The video is being made ready to play; this can take a while.";
  for (;;) {
    await new Promise((done) => setTimeout(done, 500));
    const answer = await fetch(`/ready/${data.number}`).catch(() => null);
    if (answer?.ok && (await answer.json()).ready) return location.reload();
  }
}

function setUp() {
  byId("name").textContent = data.video_id;
  byId("media-note").textContent = data.media.type && data.media.words;
  byId("subset").append(...data.subsets.map((name) => el("option", { value: name }, name)));
  if (!data.subsets.includes(labels.subset)) {
    byId("subset").append(el("option", { value: labels.subset }, labels.subset));
  }
  const rows = Object.entries(KEYS).filter(([, [words]]) => words);
  const names = { " ": "Space", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" };
  for (const [key, [words]] of rows) {
    const name = names[key] ?? (key.length === 1 ? key.toUpperCase() : key);
    byId("keys").append(el("dt", {}, el("kbd", {}, name)), el("dd", {}, words));
  }
  byId("keys").append(el("dt", {}, el("kbd", {}, "Ctrl+Z")), el("dd", {}, "Undo; Ctrl+Y redoes"));
  for (const [id, by] of [["before", -1], ["after", 1]]) {
    const number = data.number + by;
    if (number >= 0 && number < data.videos) byId(id).href = `/video/${number}`;
  }
  showSaved(labels.state === "new" ? "" : "Saved");
}

setUp();
if (data.ready) {
  loadVideo();
  watchPictures();
} else if (data.problem) {
  goWithoutPicture(data.problem);
} else {
  Object.assign(clock, ownClock());
  waitForVideo();
}
listen();
zoomBy(1);
changed();
