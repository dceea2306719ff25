"use strict";
const number = data.clips.length + data.left_out;
document.getElementById("title").textContent = data.label;
document.getElementById("note").textContent =
  `${number} clip${number === 1 ? "" : "s"}` +
  (data.left_out ? `, of which ${data.clips.length} are shown` : "") +
  "; they play from the folder clips beside sheets: keep the two together";
for (const clip of data.clips) {
  const figure = document.createElement("figure");
  const video = document.createElement("video");
  video.src = clip.src;
  video.poster = `data:image/jpeg;base64,${clip.image}`;
  video.preload = "none";
  video.controls = true;
  video.loop = true;
  video.setAttribute("aria-label", `${data.label}, ${clip.video}, ${clip.says}`);
  const caption = document.createElement("figcaption");
  const when = document.createElement("span");
  when.textContent = clip.says;
  caption.append(clip.video, when);
  figure.append(video, caption);
  document.getElementById("clips").append(figure);
}
