"""`tsatal docs`: every page is listed, and can be printed."""

from pathlib import Path

from click.testing import CliRunner

from tsatal.cli import main

DOCS = Path(__file__).parents[2] / "docs"


def test_pages_are_listed_with_their_titles_and_their_place() -> None:
    result = CliRunner().invoke(main, ["docs"])
    where, *lines = result.output.splitlines()
    assert result.exit_code == 0 and Path(where.removesuffix(":")).samefile(DOCS)
    assert len(lines) == len(list(DOCS.rglob("*.md")))
    assert any(line.split(maxsplit=1) == ["feature_file", "The feature file"] for line in lines)


def test_a_page_is_printed_by_its_name_with_and_without_its_ending() -> None:
    text = (DOCS / "lab" / "speed.md").read_text("utf-8")
    for name in ("lab/speed", "lab/speed.md", "docs/lab/speed.md"):
        assert CliRunner().invoke(main, ["docs", name]).output.strip() == text.strip()


def test_a_page_that_is_not_there_is_one_line() -> None:
    result = CliRunner().invoke(main, ["docs", "extracton"])
    assert result.exit_code == 1 and len(result.output.splitlines()) == 1
    assert "no such page; did you mean 'extraction'?" in result.output
