"""Clips and their middle pictures in; out come contact sheets, a page and a picture per class."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
from matplotlib.figure import Figure

from ..formats.atomic import write_text
from ..formats.names import file_names
from .page import page
from .pictures import DPI, INK, MUTED, Picture, clock, plain, shortened

SHEETS = "sheets"
COLUMNS = 5
MOST_DRAWN = 60  # on a picture
MOST_SHOWN = 2000  # on a page; more, and it would answer slowly
CELL_WIDTH, CELL_HEIGHT, CAPTION = 216, 122, 34  # px
CAPTION_LETTERS = 30


@dataclass(frozen=True)
class Shot:
    """A clip on a contact sheet: its file, relative to the folder, and a picture as JPEG."""

    file: str
    video_id: str
    label: str
    start_sec: float
    end_sec: float
    score: float | None
    image: bytes

    @property
    def caption(self) -> str:
        """The video."""
        return shortened(self.video_id, CAPTION_LETTERS)

    @property
    def says(self) -> str:
        """From when to when, and how sure."""
        score = "" if self.score is None else f"  ·  {self.score:.3f}"
        start, end = (clock(round(t, 2), self.end_sec) for t in (self.start_sec, self.end_sec))
        return f"{start} to {end}{'' if ':' in end else ' s'}{score}"


def write_sheets(shots: Sequence[Shot], out: Path) -> list[Path]:
    """Write a page and a picture for every class into OUT/sheets, and return them.

    Clips stand by falling score, those without one by video and time.
    """
    classes = sorted({s.label for s in shots})
    pages, pictures = (file_names(classes, ending) for ending in (".html", ".png"))
    written = []
    for label in classes:
        of_class = sorted(
            (s for s in shots if s.label == label),
            key=lambda s: (-(s.score or 0.0), s.video_id, s.start_sec),
        )
        folder = out / SHEETS
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / pages[label], sheet_page(label, of_class, folder, out))
        sheet_picture(label, of_class).save(folder / pictures[label])
        written += [folder / pages[label], folder / pictures[label]]
    return written


def sheet_page(label: str, shots: Sequence[Shot], folder: Path, out: Path) -> str:
    """Return the page of one class: every clip plays where it stands.

    Args:
        folder: where the page lies.
        out: where the clips' names begin.
    """
    up = os.path.relpath(out, folder)
    data = {
        "label": label,
        "left_out": max(len(shots) - MOST_SHOWN, 0),
        "clips": [
            {
                "src": quote(Path(up, s.file).as_posix()),
                "video": s.video_id,
                "says": s.says,
                "image": base64.b64encode(s.image).decode("ascii"),
            }
            for s in shots[:MOST_SHOWN]
        ],
    }
    return page(title=f"{label}: clips", name="clips", data=data)


def sheet_picture(label: str, shots: Sequence[Shot]) -> Picture:
    """Return the picture of one class: the middle picture of each clip, the best first."""
    drawn = shots[:MOST_DRAWN]
    columns = min(COLUMNS, max(len(drawn), 3))
    rows = -(-len(drawn) // columns)
    width, high = columns * CELL_WIDTH, rows * (CELL_HEIGHT + CAPTION)
    canvas = np.full((high, width, 3), 255, np.uint8)
    places = []
    for n, shot in enumerate(drawn):
        x, y = n % columns * CELL_WIDTH, n // columns * (CELL_HEIGHT + CAPTION)
        small = _fitted(shot.image)
        top, left = y + (CELL_HEIGHT - len(small)) // 2, x + (CELL_WIDTH - small.shape[1]) // 2
        canvas[top : top + len(small), left : left + small.shape[1]] = small
        places.append((x + 4, y + CELL_HEIGHT + 4))
    head = 48
    figure = Figure((width / DPI, (high + head) / DPI), dpi=DPI, facecolor="white")
    axes = figure.add_axes((0, 0, 1, high / (high + head)))
    axes.imshow(canvas, aspect="auto", extent=(0, width, high, 0))
    axes.set_axis_off()
    for shot, (x, y) in zip(drawn, places, strict=True):
        axes.text(x, y, plain(shot.caption), size=7, color=INK, va="top")
        axes.text(x, y + 14, plain(shot.says), size=7, color=MUTED, va="top")
    more = f" (the first {len(drawn)})" if len(drawn) < len(shots) else ""
    words = f"{shortened(label)}: {len(shots)} clip{'' if len(shots) == 1 else 's'}{more}"
    figure.text(0.01, 1 - 14 / (high + head), plain(words), size=12, weight="bold", va="top")
    return Picture(figure)


def _fitted(image: bytes) -> np.ndarray:
    """Return a JPEG as RGB that fits into a cell."""
    found = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
    assert found is not None  # it was written here
    scale = min((CELL_WIDTH - 8) / found.shape[1], (CELL_HEIGHT - 6) / found.shape[0])
    size = (max(1, round(found.shape[1] * scale)), max(1, round(found.shape[0] * scale)))
    return cv2.cvtColor(cv2.resize(found, size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)
