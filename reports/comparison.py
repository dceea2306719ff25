"""Several evaluated runs in one text table, for the command `evaluate`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..config import Config
from ..evaluation.average_precision import Evaluation, threshold_name
from .tables import text_table

SETTINGS_NAMED = 12  # that differ; the rest are counted
MISSING = "-"


def comparison_table(
    evaluations: Mapping[str, Evaluation], configs: Mapping[str, Config] | None = None
) -> str:
    """Return a text table: mAP of every run per threshold, AP per class, and settings that differ.

    Args:
        evaluations: by the run's name, all under one protocol and thresholds; the first one's
            headline is written above, and what was measured on others is said in a note.
        configs: the settings of the same runs.
    """
    first = next(iter(evaluations.values()))
    heads = [f"tIoU {threshold_name(t)}" for t in first.tious]
    totals = [["run", *heads, "average"]]
    totals += [[k, *_percent([*e.mean_ap, e.average_map])] for k, e in evaluations.items()]
    classes = [["class", *evaluations]]
    for label in sorted({label for e in evaluations.values() for label in e.per_class}):
        means = [e.per_class[label].mean() if label in e.per_class else None
                 for e in evaluations.values()]  # fmt: skip
        classes.append([label, *_percent(means)])
    blocks = [
        [first.headline, "mean average precision in %", *text_table(totals)],
        ["average precision in %, mean over the thresholds", *text_table(classes)],
    ]
    differing = _differing(configs or {})
    if differing:
        more = len(differing) - SETTINGS_NAMED
        title = "settings that differ"
        title += f" (the first {SETTINGS_NAMED}, {more} more)" if more > 0 else ""
        named = [["setting", *(configs or {})], *differing[:SETTINGS_NAMED]]
        blocks.append([title, *text_table(named)])
    notes = [
        f"note: {name}: {e.headline}" for name, e in evaluations.items()
        if e.headline != first.headline
    ]  # fmt: skip
    return "\n".join(["\n\n".join("\n".join(block) for block in blocks), *notes])


def _percent(shares: Iterable[float | None]) -> list[str]:
    return [MISSING if share is None else f"{100 * share:.2f}" for share in shares]


def _differing(configs: Mapping[str, Config]) -> list[list[str]]:
    """Return the settings in which the runs differ: name, and the runs' values as text."""
    flat = [_flat(config) for config in configs.values()]
    keys = dict.fromkeys(key for settings in flat for key in settings)
    rows = [[key, *(str(settings[key]) for settings in flat)] for key in keys]
    return [row for row in rows if len(set(row[1:])) > 1]


def _flat(config: Config) -> dict[str, Any]:
    return {
        f"{section}.{key}": value
        for section, values in config.model_dump().items()
        for key, value in values.items()
    }
