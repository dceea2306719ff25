"""Clips: the very pictures and sounds of their span, whole files only, names that do no harm."""

import csv
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tsatal.errors import InputError
from tsatal.extract.clock import BY_ITSELF, Reading
from tsatal.extract.sources import assign_ids, find_videos
from tsatal.formats.annotations import Detection, Instance
from tsatal.formats.labels.record import Labels, VideoLabels
from tsatal.reports import clips as clips_module
from tsatal.reports.clip_writer import ClipWriter
from tsatal.reports.clips import Clips, choose_clips, labels_of_videos, write_clips

FPS, RATE, SIDE, LEVELS = 25, 16000, 64, 5


def write_video(
    path: Path, *, pictures: int = 75, sound: bool = True, late: float = 0.0, kind: str = "mp4"
) -> Path:
    """Write a video whose picture `n` says its number, with a tone in every odd second.

    late: seconds by which the pictures begin after the sound.
    """
    with av.open(str(path), "w", format={"mkv": "matroska"}.get(kind, kind)) as file:
        stream = file.add_stream("libx264", rate=FPS, options={"crf": "8", "preset": "ultrafast"})
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        packets = []
        if sound:
            voice = file.add_stream("aac", rate=RATE, layout="mono")
            time = np.arange(int((pictures / FPS + late) * RATE)) / RATE
            tone = np.sin(2 * np.pi * 440 * time) * ((time - late) % 2 >= 1)
            frame = av.AudioFrame.from_ndarray(tone[None].astype(np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
            packets += [*voice.encode(frame), *voice.encode()]
        for n in range(pictures):
            image = np.full((SIDE, SIDE, 3), 30, np.uint8)
            for bit in range(8):  # a row of eight fields, black or white
                image[:, bit * 8 : bit * 8 + 8] = 220 * (n >> bit & 1) + 16
            picture = av.VideoFrame.from_ndarray(image, "rgb24")
            picture.pts, picture.time_base = round((late + n / FPS) * 1000), Fraction(1, 1000)
            packets += stream.encode(picture)
        packets += stream.encode()
        for packet in sorted(packets, key=lambda p: float((p.dts or 0) * p.time_base)):
            file.mux(packet)
    return path


def number_of(picture: av.VideoFrame) -> int:
    gray = picture.to_ndarray(format="gray")
    return sum((int(gray[:, b * 8 + 2 : b * 8 + 6].mean()) > 120) << b for b in range(8))


def pictures_in(path: Path) -> list[tuple[int, float]]:
    """Return the numbers of a clip's pictures, with the seconds of each."""
    with av.open(str(path)) as file:
        return [(number_of(p), float(p.time or 0)) for p in file.decode(video=0)]


def tone_in(path: Path) -> list[bool]:
    """Return whether there is a tone in each tenth of a second of a clip."""
    with av.open(str(path)) as file:
        parts = [f.to_ndarray() for f in file.decode(audio=0) if (f.pts or 0) >= 0]
    sound = np.concatenate(parts, axis=1)[0]
    return [
        bool(np.abs(part).max() > 0.3) for part in np.split(sound, range(1600, len(sound), 1600))
    ]


def labels(*actions: Detection | Instance, video_id: str = "v") -> Labels:
    return Labels("made up", {video_id: VideoLabels(video_id, actions)})


def cut(
    wanted: Labels, videos: Path, out: Path, *, pad: float = 0.0, reading: Reading = BY_ITSELF
) -> Clips:
    ids, refused = assign_ids(find_videos(videos, images=reading.assume_fps is not None))
    there, missing = labels_of_videos(wanted, ids)
    return write_clips(
        choose_clips(there), ids, out, pad_sec=pad, reading=reading, refused=refused,
        missing=missing,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
@pytest.mark.parametrize("late", [0.0, 0.5])
def test_pictures_and_sound_are_those_of_the_span(kind: str, late: float, tmp_path: Path) -> None:
    write_video(tmp_path / f"v.{kind}", kind=kind, late=late)
    made = cut(labels(Detection("run", 0.8, 1.48, 0.9)), tmp_path / f"v.{kind}", tmp_path / "out")
    assert not made.failed and not made.partial
    path = tmp_path / "out" / made.made[0][0]
    there = pictures_in(path)
    assert [n for n, _ in there] == list(range(20, 37))
    assert [t for _, t in there] == pytest.approx([k / FPS for k in range(17)], abs=1e-3)
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        assert float((stream.duration or 0) * (stream.time_base or 0)) == pytest.approx(
            0.68, abs=1e-3
        )
        assert file.streams.audio
    # Silence until second 1, which is 0.2 s into the clip; then the tone.
    tone = tone_in(path)
    assert tone[0] is False and all(tone[3:6])


def test_a_span_between_pictures_begins_with_the_one_that_is_shown_then(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", sound=False)
    made = cut(labels(Instance("run", 0.43, 0.49)), tmp_path / "v.mp4", tmp_path / "out")
    there = pictures_in(tmp_path / "out" / made.made[0][0])
    assert [n for n, _ in there] == [10, 11, 12]
    assert [t for _, t in there] == pytest.approx([0, 0.01, 0.05], abs=1e-3)


def test_padding_stays_inside_the_video_and_no_length_is_one_picture(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4")
    actions = Instance("a", 0.2, 0.4), Instance("b", 2.9, 9.0), Instance("c", 1.0, 1.0)
    made = cut(labels(*actions), tmp_path / "v.mp4", tmp_path / "out", pad=0.4)
    seen = {c.label: pictures_in(tmp_path / "out" / file) for file, c in made.made}
    assert [n for n, _ in seen["a"]] == list(range(20))
    assert [n for n, _ in seen["b"]][-1] == 74
    made = cut(labels(Instance("c", 1.0, 1.0)), tmp_path / "v.mp4", tmp_path / "o2")
    assert [n for n, _ in pictures_in(tmp_path / "o2" / made.made[0][0])] == [25]


def test_a_span_before_the_video_is_told(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", sound=False)
    actions = Instance("a", -3, -2), Instance("a", -1, 0.2)
    made = cut(labels(*actions), tmp_path / "v.mp4", tmp_path / "out")
    assert len(made.made) == 1
    assert made.failed == [f"{tmp_path}/v.mp4: a -3.00--2.00 s lies before the start of the video"]


def test_many_overlapping_clips_take_several_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clips_module, "MOST_OPEN", 3)
    write_video(tmp_path / "v.mp4", pictures=30, sound=False)
    actions = [Detection("run", n / FPS, (n + 9) / FPS, n / 100) for n in range(10)]
    made = cut(labels(*actions), tmp_path / "v.mp4", tmp_path / "out")
    assert len(made.made) == 10
    for file, clip in made.made:
        first = round(clip.start_sec * FPS)
        assert [n for n, _ in pictures_in(tmp_path / "out" / file)] == [*range(first, first + 9)]


def test_a_bad_video_stops_nothing_and_all_is_accounted_for(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    write_video(tmp_path / "videos" / "v.mp4", sound=False)
    (tmp_path / "videos" / "bad.mp4").write_bytes(b"no video at all" * 100)
    wanted = Labels(
        "made up",
        {
            "bad": VideoLabels("bad", (Instance("run", 0, 1),)),
            "v": VideoLabels("v", (Instance("run", 0, 1), Instance("run", 50, 60))),
            "absent": VideoLabels("absent", (Instance("run", 0, 1),)),
        },
    )
    made = cut(wanted, tmp_path / "videos", tmp_path / "out")
    assert [c.video_id for _, c in made.made] == ["v"]
    assert made.missing == ["absent"]
    assert "bad.mp4: not a video" in made.failed[0]
    assert "run 50.00-60.00 s lies after the end of the video at 3.00 s" in made.failed[1]
    assert "1 clip, index.csv" in str(made) and "not among the videos: 1 (absent)" in str(made)
    with pytest.raises(
        InputError, match=r"none of the videos asked for \(x\) is among those given"
    ):
        cut(labels(Instance("run", 0, 1), video_id="x"), tmp_path / "videos", tmp_path / "out")


def test_index_sheets_and_safe_names(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", sound=False)
    actions = (
        Detection("../up", 0, 0.2, 0.9), Detection("Run", 0, 0.2, 0.5),
        Detection("run", 0, 0.2, 0.4), Detection("run", 0, 0.2, 0.4),
        Detection("<script>", 1, 1.2, 0.1),
    )  # fmt: skip
    out = tmp_path / "out"
    made = cut(labels(*actions), tmp_path / "v.mp4", out)
    with (out / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["label"] for r in rows] == [a.label for a in actions]
    assert rows[0] | {"file": ""} == {
        "file": "", "video": "v", "label": "../up", "start_sec": "0.000", "end_sec": "0.200",
        "score": "0.90000",
    }  # fmt: skip
    assert len({r["file"].casefold() for r in rows}) == 5
    assert all((out / r["file"]).is_file() for r in rows)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "v.mp4"]
    pages = sorted((out / "sheets").glob("*.html"))
    assert len(pages) == 4 == len(list((out / "sheets").glob("*.png")))
    for text in (p.read_text("utf-8") for p in pages):
        assert "<script>" not in text.split('id="data">')[1].split("</script>")[0]
    image = cv2.imread(str(next((out / "sheets").glob("Run*.png"))))
    assert image is not None and image.std() > 10
    assert set(made.written) == {out / "index.csv", *(out / "sheets").iterdir()}


def test_the_best_of_each_class() -> None:
    found = [Detection("a", n, n + 1, n / 10) for n in range(5)] + [Detection("b", 0, 1, 0.01)]
    wanted = choose_clips(labels(*found), top=2)
    assert [(c.label, c.score) for c in wanted] == [("a", 0.3), ("a", 0.4), ("b", 0.01)]
    assert len(choose_clips(labels(*found), min_score=0.25)) == 2
    least = replace(labels(*found), thresholds={"a": 0.35, "b": 0.0})
    assert [c.score for c in choose_clips(least)] == [0.4, 0.01]
    assert len(choose_clips(least, min_score=0)) == 6
    with pytest.raises(InputError, match="lower --min-score"):
        choose_clips(labels(*found), min_score=2)


def test_clips_of_an_earlier_run_are_told(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", sound=False)
    first, second = Instance("run", 0, 0.2), Instance("run", 1, 1.2)
    assert "earlier run" not in str(cut(labels(first), tmp_path / "v.mp4", tmp_path / "out"))
    assert "earlier run" not in str(cut(labels(first), tmp_path / "v.mp4", tmp_path / "out"))
    again = cut(labels(second), tmp_path / "v.mp4", tmp_path / "out")
    assert "1 clips of an earlier run lie there too, not in index.csv" in str(again)


def test_folders_of_images_have_no_sound(tmp_path: Path) -> None:
    folder = tmp_path / "shots"
    folder.mkdir()
    for n in range(20):
        image = np.full((SIDE, SIDE, 3), 30, np.uint8)
        for bit in range(8):
            image[:, bit * 8 : bit * 8 + 8] = 220 * (n >> bit & 1) + 16
        cv2.imwrite(str(folder / f"{n:04d}.png"), image)
    found = labels(Instance("run", 0.5, 1.0), video_id="shots")
    made = cut(found, folder, tmp_path / "out", reading=Reading(assume_fps=10))
    assert [n for n, _ in pictures_in(tmp_path / "out" / made.made[0][0])] == [5, 6, 7, 8, 9]


def test_an_interrupted_run_leaves_whole_clips_and_their_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / "v.mp4", sound=False)
    done = ClipWriter.finish
    calls: list[int] = []

    def second_stops(writer: ClipWriter, end_sec: float) -> tuple[str, bytes]:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return done(writer, end_sec)

    monkeypatch.setattr(ClipWriter, "finish", second_stops)
    actions = [Instance("run", n / 2, n / 2 + 0.4) for n in range(4)]
    made = cut(labels(*actions), tmp_path / "v.mp4", tmp_path / "out")
    assert made.stopped_by and len(made.made) == 1
    left = [p.name for p in (tmp_path / "out" / "clips" / "run").iterdir()]
    assert left == [Path(made.made[0][0]).name]
    assert len((tmp_path / "out" / "index.csv").read_text().splitlines()) == 2
