"""Videos to a feature file."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..extract.label_clock import clock_of
from ..extract.settings import check_files, with_preset
from ..extract.sources import assign_ids, find_videos
from ..formats.atomic import check_place
from ..formats.labels.find import HowToRead, load_annotations
from ..formats.shards import check_single
from ..formats.subsets import report_unmatched
from .files import Pathlike, look_at_files

if TYPE_CHECKING:
    from ..extract.extractor import Summary


def extract(
    videos: Pathlike,
    out: Pathlike,
    *,
    annotations: Pathlike | None = None,
    config: str | None = None,
    split: float | None = None,
    split_seed: int = 0,
    label_fps: float | None = None,
    overwrite: bool = False,
    strict: bool = False,
    show_progress: bool = True,
    ray: str | None = None,
    **settings: Any,
) -> Summary:
    """Extract the features of a video, a folder or a list of videos into a feature file.

    Args:
        videos: a video, a folder (searched through), or a `.txt` list of paths.
        out: the feature file. Videos that are in it already are left alone.
        annotations: a file or folder of labels in any form of docs/labels.md, embedded in the
            file; by default `annotations.json` inside the folder.
        config: a name in `extract.settings.PRESETS`; `settings` count before its own.
        split, split_seed: see `formats.split.split`; where the labels have no subsets.
        label_fps: frames per second of labels that count frames; by default those of the videos.
        overwrite, strict, show_progress: see `extract.extractor.extract_videos`.
        ray: the cluster to run on, see `extract.ray_cluster.connect`; None runs in this process.
        settings: fields of `extract.settings.ExtractSettings`, such as `fps=10`.
    Raises:
        InputError: nothing to extract, annotations of another form, or settings that cannot work.

    Example:
        >>> tsatal.extract("videos", "out.h5", weights="random")  # doctest: +SKIP
    """
    chosen, videos = with_preset(config, settings), Path(videos)
    check_place(out)
    check_single(Path(out))
    if annotations is None and (videos / "annotations.json").is_file():
        annotations = videos / "annotations.json"
    paths = find_videos(videos, images=chosen.assume_fps is not None)
    clock = clock_of(paths, chosen.reading, label_fps)
    how = HowToRead(clock, split=split, seed=split_seed)
    if split is not None and not annotations:
        raise InputError("--split divides annotations, and there are none; give --annotations")
    truth = load_annotations(annotations, how) if annotations else None
    if truth:
        report_unmatched(set(assign_ids(paths)[0]), truth)
    check_files(chosen)
    if not overwrite:
        look_at_files(out if Path(out).exists() else None)

    from ..extract.engine import ThisProcess
    from ..extract.extractor import extract_videos
    from ..extract.ray_cluster import connect

    with connect(ray) if ray else nullcontext(ThisProcess()) as engine:
        return extract_videos(
            paths,
            out,
            chosen,
            annotations_text=truth.text if truth else None,
            overwrite=overwrite,
            strict=strict,
            show_progress=show_progress,
            engine=engine,
        )
