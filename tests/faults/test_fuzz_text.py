"""Broken text: annotations, predictions, configurations, run folders; each ends in one clear line.

In this process, through click's runner: whatever is raised, but an exit, is a bug of ours.
"""

from __future__ import annotations

import json
import random
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner

from tsatal.cli import main
from tsatal.config import dump_config, load_config
from tsatal.errors import InputError
from tsatal.head.checkpoint import LAST, load_checkpoint, save_atomically

from .conftest import cases
from .mutation import NASTY, mutated_bytes, mutated_text, mutated_value

SLOWEST_SEC = 20.0  # of a processor: other programs may run

TRUTH: dict[str, Any] = {
    "database": {
        f"v_{n}": {
            "subset": ("training", "validation")[n % 2],
            "duration": 30.0,
            "annotations": [
                {"label": "jump", "segment": [1.5, 4]},
                {"label": "run", "segment": [8, 12.25]},
                {"label": "Ambiguous", "segment": [20, 22]},
            ],
        }
        for n in range(4)
    }
}
FOUND: dict[str, Any] = {
    "version": "VERSION 1.3",
    "results": {
        f"v_{n}": [
            {"label": "jump", "segment": [1.25, 4.5], "score": 0.9},
            {"label": "run", "segment": [7, 12], "score": 0.25},
        ]
        for n in range(4)
    },
    "actionness": {"v_1": {"start_sec": 0.0, "step_sec": 0.5, "values": [0.1, 0.9]}},
}


TENSORS = (
    *NASTY, torch.zeros(()), torch.zeros(3), torch.full((16,), torch.nan), torch.zeros(16),
    torch.zeros(16, dtype=torch.int64), torch.zeros(2, 2, dtype=torch.complex64),
    torch.full((1,), 1e38), torch.zeros(0), torch.eye(3).to_sparse(),
    torch.zeros(1, dtype=torch.bool),
)  # fmt: skip


class Tally:
    """What became of the cases; the last one's number stands in a failure's message."""

    def __init__(self, root: Path) -> None:
        self.root, self.counts = root, Counter[str]()
        self.outside = sorted(root.parent.iterdir())

    def run(self, *arguments: object, case: object) -> None:
        """Run a command; fail unless it succeeds or says in one line what is wrong, soon."""
        began = time.process_time()
        result = CliRunner().invoke(main, [str(a) for a in arguments])
        assert time.process_time() - began < SLOWEST_SEC, f"case {case} is slow"
        error = result.exception
        if error is not None and not isinstance(error, SystemExit):
            raise AssertionError(f"case {case}: {type(error).__name__}") from error
        assert result.exit_code in (0, 1, 2), f"case {case}: status {result.exit_code}"
        if result.exit_code:
            lines = [x for x in result.stderr.splitlines() if x.startswith("Error: ")]
            assert len(lines) == 1 and len(lines[0]) < 3000, f"case {case}: {result.stderr[:2000]}"
        self.counts[f"status {result.exit_code}"] += 1

    def check(self, *, both: bool = True) -> None:
        """Fail if something was written beside the folder, or if no case was of either kind."""
        assert sorted(self.root.parent.iterdir()) == self.outside
        print(dict(self.counts))
        assert not both or (self.counts["status 0"] and self.counts["status 1"])


def broken_json(value: Any, dice: random.Random) -> bytes:
    if dice.random() < 0.4:
        return mutated_text(json.dumps(value), dice)
    return json.dumps(mutated_value(value, dice)).encode()


def test_annotations_and_predictions(tmp_path: Path) -> None:
    tally, root = Tally(tmp_path), tmp_path
    (root / "a.json").write_text(json.dumps(TRUTH))
    (root / "p.json").write_text(json.dumps(FOUND))
    for case in cases(150, 4000):
        dice = random.Random(case)
        annotations, predictions = root / "a.json", root / "p.json"
        if dice.random() < 0.6:
            annotations = root / "broken_a.json"
            annotations.write_bytes(broken_json(TRUTH, dice))
        else:
            predictions = root / "broken_p.json"
            predictions.write_bytes(broken_json(FOUND, dice))
        options: list[object] = ["--subset", "validation"] if dice.random() < 0.7 else []
        options += ["--protocol", dice.choice(("anet", "thumos14"))]
        tally.run(
            "evaluate", "--predictions", predictions, "--annotations", annotations, *options,
            case=case,
        )  # fmt: skip
    tally.check()


def test_pictures_and_reports_of_strange_values(tmp_path: Path) -> None:
    """As above, with everything that is drawn and written of it."""
    tally, root = Tally(tmp_path / "out"), tmp_path
    (root / "out").mkdir()
    tally.outside = sorted([*root.iterdir(), root / "a.json", root / "p.json"])
    for case in cases(6, 400):
        dice = random.Random(case)
        truth, found = TRUTH, FOUND
        if dice.random() < 0.5:
            truth = mutated_value(TRUTH, dice)
        else:
            found = mutated_value(FOUND, dice)
        (root / "a.json").write_text(json.dumps(truth))
        (root / "p.json").write_text(json.dumps(found))
        tally.run(
            "evaluate", "--predictions", root / "p.json", "--annotations", root / "a.json",
            "--subset", "validation", "--out", root / "out", "--timelines", 2, case=case,
        )  # fmt: skip
    tally.check(both=False)


