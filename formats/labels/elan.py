"""ELAN's `.eaf` in and out: XML with tiers of annotations between time slots, a file per video.

The form is EAF 3.0 (https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf): times
are whole milliseconds. A label is an annotation's value, or its tier's name where that is empty.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from ...errors import InputError, quantity
from ..names import nfc
from .record import (
    Action,
    Gathering,
    Labels,
    VideoLabels,
    id_of_media,
    lanes,
    listed,
)
from .times import milliseconds

NAMESPACE = "http://www.w3.org/2001/XMLSchema-instance"
MILLISECONDS = "milliseconds"
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


OTHERS = {
    "<annotations>": "CVAT's XML holds boxes in pictures, and no actions from a start to an end",
    "<annotation ": "Anvil's XML is not read; export its tracks as a table",
    "<xmeml": "Final Cut's XML is not read; export the markers as CSV",
    "<fcpxml": "Final Cut's XML is not read; export the markers as CSV",
}


def why_none(text: str) -> str:
    """Return what is to be done with XML of another program."""
    begin = text[:5000]
    known = (words for mark, words in OTHERS.items() if mark in begin)
    return f"XML, but no ELAN document{''.join(f': {words}' for words in list(known)[:1])}"


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
    units = next((h.get("TIME_UNITS", MILLISECONDS) for h in root.iter("HEADER")), MILLISECONDS)
    if units != MILLISECONDS:
        raise InputError(f"counts in {units}; save it in ELAN, which counts in milliseconds")
    gathered = Gathering()
    media, origin_sec = _media(root)
    video_id = id_of_media(media) or name
    gathered.video(video_id, media=media)
    slots = {
        slot.get("TIME_SLOT_ID", ""): int(value) / 1000 + origin_sec
        for slot in root.iter("TIME_SLOT")
        if (value := slot.get("TIME_VALUE", "")).isdecimal() and len(value) < 16
    }
    every = [(nfc(tier.get("TIER_ID", "")), tier) for tier in root.iter("TIER")]
    found = dict.fromkeys(tier_id for tier_id, _ in every)
    if missing := [t for t in tiers if nfc(t) not in found]:
        raise InputError(f"has no tier {missing[0]!r}, but: {', '.join(found) or 'none'}")
    wanted = {nfc(t) for t in tiers} or set(found)
    untimed = between = 0
    for tier_id, tier in every:
        if tier_id not in wanted:
            continue
        untimed += sum(1 for _ in tier.iter("REF_ANNOTATION"))
        between += _take(tier, tier_id, video_id, slots, gathered)
    if between:
        gathered.remarks.append(
            f"{quantity(between, 'boundary', 'boundaries')} without a time put at equal distances, "
            "as ELAN shows them"
        )
    if untimed:
        gathered.remarks.append(
            f"{quantity(untimed, 'annotation')} of dependent tiers, without times, left out"
        )
    left_out = [t for t in found if t not in wanted]
    if left_out:
        gathered.remarks.append(f"tiers left out {listed(left_out)}")
    names = listed(found) if found else ""
    return gathered.labels("ELAN", f"{quantity(len(found), 'tier')} {names}".strip())


def _take(
    tier: ET.Element,
    tier_id: str,
    video_id: str,
    slots: Mapping[str, float],
    gathered: Gathering,
) -> int:
    """Take down a tier's annotations; return how many slots without a time were given one."""
    entries = list(tier.iter("ALIGNABLE_ANNOTATION"))
    between = _between(entries, slots)
    for entry in entries:
        where = f"tier {tier_id}: {entry.get('ANNOTATION_ID')}"
        start, end = (between.get(slot, slots.get(slot)) for slot in _slots_of(entry))
        if start is None or end is None:
            gathered.problem(video_id, f"{where}: has no time")
            continue
        label = (entry.findtext("ANNOTATION_VALUE") or "").strip() or tier_id
        gathered.action(video_id, label, start, end, where=where)
    return len(between)


def _media(root: ET.Element) -> tuple[str, float]:
    """Return the name of the file that a document is about, and its instant at the document's 0.

    The first video goes before a sound that was linked first. Addresses are encoded.
    """
    described = sorted(
        root.iter("MEDIA_DESCRIPTOR"),
        key=lambda m: not (m.get("MIME_TYPE") or "").startswith("video"),
    )
    for about in described:
        if address := about.get("RELATIVE_MEDIA_URL") or about.get("MEDIA_URL"):
            origin = about.get("TIME_ORIGIN", "")
            known = origin.isdecimal() and len(origin) < 16
            return unquote(address).rsplit("/", 1)[-1], int(origin) / 1000 if known else 0.0
    return "", 0.0


def _slots_of(entry: ET.Element) -> tuple[str, str]:
    """Return the time slots at which an annotation begins and ends."""
    return entry.get("TIME_SLOT_REF1", ""), entry.get("TIME_SLOT_REF2", "")


def _between(entries: Sequence[ET.Element], slots: Mapping[str, float]) -> dict[str, float]:
    """Return times for the slots of a tier that have none: at equal distances between those known.

    Annotations that divide one of a parent's tier follow each other, and share such slots.
    """
    after = {start: end for start, end in map(_slots_of, entries)}
    found: dict[str, float] = {}
    seen: set[str] = set()  # so that no chain is walked twice, or round and round
    for first in (start for start in after if start in slots):
        chain = [first]
        while (following := after.get(chain[-1])) is not None and following not in seen:
            chain.append(following)
            if following in slots:
                break
            seen.add(following)
        if chain[-1] in slots and len(chain) > 2:
            start, step = slots[first], (slots[chain[-1]] - slots[first]) / (len(chain) - 1)
            found |= {slot: start + n * step for n, slot in enumerate(chain[1:-1], start=1)}
    return found


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
    media = (video.media or video.video_id).replace("%", "%25")
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
