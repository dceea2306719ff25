// The sections of a report's page; `timeline.js` and `report_tools.js` stand before this.

const LANE_PX = 20, MAX_LANES = 6, MAX_STRIPS = 8;
const READABLE_PX = 44; // that the median bar should have

function drawHeader() {
  byId("name").textContent = data.name;
  const over = data.tious.length > 1 ? ", average over" : " at";
  byId("score").textContent =
    `mAP ${percent(data.average_mAP)} %${over} tIoU ${data.tious.join(", ")}`;
  byId("headline").textContent = data.headline;
  byId("notes").replaceChildren(...data.notes.map((note) => el("li", {}, note)));
  data.tious.forEach((tiou, k) => byId("threshold").append(el("option", { value: k }, tiou)));
  byId("threshold").value = state.k;
  for (const label of ["", ...Object.keys(data.curves[0])]) {
    byId("class").append(el("option", { value: label }, label || "All classes"));
  }
}

function drawSplit() {
  const { mAP, cost } = part();
  const shares = [
    ["mAP", mAP, COLOURS[0]],
    ["lost to false positives", cost["false positives"], "#E69F00"],
    ["lost to missed instances", cost.missed, MISSED],
  ];
  const parts = shares.map(([name, share, colour]) => (
    { name, value: Math.max(0, +percent(share)), colour }));
  byId("split").replaceChildren(
    el("div", { class: "split" }, bar(parts, 100, { height: 28 }),
      legend(shares.map(([name, share, colour]) => [`${name} ${percent(share)}`, colour]))));
  byId("findings").replaceChildren(...data.findings[state.k].map((words) => el("li", {}, words)));
}

function drawEvents() {
  byId("events-section").hidden = !data.events;
  if (!data.events) return;
  const { words, all, per_class: classes } = data.events;
  const rate = (seen) => seen.false_alarms_per_hour?.toFixed(1) ?? "?";
  const of = (number, share) => (number ? percent(share) : "–");
  const row = (name, seen) => {
    const { instances, detections } = seen;
    return [
      name, seen.threshold?.toFixed(2) ?? "", instances, detections,
      of(detections, seen.precision), of(instances, seen.recall),
      of(detections + instances, seen.f1), of(instances, seen.count_error), rate(seen),
      ...Object.values(seen.segment_f1).map((f1) => of(detections + instances, f1))];
  };
  byId("events-words").textContent = `These are the detections ${words}.`;
  const shares = ["precision", "recall", "F1", "count error"].map((name) => [name, "number"]);
  const segments = Object.keys(all.segment_f1).map((k) => [`F1@${k}`, "number wide"]);
  byId("events").replaceChildren(table(
    "In %, but for counts and false alarms per hour; count error: of the instances; F1@10, 25 and "
      + "50: of segments that do not overlap, at tIoU 0.1, 0.25 and 0.5",
    [["Class"], ["score from", "number wide"], ["instances", "number wide"],
      ["detections", "number"], ...shares, ["false/h", "number"], ...segments],
    [row("all", all), ...Object.entries(classes).map(([label, seen]) => row(label, seen))],
    (r) => r === 0));
}

function drawThresholds() {
  const rows = data.tious.map((tiou) => {
    const { mAP, mean_recall: recall } = data.diagnosis.thresholds[tiou];
    return [tiou, percent(mAP), percent(recall), plainBar(mAP, BLUE, recall)];
  });
  byId("thresholds").replaceChildren(table(
    "mAP and mean recall, in %; the line across a bar is the recall, the most that better scores could reach",
    [["tIoU"], ["mAP", "number"], ["recall", "number"], ["", "bar"]],
    rows, (k) => k === state.k));
}

function drawImpact() {
  const { gain, detections } = part();
  const most = Math.max(...Object.values(gain), 0.01);
  const rows = data.kinds.slice(1).map(({ name, meaning }, n) => [
    noted(named(name, COLOURS[n + 1]), meaning, "note wide"), detections[name], signed(gain[name]),
      plainBar(gain[name] / most, COLOURS[n + 1]), signed(data.diagnosis.average_gain[name])]);
  byId("impact").replaceChildren(table(
    `mAP gained without each kind of error, in points, at tIoU ${data.tious[state.k]}; number among `
      + `the ${detections.considered} detections considered`,
    [["Kind"], ["number", "number"], ["gain", "number"], ["", "bar"], ["mean gain", "number wide"]],
    rows));
}

