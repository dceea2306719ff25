"""`tsatal docs`: the documentation, which is installed with the package."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

import click

from ..errors import InputError

ROOT = Path(__file__).parents[1]


@click.command("docs")
@click.argument("page", required=False)
def command(page: str | None) -> None:
    """List the pages of the documentation and say where they lie, or print PAGE.

    Pages are Markdown; their pictures and links work where they lie.
    """
    pages = {path.relative_to(ROOT / "docs").with_suffix("").as_posix(): path for path in _pages()}
    if page is None:
        width = max(map(len, pages))
        lines = [f"{name:{width}}  {_title(path)}" for name, path in pages.items()]
        click.echo("\n".join([f"{ROOT / 'docs'}:", *lines]))
        return
    name = page.removesuffix(".md").removeprefix("docs/")
    if name not in pages:
        near = get_close_matches(name, pages, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"docs {page!r}: no such page{hint}; `tsatal docs` lists them")
    click.echo(pages[name].read_text(encoding="utf-8"))


def _pages() -> list[Path]:
    return sorted((ROOT / "docs").glob("*.md")) + sorted((ROOT / "docs").glob("*/*.md"))


def _title(path: Path) -> str:
    """The first line of a page, its heading."""
    with path.open(encoding="utf-8") as lines:
        return next(lines, "").lstrip("# ").strip()
