"""Videos to detections: with a run's head, or with a backbone's own classifier."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, shown
from ..extract.clock import BY_ITSELF
from ..extract.settings import ExtractSettings
from ..extract.sources import assign_ids, find_videos
from ..formats.annotations import all_labels
from ..formats.atomic import check_place
from ..formats.class_scores import ClassScores
from ..formats.features import FEATURE_SUFFIXES, FeatureFile
from ..formats.labels.find import load_annotations
from ..formats.video_scores import load_video_scores
from ..head.packed import backbone_weights, place_for, projection_of, run_folder
from ..head.run import check_same_extraction, load_run_description, newest_run
from .files import Pathlike, look_at_files

if TYPE_CHECKING:
    from ..extract.extractor import Summary
    from ..formats.features import TimeAxis, VideoFeatures
    from ..reports.detections import DetectedVideo, DetectedVideos

logger = logging.getLogger(__name__)

FIRST_LOOK = "first_look"  # folder of what is found without a run
EXTRACTED = "features.h5"  # rows of detected videos, in the folder of their detections


def detect(
    videos: Pathlike | Sequence[Pathlike],
    run: Pathlike | None = None,
    *,
    out: Pathlike | None = None,
    min_score: float | None = None,
    top: int | None = None,
    annotations: Pathlike | None = None,
    features: Pathlike | None = None,
    weights: str | None = None,
    flow_weights: str | None = None,
    track: int | None = None,
    assume_fps: float | None = None,
    video_scores: Pathlike | None = None,
    checkpoint: str = "last",
    device: str = "auto",
    changes: Sequence[str] = (),
    pages: bool = False,
    show_progress: bool = True,
    on_video: Callable[[DetectedVideo], None] = lambda video: None,
) -> DetectedVideos:
    """Find actions in raw videos or in feature files, and write detections and pictures.

    Raw videos are extracted as the run's features were, into `features.h5` in `out`, where they
    are found again the next time; detection reads that file.

    Args:
        videos: videos, folders and lists of videos, and feature files; one or several.
        run: the run's folder, or a packed model (see `head.packed.run_folder`); the newest in
            `runs` where not given.
        out: where to write; where not given, `detections` in the run's folder, and for a packed
            model in this one.
        min_score: leave out what scores less; where not given, less than the run's own threshold of
            the class, which was chosen on its validation videos. 0 keeps all.
        top: keep the best so many of each video.
        annotations: ground truth to draw above the detections.
        features: a feature file made like the run's, for its projection; for a run of an older
            version, which kept no copy.
        weights, flow_weights: checkpoints of the extraction, see `extract.provenance.settings_of`.
        video_scores: see `evaluate`.
        track, assume_fps: how raw videos are read, see `extract.settings.ExtractSettings`.
        checkpoint: "last" or "best".
        device: `auto`, `cpu` or `cuda`.
        changes: see `head.run.load_run_description`.
        pages: whether to write an HTML page per video, see `reports.viewer`.
        show_progress: see `extract.extractor.extract_videos`.
        on_video: called with every video as soon as it is done.
    Raises:
        InputError: no such run or source, features that were not made like the run's, or two
            videos of one name.

    Example:
        >>> tsatal.detect("new.mp4", run="runs/first")["new"].detections  # doctest: +SKIP
    """
    given_run = run or newest_run()
    out = Path(out or place_for(given_run, "detections"))
    check_place(out, folder=True)
    run = run_folder(given_run)
    load_run_description(run, changes)
    annotated = load_annotations(annotations) if annotations else None
    # A feature file is detected in as it is; everything else stands for raw videos.
    given = _sources(videos)
    feature_files = [path for path in given if path.suffix.lower() in FEATURE_SUFFIXES]
    others = [path for path in given if path not in feature_files]
    raw = _raw_videos(others, images=assume_fps is not None)
    paths, _ = assign_ids(raw)
    for path in feature_files:
        look_at_files(path)

    from ..extract.backbones.device import choose_device
    from ..extract.provenance import settings_of
    from ..head.detector import load_detector
    from ..reports.detections import DetectedVideos, write_detections
    from ..reports.finder import Finder
    from ..reports.report import Epochs

    device = choose_device(device)
    detector = load_detector(
        run, checkpoint=checkpoint, device=device, changes=changes, own_scores=bool(video_scores)
    )
    if unfinished := Epochs(detector.epoch, detector.config.optim.epochs, checkpoint).words(run):
        logger.warning("%s", unfinished)
    finder = Finder(
        detector,
        labels=all_labels(detector.data.labels, annotated),
        paths=paths,
        min_score=min_score,
        top=top,
        scores=load_video_scores(video_scores) if video_scores else None,
        on_video=on_video,
    )
    for path in feature_files:
        with FeatureFile(path) as file:
            check_same_extraction(file, detector.data)
            finder.in_file(file, file.video_ids)
    extraction, reading = None, BY_ITSELF
    if raw:
        settings = settings_of(
            detector.data.extraction,
            streams=detector.data.streams,
            features=projection_of(run, features, detector.data.features),
            weights=weights or backbone_weights(run, "rgb"),
            flow_weights=flow_weights or backbone_weights(run, "flow"),
            device=device,
            track=track,
            assume_fps=assume_fps,
        )
        reading = settings.reading
        extraction = _extract_and_look(
            raw, out, settings, finder.in_features, finder.in_file, show_progress
        )
    # In the order of the sources, whenever each was extracted; feature files come first.
    found = finder.found
    in_order = [v for v in found if v not in paths] + [v for v in paths if v in found]
    detected = {video_id: found[video_id] for video_id in in_order}
    truth = annotated.videos if annotated else {}
    written = write_detections(
        detected,
        out,
        truth=truth,
        pages=pages,
        reading=reading,
        thresholds=detector.point.of_all(finder.labels) if detector.point else {},
        min_score=min_score,
    )
    return DetectedVideos(detected, tuple(written), extraction)


def first_look(
    videos: Pathlike | Sequence[Pathlike],
    *,
    out: Pathlike = FIRST_LOOK,
    classes: Sequence[str] = (),
    backbone: str = "i3d",
    min_score: float = 0.0,
    top: int | None = None,
    pages: bool = False,
    show_progress: bool = True,
    on_video: Callable[[DetectedVideo], None] = lambda video: None,
    **settings: Any,
) -> DetectedVideos:
    """Find what a backbone's own classifier knows in raw videos, without any training.

    Args:
        videos: videos, folders and lists of videos, and feature files with class scores; one or
            several.
        out: where to write, as `detect` does; rows and scores are kept in `features.h5` there.
        classes: names of the only classes to look for; all of the backbone's where not given.
        backbone: one that has a classifier.
        min_score, top, pages, show_progress, on_video: see `detect`.
        settings: further fields of `extract.settings.ExtractSettings`, such as `weights`.
    Raises:
        InputError: no video, no such class, weights that are not here, a feature file without
            class scores, or two videos of one name.
    """
    from ..extract.backbones.table import is_dense
    from ..extract.first_look import LOOK, find_classes, look, without_last

    out = Path(out)
    check_place(out, folder=True)
    chosen = ExtractSettings(backbone=backbone, scores=True, **{**LOOK, **settings})
    known = chosen.family.labels or ()
    given = _sources(videos)
    stored = [path for path in given if path.suffix.lower() in FEATURE_SUFFIXES]
    others = [path for path in given if path not in stored]
    raw = _raw_videos(others, images=chosen.assume_fps is not None)
    if raw:
        find_classes(classes, known)  # before anything is extracted
    paths, _ = assign_ids(raw)

    from ..reports.detections import DetectedVideo, DetectedVideos, write_detections

    found = dict[str, DetectedVideo]()

    def look_at(video_id: str, scores: ClassScores, axis: TimeAxis, extractor: str) -> None:
        if video_id in found:
            raise InputError(f"two videos have the id {shown(video_id)}; look at one after another")
        numbers = find_classes(classes, scores.classes) if classes else None
        if is_dense(extractor):
            scores = without_last(scores)
        if not scores.values.any():
            logger.info("%s: too short for a first look", video_id)
        seen = look(scores, axis, classes=numbers)
        kept = [d for d in seen.detections if d.score >= min_score][:top]
        found[video_id] = DetectedVideo(
            video_id, axis.duration_sec, kept, seen.actionness, source=paths.get(video_id)
        )
        on_video(found[video_id])

    def look_at_new(video: VideoFeatures) -> None:
        if video.scores is not None:
            scores = ClassScores(video.scores.astype("float32"), known)
            look_at(video.video_id, scores, video.axis, backbone)

    def look_at_old(file: FeatureFile, video_ids: Sequence[str]) -> None:
        for video_id in video_ids:
            if scores := file.class_scores(video_id):
                extractor = str(file.provenance.get("extractor"))
                look_at(video_id, scores, file.time_axis(video_id), extractor)

    for path in stored:
        before = len(found)
        with FeatureFile(path) as file:
            look_at_old(file, file.video_ids)
        if len(found) == before:
            raise InputError(
                f"{path}: holds no class scores; `tsatal extract --scores` stores them"
            )
    extraction = None
    if raw:
        extraction = _extract_and_look(raw, out, chosen, look_at_new, look_at_old, show_progress)
    # One colour for a class in the pictures and pages of all videos.
    labels = sorted({d.label for video in found.values() for d in video.detections})
    in_order = [v for v in found if v not in paths] + [v for v in paths if v in found]
    ordered = {v: replace(found[v], labels=labels) for v in in_order}
    written = write_detections(
        ordered, out, truth={}, pages=pages, reading=chosen.reading, subtitled=True,
        min_score=min_score,
    )  # fmt: skip
    return DetectedVideos(ordered, tuple(written), extraction)


def _sources(videos: Pathlike | Sequence[Pathlike]) -> list[Path]:
    """Return one source or several as paths."""
    return [Path(video) for video in ([videos] if isinstance(videos, Pathlike) else videos)]


def _raw_videos(sources: Sequence[Path], *, images: bool) -> list[Path]:
    """Return the videos that these sources stand for; `images` takes folders of images, too."""
    return [video for source in sources for video in find_videos(source, images=images)]


def _extract_and_look(
    raw: Sequence[Path],
    out: Path,
    settings: ExtractSettings,
    in_features: Callable[[VideoFeatures], None],
    in_file: Callable[[FeatureFile, Sequence[str]], None],
    show_progress: bool,
) -> Summary:
    """Extract raw videos into `out`, and look at each as soon as its rows are safe.

    Args:
        in_features: looks at a video that is extracted now.
        in_file: looks at those that were extracted before, in the file.
    """
    from ..extract.extractor import extract_videos
    from ..extract.sharing.parts import OtherSettings

    out.mkdir(parents=True, exist_ok=True)
    try:
        extraction = extract_videos(
            raw, out / EXTRACTED, settings, show_progress=show_progress, on_video=in_features
        )
    except OtherSettings as e:
        raise InputError(f"{e.made}; choose another folder with --out") from None
    if before := [*extraction.already, *extraction.elsewhere]:
        with FeatureFile(extraction.out) as file:
            in_file(file, before)
    return extraction