function drawProfile() {
  const { profile, detections } = part();
  const most = Math.max(...profile.map((step) => step.considered), 1);
  const rows = profile.map((step, n) => [
    n ? `${n + 1}th G`.replace(/^2th/, "2nd").replace(/^3th/, "3rd") : "best G",
    step.considered,
    bar(kindNames.map((name, c) => ({ name, value: step[name], colour: COLOURS[c] })), most),
  ]);
  const hits = detections["true positive"];
  const outside = `${plural(detections.considered, "detection")} considered: ${hits} true positives `
    + `and ${detections.considered - hits} errors. ${detections.beyond} rank beyond`
    + (detections.neutral ? `, and ${detections.neutral} count neither way.` : ".");
  const figures = profile.map((step, n) => [rows[n][0], ...kindNames.map((name) => step[name])]);
  byId("profile").replaceChildren(
    legend(data.kinds.map(({ name }, c) => [name, COLOURS[c]])),
    table("Detections by rank, all classes together",
      [["Rank"], ["number", "number"], ["", "bar"]], rows),
    el("p", { class: "note" }, outside),
    folded("The same as numbers", table("Detections by rank and kind",
      [["Rank"], ...kindNames.map((name) => [name, "number"])], figures)));
}

function drawMistakes() {
  const rows = data.mistakes[state.k].map((m) => [
    noted(m.label, m.video), spanText(m), m.score.toPrecision(2),
    named(m.kind, COLOURS[kindNames.indexOf(m.kind)])]);
  byId("mistakes").replaceChildren(rows.length
    ? table("False positives with the highest scores",
      [["Label and video"], ["Time", "number"], ["score", "number"], ["Kind"]], rows)
    : el("p", {}, "There are none."));
}

function drawMissed() {
  const { instances, traits } = part();
  if (!instances.missed) {
    byId("missed").replaceChildren(el("p", {}, `None: all ${instances.all} are found at this threshold.`));
    byId("missed-traits").replaceChildren();
    return;
  }
  const rows = data.reasons.map(({ name, meaning }, n) => {
    const number = instances.missed_because[name];
    return [noted(named(name, COLOURS[n + 1]), meaning), number, plainBar(number / instances.missed, COLOURS[n + 1])];
  });
  byId("missed").replaceChildren(table(
    `${instances.missed} of ${plural(instances.all, "instance")} missed at tIoU `
      + `${data.tious[state.k]}, ${instances.found} found`,
    [["Instead"], ["number", "number"], ["", "bar"]], rows));
  const reasonBar = (counts, total) => bar(
    data.reasons.map(({ name }, n) => ({ name, value: counts[name], colour: COLOURS[n + 1] })), total);
  byId("missed-traits").replaceChildren(...data.traits.map(({ name, meaning }) => table(
    `Missed by ${meaning}; a full bar is all instances of the bucket`,
    [[capital(name)], ["missed", "number"], ["of", "number"], ["in %", "number"], ["", "bar"]],
    traits[name].map((b) => [bound(b.name), b.missed, b.all, percent(b.missed / b.all),
      reasonBar(b.missed_because, b.all)]))));
}

function drawSensitivity() {
  const { traits, instances, mAP: all } = part();
  const row = (name, number, recall, ap) =>
    [name, number, percent(recall), percent(ap), plainBar(ap, BLUE, all)];
  byId("sensitivity").replaceChildren(...data.traits.map(({ name, meaning }) => table(
    `By ${meaning}; the line across the bars is the mAP`,
    [[capital(name)], ["number", "number"], ["found %", "number wide"], ["AP %", "number"],
      ["", "bar"]],
    [row("all", instances.all, instances.found / instances.all, all),
      ...traits[name].map((b) => row(bound(b.name), b.all, b.found / b.all, b.AP))],
    (n) => n === 0)));
}

function classRows() {
  const thresholds = Object.values(data.diagnosis.thresholds);
  return Object.entries(part().per_class).map(([label, c]) => {
    const [kind, gain] = Object.entries(c.gain).reduce((a, b) => (b[1] > a[1] ? b : a));
    const mean = thresholds.reduce((sum, t) => sum + t.per_class[label].AP, 0) / thresholds.length;
    return { ...c, label, mean, gain, kind: gain < 0.0005 ? "" : kind };
  });
}

