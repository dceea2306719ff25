"""The frozen fully connected layer after the backbone: wide rows in, narrow ones out.

The layer of the preset `paper` is learned, in the head (`model.fully_connected`); it needs
`--projection none` here, where nothing can be learned. A semi-orthogonal matrix keeps distances and
angles as well as chance allows and needs no data; PCA keeps the most variance of the videos that it
was fitted on, in a random basis.

Rows are multiplied without centring: the bias of the next layer takes up a shift of all rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import torch

from ..errors import InputError
from ..formats.features import FeatureFile
from ..formats.json_values import parse_json
from ..formats.limits import read_npy, regular_file
from ..formats.tensors import TENSORS_SUFFIX, read_tensors

GRID = 2.0**20  # entries are rounded to this, so that LAPACKs that differ in the last bit agree


def orthogonal_projection(inputs: int, outputs: int, *, seed: int = 0) -> np.ndarray:
    """Return a random matrix (inputs, outputs) float32 with orthonormal columns (to 1e-5).

    The same seed gives the same matrix on every machine: NumPy's generator is specified, and
    rounding hides the last bits in which linear algebra libraries differ. It is the Q of a QR
    decomposition with a positive diagonal, computed from the Cholesky factor of the Gram matrix:
    a quarter of the cost, and as exact for a matrix that is well conditioned, as a random one is.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    normal = torch.from_numpy(generator.standard_normal((inputs, outputs)))
    upper = torch.linalg.cholesky(normal.T @ normal).T
    q = torch.linalg.solve_triangular(upper, normal, upper=True, left=False)  # q @ upper = normal
    return ((q * GRID).round() / GRID).float().numpy()


def projector(matrix: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that multiplies rows (t, inputs) by a matrix (inputs, outputs), float32.

    Torch computes it in the network's own threads: NumPy's threads would stay awake after every
    product and take the processor from the network and the decoder. It is computed in float64, so
    that the order in which threads add up is lost in rounding.
    """
    factor = torch.from_numpy(matrix).double()
    return lambda rows: (torch.from_numpy(rows).double() @ factor).float().numpy()


def fit_pca(rows: Iterable[np.ndarray], outputs: int) -> tuple[np.ndarray, float]:
    """Return a basis of the rows' principal directions, and the share of the variance it keeps.

    The directions are turned by a random rotation, always the same: what is kept does not change,
    and every value of a projected row carries as much of it. Values in order of their variance
    train a head badly (docs/backbones.md): the first few hold most of what there is, and the rest
    are too small to be seen.

    One pass adds up a covariance in float64, so memory does not grow with the number of rows.

    Args:
        rows: arrays (t, D), D at least `outputs`.
        outputs: number of directions.
    Returns:
        A matrix (D, outputs) float32 with orthonormal columns (to 1e-5), and a number in [0, 1].
    Raises:
        InputError: fewer rows than directions.
    """
    count, total, squares = 0, np.zeros(1), np.zeros(1)
    for part in rows:
        part = part.astype(np.float64)
        count, total, squares = count + len(part), total + part.sum(0), squares + part.T @ part
    if count <= outputs:
        raise InputError(
            f"PCA to {outputs} values needs more rows than that; the sample has {count}: "
            "take more videos, or --projection orthogonal"
        )
    mean = total / count
    values, vectors = np.linalg.eigh(squares / count - np.outer(mean, mean))
    values, vectors = values[::-1].clip(min=0), vectors[:, ::-1][:, :outputs]
    largest = np.take_along_axis(vectors, abs(vectors).argmax(0)[None], axis=0)
    share = values[:outputs].sum() / max(values.sum(), np.finfo(float).tiny)
    # The sign of a direction is the machine's choice; then the matrix would be another.
    turned = (vectors * np.sign(largest)) @ orthogonal_projection(outputs, outputs)
    return turned.astype(np.float32), float(share)


def load_projection(path: str | Path, stream: str = "rgb") -> np.ndarray:
    """Read the matrix (inputs, outputs) float32 in a `.npy` file, a feature file or a run's copy.

    Raises:
        InputError: none of these, or the file has no projection for that stream.
    """
    path = Path(path)
    if path.suffix == ".npy":
        size = regular_file(path, needs="a .npy file with a matrix").stat().st_size
        with path.open("rb") as file:
            found = read_npy(file, size, str(path))
    else:
        if path.suffix == TENSORS_SUFFIX:
            matrices, _ = read_tensors(path)
        else:
            with FeatureFile(path) as file:
                matrices = file.projections()
        if stream not in matrices:
            raise InputError(f"{path}: stores no projection of the stream {stream!r}")
        found = matrices[stream]
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype.kind not in "fiu":
        raise InputError(f"{path}: a matrix of finite numbers is needed")
    matrix = np.array(found, dtype=np.float32)
    if not np.isfinite(matrix).all():
        raise InputError(f"{path}: a matrix of finite numbers is needed")
    return matrix


def pca_report(path: str | Path) -> Mapping[str, object] | None:
    """Read what is known of the PCA in a feature file: rows, videos, share of variance; or None."""
    if Path(path).suffix == ".npy":
        return None
    if Path(path).suffix == TENSORS_SUFFIX:
        _, facts = read_tensors(path)
        known = parse_json(facts["pca"], str(path)) if "pca" in facts else None
        return known if isinstance(known, Mapping) else None
    with FeatureFile(path) as file:
        return file.provenance.get("pca")


def matrix_sha256(matrix: np.ndarray) -> str:
    """The SHA-256 digest of a matrix's values, in hexadecimal."""
    return hashlib.sha256(matrix.astype("<f4").tobytes()).hexdigest()
