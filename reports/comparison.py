"""Several runs measured alike, in one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config import Config
from ..evaluation.average_precision import Evaluation, threshold_name

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
    totals = {k: [*e.mean_ap, e.average_map] for k, e in evaluations.items()}
    blocks = [
        [first.headline, "mean average precision in %"],
        _table("run", [*heads, "average"], {k: _percent(v) for k, v in totals.items()}),
        ["average precision in %, mean over the thresholds"],
        _table("class", list(evaluations), _classes(evaluations)),
    ]
    differing = _differing(configs or {})
    if differing:
        named = dict(list(differing.items())[:SETTINGS_NAMED])
        more = len(differing) - len(named)
        title = "settings that differ" + (f" (the first {len(named)}, {more} more)" if more else "")
        blocks += [[title], _table("setting", list(configs or {}), named)]
    notes = [
        f"note: {name}: {e.headline}" for name, e in evaluations.items()
        if e.headline != first.headline
    ]  # fmt: skip
    return "\n".join("\n".join(block) for block in [*_spaced(blocks), *([notes] if notes else [])])


def _spaced(blocks: list[list[str]]) -> list[list[str]]:
    """Return titles and tables in pairs, with an empty line before each but the first title."""
    return [[*([""] if n and n % 2 == 0 else []), *block] for n, block in enumerate(blocks)]


def _table(name: str, heads: list[str], rows: Mapping[str, list[str]]) -> list[str]:
    lines = [[name, *heads], *([label, *cells] for label, cells in rows.items())]
    first, *widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join([f"{line[0]:{first}}", *map(str.rjust, line[1:], widths)]) for line in lines]


def _percent(values: list[float]) -> list[str]:
    return [f"{100 * value:.2f}" for value in values]


def _classes(evaluations: Mapping[str, Evaluation]) -> dict[str, list[str]]:
    labels = sorted({label for e in evaluations.values() for label in e.per_class})
    return {
        label: [
            f"{100 * e.per_class[label].mean():.2f}" if label in e.per_class else MISSING
            for e in evaluations.values()
        ]
        for label in labels
    }


def _differing(configs: Mapping[str, Config]) -> dict[str, list[str]]:
    """Return the settings in which the runs differ, with their values as text."""
    flat = [_flat(config) for config in configs.values()]
    keys = list(dict.fromkeys(key for settings in flat for key in settings))
    values = {key: [str(settings[key]) for settings in flat] for key in keys}
    return {key: row for key, row in values.items() if len(set(row)) > 1}


def _flat(config: Config) -> dict[str, Any]:
    return {
        f"{section}.{key}": value
        for section, values in config.model_dump().items()
        for key, value in values.items()
    }