function drawClasses() {
  const { key, falling } = state.sort;
  const order = (a, b) => (typeof a[key] === "string" ? a[key].localeCompare(b[key]) : a[key] - b[key]);
  const rows = classRows().sort((a, b) => (falling ? -1 : 1) * order(a, b)).map((c) => [
    c.label, c.instances, c.found, percent(c.AP), percent(c.mean), plainBar(c.AP),
    c.kind ? noted(capital(c.kind), signed(c.gain)) : "–"]);
  byId("classes").replaceChildren(table(
    `Average precision (AP) in % at tIoU ${data.tious[state.k]} and in the mean over all thresholds; `
      + "the kind of error without which AP would rise most, and by how many points",
    [["Class", "", "label"], ["instances", "number wide", "instances"], ["found", "number", "found"],
      ["AP", "number", "AP"], ["mean AP", "number wide", "mean"], ["", "bar wide"],
      ["Costliest error", "", "kind"]],
    rows));
}

// The steps whose area is the average precision: `hits` precisions, each a 1 / `instances` wide.
function steps(hits, instances, x, y) {
  if (!hits.length) return "";
  const points = hits.map((precision, n) =>
    `V${y(precision).toFixed(1)}H${x((n + 1) / instances).toFixed(1)}`);
  return `M${x(0).toFixed(1)},${y(hits[0]).toFixed(1)}${points.join("")}`;
}

function meanCurve(curves, sizes) {
  const precision = (recall, label) =>
    curves[label][Math.ceil(recall * sizes[label] - 1e-9) - 1] ?? 0;
  const labels = Object.keys(curves);
  const mean = (recall) => labels.reduce((sum, label) => sum + precision(recall, label), 0) / labels.length;
  return Array.from({ length: 200 }, (_, n) => mean((n + 1) / 200));
}

function drawCurves() {
  const width = Math.min(byId("curves").clientWidth || 600, 640), height = Math.min(width, 440);
  const [left, right, top, bottom] = [44, width - 12, 24, height - 44];
  const x = (recall) => left + recall * (right - left);
  const y = (precision) => bottom - precision * (bottom - top);
  const curves = data.curves[state.k], classes = part().per_class;
  const sizes = Object.fromEntries(Object.entries(classes).map(([l, c]) => [l, c.instances]));
  const words = state.label
    ? `${state.label}: AP ${percent(classes[state.label].AP)} %, `
      + `${classes[state.label].found} of ${classes[state.label].instances} found`
    : `Mean of all classes: mAP ${percent(part().mAP)} %, recall ${percent(part().mean_recall)} %`;
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
    "aria-label": `Precision over recall at tIoU ${data.tious[state.k]}. ${words}` });
  for (const tick of [0, 0.2, 0.4, 0.6, 0.8, 1]) {
    drawing.append(
      svg("line", { x1: x(tick), y1: top, x2: x(tick), y2: bottom, stroke: GRID }),
      svg("line", { x1: left, y1: y(tick), x2: right, y2: y(tick), stroke: GRID }),
      text(x(tick), bottom + 16, tick, { "text-anchor": "middle" }),
      text(left - 6, y(tick) + 4, tick, { "text-anchor": "end" }));
  }
  drawing.append(text(left, 14, "precision"),
    text((left + right) / 2, bottom + 34, "recall", { "text-anchor": "middle" }));
  const path = (d, stroke, wide, name) => drawing.append(svg("path", { d, fill: "none", stroke,
    "stroke-width": wide }, svg("title", {}, name)));
  for (const [label, hits] of Object.entries(curves)) {
    path(steps(hits, sizes[label], x, y), "#b9b9b9", 1.2, label);
  }
  if (state.label) path(steps(curves[state.label], sizes[state.label], x, y), CURVE, 3, state.label);
  else path(steps(meanCurve(curves, sizes), 200, x, y), INK, 3, "mean");
  byId("curves").replaceChildren(drawing,
    legend([[words, state.label ? CURVE : INK], ["single classes", "#b9b9b9"]]));
}

// As many strips, one below the other, as it takes to make room for words in the median bar.
function spansOf(video, width) {
  const lengths = [...video.truth, ...video.found].map((b) => b.end_sec - b.start_sec);
  const median = lengths.sort((a, b) => a - b)[Math.floor(lengths.length / 2)] || video.extent;
  const wanted = Math.ceil((READABLE_PX * video.extent) / (width * median));
  const number = Math.max(1, Math.min(MAX_STRIPS, wanted));
  const length = video.extent / number;
  return Array.from({ length: number }, (_, n) => [n * length, (n + 1) * length]);
}

function truthBars(video) {
  const bars = video.truth.map((b) => {
    const code = +b.fates[state.k];
    const fate = code ? `missed, ${data.reasons[code - 1].name}` : "found";
    return { ...b, fill: code ? "#ffffff" : COLOURS[0], edge: code ? MISSED : COLOURS[0],
      side: "truth", texts: [b.label], words: `${b.label}: ${fate}` };
  });
  return bars.concat(video.ambiguous.map((b) =>
    ({ ...b, fill: COLOURS[6], edge: MUTED, side: "truth", texts: [b.label], words: b.label })));
}

