"use strict";

// What the pages of the report and of the viewer share: their data, elements, and time lines.
// Whatever comes from the data is set as text, as a number or as a style, never as HTML.

const TICK_PX = 76; // at least, between a ruler's numbers
const TICK_STEPS_SEC = [
  0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200,
];
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const plural = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;

/** An instant as minutes and seconds, from an hour on with hours: "0:01.2", "1:00:01.2". */
function clockText(seconds, decimals = 1) {
  const rounded = Number(seconds.toFixed(decimals));
  const [hours, minutes] = [Math.floor(rounded / 3600), Math.floor(rounded / 60) % 60];
  const rest = (rounded % 60).toFixed(decimals).padStart(decimals ? 3 + decimals : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

const spanText = (action) => `${clockText(action.start_sec)} – ${clockText(action.end_sec)}`;

const SVG = "http://www.w3.org/2000/svg";
const el = (tag, ...content) => filled(document.createElement(tag), ...content);
const svg = (tag, ...content) => filled(document.createElementNS(SVG, tag), ...content);

function filled(node, { style = {}, ...attributes }, ...children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  for (const [name, value] of Object.entries(style)) node.style.setProperty(name, value);
  node.append(...children); // a string becomes a text node
  return node;
}

function swatch(colour, border = colour) {
  return el("span", { class: "swatch", style: { background: colour, "border-color": border } });
}

/** Black or white, whichever reads better on this colour laid over white. */
function inkOn(colour, strength = 1) {
  const [r, g, b] = [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16) / 255);
  const light = 1 - strength * (1 - (0.3 * r + 0.59 * g + 0.11 * b));
  return light > 0.55 ? "#222" : "#fff";
}

/** The lane of each action: the first that is free over its time, which is `leastSec` at least. */
function lanesOf(actions, leastSec) {
  const lanes = [];
  return actions.map(({ start_sec: start, end_sec: last }) => {
    const end = Math.max(last, start + leastSec);
    let lane = lanes.findIndex((taken) => taken.every(([s, e]) => end <= s || e <= start));
    if (lane < 0) lane = lanes.push([]) - 1;
    lanes[lane].push([start, end]);
    return lane;
  });
}

/** Give an action's element the place that its time has in the span [start, end]. */
function placed(node, action, [start, end]) {
  const percent = (t) => (100 * (Math.max(start, Math.min(t, end)) - start)) / (end - start);
  const left = percent(action.start_sec);
  node.style.left = `${left}%`;
  node.style.width = `${percent(action.end_sec) - left}%`;
  return node;
}

/** The ticks of a ruler that shows the span [start, end] and is so wide. */
function ticksOf([start, end], widthPx) {
  const secPerPx = (end - start) / Math.max(widthPx, 1);
  const every = TICK_STEPS_SEC.find((s) => s >= TICK_PX * secPerPx) ?? TICK_PX * secPerPx;
  const ticks = [];
  for (let k = Math.ceil(start / every - 1e-9); k * every < end; k += 1) {
    const fits = end - k * every > (TICK_PX / 2) * secPerPx;
    const words = fits ? clockText(k * every, every < 1 ? 1 : 0) : "";
    const at = { start_sec: k * every, end_sec: k * every };
    ticks.push(placed(el("span", { class: "tick" }, words), at, [start, end]));
  }
  return ticks;
}
