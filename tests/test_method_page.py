"""docs/method.md goes through the paper: every sentence, its quotes, numbers and code places."""

import ast
import re
import unicodedata
from pathlib import Path

import pytest
import yaml

from tsatal.config import load_config
from tsatal.extract.settings import ExtractSettings, with_preset
from tsatal.head import tsa

from .conftest import SHARED

ROOT = Path(__file__).parents[1]
PAPER = SHARED.parent / "paper" / "tsa-tal.txt"
needs_paper = pytest.mark.skipif(not PAPER.exists(), reason="the paper is not here")
TEXT, STRONG = (ROOT / "docs" / "method.md").read_text("utf-8").split("## The preset `strong`")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("| ") and not line.startswith("| the paper")
]
PLACE = re.compile(r"`([\w/.-]+\.(?:py|yaml)):([\w.]+)`")
LEAST_LETTERS = 10  # of a quote by which a sentence counts as gone through
# What was once missing from the page or silently different, in words that must be on it.
POINTS = (
    "learned, at the entry of the head", "stand side by side", "averaged over colour",
    "a row stands for two frames", "shared by the three outputs", "are those before it",
    "local time series", "M is the softmax without V", "a set of losses of their own",
    "divided by the number of steps", "most important action instances",
    "one upon the other", "the mask is the actionness", "W_o is not in the paper",
    "takes the 512 values of a row to d = 256", "one head, no encoding of positions",
    "softmax over background and classes of the averaged logits", "Three test videos are left out",
    "training and validation subsets", "128 frames", "(512,100)", "single-stream",
    "names no setting of the training", "Figures 1 to 3 are lost",
)  # fmt: skip
# Numbers of the page, as the settings of `paper` must have them.
NUMBERS: dict[str, dict[str, object]] = {
    "linear and learned, at the entry of the head, 512 values": {"model.fully_connected": 512},
    "to d = 256": {"model.width": 256, "model.embed_depth": 1},
    "windows of 100 rows": {"data.window_steps": 100, "decode.window_steps": None},
    "any two steps of a window": {"model.tsa_reach": None},
    "`paper` weighs by 1 - B": {"model.tsa_threshold": None, "model.tsa_same": False},
    "The sigmoid, which the Transformer does not have, is there": {"model.tsa_sigmoid": True},
    "so nothing is learned through A": {"model.tsa": "hard"},
    "one convolution is shared by": {"model.shared_heads": "stages", "model.early_depth": 1},
    "how much each counts is not said: 1": {"loss.pre": 1, "loss.refined": 1, "loss.final": 1},
    "gamma 2,": {"loss.focal_gamma": 2},
    "alpha 0.5": {"loss.focal_alpha": 0.5},
    "three times with stride 2": {"model.pyramid_levels": 3, "model.levels": 1},
    "rates 1, 2 and 4": {"model.dilations": (1, 2, 4)},
    "one upon the other": {"model.stacked": True},
    "the mask is the actionness after TPP": {"model.aggregate": True, "model.tpp": True},
    "softmax over background": {"model.classes": "softmax"},
    "holds 0.75 of the *instance*": {"data.min_instance_share": 0.75},
    "dropout of half the input values": {"model.input_dropout": 0.5},
    "20 epochs": {"optim.epochs": 20},
    "class probability times its actionness": {
        "model.final_actionness": True,
        "decode.class_agreement": 0,
    },
}


def names_in(path: Path) -> set[str]:
    """Return what a module defines, methods as CLASS.METHOD, or the SECTION.KEYs of a YAML file."""
    if path.suffix == ".yaml":
        sections = yaml.safe_load(path.read_text("utf-8")).items()
        return {f"{section}.{key}" for section, values in sections for key in values}
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


def set_value(config: object, key: str) -> object:
    section, name = key.split(".")
    return getattr(getattr(config, section), name)


@pytest.mark.parametrize("words", NUMBERS)
def test_numbers_are_those_of_the_preset(words: str) -> None:
    assert words in " ".join(TEXT.split())
    paper = load_config("paper")
    assert {key: set_value(paper, key) for key in NUMBERS[words]} == NUMBERS[words]


def test_pairs_of_steps_weigh_as_in_eq_1() -> None:
    said = next(said for said, *_ in ROWS if "Eq. 1" in said)
    weights = (tsa.SAME_ACTION, tsa.OTHER_ACTION, tsa.ONE_ACTION, tsa.BOTH_BACKGROUND)
    assert ", ".join(f"{w:g}" for w in weights) in said


