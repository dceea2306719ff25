"""One HTML file with everything inside, for the report and the viewer.

In go a page's data and its files in `assets/`; out comes the file's text, with names escaped.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib import resources
from typing import Any

# No request leaves the page: scripts and styles stand in it; videos and pictures lie beside it.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: file: 'self'; media-src data: blob: file: 'self'"
)


def page(
    *,
    title: str,
    name: str,
    data: Any,
    scripts: Sequence[str] = (),
    styles: Sequence[str] = (),
    room: str = __package__ or "",
    connects: bool = False,
) -> str:
    """Return a page whose body, style and script are the files NAME.html, NAME.css and NAME.js.

    Before these come `timeline.css` and `timeline.js`, which all pages share.

    Args:
        title: plain text.
        name: of the three files in `assets/`.
        data: plain values, which `timeline.js` reads into `data`. Scripts must set them as text,
            never as HTML.
        scripts, styles: names of further files in `assets/`, put before the page's own.
        room: the package whose `assets/` are looked into first.
        connects: whether the page may ask the server that it comes from.
    Raises:
        ValueError: a number in `data` is not finite, which JSON cannot say.
    """
    body = _asset(f"{name}.html", room)
    style = "".join(_asset(f"{part}.css", room) for part in ("timeline", *styles, name))
    script = "".join(_asset(f"{part}.js", room) for part in ("timeline", *scripts, name))
    policy = f"{POLICY}; connect-src 'self'" if connects else POLICY
    # "<" is escaped, so that no text can end the script element that it stands in.
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{body}"
        f'<script type="application/json" id="data">{text}</script>\n'
        f"<script>\n{script}</script>\n</body>\n</html>\n"
    )


def _asset(name: str, room: str) -> str:
    places = (resources.files(package) / "assets" / name for package in (room, __package__ or ""))
    return next(place for place in places if place.is_file()).read_text(encoding="utf-8")
