"""Text tables for the terminal: evaluations as `evaluate` and `demo` print them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InputError
from ..evaluation.average_precision import Evaluation, threshold_name


def text_table(rows: Sequence[Sequence[str]], *, least_width: int = 0) -> list[str]:
    """Return the rows as aligned lines, the first column to the left, the others to the right.

    Args:
        least_width: of every column but the first, in letters.
    """
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
        rows.append([name, str(number), *(f"{100 * value:.2f}" for value in [*ap, ap.mean()])])
    *classes, total = text_table(rows, least_width=6)
    title = [evaluation.headline, "average precision in % at tIoU thresholds", ""]
    notes = [f"note: {note}" for note in evaluation.notes]
    return "\n".join([*title, *classes, "-" * len(total), total, *notes])


def data_frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Any:
    """Return the rows as a pandas DataFrame.

    Raises:
        InputError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise InputError("to_pandas() needs pandas: pip install pandas") from None
    return pandas.DataFrame(rows, columns=list(columns))
