"""What a packed model says of itself, as a page in Markdown: facts in, text out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import quantity

COMMERCIAL = {
    "yes": "allowed by that licence",
    "no": "not allowed by that licence",
    "ask": "not said by the licence: ask who published them",
}
SHARES = {"precision": "precision", "recall": "recall", "F1": "f1"}
# Settings of an extraction that a reader asks for, in this order.
SHOWN = ("fps", "resize", "crop", "stride_frames", "window_frames", "segment", "context", "width")


def model_card(facts: Mapping[str, Any]) -> str:
    """Return the card.

    Args:
        facts: the manifest's, see `packing.pack`.
    """
    sections = (_opening, _use, _labels, _training, _figures, _backbone, _licence)
    return "\n".join(line for section in sections for line in section(facts)).strip() + "\n"


def _opening(facts: Mapping[str, Any]) -> Iterator[str]:
    count = len(facts["labels"])
    yield f"# {plain(facts['name'])}"
    yield ""
    yield (
        f"Finds {count} kind{'s' if count != 1 else ''} of action in untrimmed video: label, "
        f"start, end, score. A packed model of tsatal {plain(facts['tsatal'])}."
    )
    if facts.get("note"):
        yield from ("", plain(facts["note"]))


def _use(facts: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## Use", "", "```")
    if facts["backbone"]:
        yield f"tsatal detect VIDEO.mp4 --run {plain(facts['file'])} --view"
    else:
        yield f"tsatal detect FEATURES.h5 --run {plain(facts['file'])}"
    yield from (f"tsatal info {plain(facts['file'])}", "```")


def _labels(facts: Mapping[str, Any]) -> Iterator[str]:
    learned = (facts["trained_on"] or {}).get("actions") or {}
    point = facts["thresholds"]
    average = ((facts["figures"] or {}).get("average_precision")) or {}
    columns: dict[str, Mapping[str, Any]] = {}
    if learned:
        columns["actions it learned from"] = {k: str(v) for k, v in learned.items()}
    if point:
        columns["counts from score"] = {k: f"{v:.3f}" for k, v in point["of"].items()}
    if average:
        of_folds = ", out of fold" if facts["figures"].get("folds") else ""
        columns[f"average precision{of_folds}"] = {
            k: f"{100 * v:.1f} %" for k, v in average.items()
        }
    if events := (facts["figures"] or {}).get("events"):
        for share in ("precision", "recall"):
            columns[f"{share} from there on"] = {
                k: f"{100 * v[share]:.1f} %" for k, v in events["per_class"].items()
            }
    yield from ("", "## Labels", "")
    yield from _table(
        ["label", *columns],
        [
            [label, *(str(values.get(label, "")) for values in columns.values())]
            for label in facts["labels"]
        ],
    )
    if point:
        yield from (
            "",
            f"Thresholds were chosen for {plain(point['rule'])}; `--min-score 0` gives all "
            "detections.",
        )


def _training(facts: Mapping[str, Any]) -> Iterator[str]:
    trained, made_by = facts["trained_on"], facts["made_by"]
    yield from ("", "## What it was trained on", "")
    if trained:
        yield (
            f"{quantity(trained['videos'], 'video')} of the subset {plain(trained['subset'])}, "
            f"{trained['hours']:.2f} hours, {quantity(sum(trained['actions'].values()), 'action')}."
        )
    else:
        yield "How many videos is not recorded."
    epochs = facts["epochs"]
    if epochs["done"] is not None:
        yield (
            f"The weights are those after {epochs['done']} of {epochs['of']} epochs "
            f"({plain(facts['checkpoint'])}), with the seed {facts['seed']}."
        )
    if made_by:
        last = made_by[-1]
        date = plain(last.get("date", ""))[:10]
        yield f"Trained on {date} by tsatal {plain(last.get('tsatal'))}."
        for what in ("features", "annotations"):
            if digest := (last.get(what) or {}).get("sha256"):
                yield f"SHA-256 of the {what}: `{plain(digest)}`."


def _figures(facts: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## What was measured", "")
    if not (found := facts["figures"]):
        yield "Nothing: the run was packed without an evaluation."
        return
    of = f"the subset {plain(found['subset'])}"
    if folds := found.get("folds"):
        yield (
            f"Out of fold: this head has learned from all of its videos, so heads like it were "
            f"measured. Each of {folds} learned from the other folds and was measured on its own."
        )
        yield ""
        of = plain(found["subset"])
    yield (
        f"On {quantity(found['num_videos'], 'video')} of {of} with "
        f"{quantity(found['num_instances'], 'action')}, by the protocol {plain(found['protocol'])}:"
    )
    yield ""
    rows = [[f"mAP at tIoU {plain(t)}", f"{100 * v:.1f} %"] for t, v in found["mAP"].items()]
    yield from _table(["", ""], [*rows, ["average mAP", f"{100 * found['average_mAP']:.1f} %"]])
    if events := found.get("events"):
        yield from ("", _worth(events, found))
    yield from ("", "On other videos, places and cameras it will differ.")


def _worth(events: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    """Return in a paragraph what detections above the thresholds were worth."""
    seen = events["all"]
    alarms = seen["false_alarms_per_hour"]
    said = ", ".join(
        [
            *(f"{name} {100 * seen[key]:.1f} %" for name, key in SHARES.items()),
            *([f"{alarms:.1f} false alarms per hour"] if alarms is not None else []),
        ]
    )
    chosen = ""
    if figures.get("folds"):
        chosen = " Each fold's thresholds were chosen on the other folds for this."
    elif events["chosen_on"] == figures["subset"]:
        chosen = " The thresholds were chosen on these very videos, which flatters."
    return f"Of what counts by the thresholds, at a tIoU of {events['tiou']:g}: {said}.{chosen}"


def _backbone(facts: Mapping[str, Any]) -> Iterator[str]:
    backbone, extraction = facts["backbone"], facts["extraction"]
    yield from ("", "## Features", "")
    if not backbone:
        yield (
            f"Rows of {plain(extraction.get('extractor', 'another program'))}, which `tsatal "
            "extract` does not make: give it feature files that were made in the same way."
        )
        return
    chosen = [f"{name} {plain(extraction[name])}" for name in SHOWN if extraction.get(name)]
    streams = ", ".join(facts["streams"])
    yield f"Rows of `{plain(backbone['name'])}` ({plain(streams)}): {', '.join(chosen)}."
    yield ""
    for stream, weights in backbone["weights"].items():
        digest = f", SHA-256 `{plain(weights['sha256'])}`" if weights.get("sha256") else ""
        yield f"* Weights for {plain(stream)}: {plain(weights['name'])}{digest}; {weights['how']}."
    if backbone.get("licence"):
        yield (
            f"* They were trained on {plain(backbone['trained_on'])} and published by "
            f"{plain(backbone['source'])}; licence {plain(backbone['licence'])}, commercial use "
            f"{COMMERCIAL[backbone['commercial']]}."
        )
    elif any(weights.get("sha256") for weights in backbone["weights"].values()):
        yield "* Their licence is not known to tsatal: ask who made the model."
    if facts["projection"]:
        yield f"* The projection of the rows is inside ({plain(facts['projection'])})."


def _licence(facts: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## Licence", "")
    yield plain(facts.get("licence") or "Not stated: ask who made the model.")


def plain(value: object) -> str:
    """Return a value as one line of Markdown that means nothing but itself."""
    text = " ".join(str(value).split())
    return re.sub(r"([|`*\[\]\\#])", r"\\\1", text).replace("<", "&lt;")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(map(plain, row))} |"
