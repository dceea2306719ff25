"""Results as tables: evaluations as text for the terminal, and rows as a frame for pandas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ..config import Config
from ..errors import InputError, printable
from ..evaluation.average_precision import Evaluation
from ..evaluation.events import Events, Outcome
from ..evaluation.matching import Matches, threshold_name
from ..evaluation.significance import FEWEST_VIDEOS, map_difference

SETTINGS_NAMED = 12  # that differ between runs; the rest are counted


class Rows:
    """A result that can be had as plain rows, and so as a pandas DataFrame."""

    _columns: tuple[str, ...] | None = None  # where a result without rows must still name them

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return a dictionary per row, by the names of the columns."""
        raise NotImplementedError

    def to_pandas(self) -> Any:
        """Return the rows of `to_dicts` as a pandas DataFrame.

        Raises:
            InputError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise InputError("to_pandas() needs pandas: pip install pandas") from None
        return pandas.DataFrame(self.to_dicts(), columns=self._columns)


def text_table(rows: Sequence[Sequence[str]], *, least_width: int = 0) -> list[str]:
    """Return the rows as aligned lines, the first column to the left, the others to the right.

    Labels and names are other people's, so what a terminal would act on is written out.

    Args:
        least_width: of every column but the first, in letters.
    """
    rows = [[printable(cell) for cell in row] for row in rows]
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    widths = [max(width, least_width) for width in others]
    return ["  ".join([row[0].ljust(first), *map(str.rjust, row[1:], widths)]) for row in rows]


def evaluation_table(evaluation: Evaluation) -> str:
    """Return percentages per class and threshold, with headline and notes."""
    per_class, instances = evaluation.per_class, evaluation.instances_per_class
    measured = [(label, instances[label], ap) for label, ap in per_class.items()]
    measured.append(("mAP", evaluation.num_instances, evaluation.mean_ap))
    rows = [["class", "instances", *map(threshold_name, evaluation.tious), "mean"]]
    for name, number, ap in measured:
        rows.append([name, str(number), *map(_percent, [*ap, ap.mean()])])
    *classes, total = text_table(rows, least_width=6)
    title = [evaluation.headline, "average precision in % at tIoU thresholds", ""]
    notes = [f"note: {note}" for note in evaluation.notes]
    return "\n".join([*title, *classes, "-" * len(total), total, *notes])


def outcome_table(outcome: Outcome) -> list[str]:
    """Return lines on what the detections above a run's thresholds are worth, by class."""
    seen = [(label, outcome.point.of(label), of) for label, of in outcome.per_class.items()]
    rows = [["class", "score from", *_EVENT_COLUMNS]]
    rows += [[label, f"{least:.2f}", *_event_cells(of)] for label, least, of in seen]
    rows.append(["all", "", *_event_cells(outcome.all)])
    *classes, total = text_table(rows)
    units = "in %, but for scores, counts, and false alarms per hour (false/h)"
    return [outcome.in_words, units, "", *classes, "-" * len(total), total]


def outcomes_table(outcomes: Mapping[str, Outcome]) -> list[str]:
    """Return lines that compare runs, each above its own thresholds, all classes together."""
    rows = [["run", *_EVENT_COLUMNS]]
    rows += [[name, *_event_cells(outcome.all)] for name, outcome in outcomes.items()]
    return ["above each run's own thresholds, all classes together", *text_table(rows)]


_EVENT_COLUMNS = (
    "instances", "detections", "precision", "recall", "F1", "count error", "false/h",
    "F1@10", "F1@25", "F1@50",
)  # fmt: skip


def _event_cells(seen: Events) -> list[str]:
    alarms = seen.false_alarms_per_hour
    either = seen.detections + seen.instances

    def share(value: float, of: int) -> str:
        return f"{100 * value:.1f}" if of else "-"

    return [
        str(seen.instances),
        str(seen.detections),
        share(seen.precision, seen.detections),
        share(seen.recall, seen.instances),
        share(seen.f1, either),
        share(seen.count_error, seen.instances),
        "?" if alarms is None else f"{alarms:.1f}",
        *(share(f1, either) for f1 in seen.segments.f1.values()),
    ]


