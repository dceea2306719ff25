from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from tsatal.extract.video import (
    FORMATS,
    PLAYLISTS,
    TIME,
    DecodeReport,
    VideoError,
    _check_size,
    picture_stream,
    probe_duration,
    read_frames,
)

from ..conftest import SHARED
from .conftest import VideoWriter, read_number


def numbers(path: Path, **kwargs: object) -> list[int]:
    return [read_number(frame) for frame in read_frames(path, **kwargs)]  # type: ignore[arg-type]


def expected(seconds: list[float], fps: float = 10.0) -> list[int]:
    """The rule, said once more and plainly: the first picture at or after every tick."""
    chosen: list[int] = []
    while True:
        tick = len(chosen) / fps - 1e-9
        after = [number for number, s in enumerate(seconds) if s >= tick]
        if not after:
            return chosen
        chosen.append(after[0])


@pytest.mark.parametrize("container", ["mp4", "mkv", "mov", "ts", "m4v"])
@pytest.mark.parametrize(
    ("rate", "unit"),
    [
        (Fraction(30), Fraction(1, 30000)),
        (Fraction(30000, 1001), Fraction(1, 30000)),
        (Fraction(25), Fraction(1, 12800)),
        (Fraction(5), Fraction(1, 90000)),
    ],
)
def test_every_tick_gets_the_first_picture_at_or_after_it(
    write_video: VideoWriter, container: str, rate: Fraction, unit: Fraction
) -> None:
    stamps = [int(n / rate / unit) for n in range(100)]
    path = write_video(f"v.{container}", stamps, unit=unit, rate=rate)
    seconds = [float(s * unit) for s in stamps]
    if container == "mkv":
        seconds = [round(s, 3) for s in seconds]
    assert numbers(path) == expected(seconds)


def test_variable_rate_keeps_to_the_clock(write_video: VideoWriter) -> None:
    draw = random.Random(0)
    stamps = [0]
    while len(stamps) < 90:
        stamps.append(stamps[-1] + draw.choice([300, 1000, 1700, 9000]))
    path = write_video("vfr.mp4", stamps)
    assert numbers(path) == expected([s / 30000 for s in stamps])


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts"])
def test_a_clock_that_starts_late_counts_from_the_first_picture(
    write_video: VideoWriter, container: str
) -> None:
    stamps = [45000 + 1000 * n for n in range(60)]
    path = write_video(f"late.{container}", stamps)
    assert numbers(path) == list(range(0, 58, 3))


def test_pictures_stamped_in_rounded_milliseconds_are_not_skipped(write_video: VideoWriter) -> None:
    stamps = [round(1000 * n / 30) for n in range(60)]
    path = write_video("v.mkv", stamps, unit=Fraction(1, 1000))
    assert numbers(path, fps=30.0) == list(range(60))


def test_one_picture_gives_one_frame(write_video: VideoWriter) -> None:
    assert numbers(write_video("one.mp4", [0])) == [0]


def test_a_jump_of_hours_in_the_time_stamps_ends_the_video(write_video: VideoWriter) -> None:
    stamps = [1000 * n for n in range(30)] + [30000 * 90000 + 1000 * n for n in range(30)]
    path = write_video("jump.mkv", stamps, unit=Fraction(1, 30000))
    report = DecodeReport()
    assert len(list(read_frames(path, report=report))) == 10
    assert "jump" in report.partial


