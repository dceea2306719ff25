from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tsatal.errors import InputError
from tsatal.extract.projection import (
    fit_pca,
    load_projection,
    matrix_sha256,
    orthogonal_projection,
    projector,
)
from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import VideoFeatures


def test_columns_are_orthonormal() -> None:
    matrix = orthogonal_projection(300, 64, seed=1)
    assert matrix.dtype == np.float32
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(64), atol=1e-5)


def test_the_standard_matrix_is_the_same_on_every_machine() -> None:
    """Frozen: files extracted apart fit together only while this digest stays."""
    matrix = orthogonal_projection(2048, 512)
    assert matrix_sha256(matrix).startswith("13eb71e8")
    assert np.array_equal(matrix * 2**20, np.round(matrix * 2**20))


def test_seeds_differ() -> None:
    assert not np.array_equal(orthogonal_projection(9, 3), orthogonal_projection(9, 3, seed=1))


def test_distances_are_kept_as_well_as_chance_allows() -> None:
    rows = np.random.default_rng(0).standard_normal((20, 2048)).astype(np.float32)
    kept = np.linalg.norm(rows @ orthogonal_projection(2048, 512), axis=1)
    np.testing.assert_allclose(kept / np.linalg.norm(rows, axis=1), 0.5, rtol=0.15)


def test_pca_finds_the_directions_that_data_was_made_of() -> None:
    """Two directions of spread 3 and 1 and a large mean: both found, nothing lost."""
    draw = np.random.default_rng(0)
    codes = draw.standard_normal((5000, 2)) * [3, 1]
    basis = np.linalg.qr(draw.standard_normal((6, 2)))[0]
    rows = (codes @ basis.T + 100).astype(np.float32)
    matrix, share = fit_pca(iter(np.split(rows, 10)), 2)
    assert share == pytest.approx(1.0, abs=1e-4)
    np.testing.assert_allclose(matrix @ matrix.T, basis @ basis.T, atol=0.03)
    _, one = fit_pca([rows], 1)
    assert one == pytest.approx(0.9, abs=0.02)  # 9 of 9 + 1


def test_every_value_of_a_row_after_pca_carries_as_much_as_others() -> None:
    draw = np.random.default_rng(0)
    rows = (draw.standard_normal((3000, 80)) * 0.9 ** np.arange(80)).astype(np.float32)
    matrix, share = fit_pca([rows], 64)
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(64), atol=1e-5)
    spread = (rows @ matrix).std(axis=0)
    assert share > 0.999 and spread.max() < 3 * spread.min()
    np.testing.assert_array_equal(matrix, fit_pca([rows], 64)[0])


def test_pca_does_not_depend_on_how_rows_come() -> None:
    rows = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    np.testing.assert_allclose(fit_pca([rows], 3)[0], fit_pca(np.split(rows, 5), 3)[0], atol=1e-6)


def test_pca_of_too_few_rows_is_refused() -> None:
    with pytest.raises(InputError, match="the sample has 3"):
        fit_pca([np.zeros((3, 8), np.float32)], 3)


def test_matrices_are_loaded_from_both_kinds_of_file(tmp_path: Path) -> None:
    matrix = orthogonal_projection(20, 4)
    np.save(tmp_path / "m.npy", matrix)
    video = VideoFeatures("v", {"rgb": np.zeros((2, 4), np.float32)}, 0.05, 0.2, 0.4)
    write_feature_file(tmp_path / "f.h5", [video], provenance={}, projections={"rgb": matrix})
    for name in ("m.npy", "f.h5"):
        np.testing.assert_array_equal(load_projection(tmp_path / name), matrix)
    with pytest.raises(InputError, match="no projection of the stream 'flow'"):
        load_projection(tmp_path / "f.h5", "flow")


@pytest.mark.parametrize("content", [np.zeros(3), np.full((2, 2), np.nan)])
def test_what_is_no_matrix_is_refused(tmp_path: Path, content: np.ndarray) -> None:
    np.save(tmp_path / "m.npy", content)
    with pytest.raises(InputError, match="matrix of finite numbers"):
        load_projection(tmp_path / "m.npy")


def test_what_is_no_file_of_numbers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.npy").write_text("nothing")
    with pytest.raises(InputError, match=r"m.npy: cannot be read: no \.npy file"):
        load_projection(tmp_path / "m.npy")


def test_rows_are_projected_alike_on_any_number_of_threads() -> None:
    rng = np.random.default_rng(0)
    rows, matrix = rng.random((33, 2048), np.float32), orthogonal_projection(2048, 512)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = projector(matrix)(rows)
        torch.set_num_threads(2)
        assert np.array_equal(projector(matrix)(rows), alone)
    finally:
        torch.set_num_threads(before)
    assert alone.dtype == np.float32
    np.testing.assert_allclose(alone, rows.astype(np.float64) @ matrix, rtol=1e-6, atol=1e-7)
