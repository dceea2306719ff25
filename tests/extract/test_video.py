from __future__ import annotations

import random
import struct
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from tsatal.extract.clock import Reading
from tsatal.extract.container import (
    FORMATS,
    PLAYLISTS,
    TIME,
    DecodeReport,
    VideoError,
    check_pictures,
    picture_track,
)
from tsatal.extract.video import probe_duration, read_frames, timed_pictures

from ..conftest import SHARED
from .conftest import VideoWriter, numbered_picture, read_number, write_raw, write_tracks


def numbers(path: Path, **kwargs: object) -> list[int]:
    return [read_number(frame) for frame in read_frames(path, **kwargs)]  # type: ignore[arg-type]


def expected(seconds: list[float], end: float, fps: float = 10.0) -> list[int]:
    """The rule, said once more and plainly: the last picture at or before every tick."""
    chosen: list[int] = []
    while len(chosen) / fps < end - 1e-6:
        tick = len(chosen) / fps + 1e-9
        chosen.append(max(number for number, s in enumerate(seconds) if s <= tick))
    return chosen


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
def test_every_tick_gets_the_last_picture_at_or_before_it(
    write_video: VideoWriter, container: str, rate: Fraction, unit: Fraction
) -> None:
    stamps = [int(n / rate / unit) for n in range(100)]
    path = write_video(f"v.{container}", stamps, unit=unit, rate=rate)
    seconds = [float(s * unit) for s in stamps]
    if container == "mkv":  # stamped in whole milliseconds
        with av.open(str(path)) as written:
            seconds = [float(p.time or 0) - 0.0005 for p in written.decode(video=0)]
    assert numbers(path) == expected(seconds, 100 / float(rate))


def test_variable_rate_keeps_to_the_clock(write_video: VideoWriter) -> None:
    draw = random.Random(0)
    stamps = [0]
    while len(stamps) < 90:
        stamps.append(stamps[-1] + draw.choice([300, 1000, 1700, 9000]))
    path = write_video("vfr.mp4", stamps)
    seconds = [s / 30000 for s in stamps]
    shown = numbers(path)
    assert shown == expected(seconds, len(shown) / 10)
    assert seconds[-1] < len(shown) / 10 <= seconds[-1] + 0.4


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts"])
def test_a_clock_that_starts_late_counts_from_the_first_picture(
    write_video: VideoWriter, container: str
) -> None:
    stamps = [45000 + 1000 * n for n in range(60)]
    path = write_video(f"late.{container}", stamps)
    assert numbers(path) == list(range(0, 60, 3))


def test_pictures_stamped_in_rounded_milliseconds_are_not_skipped(write_video: VideoWriter) -> None:
    stamps = [round(1000 * n / 30) for n in range(60)]
    path = write_video("v.mkv", stamps, unit=Fraction(1, 1000))
    assert numbers(path, fps=30.0) == list(range(60))


def test_one_picture_gives_one_frame(write_video: VideoWriter) -> None:
    assert numbers(write_video("one.mp4", [0])) == [0]


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
    [(b"", "0 bytes"), (b"not a video at all\n", "not a video"), (None, "no such file")],
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
    assert len(list(read_frames(bad_videos / "bitrot.mp4", report=rotten))) == 82
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
        unit = container.streams.video[0].time_base or Fraction(1)
        pictures = [(float(p.time or 0), p.duration * unit) for p in container.decode(video=0)]
    seconds, end = [s for s, _ in pictures], pictures[-1][0] + float(pictures[-1][1])
    original = SHARED / "workout" / "videos" / "pull-ups_pull-up_10.mp4"
    every = [f.astype(float) for f in read_frames(original, fps=float(rate))]
    wanted = [round(seconds[n] * rate) for n in expected(seconds, end)]
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
        picture_track(container, Path("v.mp4"))


def test_pictures_that_no_camera_takes_are_refused() -> None:
    for width, height in ((16385, 16384), (32769, 4096), (33, 1), (1, 33)):
        with pytest.raises(VideoError, match=rf"said to be {width} x {height}"):
            check_pictures(width, height, "yuv420p", Path("v.mp4"))
    check_pictures(8192, 8192, "yuv420p", Path("v.mp4"))
    with pytest.raises(
        VideoError,
        match="would take 1.5 GiB.*; scale it down.*--memory",
    ):
        check_pictures(8192, 8192, "gbrp16le", Path("v.mkv"))
    check_pictures(64, 2, None, Path("v.mp4"))


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


def test_time_stamps_that_spread_few_pictures_over_days_are_a_broken_clock(
    write_video: VideoWriter,
) -> None:
    """Each gap is a still picture's; all together they would be days of frames."""
    path, report = write_video("v.mp4", [n * 30000 * 3000 for n in range(40)]), DecodeReport()
    frames = sum(1 for _ in read_frames(path, fps=0.01, report=report))
    assert "time stamps spread" in report.partial and frames == 900