@pytest.mark.parametrize("size", [(160, 128), (128, 160), (400, 300), (641, 479), (90, 66)])
def test_frames_are_centred_squares_of_the_asked_size(
    write_video: VideoWriter, size: tuple[int, int]
) -> None:
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    image[height // 2 :, width // 2 :] = 255  # the corner of the bright part is the centre
    path = write_video("v.mkv", [0], size=size, codec="ffv1", pix_fmt="bgr0", images=[image])
    frame = next(iter(read_frames(path)))
    assert frame.shape == (112, 112, 3) and frame.dtype == np.uint8
    assert frame.flags["C_CONTIGUOUS"]
    assert (frame[:54].max(), frame[:, :54].max()) == (0, 0)
    assert frame[59:, 59:].min() == 255


def test_colours_are_rgb(write_video: VideoWriter) -> None:
    image = np.zeros((128, 160, 3), np.uint8)
    image[..., 0] = 255
    path = write_video("red.mkv", [0], codec="ffv1", pix_fmt="bgr0", images=[image])
    assert next(iter(read_frames(path)))[50, 50].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "container"),
    [
        ("libx264", "yuv420p10le", "mp4"),
        ("ffv1", "gray", "mkv"),
        ("libvpx-vp9", "yuv420p", "webm"),
        ("mpeg4", "yuv420p", "avi"),
        ("libsvtav1", "yuv420p", "mp4"),
        ("mjpeg", "yuvj420p", "mov"),
    ],
)
def test_pixel_formats_and_codecs(
    write_video: VideoWriter, codec: str, pix_fmt: str, container: str
) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV cannot write {codec}")
    unit = Fraction(1, 30)
    name = f"v.{container}"
    path = write_video(name, range(30), unit=unit, codec=codec, pix_fmt=pix_fmt)
    assert numbers(path) == list(range(0, 30, 3))
    assert probe_duration(path) == pytest.approx(1.0, abs=0.05)


