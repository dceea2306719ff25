"use strict";

// The sections of a report's page; `report_tools.js` and `report_lines.js` stand before it.

function drawHeader() {
  at("name").textContent = data.name;
  const over = data.tious.length > 1 ? `, average over tIoU ${data.tious.join(", ")}`
    : ` at tIoU ${data.tious[0]}`;
  at("score").textContent = `mAP ${percent(data.average_mAP)} %${over}`;
  at("headline").textContent = data.headline;
  at("notes").replaceChildren(...data.notes.map((note) => el("li", {}, note)));
  data.tious.forEach((tiou, k) => at("threshold").append(el("option", { value: k }, tiou)));
  at("threshold").value = state.k;
  for (const label of ["", ...Object.keys(data.curves[0])]) {
    at("class").append(el("option", { value: label }, label || "All classes"));
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
  at("split").replaceChildren(
    el("div", { class: "split" }, bar(parts, 100, { height: 28 }),
      legend(shares.map(([name, share, colour]) => [`${name} ${percent(share)}`, colour]))));
  at("findings").replaceChildren(...data.findings[state.k].map((words) => el("li", {}, words)));
}

function drawThresholds() {
  const rows = data.tious.map((tiou) => {
    const { mAP, mean_recall: recall } = data.diagnosis.thresholds[tiou];
    return [tiou, percent(mAP), percent(recall), plainBar(mAP, BLUE, recall)];
  });
  at("thresholds").replaceChildren(table(
    "mAP and mean recall, in %; the line across a bar is the recall, the most that better scores could reach",
    [{ text: "tIoU" }, { text: "mAP", number: true }, { text: "recall", number: true },
      { text: "", bar: true }],
    rows, (k) => k === state.k));
}

function drawImpact() {
  const { gain, detections } = part();
  const most = Math.max(...Object.values(gain), 0.01);
  const rows = data.kinds.slice(1).map(({ name, meaning }, n) => {
    return [noted(named(name, COLOURS[n + 1]), meaning, "note wide"), detections[name], signed(gain[name]),
      plainBar(gain[name] / most, COLOURS[n + 1]), signed(data.diagnosis.average_gain[name])];
  });
  at("impact").replaceChildren(table(
    `mAP gained without each kind of error, in points, at tIoU ${data.tious[state.k]}; number among `
      + `the ${detections.considered} detections considered`,
    [{ text: "Kind" }, { text: "number", number: true }, { text: "gain", number: true },
      { text: "", bar: true }, { text: "mean gain", number: true, wide: true }],
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
  const rest = [["true positives", detections["true positive"]],
    ["errors", detections.considered - detections["true positive"]]]
    .map(([name, n]) => `${n} ${name}`).join(" and ");
  const outside = `${count(detections.considered, "detection")} considered: ${rest}. `
    + `${detections.beyond} rank beyond`
    + (detections.neutral ? `, and ${detections.neutral} count neither way.` : ".");
  const figures = profile.map((step, n) => [rows[n][0], ...kindNames.map((name) => step[name])]);
  at("profile").replaceChildren(
    legend(data.kinds.map(({ name }, c) => [name, COLOURS[c]])),
    table("Detections by rank, all classes together",
      [{ text: "Rank" }, { text: "number", number: true }, { text: "", bar: true }], rows),
    el("p", { class: "note" }, outside),
    folded("The same as numbers", table("Detections by rank and kind",
      [{ text: "Rank" }, ...kindNames.map((text) => ({ text, number: true }))], figures)));
}

function drawMistakes() {
  const rows = data.mistakes[state.k].map((m) => [
    noted(m.label, m.video), span(m), m.score.toPrecision(2),
    named(m.kind, COLOURS[kindNames.indexOf(m.kind)])]);
  at("mistakes").replaceChildren(rows.length
    ? table("False positives with the highest scores", [{ text: "Label and video" },
      { text: "Seconds", number: true }, { text: "score", number: true }, { text: "Kind" }], rows)
    : el("p", {}, "There are none."));
}

const reasonBar = (counts, total) => bar(
  data.reasons.map(({ name }, n) => ({ name, value: counts[name], colour: COLOURS[n + 1] })), total);

function drawMissed() {
  const { instances, traits } = part();
  if (!instances.missed) {
    at("missed").replaceChildren(el("p", {}, `None: all ${instances.all} are found at this threshold.`));
    at("missed-traits").replaceChildren();
    return;
  }
  const rows = data.reasons.map(({ name, meaning }, n) => {
    const number = instances.missed_because[name];
    return [noted(named(name, COLOURS[n + 1]), meaning), number, plainBar(number / (instances.missed || 1), COLOURS[n + 1])];
  });
  at("missed").replaceChildren(table(
    `${instances.missed} of ${count(instances.all, "instance")} missed at tIoU `
      + `${data.tious[state.k]}, ${instances.found} found`,
    [{ text: "Instead" }, { text: "number", number: true }, { text: "", bar: true }], rows));
  at("missed-traits").replaceChildren(...data.traits.map(({ name, meaning }) => table(
    `Missed by ${meaning}; a full bar is all instances of the bucket`,
    [{ text: capital(name) }, { text: "missed", number: true }, { text: "of", number: true },
      { text: "in %", number: true }, { text: "", bar: true }],
    traits[name].map((b) => [bound(b.name), b.missed, b.all, percent(b.missed / b.all),
      reasonBar(b.missed_because, b.all)]))));
}

function drawSensitivity() {
  const { traits, instances, mAP: all } = part();
  const row = (name, number, recall, ap) =>
    [name, number, percent(recall), percent(ap), plainBar(ap, BLUE, all)];
  at("sensitivity").replaceChildren(...data.traits.map(({ name, meaning }) => table(
    `By ${meaning}; the line across the bars is the mAP`,
    [{ text: capital(name) }, { text: "number", number: true },
      { text: "found %", number: true, wide: true }, { text: "AP %", number: true }, { text: "", bar: true }],
    [row("all", instances.all, instances.found / instances.all, all),
      ...traits[name].map((b) => row(bound(b.name), b.all, b.found / b.all, b.AP))],
    (n) => n === 0)));
}

function classRows() {
  const thresholds = Object.values(data.diagnosis.thresholds);
  return Object.entries(part().per_class).map(([label, c]) => {
    const [kind, gain] = Object.entries(c.gain).reduce((a, b) => (b[1] > a[1] ? b : a));
    const mean = thresholds.reduce((sum, t) => sum + t.per_class[label].AP, 0) / thresholds.length;
    return { label, instances: c.instances, found: c.found, AP: c.AP, mean,
      kind: gain < 0.0005 ? "" : kind, gain };
  });
}

function drawClasses() {
  const { key, falling } = state.sort;
  const order = (a, b) => (typeof a[key] === "string" ? a[key].localeCompare(b[key]) : a[key] - b[key]);
  const rows = classRows().sort((a, b) => (falling ? -1 : 1) * order(a, b)).map((c) => [
    c.label, c.instances, c.found, percent(c.AP), percent(c.mean), plainBar(c.AP),
    c.kind ? noted(capital(c.kind), signed(c.gain)) : "–"]);
  at("classes").replaceChildren(table(
    `Average precision (AP) in % at tIoU ${data.tious[state.k]} and in the mean over all thresholds; `
      + "the kind of error without which AP would rise most, and by how many points",
    [{ text: "Class", key: "label" }, { text: "instances", number: true, wide: true, key: "instances" },
      { text: "found", number: true, key: "found" }, { text: "AP", number: true, key: "AP" },
      { text: "mean AP", number: true, wide: true, key: "mean" }, { text: "", bar: true, wide: true },
      { text: "Costliest error", key: "kind" }],
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
  const width = Math.min(at("curves").clientWidth || 600, 640), height = Math.min(width, 440);
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
      line(x(tick), top, x(tick), bottom, GRID), line(left, y(tick), right, y(tick), GRID),
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
  at("curves").replaceChildren(drawing,
    legend([[words, state.label ? CURVE : INK], ["single classes", "#b9b9b9"]]));
}

function drawTerms() {
  at("terms").replaceChildren(...data.definitions.flatMap(([term, meaning]) =>
    [el("dt", {}, term), el("dd", {}, meaning)]));
  at("video-legend").replaceChildren(legend([
    ["truth, found", COLOURS[0]], ["truth, missed", "#fff", MISSED],
    ...data.kinds.map(({ name }, c) => [name, COLOURS[c]])]));
}

function draw() {
  [drawSplit, drawThresholds, drawImpact, drawProfile, drawMistakes, drawMissed, drawSensitivity,
    drawClasses, drawCurves, drawVideos].forEach((part) => part());
}

function listen() {
  at("threshold").addEventListener("change", (event) => { state.k = +event.target.value; draw(); });
  at("class").addEventListener("change", (event) => { state.label = event.target.value; drawCurves(); });
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
draw();
listen();
