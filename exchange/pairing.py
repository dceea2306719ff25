"""Two streams in one place: which arrays are rgb and which are flow, as names and folders say.

video_features writes `x_rgb.npy` and `x_flow.npy` side by side, others the folders `rgb/` and
`flow/`. What is found here is said, and only taken where it cannot mean anything else.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path

from .arrays import ENDINGS, video_id_of
from .layouts import ImportSettings

STREAM_NAME = re.compile(r"(?P<stem>.+)(?P<suffix>[._-](?P<stream>rgb|flow))", re.I | re.DOTALL)
BESIDE = ("_fps", "_timestamps_ms")  # video_features writes these beside its features


def stream_folders(source: Path) -> dict[str, Path]:
    """Return the folders `rgb` and `flow` in a folder that has no other features; else nothing."""
    if not source.is_dir():
        return {}
    inside = [p for p in sorted(source.iterdir()) if not p.name.startswith(".")]
    folders = [p for p in inside if p.is_dir()]
    if any(p.suffix.lower() in ENDINGS for p in inside):
        return {}
    found = {p.name.lower(): p for p in folders}
    return found if len(folders) == 2 and set(found) == {"rgb", "flow"} else {}


def with_suffixes(
    settings: ImportSettings, stems: Iterable[str], known: Collection[str]
) -> ImportSettings:
    """Return the settings with the suffixes of two streams that the names of arrays show.

    They are the same settings where suffixes are given, or names could mean something else: they
    have several spellings, no video has both streams, or there are arrays of other names and
    annotations do not tell.

    Args:
        known: the ids of the annotations.
    """
    given = settings.suffix or settings.rgb_suffix is not None
    if given or settings.flow_suffix == "":
        return settings
    by_suffix: dict[str, dict[str, set[str]]] = {"rgb": defaultdict(set), "flow": defaultdict(set)}
    others = []
    for stem in stems:
        if named := STREAM_NAME.fullmatch(stem):
            by_suffix[named["stream"].lower()][named["suffix"]].add(named["stem"])
        elif not stem.endswith(BESIDE):
            others.append(stem)
    if any(len(spellings) != 1 for spellings in by_suffix.values()):
        return settings
    (rgb, with_rgb), (flow, with_flow) = (next(iter(s.items())) for s in by_suffix.values())
    if settings.flow_suffix not in (None, flow):
        return settings
    both = {video_id_of(stem, settings, known, "") for stem in with_rgb & with_flow}
    whole = {video_id_of(stem + rgb, settings, known, "") for stem in with_rgb}
    known = set(known)
    if not both or whole & known or (others and not both & known):
        return settings
    return settings.changed(rgb_suffix=rgb, flow_suffix=flow)