def test_extraction_is_what_the_page_says_of_it() -> None:
    default, paper = ExtractSettings(), with_preset("paper", {})
    assert (default.streams, default.resize, default.crop) == (("rgb",), 128, 112)
    assert (
        "frames are scaled to 128 pixels before 112 are cut, with `--config paper` to 112" in TEXT
    )
    assert (paper.streams, paper.resize, paper.crop) == (("rgb", "flow"), 112, 112)
    assert (paper.fps, paper.segment, paper.context, paper.stride) == (10, 128, 0, 2)
    assert (paper.width, paper.projection) == (2048, "none")


def test_every_setting_by_which_strong_differs_is_named() -> None:
    paper, strong = load_config("paper").model_dump(), load_config("strong").model_dump()
    differing = {
        f"{section}.{key}"
        for section, values in paper.items()
        for key, value in values.items()
        if strong[section][key] != value
    }
    assert differing - set(re.findall(r"`(\w+\.\w+)", STRONG)) == set()


def test_every_equation_has_a_row() -> None:
    named = " ".join(said for said, *_ in ROWS)
    assert set(re.findall(r"Eq\. (\d)", named)) == set("12345678")


def quotes(of_preset: bool = False) -> list[str]:
    """The words that the page, from its first table on, or the preset quotes, in parts."""
    yaml_lines = (ROOT / "configs" / "paper.yaml").read_text("utf-8").splitlines()
    said = [TEXT[TEXT.index("| the paper |") :]]
    if of_preset:
        said = [line.partition("#")[2] for line in yaml_lines]
    found = [quote for words in said for quote in re.findall(r'"([^"]+)"', words)]
    return [part for quote in found for part in quote.split("[...]")]


@needs_paper
def test_quotes_are_the_papers() -> None:
    paper = letters(PAPER.read_text("utf-8"))
    said = {False: quotes(), True: quotes(of_preset=True)}
    assert len(said[False]) > 80 and len(said[True]) > 15
    assert [q for q in (*said[False], *said[True]) if letters(q) not in paper] == []


def sentences() -> list[str]:
    """The sentences of the abstract and of sections 2 to 3.2, without equations and captions."""
    text = PAPER.read_text("utf-8").replace("-\n", "")
    abstract = text[text.index("Abstract") + 8 : text.index("1. Introduction")]
    body = text[text.index("\n2. Method") + 10 : text.index("3.3. Result")]
    heading = r"^\s*(\d\.\d?\.?\s+[A-Z][\w ]+|Figure ?\d .*)$"
    words = " ".join(re.sub(heading, "", f"{abstract} {body}", flags=re.MULTILINE).split())
    ends = r"\.\s*(?=[A-Z])|\.\s+(?=[a-zA-Z])|\(\d\)\s"
    parts = re.split(ends, words.replace("e.g.", ""))
    plain = [p for p in parts if len(re.findall(r"[A-Za-z]{3,}", p)) > 3]
    return [p for p in plain if "shown in Figure" not in p or len(p.split()) > 10]


@needs_paper
def test_every_sentence_is_gone_through() -> None:
    long_enough = [q for q in map(letters, quotes()) if len(q) >= LEAST_LETTERS]
    assert len(sentences()) > 45
    missed = [s for s in sentences() if not any(q in letters(s) for q in long_enough)]
    assert missed == []


@needs_paper
def test_figures_of_the_papers_tables_are_the_papers() -> None:
    paper = " ".join(PAPER.read_text("utf-8").split())
    thumos, activitynet = re.findall(r"TSA-TAL I3D ((?:\d+\.\d ?)+)", paper)
    readme = (ROOT / "README.md").read_text("utf-8")
    for name, figures in (("THUMOS14", thumos), ("ActivityNet 1.2", activitynet)):
        row = next(line for line in readme.splitlines() if line.startswith(f"| {name}, mAP"))
        assert re.findall(r"\b\d+\.\d\b", row.split("tIoU")[1]) == figures.split()
    table = (ROOT / "examples" / "thumos14_table.py").read_text("utf-8")
    assert f'"TSA-TAL, as the paper reports": ({", ".join(thumos.split())})' in table
