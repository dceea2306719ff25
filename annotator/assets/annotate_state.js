// The labels of the video: edits with undo and redo, and their way into the file.
// An edit replaces `labels`, and never changes what is in it. `changed`, of annotate.js, draws.

const times = data.times; // between any two pictures, and at both ends
const END = times.length - 1;
const SLACK_SEC = 0.0005; // browsers and containers round

let labels = data.labels;
let revision = data.revision;
const edits = { past: [], future: [] };

/** The number of the picture that is shown at an instant. */
function pictureAt(seconds) {
  let [low, high] = [0, END];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (times[middle] <= seconds + SLACK_SEC) low = middle;
    else high = middle;
  }
  return Math.min(low, Math.max(END - 1, 0));
}

/** The boundary between two pictures that is nearest to an instant. */
function nearest(seconds) {
  const k = pictureAt(seconds);
  return seconds - times[k] <= times[Math.min(k + 1, END)] - seconds ? k : Math.min(k + 1, END);
}

const byTime = (a, b) => a.start_sec - b.start_sec || a.end_sec - b.end_sec;

/** Change some of the labels; what was new is begun by it. */
function edit(words, change) {
  edits.past.push(labels);
  edits.future = [];
  const state = labels.state === "new" ? "begun" : labels.state;
  labels = { ...labels, state, ...change };
  tell(words);
  changed();
  save();
}

/** Replace an action or a stretch by others; returns the first of these. */
function replace(kind, old, ...others) {
  const rest = labels[kind].filter((item) => item !== old);
  return { [kind]: [...rest, ...others].sort(byTime) };
}

function undo(from = edits.past, to = edits.future, word = "Undone") {
  if (!from.length) return tell(`Nothing to ${word === "Undone" ? "undo" : "redo"}`);
  to.push(labels);
  labels = from.pop();
  tell(word);
  changed();
  save();
}

const redo = () => undo(edits.future, edits.past, "Redone");

/* ---- saving: one at a time, always all of the video's labels ---- */

const saving = { busy: false, wanted: false, conflict: null };

function showSaved(words, failed = false) {
  byId("saved").textContent = words;
  byId("saved").classList.toggle("failed", failed);
}

async function save() {
  saving.wanted = true;
  if (saving.busy || saving.conflict) return;
  saving.busy = true;
  while (saving.wanted && !saving.conflict) {
    saving.wanted = false;
    showSaved("Saving …");
    if (!(await put(labels))) break;
  }
  saving.busy = false;
}

async function put(sent) {
  let problem = "";
  try {
    const answer = await fetch(`/labels/${data.number}`, {
      method: "PUT",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ labels: sent, revision }),
    });
    if (answer.ok) {
      ({ revision } = await answer.json());
      showSaved("Saved");
      return true;
    }
    if (answer.status === 409) {
      const there = await answer.json();
      // An answer that got lost: what is there is what was sent.
      if (JSON.stringify(there.labels) === JSON.stringify(sent)) {
        ({ revision } = there);
        showSaved("Saved");
        return true;
      }
      meet(there);
      return false;
    }
    problem = await answer.text();
  } catch {
    problem = "tsatal annotate does not answer; is it still running?";
    setTimeout(save, 2000);
  }
  saving.wanted = true;
  showSaved(`Not saved: ${problem}`, true);
  return false;
}

const unsaved = () => saving.busy || saving.wanted || saving.conflict !== null;

/* ---- somebody else has changed these labels ---- */

function meet(there) {
  saving.conflict = there;
  showSaved("Not saved", true);
  byId("conflict-title").textContent = "These labels were changed in another window.";
  const [theirs, mine] = [there.labels.actions.length, labels.actions.length];
  byId("conflict-words").textContent =
    `It has ${plural(theirs, "action")}, shown below; here are ${mine}. Nothing is lost yet.`;
  byId("conflict").hidden = false;
  byId("keep-both").focus();
  changed();
}

const sameAction = (a, b) =>
  a.label === b.label && a.start_sec === b.start_sec && a.end_sec === b.end_sec;

function settle(words, change) {
  ({ revision } = saving.conflict);
  saving.conflict = null;
  byId("conflict").hidden = true;
  edit(words, change);
}

function keepBoth() {
  const theirs = saving.conflict.labels;
  const more = theirs.actions.filter((a) => !labels.actions.some((b) => sameAction(a, b)));
  settle("The actions of both are kept", { actions: [...labels.actions, ...more].sort(byTime) });
}