B_FRAMES = {"crf": "12", "preset": "medium", "x264-params": "b-adapt=0:bframes=3:keyint=30"}


@pytest.mark.parametrize("container", ["avi", "ts", "flv", "mkv"])
def test_pictures_between_others_are_put_in_order(write_video: VideoWriter, container: str) -> None:
    unit = Fraction(1, 1000) if container == "flv" else Fraction(1, 30)
    stamps = [int(n / 30 / unit) for n in range(60)]
    path = write_video(f"v.{container}", stamps, unit=unit, options=B_FRAMES)
    assert numbers(path, fps=30.0)[:59] == list(range(59))


@pytest.mark.parametrize("second", [0, 10, 54, 3600 * 30, 20_000 * 30])
@pytest.mark.parametrize("container", ["ts", "mkv"])
def test_two_recordings_in_one_file_are_both_read(
    write_video: VideoWriter, container: str, second: int
) -> None:
    parts = []
    for number, start in enumerate((0, second)):
        images = [numbered_picture(60 * number + n, 160, 128) for n in range(60)]
        stamps = range(start, start + 60)
        name = f"{number}.{container}"
        parts.append(write_video(name, stamps, unit=Fraction(1, 30), images=images))
    path = parts[0].with_name(f"both.{container}")
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    report = DecodeReport()
    frames = [read_number(f) for f in read_frames(path, report=report)]
    assert frames == list(range(0, 120, 3)) and not report.partial
    assert "time goes on from there" in report.remarks[0]


@pytest.mark.parametrize("container", ["mp4", "flv"])
def test_a_recording_that_ffmpeg_does_not_reach_is_told(
    write_video: VideoWriter, container: str
) -> None:
    path = write_video(f"v.{container}", range(0, 1980, 33), unit=Fraction(1, 1000))
    path.write_bytes(path.read_bytes() * 2)
    report = DecodeReport()
    assert len(list(read_frames(path, report=report))) == 20
    assert f"another recording begins at byte {path.stat().st_size // 2}" in report.partial


def test_sparse_pictures_are_no_damage(write_video: VideoWriter) -> None:
    report = DecodeReport()
    path = write_video("slides.mp4", [n * 300000 for n in range(180)])
    frames = [read_number(f) for f in read_frames(path, fps=0.5, report=report)]
    assert frames[:11] == [0] * 5 + [1] * 5 + [2] and len(frames) >= 179 * 5
    assert not report.partial and not report.remarks


@pytest.mark.parametrize(
    ("codec", "kind"), [("libx264", "h264"), ("mpeg4", "m4v"), ("mpeg2video", "mpeg2video")]
)
def test_a_raw_stream_has_the_rate_that_it_states(tmp_path: Path, codec: str, kind: str) -> None:
    path, report = write_raw(tmp_path / f"v.{kind}", codec, kind), DecodeReport()
    frames = [read_number(f) for f in read_frames(path, report=report)]
    assert frames == list(range(0, 60, 3))
    assert report.decoded_sec == pytest.approx(2.0)
    assert report.remarks == ["a raw stream without a clock, read at 30 pictures per second"]


def test_a_raw_stream_that_states_no_rate_asks(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "v.mjpeg", "mjpeg", "mjpeg", "yuvj420p")
    with pytest.raises(VideoError, match="does not state its rate; .*--assume-fps"):
        list(read_frames(path))
    assert numbers(path, reading=Reading(assume_fps=10.0)) == list(range(60))


def test_the_best_picture_track_is_taken(tmp_path: Path) -> None:
    small, large = (80, 64), (160, 128)
    path = write_tracks(tmp_path / "a.mkv", (*small, False), (*large, False))
    assert set(numbers(path)) == {2}
    path = write_tracks(tmp_path / "b.mkv", (*large, False), (*large, True))
    report = DecodeReport()
    assert {read_number(f) for f in read_frames(path, report=report)} == {2}
    assert report.remarks == [
        "picture track 1 was taken of 0 (160 x 128), 1 (160 x 128, default); --track chooses"
    ]
    assert set(numbers(path, reading=Reading(track=0))) == {1}
    with pytest.raises(VideoError, match=r"no picture track 2, but 0 \(160 x 128\), 1"):
        numbers(path, reading=Reading(track=2))


def test_pictures_that_start_after_the_sound_are_told(tmp_path: Path) -> None:
    path, report = write_tracks(tmp_path / "v.mkv", (160, 128, True), late_sec=1.0), DecodeReport()
    assert len(list(read_frames(path, report=report))) == 10
    assert report.lead_sec == pytest.approx(1.0, abs=0.05)
    assert "first picture is 1.0" in report.remarks[0] and "--time-zero" in report.remarks[0]
    assert not report.partial
    report = DecodeReport()
    frames = list(read_frames(path, reading=Reading(zero="container"), report=report))
    assert len(frames) == 20 and report.decoded_sec == pytest.approx(2.0, abs=0.05)
    assert not report.remarks and not report.partial


