"""The rows of the ablation, its table, and that an interrupted one goes on."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def ablation(program: Callable[[str], ModuleType]) -> Any:
    return program("ablation")


def test_every_part_of_the_paper_has_a_row_for_both_presets(ablation: Any) -> None:
    paper, strong = (ablation.rows_of(p, ablation.PARTS, []) for p in ("paper", "strong"))
    assert set(paper) | set(strong) == set(ablation.PARTS)
    assert "hard A" not in paper and "soft A" not in strong  # which they have
    assert paper["without both"] == "paper model.tsa=none model.tpp=false"
    only = ablation.rows_of("strong", ablation.PARTS, ["TSA", "sigmoid"])
    assert list(only) == ["as it is", "without TSA", "Q, K, V without sigmoid"]


def test_what_paper_adds_is_all_that_it_has_over_what_was_shipped(ablation: Any) -> None:
    changes = " ".join(ablation.ADDED.values()).split()
    assert ablation.load_config("paper-0.1", changes) == ablation.load_config("paper")


def test_differences_are_of_pairs_and_kept_results_are_not_made_again(
    ablation: Any,
    write_toy: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made: list[tuple[str, int, int]] = []

    def compare(
        features: Path, rows: list[str], folds: list[Any], seeds: list[int], **how: Any
    ) -> Iterator[Any]:
        known = {(r.row, *r.pair) for r in how["known"]}
        for row in rows:
            for key in ((row, f, s) for s in seeds for f in range(len(folds))):
                if key not in known:
                    made.append(key)
                    worth = 50.0 + 10 * key[1] - (4.0 + 2 * key[1]) * ("tsa=none" in row)
                    yield ablation.Result(*key, worth, 1.0, 9.0 if key[1:] == (1, 1) else 0.1)

    monkeypatch.setattr(ablation, "compare", compare)
    command = ["ablation.py", write_toy(tmp_path / "f.h5"), "--folds", "2", "--presets", "strong",
               "--only", "without TSA", "--out", tmp_path / "out"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", [str(c) for c in command])
    ablation.main()
    told = capsys.readouterr().out.splitlines()
    assert len(made) == 8
    # -4 and -6, twice each: the mean is -5, the error sqrt(4 / 3) / 2.
    assert told[-3] == "| without TSA | 50.0 | -5.0 ± 0.6 (4) |"
    assert told[-1] == "did not converge: without TSA, fold 1, seed 1 (9.00)"
    made.clear()
    ablation.main()
    assert made == [] and capsys.readouterr().out.splitlines()[-3] == told[-3]
    monkeypatch.setattr(sys, "argv", [*sys.argv[:-1], str(tmp_path / "none"), "--table"])
    ablation.main()
    assert made == [] and "| without TSA |  |  |" in capsys.readouterr().out
