// What a viewer's page does; the scripts of time line, parts and clock stand before this.

const LANE_PX = 26;
const TRUTH_PX = 16;
const MOST_LANES = 4; // what overlaps beyond that shares the last lane, the best on top
const READABLE_PX = 32; // of a mark, from which on its score fits in
const ROUNDED_SEC = 0.001; // browsers round what they are told to seek
const AT_SEC = 0.05; // a playhead this close to an action's start stands at it

const state = {
  threshold: data.slider.start,
  byRun: data.by_thresholds, // whether each class has the run's threshold instead
  order: "time",
  current: null, // the detection that was gone to
  shown: [], // detections over the threshold, by time
  under: "", // which of them the playhead is in
};

/* ---- where the playhead is ---- */

function paintNow(now) {
  const under = state.shown.filter((d) => d.start_sec <= now + ROUNDED_SEC && now < d.end_sec);
  const key = under.map((d) => d.number).join();
  if (key === state.under) return;
  state.under = key;
  for (const d of state.shown) {
    const within = under.includes(d);
    d.mark.classList.toggle("now", within);
    d.item.classList.toggle("now", within);
  }
  byId("now").replaceChildren(under.length ? "Now: " : "Now: no detected action");
  for (const d of [...under].sort((a, b) => b.score - a.score).slice(0, 6)) {
    const words = `${d.label} ${scoreText(d.score)}`;
    byId("now").append(el("b", {}, swatch(colours.get(d.label)), words));
  }
}

/** Go back to the start of the action that is to be repeated. */
function beforePaint() {
  const action = state.current;
  const over = action && clock.now() >= Math.min(action.end_sec, data.duration_sec - AT_SEC);
  if (over && byId("repeat").checked && action.end_sec - action.start_sec > AT_SEC) {
    clock.seek(action.start_sec);
  }
}

/* ---- going to an action ---- */

function setCurrent(detection) {
  for (const part of ["mark", "item"]) {
    state.current?.[part].removeAttribute("aria-current");
    detection?.[part].setAttribute("aria-current", "true");
  }
  state.current = detection;
  letTabIn();
}

/** One mark and one list item take part in the order of Tab; arrows lead to the others. */
function letTabIn() {
  const chosen = state.shown.includes(state.current) ? state.current : state.shown[0];
  for (const d of state.shown) d.mark.tabIndex = d.item.tabIndex = d === chosen ? 0 : -1;
}

function goTo(detection) {
  const focused = document.activeElement;
  setCurrent(detection);
  seek(detection.start_sec);
  if (focused?.matches(".mark")) detection.mark.focus({ preventScroll: true });
  if (focused?.matches(".item")) detection.item.focus({ preventScroll: true });
  reveal(byId("list"), detection.item.parentElement);
  reveal(byId("scroller"), detection.mark.closest(".row"));
  showTime(detection.start_sec, detection.end_sec);
  const place = `${state.shown.indexOf(detection) + 1} of ${state.shown.length}`;
  byId("said").textContent = `${detectionText(detection)}; ${place}`;
}

function step(direction) {
  const now = clock.now();
  const at = state.shown.indexOf(state.current);
  const standing = at >= 0 && Math.abs(now - state.current.start_sec) < AT_SEC;
  const ahead = state.current ? now + AT_SEC : now - AT_SEC; // at first, one that starts here
  const found = standing
    ? state.shown[at + direction]
    : direction > 0
      ? state.shown.find((d) => d.start_sec > ahead)
      : state.shown.filter((d) => d.start_sec < now - AT_SEC).pop();
  if (found) goTo(found);
  else byId("said").textContent = direction > 0 ? "No later action" : "No earlier action";
}

/* ---- the time line ---- */

/** Stack a row's detections by falling score, and put its annotations below them. */
function fillRow({ row, track, truth }, detections) {
  const secPerPx = extent / Math.max(trackWidth(), 1);
  const best = [...detections].sort((a, b) => b.score - a.score);
  const lanes = lanesOf(best, 8 * secPerPx).map((lane) => Math.min(lane, MOST_LANES - 1));
  best.forEach((d, k) => {
    d.mark.style.top = `${2 + lanes[k] * LANE_PX}px`;
    const fits = d.end_sec - d.start_sec > READABLE_PX * secPerPx;
    d.mark.textContent = fits ? scoreText(d.score) : "";
  });
  const below = (1 + Math.max(-1, ...lanes)) * LANE_PX + 3;
  for (const mark of truth) mark.style.top = `${below}px`;
  row.hidden = lanes.length === 0 && truth.length === 0;
  track.style.height = `${below + (truth.length ? TRUTH_PX : 0) + 1}px`;
  // The best come last, so that they lie on top where marks overlap.
  track.replaceChildren(...truth, ...best.reverse().map((d) => d.mark));
}

/* ---- what is shown ---- */

const rows = new Map();

function drawTimes() {
  byId("ruler").replaceChildren(...ticksOf([0, extent], trackWidth()));
  for (const [label, row] of rows) fillRow(row, state.shown.filter((d) => d.label === label));
}

function drawList() {
  const sorted = [...state.shown];
  if (state.order === "score") sorted.sort((a, b) => b.score - a.score);
  byId("list").replaceChildren(...sorted.map((d) => d.item.parentElement));
  byId("nothing").hidden = sorted.length > 0;
  byId("nothing").textContent = data.detections.length
    ? `Nothing scores ${state.byRun ? "what the run asks for" : "as much"}: move the slider to the left.`
    : "No action was detected in this video.";
  for (const order of ["time", "score"]) {
    byId(`by-${order}`).setAttribute("aria-pressed", String(order === state.order));
  }
}

