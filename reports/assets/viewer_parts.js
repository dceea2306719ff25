/** The parts of a viewer's page, and the words for them, from what is in `data`.
 * Whatever comes from there is set as text or as a style, never as HTML.
 *
 * Of `handlers`, `goTo` is called with a detection that was clicked, `seek` with seconds.
 */
function viewerParts(data, handlers) {
  "use strict";

  const TICK_PX = 76; // at least, between the ruler's numbers
  const TICK_STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
  const { goTo, seek } = handlers;
  const colours = new Map(data.classes.map((c) => [c.label, c.colour]));
  const extent = data.extent_sec;

  const padded = (n) => String(n).padStart(2, "0");
  const plural = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;

  function clockText(seconds, decimals = 1) {
    const unit = 10 ** decimals;
    const whole = Math.round(seconds * unit);
    const minutes = Math.floor(whole / unit / 60);
    const rest = (whole / unit - minutes * 60).toFixed(decimals);
    const tail = rest.padStart(decimals ? 3 + decimals : 2, "0");
    return minutes < 60
      ? `${minutes}:${tail}`
      : `${Math.floor(minutes / 60)}:${padded(minutes % 60)}:${tail}`;
  }

  function scoreText(score) {
    const decimals = Math.max(2, Math.min(6, Math.ceil(-Math.log10(data.slider.step))));
    return score.toFixed(decimals);
  }

  const spanText = (action) => `${clockText(action.start_sec)} – ${clockText(action.end_sec)}`;
  const detectionText = (d) => `${d.label}, ${spanText(d)}, score ${scoreText(d.score)}`;

  function element(kind, className, text = "") {
    const made = document.createElement(kind);
    made.className = className;
    made.textContent = text;
    return made;
  }

  function buttonOf(className, colour, words) {
    const made = element("button", className);
    made.type = "button";
    made.tabIndex = -1;
    made.title = words;
    made.setAttribute("aria-label", words);
    made.style.setProperty("--colour", colour);
    return made;
  }

  function swatch(colour) {
    const made = element("span", "swatch");
    made.style.setProperty("--colour", colour);
    return made;
  }

  function place(button, action) {
    const start = Math.max(0, action.start_sec);
    button.style.left = `${(100 * start) / extent}%`;
    button.style.width = `${(100 * (Math.min(action.end_sec, extent) - start)) / extent}%`;
  }

  /** Return black or white, whichever reads better on this colour laid over white. */
  function inkOn(colour, strength) {
    const [r, g, b] = [1, 3, 5].map((k) => parseInt(colour.slice(k, k + 2), 16) / 255);
    const light = 1 - strength * (1 - (0.3 * r + 0.59 * g + 0.11 * b));
    return light > 0.55 ? "#222" : "#fff";
  }

  function markOf(detection) {
    const colour = colours.get(detection.label);
    const { least, most } = data.slider;
    const strength = 0.12 + (0.88 * (detection.score - least)) / Math.max(most - least, 1e-9);
    const alpha = Math.round(255 * Math.max(0.12, Math.min(1, strength)));
    const mark = buttonOf("mark", colour, detectionText(detection));
    mark.style.setProperty("--fill", colour + alpha.toString(16).padStart(2, "0"));
    mark.style.setProperty("--text", inkOn(colour, strength));
    mark.addEventListener("click", () => goTo(detection));
    place(mark, detection);
    return mark;
  }

  function itemOf(detection) {
    const colour = colours.get(detection.label);
    const item = buttonOf("item", colour, detectionText(detection));
    const [label, span] = [element("span", "label", detection.label), spanText(detection)];
    const score = element("span", "score", scoreText(detection.score));
    item.append(swatch(colour), label, element("span", "span", span), score);
    item.addEventListener("click", () => goTo(detection));
    const row = element("li", "");
    row.append(item);
    return item;
  }

  function truthOf(instance) {
    const mark = buttonOf(
      "truth", colours.get(instance.label), `annotated: ${instance.label}, ${spanText(instance)}`,
    );
    mark.addEventListener("click", () => seek(instance.start_sec));
    place(mark, instance);
    return mark;
  }

  /** Return the numbers of a ruler that is so wide. */
  function ticksOf(widthPx) {
    const wanted = (extent * TICK_PX) / Math.max(widthPx, 1);
    const every = TICK_STEPS.find((s) => s >= wanted) ?? wanted;
    const ticks = [];
    for (let k = 0; k * every < extent; k += 1) {
      const fits = ((extent - k * every) / extent) * widthPx > TICK_PX / 2;
      const words = fits ? clockText(k * every, every < 1 ? 1 : 0) : "";
      const made = element("span", "tick", words);
      made.style.left = `${(100 * k * every) / extent}%`;
      ticks.push(made);
    }
    return ticks;
  }

  function curveOf({ start_sec: first, step_sec: every, values }) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    const points = values.map((v, k) => `${(first + k * every).toFixed(3)},${(1 - v).toFixed(4)}`);
    const last = first + (values.length - 1) * every;
    svg.setAttribute("viewBox", `0 -0.04 ${extent} 1.08`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", "Curve of actionness over time");
    path.setAttribute("d", `M${first},1 L${points.join(" ")} L${last},1`);
    svg.append(path);
    return svg;
  }

  return {
    clockText, scoreText, detectionText, plural,
    element, swatch, colours, markOf, itemOf, truthOf, ticksOf, curveOf,
  };
}
