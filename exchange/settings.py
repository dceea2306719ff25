"""What can be chosen about an import."""

from __future__ import annotations

from dataclasses import dataclass, field

from .ids import Naming
from .layouts import Layout


@dataclass(frozen=True, kw_only=True)
class ImportSettings:
    """How the rows of a published set were made and are named.

    layout: where rows stand in time.
    naming: what stands around the ids in the names of arrays.
    key: the array's name, where a file holds several.
    transpose: whether arrays are (D, T); None to find out.
    dtype: what rows are stored in, float32 or float16.
    split_at: how many of a row's values are `rgb`; the others are `flow`.
    """

    layout: Layout
    naming: Naming = field(default_factory=Naming)
    key: str | None = None
    transpose: bool | None = None
    dtype: str = "float32"
    split_at: int | None = None
