"""VIA 3 (VGG Video Annotator): projects in and out, JSON with temporal segments; its CSV in.

The form is data format 3.1.1 of https://www.robots.ox.ac.uk/~vgg/software/via/: an entry of
`metadata` with two times in `z` and no shape in `xy` is a segment, in seconds; `av` holds its
attributes' values, of which options are named by number. The CSV has the same in cells, with the
names of its columns and its attributes in comments (`project_export_csv` of VIA 3).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...errors import InputError, quantity
from .record import Gathering, Labels, VideoLabels, id_of_media, listed, pair
from .tables import MAX_ROWS, cells

SEGMENT = "FILE1_Z2_XY0"  # the anchor of attributes of temporal segments
TEXT, CHECKBOX, SELECT = 1, 2, 4  # types of attributes
VIDEO, LOCAL = 4, 1
HEADER = "# CSV_HEADER = metadata_id"
TIMES = {"temporal_coordinates", "temporal_segment_start"}


def looks_like_via(raw: Any) -> bool:
    """Return whether a JSON file's content is a VIA 3 project."""
    return isinstance(raw, dict) and {"metadata", "attribute", "file", "view"} <= set(raw)


def read_via(raw: Mapping[str, Any]) -> Labels:
    """Return the temporal segments of a project as labels; shapes in pictures are left out."""
    files, views, attributes = (_members(raw, key) for key in ("file", "view", "attribute"))
    gathered = Gathering()
    videos = {}
    for view_id, view in views.items():
        fids = view.get("fid_list")
        file = files.get(str(fids[0])) if isinstance(fids, list) and fids else None
        if isinstance(file, dict):
            media = str(file.get("fname") or file.get("src") or "")
            videos[view_id] = id_of_media(media)
            gathered.video(videos[view_id], media=media)
    entries = _members(raw, "metadata")
    segments = {
        key: entry
        for key, entry in entries.items()
        if isinstance(entry.get("z"), list) and len(entry["z"]) == 2 and not entry.get("xy")
    }
    used = Counter(
        aid
        for entry in segments.values()
        for aid, value in _values(entry).items()
        if value not in ("", None)
    )
    # The attribute that most segments have says the label.
    label_of = max(used, key=lambda aid: (used[aid], -len(aid)), default="")
    for key, entry in segments.items():
        video_id = videos.get(str(entry.get("vid")), "")
        try:
            chosen = _options(_values(entry).get(label_of), attributes.get(label_of, {}))
            start, end = pair(entry["z"], "z")
        except InputError as e:
            gathered.problem(video_id, f"{key}: {e}")
            continue
        for label in chosen:
            gathered.action(video_id, label, start, end, where=key)
    if others := [str(attributes.get(a, {}).get("aname", a)) for a in used if a != label_of]:
        gathered.remarks.append(f"other attributes are left out {listed(others)}")
    if shapes := len(entries) - len(segments):
        gathered.remarks.append(f"{quantity(shapes, 'shape or point')} in pictures left out")
    return gathered.labels("VIA 3 project", quantity(len(segments), "segment"))


def looks_like_via_csv(text: str) -> bool:
    """Return whether a text is a table that VIA 3 has exported."""
    return HEADER in text[:20_000] and text.lstrip()[:2] in ("# ", '"#')


def read_via_csv(text: str) -> Labels:
    """Return the temporal segments of an exported table as labels.

    Raises:
        InputError: it has no column for files, times or values.
    """
    said = dict(
        line.strip().strip('"').lstrip("# ").split(" = ", 1)
        for line in text.split("\n")
        if line.lstrip('"').startswith("# ") and " = " in line
    )
    names = [name.strip(' "') for name in said.get("CSV_HEADER", "").split(",")]
    rows = [dict(zip(names, row, strict=False)) for _, row in cells(text, ",", most=MAX_ROWS)]
    if not {"file_list", "metadata"} <= set(names) or not TIMES & set(names):
        raise InputError(f"VIA's table without file_list, metadata or times {listed(names)}")
    known = _json(said.get("ATTRIBUTE") or said.get("ATTRIBUTES") or "{}")
    attributes = {k: v if isinstance(v, dict) else {"aname": str(v)} for k, v in known.items()}
    files = {name: str(n) for n, name in enumerate(dict.fromkeys(map(_file, rows)))}
    metadata = {}
    for n, row in enumerate(rows):
        times = row.get("temporal_coordinates") or "[{},{}]".format(
            row.get("temporal_segment_start", ""), row.get("temporal_segment_end", "")
        )
        metadata[row.get("metadata_id") or f"row {n}"] = {
            "vid": files[_file(row)], "z": _json(times), "av": _json(row.get("metadata", "{}")),
            "xy": _json(row.get("spatial_coordinates") or "[]"),
        }  # fmt: skip
    project = {
        "file": {n: {"fname": name} for name, n in files.items()},
        "view": {n: {"fid_list": [n]} for n in files.values()},
        "attribute": attributes,
        "metadata": metadata,
    }
    return replace(read_via(project), form="VIA 3 table")


