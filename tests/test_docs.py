"""What the pages for users say: commands that exist, links that lead somewhere, code that runs."""

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tsatal.cli import main
from tsatal.commands import demo

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
# Written about a command's form, not to be typed.
PLACEHOLDERS = ("[", "...")


def blocks(page: Path, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(page.read_text("utf-8")) if kind == language]


def commands() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for text in blocks(page, ""):
            for line in text.replace("\\\n", " ").splitlines():
                line = line.strip().split("   ")[0]
                if line.startswith("tsatal ") and not any(p in line for p in PLACEHOLDERS):
                    yield page.name, line


@pytest.mark.parametrize("page, line", list(commands()))
def test_every_command_is_understood(page: str, line: str) -> None:
    """Parsed as if typed, types and choices included, and not run."""
    arguments = shlex.split(line, comments=True)[1:]
    with click.Context(main, info_name="tsatal") as context:
        _, command, rest = main.resolve_command(context, arguments)
        assert command is not None
        command.make_context(command.name, rest, parent=context)


def test_there_are_commands_to_look_at() -> None:
    assert len(list(commands())) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8"))
    near = [t for t in targets if "://" not in t]
    assert [t for t in near if not (page.parent / t).exists()] == []


def test_the_code_in_api_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    videos = demo.write_demo_videos(
        tmp_path / "videos", training=2, validation=1, duration_sec=6.0, seed=0
    )
    shutil.copy(videos[0], tmp_path / "new.mp4")
    code = "\n".join(blocks(ROOT / "docs" / "api.md", "python"))
    names: dict[str, object] = {}
    exec(code, names)
    assert (tmp_path / "runs" / "first" / "last.pt").exists()
    assert names["evaluation"] and isinstance(names["actionness"], tuple)
