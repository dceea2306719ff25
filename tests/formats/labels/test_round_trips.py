"""What is written in any form is read back: exactly, or up to the form's own clock."""

from pathlib import Path

import pytest

from tsatal.formats.labels.find import HowToRead, read_labels
from tsatal.formats.labels.record import FrameClock, Labels
from tsatal.formats.labels.write import FORMS, losses, write_labels

from .sample import at_random, content

SEEDS = range(5)
FPS = 30


def there_and_back(labels: Labels, name: str, folder: Path, fps: float | None = None) -> Labels:
    form, clock = FORMS[name], FrameClock(fps)
    to = folder / (f"labels{form.ending}" if form.several else "labels")
    write_labels(labels, to, form, clock)
    back = read_labels(to, HowToRead(clock))
    assert back.problems == ()
    return back


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["csv", "tsv"])
def test_tables_hold_everything(name: str, seed: int, tmp_path: Path) -> None:
    labels = at_random(
        seed, scores=True, subsets=True, durations=True, negative=True, ignored=True, groups=True
    )
    assert losses(labels, FORMS[name]) == []
    back = there_and_back(labels, name, tmp_path)
    assert content(back) == content(labels)
    assert list(back.videos) == list(labels.videos)


@pytest.mark.parametrize("seed", SEEDS)
def test_activitynet_holds_annotations(seed: int, tmp_path: Path) -> None:
    labels = at_random(seed, subsets=True, durations=True, negative=True, ignored=True, groups=True)
    assert losses(labels, FORMS["activitynet"]) == []
    assert content(there_and_back(labels, "activitynet", tmp_path)) == content(labels)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["activitynet", "fiftyone"])
def test_detections_keep_their_scores(name: str, seed: int, tmp_path: Path) -> None:
    labels = at_random(seed, scores=True, negative=True)
    assert losses(labels, FORMS[name]) == []
    assert content(there_and_back(labels, name, tmp_path)) == content(labels)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["boris", "via", "trace"])
def test_forms_in_seconds_are_exact(name: str, seed: int, tmp_path: Path) -> None:
    labels = at_random(seed, negative=True, durations=name == "boris")
    assert losses(labels, FORMS[name]) == []
    assert content(there_and_back(labels, name, tmp_path)) == content(labels)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["elan", "webvtt", "srt"])
def test_forms_in_milliseconds(name: str, seed: int, tmp_path: Path) -> None:
    labels = at_random(seed, step=0.001)
    assert losses(labels, FORMS[name]) == ["times finer than milliseconds"]
    assert content(there_and_back(labels, name, tmp_path)) == content(labels)


@pytest.mark.parametrize("seed", SEEDS)
def test_audacity_has_microseconds(seed: int, tmp_path: Path) -> None:
    labels = at_random(seed, step=0.000001, negative=True)
    assert content(there_and_back(labels, "audacity", tmp_path)) == content(labels)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["webvtt", "srt"])
def test_subtitles_show_scores_and_give_them_back(name: str, seed: int, tmp_path: Path) -> None:
    labels = at_random(seed, step=0.001, scores=True)
    assert content(there_and_back(labels, name, tmp_path)) == content(labels)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scores", [False, True])
def test_label_studio_counts_frames(seed: int, scores: bool, tmp_path: Path) -> None:
    labels = at_random(seed, scores=scores, subsets=True, durations=True, groups=True)
    back = there_and_back(labels, "label-studio", tmp_path, FPS)
    for video_id, video in labels.videos.items():
        again = back.videos[video_id]
        assert (again.subset, again.duration_sec) == (video.subset, video.duration_sec)
        assert again.group == video.group
        for a, b in zip(video.actions, again.actions, strict=True):
            assert (a.label, getattr(a, "score", 0)) == (b.label, getattr(b, "score", 0))
            assert abs(a.start_sec - b.start_sec) <= 0.5 / FPS + 1e-9
            least = max(round(a.start_sec * FPS) + 1, round(a.end_sec * FPS)) / FPS
            assert b.end_sec == pytest.approx(least)
    # A second time nothing moves.
    assert content(there_and_back(back, "label-studio", tmp_path, FPS)) == content(back)
