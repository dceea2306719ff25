// The parts of a viewer's page; `timeline.js` and `viewer_stage.js` stand before this.

const colours = new Map(data.classes.map((c) => [c.label, c.colour]));
const decimals = Math.max(2, Math.min(6, Math.ceil(-Math.log10(data.slider.step))));
const scoreText = (score) => score.toFixed(decimals);
const detectionText = (d) => `${d.label}, ${spanText(d)}, score ${scoreText(d.score)}`;

function buttonOf(className, action, words, act) {
  const button = el("button", {
    class: className, type: "button", tabindex: -1, title: words, "aria-label": words,
    style: { "--colour": colours.get(action.label) },
  });
  button.addEventListener("click", act);
  return button;
}

function markOf(detection) {
  const { least, most } = data.slider;
  const share = (detection.score - least) / Math.max(most - least, 1e-9);
  const strength = Math.max(0.12, Math.min(1, 0.12 + 0.88 * share));
  const alpha = Math.round(255 * strength).toString(16).padStart(2, "0");
  const mark = buttonOf("mark", detection, detectionText(detection), () => goTo(detection));
  const colour = colours.get(detection.label);
  mark.style.setProperty("--fill", colour + alpha);
  mark.style.setProperty("--text", inkOn(colour, strength));
  return placed(mark, detection, [0, extent]);
}

function itemOf(detection) {
  const item = buttonOf("item", detection, detectionText(detection), () => goTo(detection));
  item.append(
    swatch(colours.get(detection.label)),
    el("span", { class: "label" }, detection.label),
    el("span", { class: "span" }, spanText(detection)),
    el("span", { class: "score" }, scoreText(detection.score)),
  );
  el("li", {}, item);
  return item;
}

function truthOf(instance) {
  const words = `annotated: ${instance.label}, ${spanText(instance)}`;
  const mark = buttonOf("truth", instance, words, () => seek(instance.start_sec));
  return placed(mark, instance, [0, extent]);
}

function curveOf({ start_sec: first, step_sec: every, values }) {
  const points = values.map((v, k) => `${(first + k * every).toFixed(3)},${(1 - v).toFixed(4)}`);
  const last = first + (values.length - 1) * every;
  const path = svg("path", { d: `M${first},1 L${points.join(" ")} L${last},1` });
  const box = { viewBox: `0 -0.04 ${extent} 1.08`, preserveAspectRatio: "none" };
  return svg("svg", { ...box, role: "img", "aria-label": "Curve of actionness over time" }, path);
}
