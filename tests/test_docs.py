"""What the pages say: commands that exist, links that lead somewhere, code that runs."""

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

import tsatal
from tsatal.cli import COMMANDS, main
from tsatal.commands import demo

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    ROOT / "examples" / "README.md",
    *sorted(DOCS.rglob("*.md")),
]
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`(tsatal [^`]+)`(?!`)")
LINK = re.compile(r"\]\(([^)\s]+)[^)]*\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
# Written about a command's form, not to be typed.
PLACEHOLDERS = ("[", "...", "COMMAND")
MAX_PICTURE_BYTES = 250_000


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(page.read_text("utf-8")) if kind == language]


def commands() -> Iterator[tuple[str, str]]:
    """Yield every command in a block of code."""
    for page in PAGES:
        for text in blocks(page, ""):
            for line in text.replace("\\\n", " ").splitlines():
                line = line.strip().split("   ")[0]
                if line.startswith("tsatal ") and not any(p in line for p in PLACEHOLDERS):
                    yield name(page), line


def mentions() -> Iterator[tuple[str, str]]:
    """Yield every command that is spoken of in a line of text, such as `tsatal check FILE`."""
    for page in PAGES:
        for said in INLINE.findall(BLOCK.sub("", page.read_text("utf-8"))):
            if not any(p in said for p in PLACEHOLDERS):
                yield name(page), " ".join(said.split())


def anchors(page: Path) -> set[str]:
    """Return the names that a page's headings have as targets of links."""
    headings = HEADING.findall(BLOCK.sub("", page.read_text("utf-8")))
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page, line", list(commands()))
def test_every_command_is_understood(page: str, line: str) -> None:
    """Parsed as if typed, types and choices included, and not run."""
    arguments = shlex.split(line, comments=True)[1:]
    with click.Context(main, info_name="tsatal") as context:
        _, command, rest = main.resolve_command(context, arguments)
        assert command is not None
        command.make_context(command.name, rest, parent=context)


@pytest.mark.parametrize("page, said", sorted(set(mentions())))
def test_every_command_that_is_spoken_of_has_these_options(page: str, said: str) -> None:
    """Often only a part of a command is named, so it is not parsed."""
    words = shlex.split(said)[1:]
    with click.Context(main, info_name="tsatal") as context:
        command = main.get_command(context, words[0])
        assert command is not None
        known = {o for p in command.get_params(context) for o in (*p.opts, *p.secondary_opts)}
    assert {w.partition("=")[0] for w in words if w.startswith("-")} <= known


def test_there_are_commands_to_look_at() -> None:
    assert len(list(commands())) > 20
    assert len(list(mentions())) > 20


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for target in LINK.findall(page.read_text("utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            wrong.append(target)
    assert wrong == []


def test_every_page_is_in_an_index() -> None:
    for folder in (DOCS, DOCS / "lab"):
        index = (folder / "README.md").read_text("utf-8")
        pages = {p.name for p in folder.glob("*.md")} - {"README.md"}
        assert pages <= set(LINK.findall(index))


def test_every_command_of_the_program_is_on_a_page() -> None:
    said = {line.split()[1] for _, line in (*commands(), *mentions())}
    assert set(COMMANDS) <= said


def test_every_picture_is_shown_and_small() -> None:
    pictures = {p.name for p in (DOCS / "pictures").iterdir()}
    shown = {
        Path(target).name
        for page in PAGES
        for target in LINK.findall(page.read_text("utf-8"))
        if target.endswith((".png", ".svg"))
    }
    assert pictures == shown
    assert all(p.stat().st_size < MAX_PICTURE_BYTES for p in (DOCS / "pictures").iterdir())


def test_the_version_is_said_alike() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert str(citation["version"]) == tsatal.__version__
    versions = re.findall(
        r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE
    )
    assert versions[:2] == ["Unreleased", tsatal.__version__]


# What the code is given besides, so that it takes seconds: small pictures, and few steps.
ADDED = {
    'weights="random"': 'weights="random", resize=32, crop=32',
    '"optim.epochs=2"': '"optim.epochs=2", "data.least_steps=1", "model.width=16"',
}


def test_the_code_in_api_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    videos = demo.write_demo_videos(
        tmp_path / "videos", training=2, validation=1, duration_sec=6.0, seed=0
    )
    shutil.copy(videos[0], tmp_path / "new.mp4")
    code = "\n".join(blocks(ROOT / "docs" / "api.md", "python"))
    for given, small in ADDED.items():
        assert code.count(given) == 1
        code = code.replace(given, small)
    names: dict[str, object] = {}
    exec(code, names)
    assert (tmp_path / str(names["run"]) / "last.pt").exists()
    assert names["evaluation"] and isinstance(names["actionness"], tuple)
