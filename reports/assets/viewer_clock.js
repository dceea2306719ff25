// The clock of a viewer's page: that of its video, or its own where there is no picture.
// `moved`, of viewer.js, is called whenever its own time has changed by a jump.

const video = byId("video");
const clock = {
  now: () => video.currentTime,
  seek: (seconds) => (video.currentTime = seconds),
  playing: () => !video.paused && !video.ended,
  play: () => video.play().catch(() => {}), // a pause or a seek in between is no failure
  pause: () => video.pause(),
};

function ownClock() {
  let at = 0;
  let since = null;
  const passed = () => (since === null ? 0 : (performance.now() - since) / 1000);
  const now = () => Math.min(extent, at + passed());
  const restart = (seconds, runs) => {
    at = seconds;
    since = runs ? performance.now() : null;
    moved();
  };
  return {
    now,
    seek: (seconds) => restart(seconds, since !== null),
    playing: () => since !== null && now() < extent,
    play: () => restart(now() < extent ? now() : 0, true),
    pause: () => restart(now(), false),
  };
}

function goWithoutPicture(reason) {
  Object.assign(clock, ownClock());
  video.hidden = true;
  byId("no-picture").textContent = `${reason} Everything else on this page works without it.`;
  byId("no-picture").hidden = false;
  moved();
}

function blobUrl(base64, type) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let k = 0; k < text.length; k += 1) bytes[k] = text.charCodeAt(k);
  return URL.createObjectURL(new Blob([bytes], { type }));
}

function loadVideo() {
  const { base64, src, type, words } = data.media;
  if (!base64 && !src) return goWithoutPicture(`There is no picture: ${words}.`);
  video.addEventListener("error", () => {
    const told = src ? ` It should be at ${decodeURIComponent(src)}, seen from this page.` : "";
    goWithoutPicture(`This browser cannot play the video.${told}`);
  });
  // Chromium seeks in a blob as it does in a file; in a data: address it would not.
  video.src = base64 ? blobUrl(base64, type) : src;
  data.media.base64 = "";
  byId("data").remove(); // the video's text is no longer needed
}