def test_configurations(tmp_path: Path) -> None:
    tally = Tally(tmp_path)
    text = dump_config(load_config("strong"))
    for case in cases(80, 1500):
        dice = random.Random(case)
        path = tmp_path / "c.yaml"
        if dice.random() < 0.5:
            path.write_bytes(mutated_text(text, dice))
        else:
            path.write_text(yaml.safe_dump(_plain(mutated_value(yaml.safe_load(text), dice))))
        tally.run("configs", path, case=case)
    tally.check()


def _plain(value: Any) -> Any:
    """Return a value that YAML can write."""
    if isinstance(value, str):
        return value.encode("utf-8", "ignore").decode()
    if isinstance(value, dict):
        return {_plain(k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "text",
    [
        b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
            b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % (c + 1, c + 1, *[c] * 9)
            for c in b"abcdefgh"
        ),
        b"model: &m {width: *m}", b"model: &m [*m]", b"optim: {lr: .nan}", b"optim: {lr: .inf}",
        b"model: {dilations: [0]}", b"eval: {tious: [.nan]}", b"eval: {tious: [7]}",
        b"optim: {epochs: 0x" + b"f" * 9000 + b"}", b"x" * 2_000_000, b"\xff\xfe", b"[" * 99_999,
        b"optim: {lr: !!timestamp x}", b"optim: {lr: !!bool x}", b"? {a: b}\n: c",
        b"optim: 2001-99-99",
        b"!!python/object/apply:os.system ['touch here']", b"data: {x" + b"y" * 99_999 + b": 1}",
    ],
)  # fmt: skip
def test_configurations_that_mean_harm(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(text)
    tally = Tally(tmp_path)
    tally.run("configs", tmp_path / "c.yaml", case=text[:40])
    assert tally.counts == {"status 1": 1} and len(list(tmp_path.iterdir())) == 1


def test_run_folders(run_dir: Path, tmp_path: Path) -> None:
    """Damaged settings and descriptions, under evaluation and a resumed training."""
    tally, run = Tally(tmp_path), tmp_path / "run"
    tally.outside = sorted(tmp_path.parent.iterdir())
    for case in cases(16, 1200):
        dice = random.Random(case)
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(run_dir, run, ignore=shutil.ignore_patterns("events.*"))
        name = dice.choice(("data.json", "data.json", "config.yaml", "log.csv"))
        text = (run / name).read_text()
        if name == "data.json" and dice.random() < 0.6:
            broken = json.dumps(mutated_value(json.loads(text), dice)).encode()
        else:
            broken = mutated_text(text, dice)
        (run / name).write_bytes(broken)
        if dice.random() < 0.5:
            tally.run("evaluate", run, "--timelines", 0, "--device", "cpu", case=case)
        else:
            tally.run("-q", "train", "--resume", "--out", run, "--device", "cpu", case=case)
    tally.check()


def test_checkpoints(run_dir: Path, tmp_path: Path) -> None:
    """Cut short, with other keys or values, under evaluation and a resumed training."""
    tally, run = Tally(tmp_path), tmp_path / "run"
    whole = (run_dir / LAST).read_bytes()
    for case in cases(16, 1200):
        dice = random.Random(case)
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(run_dir, run, ignore=shutil.ignore_patterns("events.*"))
        config = (run / "config.yaml").read_text().replace("epochs: 2", "epochs: 3")
        (run / "config.yaml").write_text(config)
        if dice.random() < 0.4:
            (run / LAST).write_bytes(mutated_bytes(whole, dice))
        else:
            checkpoint = mutated_value(load_checkpoint(run_dir / LAST), dice, nasty=TENSORS)
            try:
                save_atomically(checkpoint, run / LAST)
            except (TypeError, ValueError, OverflowError, InputError, AttributeError):
                continue  # no checkpoint could be like this
        if dice.random() < 0.4:
            tally.run("evaluate", run, "--timelines", 0, "--device", "cpu", case=case)
        else:
            tally.run("-q", "train", "--resume", "--out", run, "--device", "cpu", case=case)
    tally.check()


class _Runs:
    """A pickle of it runs a command when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("command", ["evaluate", "train", "extract"])
def test_a_checkpoint_that_would_run_code_runs_none(
    command: str, run_dir: Path, videos: Path, tmp_path: Path
) -> None:
    run, mark = tmp_path / "run", tmp_path / "mark"
    shutil.copytree(run_dir, run)
    save_atomically({"average": {}, "training": _Runs(mark), "x": _Runs(mark)}, run / LAST)
    tally = Tally(tmp_path)
    arguments: dict[str, tuple[object, ...]] = {
        "evaluate": ("evaluate", run),
        "train": ("train", "--resume", "--out", run),
        "extract": ("extract", videos, tmp_path / "o.h5", "--weights", run / LAST),
    }
    tally.run(*arguments[command], "--device", "cpu", case=command)
    assert tally.counts == {"status 1": 1} and not mark.exists()