function foundBars(video) {
  return video.found.map((b) => {
    const code = +b.kinds[state.k], score = b.score.toPrecision(2);
    const kind = kindNames[code] ?? "counts neither way";
    return { ...b, fill: COLOURS[code], edge: COLOURS[code], side: "detected",
      texts: [score, `${score} ${b.label}`], words: `${b.label}, score ${score}: ${kind}` };
  });
}

// The bars with their lanes; those beyond the most lanes are left out.
function stacked(bars, leastSec, most = Infinity) {
  const lanes = lanesOf(bars, leastSec);
  return bars.map((b, n) => ({ ...b, lane: lanes[n] })).filter((b) => b.lane < most);
}

function drawBand(name, bars, [start, end], width) {
  const inside = bars.filter((b) => b.start_sec < end && (b.end_sec > start || b.start_sec >= start));
  const height = `${LANE_PX * (1 + Math.max(0, ...inside.map((b) => b.lane)))}px`;
  const marks = inside.map((b) => {
    const shown = Math.min(b.end_sec, end) - Math.max(b.start_sec, start);
    const long = (shown / (end - start)) * width;
    const title = `${b.words} (${spanText(b)})`;
    const text = long < 36 ? "" : long < 80 ? b.texts[0] : b.texts.at(-1);
    const border = `1px ${b.edge === MISSED ? "dashed" : "solid"} ${b.edge}`;
    const style = { top: `${LANE_PX * b.lane}px`, background: b.fill, border, color: inkOn(b.fill) };
    return placed(el("span", { class: "action", title, style }, text), b, [start, end]);
  });
  return [el("div", { class: "note" }, name), el("div", { class: "band", style: { height } }, ...marks)];
}

function drawVideo(video, width) {
  const spans = spansOf(video, width), leastSec = (3 * spans[0][1]) / width;
  const truth = stacked(truthBars(video), leastSec);
  const found = stacked(foundBars(video), leastSec, MAX_LANES);
  const caption = `AP ${percent(video.AP[state.k])} %. ${plural(video.instances, "instance")}, `
    + `${video.missed[state.k]} missed. `
    + (video.truth.length < video.instances ? `The first ${video.truth.length} are drawn. ` : "")
    + (found.length < video.detections ? `The best ${found.length} of ${video.detections} detections.`
      : `${plural(video.detections, "detection")}.`);
  const strips = spans.map((span) => el("div", { class: "strip", "aria-hidden": "true" },
    ...drawBand("truth", truth, span, width), ...drawBand("detected", found, span, width),
    el("div", { class: "ruler" }, ...ticksOf(span, width))));
  const rows = [...truthBars(video), ...foundBars(video)].map((b) => [b.side, spanText(b), b.words]);
  return el("article", { class: "video" }, el("h4", {}, video.video),
    el("p", { class: "note" }, caption), ...strips,
    folded("The same as a table", table(`Truth and detections of ${video.video}`,
      [[""], ["Time", "number"], ["what"]], rows)));
}

function drawVideos() {
  for (const side of ["lowest", "highest"]) {
    const width = byId(side).clientWidth || 600;
    byId(side).replaceChildren(...data[side].map((video) => drawVideo(video, width)));
    if (!data[side].length) byId(side).append(el("p", {}, "There is no other video."));
  }
}

function drawTerms() {
  byId("terms").replaceChildren(...data.definitions.flatMap(([term, meaning]) =>
    [el("dt", {}, term), el("dd", {}, meaning)]));
  byId("video-legend").replaceChildren(legend([
    ["truth, found", COLOURS[0]], ["truth, missed", "#fff", MISSED],
    ...data.kinds.map(({ name }, c) => [name, COLOURS[c]])]));
}

function draw() {
  [drawSplit, drawThresholds, drawImpact, drawProfile, drawMistakes, drawMissed, drawSensitivity,
    drawClasses, drawCurves, drawVideos].forEach((part) => part());
}

function listen() {
  byId("threshold").addEventListener("change", (event) => { state.k = +event.target.value; draw(); });
  byId("class").addEventListener("change", (event) => { state.label = event.target.value; drawCurves(); });
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    drawCurves();
    drawVideos();
  });
}

drawHeader();
drawTerms();
drawEvents();
draw();
listen();