def quarters() -> np.ndarray:
    """A picture with a mark in each corner: 255, 160, 80 and 0, clockwise from the upper left."""
    image = np.zeros((128, 128, 3), np.uint8)
    image[:64, :64], image[:64, 64:], image[64:, 64:] = 255, 160, 80
    return image


@pytest.mark.parametrize(
    ("matrix", "corners"),
    [
        ((1, 0, 0, 1), [255, 160, 80, 0]),
        ((0, 1, -1, 0), [0, 255, 160, 80]),  # a quarter clockwise
        ((-1, 0, 0, -1), [80, 0, 255, 160]),
        ((0, -1, 1, 0), [160, 80, 0, 255]),
        ((-1, 0, 0, 1), [160, 255, 0, 80]),  # left and right change places
        ((1, 0, 0, -1), [0, 80, 160, 255]),  # above and below
        ((0, 1, 1, 0), [255, 0, 80, 160]),
        ((0, -1, -1, 0), [80, 160, 255, 0]),
    ],
)
def test_pictures_are_upright_and_not_mirrored(
    write_video: VideoWriter, matrix: tuple[int, int, int, int], corners: list[int]
) -> None:
    path = write_video("v.mp4", [0], size=(128, 128), images=[quarters()])
    content = bytearray(path.read_bytes())
    a, b, c, d = (value << 16 for value in matrix)
    at = content.find(b"tkhd") + 4 + 40  # ISO/IEC 14496-12, 8.3.2: after 40 bytes of a header
    unity = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    assert content[at : at + 36] == unity
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    frame = next(iter(read_frames(path))).astype(int)
    seen = [frame[20, 20, 1], frame[20, 92, 1], frame[92, 92, 1], frame[92, 20, 1]]
    assert seen == pytest.approx(corners, abs=6)


def test_pixels_that_are_no_squares_are_made_square(write_video: VideoWriter) -> None:
    """A square of 64 x 44 pixels that are 16 to 11: 64 high, and as wide when shown."""
    image = np.zeros((288, 360, 3), np.uint8)
    image[112:176, 158:202] = 255
    path = write_video(
        "dvd.mkv", [0], size=(360, 288), images=[image],
        pixel_aspect=Fraction(16, 11),
    )  # fmt: skip
    frame = next(iter(read_frames(path)))[..., 1] > 128
    height, width = frame.any(1).sum(), frame.any(0).sum()
    assert height == pytest.approx(64 * 128 / 288, abs=1) and abs(int(height) - int(width)) <= 1


def test_very_large_pictures_are_read(write_video: VideoWriter) -> None:
    size = (6144, 4096)
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[size[1] // 2 :, size[0] // 2 :] = 255
    path = write_video("v.mp4", [0], size=size, images=[image])
    frame = next(iter(read_frames(path)))
    assert frame[59:, 59:].min() > 225 and frame[:53].max() < 30 and frame[:, :53].max() < 30


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_told(write_video: VideoWriter, transfer: int, name: str) -> None:
    path = write_video("v.mkv", [0], pix_fmt="yuv420p10le", transfer=transfer)
    report = DecodeReport()
    list(read_frames(path, report=report))
    assert f"its pictures are HDR ({name})" in report.remarks[0]


def test_without_stamps_and_without_a_rate_nobody_guesses() -> None:
    """A container with a clock whose pictures have no stamps: the user is asked, too."""
    picture = SimpleNamespace(
        pts=None, dts=None, duration=0, color_trc=0, width=64, height=64, is_corrupt=False
    )
    packet = SimpleNamespace(pos=0, size=1, decode=lambda: [picture] * 3)
    context = SimpleNamespace(framerate=None, has_b_frames=False, options={})
    stream: Any = SimpleNamespace(
        average_rate=None, base_rate=None, time_base=Fraction(1, 1000), duration=None, frames=0,
        start_time=None, metadata={}, codec_context=context, width=64, height=64,
    )  # fmt: skip
    container: Any = SimpleNamespace(
        format=SimpleNamespace(name="dhav", flags=0), duration=None, start_time=None, size=0,
        streams=SimpleNamespace(video=[]), demux=lambda stream: [packet],
    )  # fmt: skip

    def seconds(reading: Reading) -> list[float]:
        pictures = timed_pictures(container, stream, DecodeReport(), Path("v.dav"), reading)
        return [s for _, s in pictures]

    with pytest.raises(VideoError, match="does not state its rate; .*--assume-fps"):
        seconds(Reading())
    assert seconds(Reading(assume_fps=10.0)) == pytest.approx([0.0, 0.1, 0.2])