def _file(row: Mapping[str, str]) -> str:
    """Return the name of a row's first file: a JSON list of names, or one name."""
    cell = row.get("file_list", "").strip()
    listed_files = _json(cell) if cell.startswith("[") else [cell]
    return str(listed_files[0]) if listed_files else ""


def _json(cell: str) -> Any:
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        raise InputError(f"a cell that is not JSON: {cell[:40]!r}") from None


def write_via(videos: Sequence[VideoLabels]) -> str:
    """Return a project with a view per video, and the labels as options of one attribute."""
    labels = sorted({a.label for v in videos for a in v.actions})
    option = {label: str(n) for n, label in enumerate(labels)}
    metadata = {}
    for vid, v in enumerate(videos, start=1):
        for n, a in enumerate(v.actions):
            metadata[f"{vid}_{n:08d}"] = {
                "vid": str(vid), "flg": 0, "z": [a.start_sec, a.end_sec], "xy": [],
                "av": {"1": option[a.label]},
            }  # fmt: skip
    ids = [str(n) for n, _ in enumerate(videos, start=1)]
    project = {
        "project": {
            "pid": "__VIA_PROJECT_ID__", "rev": "__VIA_PROJECT_REV_ID__",
            "rev_timestamp": "__VIA_PROJECT_REV_TIMESTAMP__", "pname": "tsatal",
            "creator": "tsatal", "created": 0, "data_format_version": "3.1.1", "vid_list": ids,
        },
        "config": {
            "file": {"loc_prefix": {"1": "", "2": "", "3": "", "4": ""}},
            "ui": {
                "file_content_align": "center", "file_metadata_editor_visible": True,
                "spatial_metadata_editor_visible": True,
                "temporal_segment_metadata_editor_visible": True,
                "spatial_region_label_attribute_id": "",
                "gtimeline_visible_row_count": "4",
            },
        },
        "attribute": {
            "1": {
                "aname": "label", "anchor_id": SEGMENT, "type": SELECT, "desc": "",
                "options": {n: label for label, n in option.items()}, "default_option_id": "",
            }
        },
        "file": {
            fid: {
                "fid": fid, "fname": v.media or v.video_id, "type": VIDEO, "loc": LOCAL, "src": "",
            }
            for fid, v in zip(ids, videos, strict=True)
        },
        "view": {vid: {"fid_list": [vid]} for vid in ids},
        "metadata": metadata,
    }  # fmt: skip
    return json.dumps(project, ensure_ascii=False)


def _members(raw: Mapping[str, Any], key: str) -> dict[str, dict[str, Any]]:
    value = raw[key]
    if not isinstance(value, dict) or not all(isinstance(v, dict) for v in value.values()):
        raise InputError(f"{key!r} must be a dict of dicts, as VIA 3 writes it")
    return value


def _values(entry: Mapping[str, Any]) -> dict[str, Any]:
    values = entry.get("av")
    return values if isinstance(values, dict) else {}


def _options(value: Any, attribute: Mapping[str, Any]) -> list[str]:
    """Return the labels that an attribute's value stands for: several where boxes are ticked."""
    if value in ("", None):
        raise InputError("has no label")
    options = attribute.get("options")
    if attribute.get("type") == TEXT or not isinstance(options, dict):
        return [str(value).strip()]
    chosen = str(value).split(",") if attribute.get("type") == CHECKBOX else [str(value)]
    return [str(options.get(each, each)).strip() for each in chosen]