function summarize() {
  const all = data.detections.length;
  const shown = state.shown.length.toLocaleString("en");
  const long = `${clockText(data.duration_sec, 0)} long`;
  const words = [long, `${shown} of ${plural(all, "detection")} shown`];
  if (data.left_out) words.push(`${plural(data.left_out, "weaker one")} left out`);
  if (data.truth) words.push(plural(data.truth.length, "annotated action"));
  byId("summary").textContent = words.join(" · ");
  byId("shown").textContent = `${shown} of ${all.toLocaleString("en")}`;
  const least = state.byRun ? "what the run asks for" : scoreText(state.threshold);
  byId("threshold-value").textContent = least;
}

/** Show what reaches the run's thresholds, or what reaches the slider's. */
function showFrom(threshold, byRun = false) {
  Object.assign(state, { threshold, byRun, under: null });
  byId("by-thresholds").checked = byRun;
  const slack = data.slider.step * 1e-6; // the slider's own rounding
  const least = (d) => (byRun ? data.thresholds[d.label] ?? -Infinity : threshold - slack);
  state.shown = data.detections.filter((d) => d.score >= least(d));
  state.shown.sort((a, b) => a.start_sec - b.start_sec || b.score - a.score);
  if (state.current && !state.shown.includes(state.current)) setCurrent(null);
  drawTimes();
  drawList();
  letTabIn();
  summarize();
  fitList();
  paint();
}

/** Let the list be as long as the window has room for, rather than hide entries beside a blank. */
function fitList() {
  const found = byId("found");
  const list = byId("list");
  found.style.minHeight = "";
  const hidden = list.scrollHeight - list.clientHeight;
  const free = innerHeight - document.body.getBoundingClientRect().height;
  const more = Math.min(hidden, free);
  if (more > 0) found.style.minHeight = `${found.offsetHeight + more}px`;
}

/* ---- mouse, finger and keyboard ---- */

const KEYS = {
  ArrowLeft: () => step(-1),
  ",": () => step(-1),
  ArrowRight: () => step(1),
  ".": () => step(1),
  " ": togglePlay,
  "+": () => zoomBy(2),
  "=": () => zoomBy(2), // the key of +, without shift
  "-": () => zoomBy(0.5),
  r: () => byId("repeat").click(),
};

function onKey(event) {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const own = target.matches("input[type=range], #ruler") && /^(Arrow|Home|End)/.test(key);
  const pressed = key === " " && target.matches(".tools button, input[type=checkbox]");
  const act = KEYS[key.length === 1 ? key.toLowerCase() : key];
  if (own || pressed || !act) return;
  event.preventDefault();
  event.stopPropagation();
  act();
}

function onListKey(event) {
  const other = { ArrowUp: "previousElementSibling", ArrowDown: "nextElementSibling" }[event.key];
  const row = other && event.target.parentElement?.[other];
  if (!row) return;
  event.preventDefault();
  goTo(state.shown.find((d) => d.item.parentElement === row));
}

function listen() {
  listenOnStage();
  // An action that was left behind is no longer the current one.
  video.addEventListener("seeked", () => {
    const [now, action] = [clock.now(), state.current];
    if (action && (now < action.start_sec - 0.3 || now > action.end_sec + 0.3)) setCurrent(null);
  });
  // An action that lasts until the video does is repeated, too.
  video.addEventListener("ended", () => {
    if (!state.current || !byId("repeat").checked) return;
    clock.seek(state.current.start_sec);
    clock.play();
  });

  const clicks = {
    previous: () => step(-1), next: () => step(1),
  };
  for (const [id, act] of Object.entries(clicks)) byId(id).addEventListener("click", act);
  for (const order of ["time", "score"]) {
    byId(`by-${order}`).addEventListener("click", () => {
      state.order = order;
      drawList();
    });
  }
  byId("threshold").addEventListener("input", (e) => showFrom(Number(e.target.value)));
  byId("by-thresholds").addEventListener("change", (e) => {
    showFrom(state.threshold, e.target.checked);
  });
  // After the mouse, arrows lead to actions again.
  byId("threshold").addEventListener("pointerup", (e) => e.target.blur());
  byId("list").addEventListener("keydown", onListKey);
  document.addEventListener("keydown", onKey, true); // before the video's own controls
  addEventListener("resize", () => {
    drawTimes();
    fitList();
  });
}

/* ---- start ---- */

function setUp() {
  byId("name").textContent = data.video_id;
  byId("media-note").textContent = data.media.type && data.media.words;
  byId("truth-legend").hidden = !data.truth;
  byId("by-run").hidden = !data.thresholds;
  byId("curve-legend").hidden = !data.actionness;
  const { least, most, step: every, start } = data.slider;
  Object.assign(byId("threshold"), { min: least, max: most, step: every, value: start });
  if (data.actionness) addRow("actionness").track.append(curveOf(data.actionness));
  for (const { label, colour } of data.classes) {
    const truth = (data.truth ?? []).filter((i) => i.label === label).map(truthOf);
    rows.set(label, { ...addRow(label, swatch(colour)), truth });
  }
  data.detections.forEach((d, number) => {
    Object.assign(d, { number, mark: markOf(d), item: itemOf(d) });
  });
}

setUp();
listen();
loadVideo();
showFrom(data.slider.start, data.by_thresholds);
zoomBy(1);