def comparison_table(
    evaluations: Mapping[str, Evaluation],
    configs: Mapping[str, Config],
    trained: Mapping[str, str] = MappingProxyType({}),
    seeds: Mapping[str, Sequence[Evaluation]] = MappingProxyType({}),
) -> str:
    """Return mAP of every run per threshold, AP per class, and settings that differ, as text.

    Args:
        evaluations: by the run's name, all under one protocol and thresholds; the first one's
            headline is written above, and what was measured on others is said in a note.
        configs: the settings of the same runs; empty where they have none.
        trained: of runs that are not finished, how far they are, in words.
        seeds: of folds, the evaluations of all seeds, whose mean is what is compared.
    """
    first = next(iter(evaluations.values()))
    runs = [["run", *(f"tIoU {threshold_name(t)}" for t in first.tious), "average"]]
    for name, evaluation in evaluations.items():
        row = f"{name} ({trained[name]})" if trained.get(name) else name
        runs.append([row, *map(_percent, [*evaluation.mean_ap, evaluation.average_map])])
    classes = [["class", *evaluations]]
    for label in sorted({label for e in evaluations.values() for label in e.per_class}):
        aps = [e.per_class.get(label) for e in evaluations.values()]
        classes.append([label, *("-" if ap is None else _percent(ap.mean()) for ap in aps)])
    lines = [first.headline, "mean average precision in %", *text_table(runs), ""]
    lines += ["average precision in %, mean over the thresholds", *text_table(classes)]
    differing = _differing(configs)
    if differing:
        more = len(differing) - SETTINGS_NAMED
        counted = f" (the first {SETTINGS_NAMED}, {more} more)" if more > 0 else ""
        settings = text_table([["setting", *configs], *differing[:SETTINGS_NAMED]])
        lines += ["", f"settings that differ{counted}", *settings]
    lines += _differences(evaluations, seeds)
    for name, evaluation in evaluations.items():
        if evaluation.headline != first.headline:
            lines.append(f"note: {name}: {evaluation.headline}")
    return "\n".join(lines)


def _differences(
    evaluations: Mapping[str, Evaluation], seeds: Mapping[str, Sequence[Evaluation]]
) -> list[str]:
    """Return a line for each run on whether its mAP differs from the first run's.

    Runs that were measured otherwise than the first have none: `comparison_table` notes them.
    """

    def matches(name: str) -> list[Matches]:
        return [e.matches for e in seeds.get(name) or [evaluations[name]]]

    (name, first), *others = evaluations.items()
    measured_alike = [(other, e) for other, e in others if e.headline == first.headline]
    unlike = {other: _unlike(first.matches, e.matches) for other, e in measured_alike}
    alike = [other for other, difference in unlike.items() if not difference]
    lines = [
        f"note: {other}: measured on other {difference} than {name}, so the two are not compared"
        for other, difference in unlike.items()
        if difference
    ]
    videos = len(first.matches.video_ids)
    if alike and videos < FEWEST_VIDEOS:
        few = f"note: too few videos ({videos}) to say whether a difference is more than chance"
        return [*lines, few]
    for other in alike:
        gap = map_difference(matches(name), matches(other))
        verdict = "more than chance" if gap.certain else "may be chance"
        lines.append(
            f"note: {other} against {name}: {100 * gap.value:+.2f} (95 %: {100 * gap.low:+.2f} to "
            f"{100 * gap.high:+.2f}, bootstrap over videos): {verdict}"
        )
    return lines


def _unlike(one: Matches, other: Matches) -> str:
    """Return in words in what the ground truth of two runs differs; empty if it is the same."""
    if one.video_ids != other.video_ids:
        return "videos"
    differing = [
        video_id
        for video_id, video in one.videos.items()
        if Counter(video.instances) != Counter(other.videos[video_id].instances)
        or video.ignored != other.videos[video_id].ignored
    ]
    if not differing:
        return ""
    return (
        f"annotations (of {len(differing)} of {len(one.videos)} videos, such as "
        f"{printable(differing[0])}; --annotations FILE takes one for all)"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _differing(configs: Mapping[str, Config]) -> list[list[str]]:
    """Return the settings in which the runs differ: name, and the runs' values as text."""
    first, *others = [config.model_dump() for config in configs.values()] or [{}]
    rows = [
        [f"{section}.{key}", str(value), *(str(other[section][key]) for other in others)]
        for section, values in first.items()
        for key, value in values.items()
    ]
    return [row for row in rows if len(set(row[1:])) > 1]
