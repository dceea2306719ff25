"""PCA of one's own videos: fitted once, found again, shared with another data set."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tsatal.errors import InputError
from tsatal.extract import engine, pca
from tsatal.extract.extractor import extract_videos
from tsatal.extract.settings import ExtractSettings
from tsatal.extract.sources import find_videos
from tsatal.formats.features import FeatureFile

from .conftest import VideoWriter

PCA = ExtractSettings(
    weights="random", width=3, device="cpu", projection="pca", crop=32, resize=32, context=0
)


class Colours:
    """A stand-in for the network: the mean of every pair's three colours, in 2048 numbers."""

    loaded = 0

    def rows(self, frames: np.ndarray) -> np.ndarray:
        pairs = frames[: max(len(frames) // 2, 1) * 2 : 2].astype(np.float32)
        mix = np.random.default_rng(0).normal(size=(3, 2048)).astype(np.float32)
        rows: np.ndarray = pairs.mean(axis=(1, 2)) / 255 @ mix
        return rows


@pytest.fixture(autouse=True)
def quick_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object, **__: object) -> dict[str, Colours]:
        Colours.loaded += 1
        return {"rgb": Colours()}

    Colours.loaded = 0
    monkeypatch.setattr(engine, "load_backbones", load)


@pytest.fixture
def folder(write_video: VideoWriter, tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    for name in ("a", "b"):
        colours = rng.integers(30, 220, (60, 3))
        images = [np.full((64, 64, 3), c, np.uint8) for c in colours]
        write_video(f"videos/{name}.mp4", range(0, 60 * 3000, 3000), size=(64, 64), images=images)
    return tmp_path / "videos"


def rows(out: Path, video: str) -> np.ndarray:
    with FeatureFile(out) as file:
        return file.rows(video, ["rgb"])


def extract(
    folder: Path, out: Path, settings: ExtractSettings = PCA, *, overwrite: bool = False
) -> list[str]:
    return extract_videos(
        find_videos(folder), out, settings, show_progress=False, overwrite=overwrite
    ).done


def test_three_directions_keep_all_of_three_colours(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    assert extract(folder, out) == ["a", "b"]
    with FeatureFile(out) as file:
        report = file.provenance["pca"]["rgb"]
        matrix = file.projections()["rgb"]
    assert report["variance_kept"] == pytest.approx(1, abs=1e-4)
    assert (report["rows"], report["videos"]) == (60, 2)
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(3), atol=1e-5)
    assert not list(tmp_path.glob("*.parts"))


def test_a_file_that_is_added_to_keeps_its_matrix(
    folder: Path, tmp_path: Path, write_video: VideoWriter
) -> None:
    out = tmp_path / "out.h5"
    extract(folder, out)
    before = rows(out, "a")
    write_video("videos/c.mp4", range(0, 30000, 1000))
    assert extract(folder, out) == ["c"]
    np.testing.assert_array_equal(rows(out, "a"), before)
    assert Colours.loaded == 3  # the fit, and two extractions; no second fit


def test_a_test_set_is_projected_by_the_training_sets_matrix(folder: Path, tmp_path: Path) -> None:
    train, test, other = tmp_path / "train.h5", tmp_path / "test.h5", tmp_path / "other.h5"
    extract(folder / "a.mp4", train)
    shared = PCA.changed(projection=str(train))
    extract(folder / "b.mp4", test, shared)
    extract(folder / "b.mp4", other)
    with FeatureFile(train) as a, FeatureFile(test) as b:
        np.testing.assert_array_equal(a.projections()["rgb"], b.projections()["rgb"])
        assert a.provenance["pca"] == b.provenance["pca"]
    assert not np.allclose(rows(test, "b"), rows(other, "b"))


def test_an_interrupted_fit_is_not_fitted_again(folder: Path, tmp_path: Path) -> None:
    videos = find_videos(folder)

    def fit() -> Path:
        return Path(pca.with_pca(PCA, videos, tmp_path / "out.h5", overwrite=False).projection)

    first = fit()
    stamp = first.stat().st_mtime_ns
    assert fit() == first and first.stat().st_mtime_ns == stamp


def test_of_two_at_once_one_fits_and_the_other_waits(folder: Path, tmp_path: Path) -> None:
    videos = find_videos(folder)

    def fit(_: int) -> str:
        return pca.with_pca(PCA, videos, tmp_path / "out.h5", overwrite=False).projection

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(fit, range(2))
    assert first == second and Colours.loaded == 1
    assert [path.name for path in Path(first).parent.iterdir()] == [Path(first).name]


def test_a_file_projected_otherwise_and_too_few_rows_are_refused(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.h5"
    extract(folder, out, PCA.changed(projection="orthogonal"))
    with pytest.raises(InputError, match="out.h5: was not projected by PCA"):
        extract(folder, out)
    assert extract(folder, out, overwrite=True) == ["a", "b"]
    with pytest.raises(InputError, match="PCA to 512 values needs more rows.*the sample has 60"):
        extract(folder, tmp_path / "few.h5", PCA.changed(width=512))


def test_rows_are_gathered_in_order_and_none_is_lost() -> None:
    rows = np.arange(44).reshape(22, 2)
    found = list(pca.gathered(np.split(rows, [1, 5, 6, 15, 16]), least=5))
    assert [len(batch) for batch in found] == [5, 10, 7]
    np.testing.assert_array_equal(np.concatenate(found), rows)
    assert list(pca.gathered([])) == []
