"""docs/method.md goes through the paper: its quotes are the paper's, its places are in the code."""

import ast
import re
import unicodedata
from pathlib import Path

import pytest
import yaml

from .conftest import SHARED

ROOT = Path(__file__).parents[1]
PAPER = SHARED.parent / "paper" / "tsa-tal.txt"
TEXT = (ROOT / "docs" / "method.md").read_text("utf-8").split("## The preset `strong`")[0]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("| ") and not line.startswith("| the paper")
]
PLACE = re.compile(r"`([\w/.-]+\.(?:py|yaml)):([\w.]+)`")
# What was once missing from the page or silently different, in words that must be on it.
POINTS = (
    "learned, at the entry of the head", "stand side by side", "averaged over colour",
    "a row stands for two frames", "shared by the three outputs", "are those before it",
    "local time series", "M is the softmax without V", "a third set of losses",
    "gamma 2", "alpha 0.5", "divided by the number of steps", "most important action instances",
    "three levels", "rates 1, 2 and 4", "one upon the other", "the mask is the actionness",
    "softmax over background and classes of the averaged logits", "Three test videos are left out",
    "training and validation subsets", "scaled to 128 pixels before 112 are cut",
    "128 frames", "(512, 100)", "single-stream", "names no setting of the training",
    "Figures 1 to 3 are lost",
)  # fmt: skip


def names_in(path: Path) -> set[str]:
    """Return what a module defines, methods as CLASS.METHOD, or the keys of a YAML file."""
    if path.suffix == ".yaml":
        return {key for section in yaml.safe_load(path.read_text()).values() for key in section}
    found = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, ast.Assign):
            found |= {t.id for t in node.targets if isinstance(t, ast.Name)}
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
            inside = [n for n in node.body if isinstance(n, ast.FunctionDef)]
            found |= {f"{node.name}.{n.name}" for n in inside}
    return found


def letters(text: str) -> str:
    """Return the letters and digits of a text: its line breaks and its minus signs are lost."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).lower() if c.isalnum())


def test_every_row_has_a_status_and_places_that_are_in_the_code() -> None:
    assert len(ROWS) > 50
    for said, status, _, where in ROWS:
        assert status in ("as said", "open", "departed"), said
        places = PLACE.findall(where)
        assert places, said
        assert [p for p in places if p[1] not in names_in(ROOT / p[0])] == [], said


def test_what_is_open_or_departed_from_says_how_and_why() -> None:
    assert [said for said, status, here, _ in ROWS if status != "as said" and len(here) < 30] == []


@pytest.mark.parametrize("point", POINTS)
def test_what_was_missing_is_there(point: str) -> None:
    assert point in " ".join(TEXT.split())


@pytest.mark.skipif(not PAPER.exists(), reason="the paper is not here")
def test_quotes_are_the_papers() -> None:
    paper = letters(PAPER.read_text("utf-8"))
    said = [said for said, *_ in ROWS]
    yaml_lines = (ROOT / "configs" / "paper.yaml").read_text("utf-8").splitlines()
    said += [line.partition("#")[2] for line in yaml_lines]
    quotes = [quote for words in said for quote in re.findall(r'"([^"]+)"', words)]
    assert len(quotes) > 70
    parts = [part for quote in quotes for part in quote.split("[...]")]
    assert [part for part in parts if letters(part) not in paper] == []
