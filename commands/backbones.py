"""`tsatal backbones`: the networks that can look at frames, and what is known of each."""

from __future__ import annotations

from typing import Any

import click

from ..errors import InputError
from .options import JSON, tell


@click.command("backbones")
@click.option("--classes", "name", metavar="NAME", help="List what this one tells apart, instead.")
@JSON
def command(name: str | None, json_path: str | None) -> None:
    """List the networks that `tsatal extract --backbone NAME` knows.

    Commercial use is what the licence of the published weights says; `ask` where it says nothing.
    Here are those whose weights are on this machine. docs/backbones.md says more.
    """
    from ..extract.backbones.table import LIBRARIES, all_families, find_family, is_here
    from ..reports.tables import text_table

    if name is not None:
        labels = find_family(name).labels
        if labels is None:
            raise InputError(f"backbone {name!r}: nobody says what classes it was trained to tell")
        return tell("\n".join(labels), {"backbone": name, "classes": list(labels)}, json_path)

    rows: list[tuple[str, ...]] = [
        ("name", "width", "step", "input", "trained on", "top-1", "licence", "commercial use",
         "here", "weights from"),
    ]  # fmt: skip
    values: list[dict[str, Any]] = []
    for family in all_families():
        step_sec, here = family.stride_frames / family.fps, is_here(family)
        clip = f"{family.clip_frames} x " if family.kind == "clips" else ""
        seen = f"{clip}{family.crop} px, {family.fps:g} fps"
        top1 = "" if family.top1 is None else f"{family.top1:.1f} %"
        rows.append((
            family.name, str(family.width), f"{step_sec:.2f} s", seen, family.trained_on, top1,
            family.licence, family.commercial, "yes" if here else "no", family.source,
        ))  # fmt: skip
        values.append({
            "name": family.name, "kind": family.kind, "streams": list(family.streams),
            "width": family.width, "step_sec": step_sec, "fps": family.fps, "crop": family.crop,
            "clip_frames": family.clip_frames, "trained_on": family.trained_on,
            "top1": family.top1, "licence": family.licence, "commercial": family.commercial,
            "weights": family.urls, "source": family.source, "needs": family.extra or None,
            "here": here,
        })  # fmt: skip
    more = [f"{library}:{example}  {what}" for library, (_, example, what) in LIBRARIES.items()]
    tell("\n".join([*text_table(rows), "", *more]), {"backbones": values}, json_path)
