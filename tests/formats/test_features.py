"""The border file: what is written is read, whole or not at all, and damage is named."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tsatal.errors import InputError
from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import FeatureFile, VideoFeatures

ANNOTATIONS = '{"database": {"v": {"subset": "training", "annotations": []}}}'


def video(name: str = "v", steps: int = 5, **changes: Any) -> VideoFeatures:
    rows = np.arange(steps * 4, dtype=np.float32).reshape(steps, 4)
    options: dict[str, Any] = {
        "streams": {"rgb": rows, "flow": rows[:, :2].astype(np.float16)},
        "start_sec": 0.05,
        "step_sec": 0.2,
        "duration_sec": 1.0,
        "details": {"source": "v.mp4", "frames": 25},
    }
    return VideoFeatures(name, **{**options, **changes})


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    matrix = np.eye(4, 3, dtype=np.float32)
    count = write_feature_file(
        path,
        [video("b"), video("a (1).x", steps=1)],
        provenance={"extractor": "test"},
        annotations_text=ANNOTATIONS,
        projections={"rgb": matrix},
    )
    with FeatureFile(path) as file:
        assert count == 2 and file.video_ids == ["a (1).x", "b"]
        assert file.provenance == {"extractor": "test"}
        assert file.streams() == ("rgb", "flow") and file.width(("rgb", "flow")) == 6
        truth = file.annotations()
        assert truth is not None and list(truth.videos) == ["v"]
        np.testing.assert_array_equal(file.projections()["rgb"], matrix)
        axis = file.time_axis("b")
        assert (axis.num_steps, axis.duration_sec) == (5, 1)
        assert (axis.start_sec, axis.step_sec) == (0.05, 0.2)
        rows = file.rows("b", ("rgb", "flow"), 1, 3)
        assert rows.dtype == np.float32
        np.testing.assert_array_equal(rows, [[4, 5, 6, 7, 4, 5], [8, 9, 10, 11, 8, 9]])
        back = file.video("b")
        assert back.details == {"source": "v.mp4", "frames": 25}
        assert back.streams["flow"].dtype == np.float16


def test_a_file_can_be_written_from_itself(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    write_feature_file(path, [video("a")], provenance={})
    with FeatureFile(path) as old:
        write_feature_file(path, [*map(old.video, old.video_ids), video("b")], provenance={})
    with FeatureFile(path) as file:
        assert file.video_ids == ["a", "b"]


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, failure: BaseException
) -> None:
    path = tmp_path / "f.h5"
    write_feature_file(path, [video("old")], provenance={})

    def videos() -> Any:
        yield video("new")
        raise failure

    with pytest.raises(type(failure)):
        write_feature_file(path, videos(), provenance={})
    assert list(tmp_path.iterdir()) == [path]
    with FeatureFile(path) as file:
        assert file.video_ids == ["old"]


def test_a_disk_that_fills_up_is_an_os_error_and_leaves_the_old_file(tmp_path: Path) -> None:
    """In a process whose files may not grow beyond 100 kB, so that HDF5 itself fails."""
    path = tmp_path / "f.h5"
    write_feature_file(path, [video("old")], provenance={})
    code = f"""
import resource, signal, numpy as np
from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import VideoFeatures
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
rows = np.zeros((1000, 512), np.float32)
try:
    video = VideoFeatures("v", {{"rgb": rows}}, 0, 1, 1000)
    write_feature_file({str(path)!r}, [video], provenance={{}})
