// The list of videos: how far each is, and the way to the next one.

const words = (v) => (v.state === "done" && !v.actions ? "nothing here" : data.states[v.state]);

function rowOf(video) {
  const link = el("a", { href: `/video/${video.number}` }, video.id);
  const number = (n) => (n ? n.toLocaleString("en") : "");
  const state = el("td", {}, words(video));
  return el(
    "tr", { "data-state": video.state },
    el("td", {}, link), state,
    el("td", {}, video.actions ? number(video.actions) : video.state === "done" ? "0" : ""),
    el("td", {}, number(video.suggestions)), el("td", {}, video.subset),
    el("td", { class: "reason" }, video.reason),
  );
}

const done = data.videos.filter((v) => v.state === "done");
const left = data.videos.find((v) => v.state !== "done");
const actions = data.videos.reduce((sum, v) => sum + v.actions, 0);
byId("summary").textContent = [
  `${done.length} of ${plural(data.videos.length, "video")} done`,
  plural(actions, "action"),
  `sorted by ${data.sorted_by}`,
].join(" · ");
Object.assign(byId("progress"), { max: data.videos.length, value: done.length });
byId("videos").append(...data.videos.map(rowOf));
byId("why").hidden = !data.videos.some((v) => v.reason);
byId("file").textContent = `Saved in ${data.file} after every change.`;
byId("next").hidden = !left;
if (left) byId("next").href = `/video/${left.number}`;
// Back from a video by the browser's own button: what was done there counts.
addEventListener("pageshow", (event) => event.persisted && location.reload());
