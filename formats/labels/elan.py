"""ELAN's `.eaf` in and out: XML with tiers of annotations between time slots, a file per video.

The form is EAF 3.0 (https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf): times
are whole milliseconds. A label is an annotation's value, or its tier's name where that is empty.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from ...errors import InputError
from .record import (
    Action,
    Gathering,
    Labels,
    VideoLabels,
    counted,
    id_of_media,
    lanes,
    listed,
)
from .times import milliseconds

NAMESPACE = "http://www.w3.org/2001/XMLSchema-instance"
SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"


def parse_xml(text: str) -> ET.Element:
    """Return the root of an XML document.

    Raises:
        InputError: it is not well formed, or declares a document type: entities of such can fill
            the memory or name other files, and no tool for labels writes any.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InputError("XML with a document type (<!DOCTYPE), which files of labels never have")
    try:
        return ET.fromstring(text)
    except (ET.ParseError, ValueError) as e:
        raise InputError(f"XML that cannot be read ({e})") from None


def looks_like_elan(text: str) -> bool:
    """Return whether a text begins like an ELAN document."""
    return "<ANNOTATION_DOCUMENT" in text[:5000]


def read_elan(text: str, name: str, *, tiers: Sequence[str] = ()) -> Labels:
    """Return the annotations of all tiers that have times of their own.

    Args:
        name: the id of the video where the document names none.
        tiers: the tiers to take; all where none is named.
    Raises:
        InputError: no ELAN document, or without such a tier.
    """
    root = parse_xml(text)
    if root.tag != "ANNOTATION_DOCUMENT":
        raise InputError("XML, but no ELAN document")
    gathered = Gathering()
    described = root.iter("MEDIA_DESCRIPTOR")
    named = (m.get("RELATIVE_MEDIA_URL") or m.get("MEDIA_URL") or "" for m in described)
    media = [name for name in named if name]
    video_id = id_of_media(media[0]) if media else name
    gathered.video(video_id, media=media[0].rsplit("/", 1)[-1] if media else "")
    slots = {
        slot.get("TIME_SLOT_ID"): int(value) / 1000
        for slot in root.iter("TIME_SLOT")
        if (value := slot.get("TIME_VALUE", "")).isdecimal() and len(value) < 16
    }
    found = {tier.get("TIER_ID", ""): tier for tier in root.iter("TIER")}
    if missing := [t for t in tiers if t not in found]:
        raise InputError(f"has no tier {missing[0]!r}, but: {', '.join(found) or 'none'}")
    untimed = 0
    for tier_id, tier in found.items():
        if tiers and tier_id not in tiers:
            continue
        untimed += sum(1 for _ in tier.iter("REF_ANNOTATION"))
        for entry in tier.iter("ALIGNABLE_ANNOTATION"):
            where = f"tier {tier_id}: {entry.get('ANNOTATION_ID')}"
            times = [slots.get(entry.get(f"TIME_SLOT_REF{n}")) for n in (1, 2)]
            if times[0] is None or times[1] is None:
                gathered.problem(video_id, f"{where}: has no time")
                continue
            label = (entry.findtext("ANNOTATION_VALUE") or "").strip() or tier_id
            gathered.action(video_id, label, times[0], times[1], where=where)
    if untimed:
        gathered.remarks.append(
            f"{counted(untimed, 'annotation')} of dependent tiers, without times, left out"
        )
    left_out = [t for t in found if tiers and t not in tiers]
    if left_out:
        gathered.remarks.append(f"tiers left out {listed(left_out)}")
    names = listed(found) if found else ""
    return gathered.labels("ELAN", f"{counted(len(found), 'tier')} {names}".strip())


def write_elan(video: VideoLabels) -> str:
    """Return one video's actions as an ELAN document: a tier per label.

    Annotations of a tier may not overlap, so labels of one kind that do have several tiers.
    """
    root = ET.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "tsatal", "DATE": "2000-01-01T00:00:00+00:00", "FORMAT": "3.0",
            "VERSION": "3.0", "xmlns:xsi": NAMESPACE, "xsi:noNamespaceSchemaLocation": SCHEMA,
        },
    )  # fmt: skip
    head = ET.SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    media = video.media or video.video_id
    ET.SubElement(
        head, "MEDIA_DESCRIPTOR",
        {"MEDIA_URL": media, "MIME_TYPE": "video/mp4", "RELATIVE_MEDIA_URL": media},
    )  # fmt: skip
    order = ET.SubElement(root, "TIME_ORDER")
    tiers: list[tuple[str, str, list[Action]]] = []
    for label in sorted({a.label for a in video.actions}):
        rows = lanes([a for a in video.actions if a.label == label])
        tiers += [(f"{label} ({n})" if n else label, label, row) for n, row in enumerate(rows)]
    slots = 0
    used: set[str] = set()
    for name, label, row in tiers:
        while name in used:
            name += "'"
        used.add(name)
        tier = ET.SubElement(
            root, "TIER", {"LINGUISTIC_TYPE_REF": "default-lt", "TIER_ID": _text(name)}
        )
        for a in row:
            refs = []
            for seconds in (a.start_sec, a.end_sec):
                slots += 1
                refs.append(f"ts{slots}")
                value = str(milliseconds(seconds))
                ET.SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": refs[-1], "TIME_VALUE": value})
            about = {"TIME_SLOT_REF1": refs[0], "TIME_SLOT_REF2": refs[1]}
            entry = ET.SubElement(
                ET.SubElement(tier, "ANNOTATION"),
                "ALIGNABLE_ANNOTATION",
                {"ANNOTATION_ID": f"a{slots // 2}", **about},
            )
            ET.SubElement(entry, "ANNOTATION_VALUE").text = _text(label)
    kind = {"GRAPHIC_REFERENCES": "false", "TIME_ALIGNABLE": "true"}
    ET.SubElement(root, "LINGUISTIC_TYPE", {"LINGUISTIC_TYPE_ID": "default-lt", **kind})
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _text(words: str) -> str:
    """Return words without the control characters that XML cannot hold."""
    return "".join(c if c.isprintable() or c in " \n\t" else " " for c in words)
