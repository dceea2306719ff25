// The stage of a page with a video and a time line below it: playhead, ruler, rows and zoom.
// `timeline.js` stands before this. The page's own script defines what else happens:
// `paintNow(now)` with the playhead, `beforePaint()` while it runs, `drawTimes()` in the rows.

const calm = matchMedia("(prefers-reduced-motion: reduce)");

const extent = data.extent_sec;
const MOST_ZOOM = Math.max(8, Math.min(64, extent / 4));
const stage = { zoom: 1 };

/* ---- where the playhead is ---- */

function paint() {
  const now = clock.now();
  const words = `${clockText(now)} / ${clockText(data.duration_sec)}`;
  byId("playhead").style.left = `${(100 * Math.min(now, extent)) / extent}%`;
  byId("clock").textContent = words;
  byId("play").textContent = clock.playing() ? "Pause" : "Play";
  byId("ruler").setAttribute("aria-valuenow", now.toFixed(1));
  byId("ruler").setAttribute("aria-valuetext", words);
  paintNow(now);
}

let ticking = false;

function tick() {
  ticking = clock.playing();
  if (ticking) beforePaint();
  paint();
  if (ticking && stage.zoom > 1) showTime(clock.now());
  if (ticking && calm.matches) setTimeout(tick, 250);
  else if (ticking) requestAnimationFrame(tick);
}

function moved() {
  if (!ticking) tick();
}

function seek(seconds) {
  clock.seek(Math.max(0, Math.min(seconds, extent)));
  moved();
}

function togglePlay() {
  if (clock.playing()) clock.pause();
  else clock.play();
  moved();
}

/* ---- the time line ---- */

const trackWidth = () => byId("ruler").clientWidth;

/** Add a row to the time line; `sign` stands before its name. */
function addRow(name, ...sign) {
  const track = el("div", { class: "track" });
  const title = el("div", { class: "name", title: name }, ...sign, name);
  const row = el("div", { class: "row" }, title, track);
  track.addEventListener("click", (event) => {
    if (!event.target.closest("button")) seek(timeAt(event.clientX));
  });
  byId("rows").append(row);
  return { row, track };
}

function reveal(list, row) {
  const above = row.offsetTop < list.scrollTop;
  const below = row.offsetTop + row.offsetHeight > list.scrollTop + list.clientHeight;
  if (above || below) list.scrollTop = row.offsetTop - list.clientHeight / 3;
}

function timeAt(clientX) {
  const box = byId("ruler").getBoundingClientRect();
  return ((clientX - box.left) / box.width) * extent;
}

/** Scroll the zoomed time line so that these seconds are in sight. */
function showTime(start, end = start) {
  const scroller = byId("scroller");
  const view = scroller.clientWidth - (scroller.scrollWidth - trackWidth());
  const [left, right] = [start, end].map((s) => (s / extent) * trackWidth());
  const { scrollLeft } = scroller;
  if (left < scrollLeft || right > scrollLeft + view) scroller.scrollLeft = left - view / 8;
}

function zoomBy(factor) {
  stage.zoom = Math.max(1, Math.min(MOST_ZOOM, stage.zoom * factor));
  byId("sheet").style.width = `${100 * stage.zoom}%`;
  byId("zoom-out").disabled = stage.zoom <= 1;
  byId("zoom-in").disabled = stage.zoom >= MOST_ZOOM;
  drawTimes();
  const scroller = byId("scroller");
  scroller.scrollLeft = (clock.now() / extent) * trackWidth() - scroller.clientWidth / 3;
}

/* ---- mouse, finger and keyboard ---- */

function onRulerKey(event) {
  const [now, end] = [clock.now(), data.duration_sec];
  const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: end }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  seek(to);
  showTime(clock.now());
}

function listenOnStage() {
  byId("beyond").style.left = `${(100 * data.duration_sec) / extent}%`;
  for (const event of ["loadedmetadata", "play", "pause", "timeupdate", "seeking", "ended"]) {
    video.addEventListener(event, moved);
  }
  const ruler = byId("ruler");
  const follow = (event) => seek(timeAt(event.clientX));
  ruler.addEventListener("keydown", onRulerKey);
  ruler.addEventListener("pointerdown", (event) => {
    ruler.setPointerCapture(event.pointerId);
    follow(event);
  });
  ruler.addEventListener("pointermove", (event) => {
    if (ruler.hasPointerCapture(event.pointerId)) follow(event);
  });
  ruler.setAttribute("aria-valuemin", "0");
  ruler.setAttribute("aria-valuemax", extent.toFixed(1));
  byId("play").addEventListener("click", togglePlay);
  byId("zoom-in").addEventListener("click", () => zoomBy(2));
  byId("zoom-out").addEventListener("click", () => zoomBy(0.5));
}