def test_a_damaged_stream_is_decoded_on_and_reported(write_video: VideoWriter) -> None:
    path = write_video("v.mp4", range(0, 90000, 1000))
    content = bytearray(path.read_bytes())
    begin = content.find(b"mdat") + len(content) // 3
    content[begin : begin + 300] = random.Random(1).randbytes(300)
    path.write_bytes(content)
    report = DecodeReport()
    frames = list(read_frames(path, report=report))
    assert len(frames) == pytest.approx(30, abs=2)
    assert report.damaged + report.lost_packets > 0 and report.partial
    again = list(read_frames(path))
    np.testing.assert_array_equal(frames, again)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "0 bytes"), (b"not a video at all\n", "not a video"), (None, "cannot be opened")],
)
def test_what_is_no_video_is_refused_by_name(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "x.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VideoError, match=reason) as error:
        list(read_frames(path))
    assert "x.mp4" in str(error.value)


def test_a_download_cut_before_its_index_is_refused(write_video: VideoWriter) -> None:
    path = write_video("v.mp4", range(0, 90000, 1000))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(VideoError, match="cut off before its index"):
        list(read_frames(path))


def test_an_avi_cut_in_half_gives_what_it_has(write_video: VideoWriter) -> None:
    path = write_video("v.avi", range(120), unit=Fraction(1, 30), codec="mpeg4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    report = DecodeReport()
    frames = list(read_frames(path, report=report))
    assert 10 < len(frames) < 30
    assert report.missing_sec == pytest.approx(4.0 - len(frames) / 10, abs=0.2)
    assert "are missing" in report.partial


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sound.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
        sound.rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(VideoError, match="no picture stream, only audio"):
        list(read_frames(path))


@pytest.mark.parametrize("name", ["empty", "text", "cut_download", "audio_only"])
def test_bad_collection_refusals(bad_videos: Path, name: str) -> None:
    with pytest.raises(VideoError, match=f"{name}.mp4: "):
        list(read_frames(bad_videos / f"{name}.mp4"))


def test_bad_collection_partial_videos(bad_videos: Path) -> None:
    cut, rotten = DecodeReport(), DecodeReport()
    assert len(list(read_frames(bad_videos / "cut_in_half.avi", report=cut))) == 49
    assert cut.missing_sec == pytest.approx(3.27, abs=0.05)
    assert len(list(read_frames(bad_videos / "bitrot.mp4", report=rotten))) == 81
    assert rotten.lost_packets > 0 and rotten.damaged > 0 and rotten.missing_sec == 0


def test_bad_collection_whole_videos(bad_videos: Path) -> None:
    report = DecodeReport()
    assert len(list(read_frames(bad_videos / "one_frame.mp4", report=report))) == 1
    assert not report.partial
    original = SHARED / "workout" / "videos" / "pull-ups_pull-up_10.mp4"
    straight = np.stack(list(read_frames(original))).astype(float)
    turned = np.stack(list(read_frames(bad_videos / "rotated.mp4"))).astype(float)
    assert abs(turned - np.rot90(straight, 1, axes=(1, 2))).mean() < 1.0


def test_bad_collection_variable_rate(bad_videos: Path) -> None:
    """Every frame shows the moment of its own time stamp in the undisturbed video."""
    rate = Fraction(30000, 1001)
    with av.open(str(bad_videos / "vfr.mp4")) as container:
        seconds = [float(p.time or 0) for p in container.decode(video=0)]
    original = SHARED / "workout" / "videos" / "pull-ups_pull-up_10.mp4"
    every = [f.astype(float) for f in read_frames(original, fps=float(rate))]
    wanted = [round(seconds[n] * rate) for n in expected(seconds)]
    frames = list(read_frames(bad_videos / "vfr.mp4"))
    assert len(frames) == len(wanted)
    at = [abs(f - every[w]).mean() for f, w in zip(frames, wanted, strict=True)]
    late = [abs(f - every[w + 3]).mean() for f, w in zip(frames[:-2], wanted[:-2], strict=True)]
    assert np.mean(at) < np.mean(late) / 2 and max(at) < 8


def test_a_video_without_a_packet_gives_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "empty.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        container.start_encoding()
    with pytest.raises(VideoError, match="no picture could be decoded"):
        next(read_frames(path))


def test_a_stream_that_nothing_decodes_is_refused() -> None:
    stream = SimpleNamespace(disposition=av.stream.Disposition(0), codec_context=None)
    container: Any = SimpleNamespace(streams=SimpleNamespace(video=[stream]))
    with pytest.raises(VideoError, match="of a kind that FFmpeg cannot decode"):
        picture_stream(container, Path("v.mp4"))


def test_pictures_that_no_camera_takes_are_refused() -> None:
    for width, height in ((8193, 8192), (33, 1), (1, 33)):
        with pytest.raises(VideoError, match=f"said to be {width} x {height}"):
            _check_size(width, height, Path("v.mp4"))
    _check_size(8192, 8192, Path("v.mp4"))
    _check_size(64, 2, Path("v.mp4"))


@pytest.mark.parametrize(
    "name", ["12:30.mp4", "http:v.mp4", "file:v.mp4", "concat:v|w.mp4", "%03d.mp4"]
)
def test_what_looks_like_a_protocol_is_a_file(
    name: str, write_video: VideoWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(name, range(0, 20000, 1000))
    monkeypatch.chdir(tmp_path)
    assert len(list(read_frames(name))) > 3


HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nv.ts\n#EXT-X-ENDLIST\n"
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"


@pytest.mark.parametrize(
    "name, text",
    [
        ("list.mp4", "ffconcat version 1.0\nfile v.ts\n"),
        ("list.mp4", "ffconcat version 1.0\nfile ../v.ts\n"),
        ("list.m3u8", HLS),
        ("list.m3u8", HLS.replace("v.ts", "http://127.0.0.1:9/x.ts")),
        ("list.sdp", SDP),
    ],
)
def test_a_playlist_is_no_video_wherever_it_leads(
    name: str, text: str, write_video: VideoWriter, tmp_path: Path
) -> None:
    write_video("v.ts", range(0, 20000, 1000))
    assert len(list(read_frames(tmp_path / "v.ts"))) > 3
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(VideoError, match=rf"{name}: a playlist, not a video"):
        list(read_frames(path))
    assert probe_duration(path) == 0.0


def test_all_that_ffmpeg_knows_is_taken_but_playlists() -> None:
    """A name that this FFmpeg does not have, as after an update, would let one through."""
    assert set(FORMATS.split(",")) >= {"mov", "matroska", "avi", "mpegts", "asf", "flv", "mxf"}
    assert {"concat", "hls", "sdp"} <= PLAYLISTS & av.formats_available


@pytest.mark.parametrize(
    "tag", ["", "x", "1:2", "::", "-1:00:00", "99999999999:00:00", "00:00:nan"]
)
def test_a_duration_tag_that_is_none_is_no_duration(tag: str) -> None:
    assert TIME.fullmatch(tag) is None
    assert TIME.fullmatch("00:00:03.520000000")


def test_time_stamps_that_spread_few_pictures_over_hours_are_a_broken_clock(
    write_video: VideoWriter,
) -> None:
    """Each jump is a still picture's; all together they would be days of frames."""
    path, report = write_video("v.mp4", [n * 30000 * 300 for n in range(40)]), DecodeReport()
    frames = sum(1 for _ in read_frames(path, report=report))
    assert "time stamps spread" in report.broken and frames < 10 * 1000
