"use strict";

// The time lines of videos: truth above detections, in as many strips as it takes.
const LANE = 20, BAR = 16, MAX_LANES = 6, MAX_STRIPS = 8; // px, px, rows, strips
const READABLE = 44; // px that the median bar should have
const DARK = new Set([3]); // the colours that bear white words
const pen = document.createElement("canvas").getContext("2d");
pen.font = "12px system-ui, sans-serif";

// The bars with their row: each in the first that is free there; beyond `most` rows none.
function stacked(bars, leastSec, most = Infinity) {
  const rows = [];
  return bars.flatMap((b) => {
    const end = Math.max(b.end, b.start + leastSec);
    let row = rows.findIndex((taken) => taken.every(([s, e]) => b.start >= e || s >= end));
    if (row < 0) row = rows.length;
    if (row >= most) return [];
    (rows[row] ??= []).push([b.start, end]);
    return [{ ...b, row }];
  });
}

// As many strips, one below the other, as it takes to make room for words in the median bar.
function strips(video, width) {
  const lengths = [...video.truth, ...video.found].map((b) => b.end - b.start).sort((a, b) => a - b);
  const median = lengths[Math.floor(lengths.length / 2)] || video.extent;
  const number = Math.min(MAX_STRIPS, Math.max(1, Math.ceil((READABLE * video.extent) / (width * median))));
  const span = video.extent / number;
  return Array.from({ length: number }, (_, n) => [n * span, (n + 1) * span]);
}

function truthBars(video) {
  const marked = video.truth.map((b) => ({ ...b, code: +b.fates[state.k] }));
  return marked.map((b) => b.code
    ? { ...b, fill: "#fff", stroke: MISSED, dashes: "4 2",
      words: `${b.label}: missed, ${data.reasons[b.code - 1].name}` }
    : { ...b, fill: COLOURS[0], stroke: COLOURS[0], words: `${b.label}: found` })
    .concat(video.ambiguous.map((b) => ({ ...b, fill: COLOURS[6], stroke: MUTED, words: b.label })));
}

function foundBars(video) {
  return video.found.map((b) => {
    const code = +b.kinds[state.k];
    return { ...b, fill: COLOURS[code], stroke: COLOURS[code], ink: DARK.has(code) ? "#fff" : INK,
      words: `${b.label}, score ${b.score.toPrecision(2)}: ${kindNames[code] ?? "counts neither way"}` };
  });
}

function drawStrip(truth, found, [start, end], width) {
  const x = (t) => ((t - start) / (end - start)) * width;
  const inside = (bars) => bars.filter((b) => b.start < end && (b.end > start || b.start >= start));
  const [above, below] = [inside(truth), inside(found)];
  const rows = (bars) => 1 + Math.max(0, ...bars.map((b) => b.row));
  const foundTop = 18 + LANE * rows(above) + 18, bottom = foundTop + LANE * rows(below);
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${bottom + 22}`, width: "100%",
    "aria-hidden": "true" });
  drawing.append(svg("rect", { x: 0, y: 0, width, height: bottom + 2, fill: "#f4f4f2" }),
    text(2, 13, "truth", { "font-size": 12 }), text(2, foundTop - 4, "detected", { "font-size": 12 }));
  for (const [bars, top] of [[above, 18], [below, foundTop]]) {
    bars.forEach((b) => drawing.append(...drawBar(b, x, top + LANE * b.row, width)));
  }
  for (const t of ticks(start, end, width)) {
    drawing.append(line(x(t), bottom + 2, x(t), bottom + 6, MUTED), text(x(t), bottom + 19,
      seconds(t), { "font-size": 12,
        "text-anchor": x(t) < 16 ? "start" : x(t) > width - 24 ? "end" : "middle" }));
  }
  return drawing;
}

function drawBar(b, x, y, width) {
  const left = Math.max(0, x(b.start)), wide = Math.max(3, Math.min(width, x(b.end)) - left - 1);
  const rect = svg("rect", { x: left + 0.5, y: y + 1, width: wide, height: BAR, fill: b.fill,
    stroke: b.stroke, "stroke-dasharray": b.dashes ?? "none" }, svg("title", {},
    `${b.words} (${seconds(b.start)} to ${seconds(b.end)})`));
  const fits = fitting(b.label, b.score?.toPrecision(2) ?? "", wide - 7);
  return fits ? [rect, text(left + 4, y + 13, fits, { "font-size": 12, fill: b.ink ?? INK,
    "pointer-events": "none" })] : [rect];
}

// A label and a score that fit into `room` px: the label cut short, or only the score, or nothing.
function fitting(label, score, room) {
  const fits = (words) => pen.measureText(words).width <= room;
  for (let kept = label.length; kept >= 3; kept--) {
    const words = `${label.slice(0, kept)}${kept < label.length ? "…" : ""} ${score}`.trim();
    if (fits(words)) return words;
  }
  return fits(score) ? score : "";
}

function ticks(start, end, width) {
  const least = (end - start) * 60 / width;
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600]
    .find((s) => s >= least) ?? least;
  const first = Math.ceil(start / step - 1e-9);
  return Array.from({ length: Math.floor(end / step + 1e-9) - first + 1 }, (_, n) => (first + n) * step);
}

function drawVideo(video, width) {
  const spans = strips(video, width), leastSec = 3 * (spans[0][1] - spans[0][0]) / width;
  const truth = stacked(truthBars(video), leastSec);
  const found = stacked(foundBars(video), leastSec, MAX_LANES);
  const caption = `AP ${percent(video.AP[state.k])} %. ${count(video.instances, "instance")}, `
    + `${video.missed[state.k]} missed. `
    + (video.truth.length < video.instances ? `The first ${video.truth.length} are drawn. ` : "")
    + (found.length < video.detections ? `The best ${found.length} of ${video.detections} detections.`
      : `${count(video.detections, "detection")}.`);
  const rows = [...truthBars(video).map((b) => ["truth", b]), ...foundBars(video).map((b) => ["detected", b])]
    .map(([side, b]) => [side, span(b), b.words]);
  return el("article", { class: "video" }, el("h4", {}, video.video), el("p", { class: "note" }, caption),
    ...spans.map((span) => drawStrip(truth, found, span, width)),
    folded("The same as a table", table(`Truth and detections of ${video.video}`,
      [{ text: "" }, { text: "Seconds", number: true }, { text: "what" }], rows)));
}

function drawVideos() {
  for (const side of ["lowest", "highest"]) {
    const width = at(side).clientWidth || 600;
    at(side).replaceChildren(...data[side].map((video) => drawVideo(video, width)));
    if (!data[side].length) at(side).append(el("p", {}, "There is no other video."));
  }
}