except OSError as error:
    print("OSError", error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("OSError") and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == [path]
    with FeatureFile(path) as file:
        assert file.video_ids == ["old"]


def test_twice_the_same_id_and_streams_of_different_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two videos have the id 'v'"):
        write_feature_file(tmp_path / "f.h5", [video(), video()], provenance={})
    uneven = video(streams={"rgb": np.zeros((3, 4)), "flow": np.zeros((2, 4))})
    with pytest.raises(InputError, match="streams differ"):
        write_feature_file(tmp_path / "f.h5", [uneven], provenance={})


def written(tmp_path: Path) -> Path:
    path = tmp_path / "f.h5"
    write_feature_file(path, [video("a"), video("b")], provenance={})
    return path


def test_missing_text_cut_and_foreign_files_are_one_clear_line(tmp_path: Path) -> None:
    path = written(tmp_path)
    whole = path.read_bytes()
    cases = {
        "missing.h5": (None, "no such file"),
        "text.h5": (b"hello", "not an HDF5 file"),
        "cut.h5": (whole[: len(whole) // 2], "cut short|cannot be opened"),
    }
    for name, (content, message) in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name}.*({message})"):
            FeatureFile(tmp_path / name)
    with h5py.File(tmp_path / "foreign.h5", "w") as f:
        f["x"] = 1
    with pytest.raises(InputError, match="not a tsatal-features file"):
        FeatureFile(tmp_path / "foreign.h5")


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    with h5py.File(path, "a") as f:
        f.attrs["version"] = 2
    with pytest.raises(InputError, match="format version 2; this program reads 1"):
        FeatureFile(path)


def test_a_file_is_read_without_a_lock(tmp_path: Path) -> None:
    """Some filesystems have none; a program that holds one on the file stands in nobody's way."""
    path = written(tmp_path)
    with h5py.File(path, "a", locking=True) as other:
        assert other
        code = f"from tsatal.formats.features import FeatureFile; FeatureFile({str(path)!r})"
        subprocess.run([sys.executable, "-c", code], check=True)


def test_what_a_video_lacks_is_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    with h5py.File(path, "a") as f:
        del f["videos/b/flow"]
        del f["videos/a"].attrs["step_sec"]
        f["videos/b/rgb"][2, 1] = np.nan
    with FeatureFile(path) as file:
        assert file.streams() == ("rgb",)
        with pytest.raises(InputError, match="b has no stream 'flow'; it has: rgb"):
            file.rows("b", ("flow",))
        with pytest.raises(InputError, match="a: an attribute is missing.*step_sec"):
            file.time_axis("a")
        with pytest.raises(InputError, match="b: has features that are NaN"):
            file.rows("b", ("rgb",))
        with pytest.raises(InputError, match="no video 'c'"):
            file.rows("c", ("rgb",))


def test_damaged_bytes_name_the_file_and_the_video(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as f:
        f.attrs.update(format="tsatal-features", version=1, provenance="{}")
        group = f.create_group("videos/v")
        rows = np.random.default_rng(0).normal(size=(50, 4))
        group.create_dataset("rgb", data=rows, fletcher32=True, chunks=(50, 4))
        at = group["rgb"].id.get_chunk_info(0).byte_offset
    damaged = bytearray(path.read_bytes())
    damaged[at : at + 8] = b"\x00" * 8
    path.write_bytes(damaged)
    with FeatureFile(path) as file, pytest.raises(InputError, match="f.h5: v: damaged"):
        file.rows("v", ("rgb",))


def test_videos_of_different_width_are_refused(tmp_path: Path) -> None:
    wide = video("w", streams={"rgb": np.zeros((5, 9), np.float32)})
    write_feature_file(tmp_path / "f.h5", [video("v"), wide], provenance={})
    with (
        FeatureFile(tmp_path / "f.h5") as file,
        pytest.raises(InputError, match="rows of one width are needed: 4 in 'v', 9 in 'w'"),
    ):
        file.width(("rgb",))


def _set(key: str, value: Any) -> Any:
    return lambda file: file["videos/v"].attrs.__setitem__(key, value)


def _put(name: str, value: Any) -> Any:
    def put(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file[name] = value

    return put


@pytest.mark.parametrize(
    "damage",
    [
        _set("duration_sec", np.nan), _set("start_sec", np.inf), _set("step_sec", 5e-324),
        _set("start_sec", -1e300),
        _set("step_sec", "x"), _set("step_sec", np.zeros(3)), _set("start_sec", h5py.Empty("f")),
        _set("duration_sec", 1j), _put("videos", np.zeros(3)), _put("videos/v", np.zeros(3)),
        _put("videos/v/rgb", np.zeros(5)), _put("videos/v/rgb", np.zeros((5, 4, 2))),
        _put("videos/v/rgb", np.zeros((5, 0))), _put("videos/v/rgb", np.zeros((5, 4), complex)),
        _put("videos/v/rgb", np.array([[b"x"] * 4] * 5)), _put("videos/v/rgb", h5py.SoftLink("/")),
        _put("videos/v/rgb", h5py.SoftLink("/nowhere")), _put("videos/v/rgb", h5py.Empty("f")),
        _put("videos/v/again", h5py.SoftLink("/videos")), _put("videos/v/rgb", np.dtype("f4")),
        lambda file: file.attrs.__setitem__("provenance", "[" * 99_999),
        lambda file: file.attrs.__setitem__("provenance", "3"),
        lambda file: file.attrs.__setitem__("version", np.zeros(2)),
        lambda file: file.attrs.__setitem__("format", np.zeros(2)),
        lambda file: _put("annotations", np.zeros(2))(file),
    ],
)  # fmt: skip
def test_whatever_a_file_holds_instead_is_one_clear_error(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "f.h5"
    write_feature_file(path, [video()], provenance={}, annotations_text=ANNOTATIONS)
    with h5py.File(path, "a") as raw:
        damage(raw)
    with pytest.raises(InputError, match="f.h5"), FeatureFile(path) as file:
        assert file.provenance == {} and file.annotations() and file.streams() == ("rgb", "flow")
        file.video("v")


@pytest.mark.parametrize("packing", [{}, {"chunks": (64, 8), "compression": "gzip"}])
def test_a_shape_that_lies_takes_no_memory(tmp_path: Path, packing: dict[str, Any]) -> None:
    path = tmp_path / "f.h5"
    write_feature_file(path, [video()], provenance={})
    with h5py.File(path, "a") as raw:
        del raw["videos/v/rgb"]
        raw["videos/v"].create_dataset("rgb", (10**9, 10**4), "f4", **packing)
    with FeatureFile(path) as file, pytest.raises(InputError, match="fewer rows than the 1,000,0"):
        file.rows("v", ["rgb"])


def test_rows_that_are_packed_well_are_read(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    write_feature_file(path, [video()], provenance={})
    rows = np.repeat(np.random.default_rng(0).normal(size=(50, 4)), 20, axis=0)  # each for a while
    with h5py.File(path, "a") as raw:
        del raw["videos/v/rgb"], raw["videos/v/flow"]
        raw["videos/v"].create_dataset("rgb", data=rows, compression="gzip")
    with FeatureFile(path) as file:
        np.testing.assert_array_equal(file.rows("v", ["rgb"]), rows.astype(np.float32))
