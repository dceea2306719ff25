"""Every page's commands, typed from the first to the last, in a folder of the form it speaks of.

The data are tiny: videos of three seconds, features of an untrained network or of random numbers,
annotations with the page's names. `tests/test_docs.py` parses the commands of all pages; here they
run, all in one process.
"""

import csv
import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from tsatal import pipeline
from tsatal.cli import main
from tsatal.commands.demo import write_demo_videos
from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import FeatureFile

from .test_docs import PAGES, PLACEHOLDERS, ROOT, blocks, name

# What is typed after a page's own words, so that it takes no network, no hour, and no gigabyte.
ADDED = {
    "extract": "--weights random --resize 32 --crop 32",
    "train": "--set optim.epochs=1 --set model.width=16 --set data.least_steps=1",
}
# Commands that end with another status than 0, as their page says.
STATUS = {
    ("README.md", "tsatal detect VIDEO --view"): 1,  # there is none, nor the weights for it
    ("docs/labels.md", "tsatal check project.boris"): 1,  # it has no subsets
    ("docs/thumos14.md", "tsatal check thumos14.json"): 1,  # names instances past the end
    ("docs/thumos14.md", "tsatal check thumos14.h5"): 1,
}
# What the pages say is there afterwards.
OUTCOMES = {
    "README.md": ["out.h5", "runs/*/metrics.json", "runs/*/predictions.json", "runs/*/report.html"],
    "docs/activitynet.md": ["anet.h5", "anet_tsn.h5", "anet_c3d.h5", "runs/anet/metrics.json"],
    "docs/api.md": ["head.onnx", "head.pt2", "whole.onnx"],
    "docs/checking.md": [],
    "docs/first_steps.md": [
        "found/predictions.json", "found/detections.csv", "found/timelines",
        "found/validation_17.html", "found/features.h5", "out.h5", "runs/*/report.html",
    ],
    "docs/labels.md": [
        "out.h5", "runs/*/last.pt", "annotations.json", "labels.csv", "labels.boris",
        "found/validation_02.vtt", "found.csv", "pre.json", "clips/index.csv",
        "clips/clips/*/*.mp4", "clips/sheets/*.html", "clips/sheets/*.png",
    ],
    "docs/many_machines.md": ["shards/part_07.h5", "runs/*/last.pt"],
    "docs/own_videos.md": [
        "out.h5", "runs/less_dropout/metrics.json", "runs/paper/metrics.json",
        "runs/*/report.html", "found/predictions.json", "found/detections.csv",
        "found/timelines/*.png", "found/*.html",
    ],
    "docs/published_features.md": [
        "exported/features/*.npy", "exported/annotations.json", "exported/dataset.yaml", "again.h5",
        "sensors.h5",
    ],
    "docs/reading_the_report.md": ["runs/NAME/report.html", "DIR/report.html"],
    "docs/results.md": ["ut.h5", "runs/*/metrics.json"],
    "docs/sharing.md": ["gym.tsatal", "detections/predictions.json", "detections/features.h5"],
    "docs/thumos14.md": [
        "thumos14.h5", "runs/thumos14/metrics.json", "thumos14_own.h5",
        "runs/thumos14_own/metrics.json",
    ],
    "docs/viewing.md": ["VIDEO.html"],
}  # fmt: skip
# Pages whose commands are not run here, and why.
NOT_RUN = {
    "docs/annotating.md": "a server, which does not end; tests/annotator has it",
    "docs/backbones.md": "forms, of networks whose weights need the network",
    "docs/package.md": "the package index's page; README.md has the same commands",
    "docs/extraction.md": "its one command is a form, with [options]",
    "docs/folds.md": "some twenty trainings; tests/head/test_studies.py has smaller ones",
    "docs/lab/norms.md": "a record of what was run, on features that are not in the repository",
    "docs/lab/paper_head.md": "as docs/lab/norms.md",
    "docs/lab/tsa.md": "as docs/lab/norms.md",
}
# Other programs in the blocks, and where they are looked at.
OTHER_PROGRAMS = {
    "make": "targets: below",
    "python": "benchmarks: below; examples/: tests/test_examples.py; simulate_features: not ours",
    "pip": "tests/test_packaging.py",
    "pip-audit": "needs the network",
    "cp": "copies a picture into the repository",
    "chromium": "takes a picture of a page; tests/reports/test_viewer_in_browser.py opens pages",
    "git": "needs the network",
    "cd": "",
}

IDS = ("training_00", "training_01", "validation_02", "validation_03")
DURATION_SEC = 3.0


def commands(page: Path) -> Iterator[str]:
    """Yield the commands in a page's blocks, as one types them."""
    for text in blocks(page, ""):
        for line in text.replace("\\\n", " ").splitlines():
            line = line.strip().split("   ")[0].partition(" #")[0].strip()
            form = "hf:OWNER" in line or any(p in line for p in PLACEHOLDERS)
            if line.startswith("tsatal ") and not form:
                yield line


class Data:
    """Four tiny videos, their features, a trained and evaluated run: made once, copied by pages."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.videos = folder, folder / "videos"
        write_demo_videos(self.videos, training=2, validation=2, duration_sec=DURATION_SEC, seed=0)
        text = (self.videos / "annotations.json").read_text()
        self.database = json.loads(text)["database"]
        # Two classes in every video, so that nothing that `check` finds is there by chance.
        for video in self.database.values():
            video["annotations"] = [
                {"label": "sweep", "segment": [0.3, 1.2]},
                {"label": "pulse", "segment": [1.6, 2.7]},
            ]
        (self.videos / "annotations.json").write_text(json.dumps({"database": self.database}))
        self.features, self.run = folder / "features.h5", folder / "run"
        type_in(f"tsatal extract {self.videos} {self.features} {ADDED['extract']}")
        type_in(f"tsatal train --features {self.features} --out {self.run} {ADDED['train']}")
        type_in(f"tsatal evaluate {self.run}")

    def put_videos(
        self, folder: str, ids: tuple[str, ...] = IDS, *, annotated: bool = True
    ) -> None:
        """Copy the videos into a folder of the page, under ids of the page."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        for ours, theirs in zip(IDS, ids, strict=False):
            shutil.copy(self.videos / f"{ours}.mp4", Path(folder) / f"{theirs}.mp4")
        if annotated:
            self.put_annotations(f"{folder}/annotations.json", ids)

    def put_annotations(
        self, path: str, ids: tuple[str, ...] = IDS, **subsets: str
    ) -> dict[str, Any]:
        """Write the annotations under ids of the page, with other names of subsets if given."""
        database = {}
        for ours, theirs in zip(IDS, ids, strict=True):
            entry = json.loads(json.dumps(self.database[ours]))
            entry["subset"] = subsets.get(entry["subset"], entry["subset"])
            database[theirs] = entry
        Path(path).write_text(json.dumps({"database": database}))
        return database

    def put_features(self, path: str, ids: tuple[str, ...] = IDS) -> None:
        """Write the features under ids of the page, with annotations inside."""
        with FeatureFile(self.features) as file:
            videos = [file.video(v) for v in IDS]
            provenance, projections = file.provenance, file.projections()
        videos = [replace(v, video_id=theirs) for v, theirs in zip(videos, ids, strict=True)]
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self.put_annotations("annotations.tmp", ids)
        text = Path("annotations.tmp").read_text()
        Path("annotations.tmp").unlink()
        write_feature_file(
            path, videos, provenance=provenance, projections=projections, annotations_text=text
        )

    def put_run(self, path: str) -> None:
        """Copy the run into a folder of the page."""
        shutil.copytree(self.run, path)

    def put_predictions(self, path: str, video: str = "validation_02") -> None:
        """Write detections in one video, under an id of the page."""
        found = json.loads((self.run / "predictions.json").read_text())
        results = {video: found["results"]["validation_02"]}
        Path(path).write_text(json.dumps({"results": results}))


def type_in(line: str, status: int = 0) -> None:
    """Run a command, and assert how it ends."""
    result = CliRunner().invoke(main, shlex.split(line)[1:])
    assert isinstance(result.exception, SystemExit | None), (line, result.exception)
    assert result.exit_code == status, f"{line}\n{result.output}"


def readme(data: Data) -> None:
    data.put_videos("videos")


def own_videos(data: Data) -> None:
    data.put_videos("videos")
    Path("new_videos").mkdir()
    shutil.copy(data.videos / "validation_03.mp4", "new_videos/new.mp4")


def first_steps(data: Data) -> None:
    """What `make demo` leaves, and videos of one's own."""
    ids = ("training_00", "training_01", "validation_16", "validation_17")
    data.put_videos("demo/videos", ids)
    data.put_features("demo/features.h5", ids)
    data.put_run("demo/runs/NAME")
    data.put_videos("videos")


def thumos14(data: Data) -> None:
    ids = ("video_validation_0000051", "video_validation_0000052", "video_test_0000004",
           "video_test_0000270")  # fmt: skip
    roles = {"training": "validation", "validation": "test"}
    database = data.put_annotations("thumos14.json", ids, **roles)
    database[ids[3]]["annotations"].append({"label": "pulse", "segment": [40.0, 50.0]})
    for entry in database.values():
        entry["fps"] = 30.0
    Path("thumos14.json").write_text(json.dumps({"database": database}))
    data.put_videos("thumos14_videos", ids, annotated=False)
    Path("i3d_features").mkdir()
    rows = int((DURATION_SEC * 30 - 16) / 4) + 1
    for n, video_id in enumerate(ids):
        noise = np.random.default_rng(n).normal(size=(rows, 2048))
        np.save(f"i3d_features/{video_id}.npy", noise.astype(np.float32))


def activitynet(data: Data) -> None:
    ids = ("QOlSCBRmfWY", "ehGHCYKzyZ8", "nwznKOuZM7w", "ogQozSI5V8U")
    data.put_annotations("activity_net.v1-2.min.json", ids)
    data.put_videos("activitynet_videos", ids, annotated=False)
    Path("csv_mean_100").mkdir()
    with open("video_info_new.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["video", "numFrame", "seconds", "fps", "rfps", "subset", "featureFrame"])
        for video_id in ids:
            writer.writerow([f"v_{video_id}", 90, DURATION_SEC, 30, 30.0, "training", 80])
    scores = {"class": ["sweep", "pulse"], "results": {v: [0.9, 0.1] for v in ids}}
    Path("cuhk_val_simp_share.json").write_text(json.dumps(scores))
    with h5py.File("sub_activitynet_v1-3.c3d.hdf5", "w") as c3d:
        for n, video_id in enumerate(ids):
            noise = np.random.default_rng(n).normal(size=(100, 400))
            header = ",".join(f"f{k}" for k in range(400))
            np.savetxt(
                f"csv_mean_100/v_{video_id}.csv", noise, delimiter=",", header=header, comments=""
            )
            c3d[f"v_{video_id}/c3d_features"] = noise[:10].repeat(2, axis=1)[:, :500]


def api(data: Data) -> None:
    data.put_run("runs/first")


def checking(data: Data) -> None:
    data.put_features("features.h5")
    data.put_annotations("annotations.json")
    data.put_annotations("a.json")
    found = {
        v: [{**a, "score": 0.9 - 0.2 * n} for n, a in enumerate(entry["annotations"])]
        for v, entry in data.database.items()
    }
    Path("predictions.json").write_text(json.dumps({"results": found}))
    data.put_features("FILE")


def labels(data: Data) -> None:
    data.put_videos("videos")
    pipeline.convert("videos/annotations.json", "project.boris")
    pipeline.convert("videos/annotations.json", "export.json", "label-studio", videos="videos")
    data.put_run("runs/first")
    shutil.copytree("videos", "new_videos")
    found = {v: [{**a, "score": 0.9} for a in data.database[v]["annotations"]] for v in IDS}
    Path("found").mkdir()
    Path("found/predictions.json").write_text(json.dumps({"results": found}))


def many_machines(data: Data) -> None:
    data.put_videos("videos", annotated=False)
    data.put_annotations("all.json")
    Path("shards").mkdir()
    Path("list_07.txt").write_text("".join(f"videos/{video_id}.mp4\n" for video_id in IDS))


def published_features(data: Data) -> None:
    data.put_features("out.h5")
    data.put_features("FEATURES.h5")
    data.put_annotations("A.json")
    Path("recordings").mkdir()
    for n, video_id in enumerate(IDS):  # a row every 0.2 s
        noise = np.random.default_rng(n).normal(size=(round(DURATION_SEC * 5), 216))
        np.save(f"recordings/{video_id}.npy", noise)


def reading_the_report(data: Data) -> None:
    data.put_run("runs/NAME")
    data.put_annotations("A.json", validation="test")
    data.put_predictions("P.json")


def results(data: Data) -> None:
    for place in ("ut", "workout", "urfd"):
        data.put_videos(f"{place}/videos", annotated=False)
        data.put_annotations(f"{place}/annotations.json")


def sharing(data: Data) -> None:
    data.put_run("runs/first")
    shutil.copy(data.videos / "validation_03.mp4", "VIDEO")


def viewing(data: Data) -> None:
    shutil.copy(data.videos / "validation_02.mp4", "VIDEO")
    data.put_predictions("PREDICTIONS.json", "VIDEO")
    data.put_annotations("annotations.json", (*IDS[:3], "VIDEO"))


FORMS: dict[str, Callable[[Data], None]] = {
    "README.md": readme,
    "docs/activitynet.md": activitynet,
    "docs/api.md": api,
    "docs/checking.md": checking,
    "docs/first_steps.md": first_steps,
    "docs/labels.md": labels,
    "docs/many_machines.md": many_machines,
    "docs/own_videos.md": own_videos,
    "docs/published_features.md": published_features,
    "docs/reading_the_report.md": reading_the_report,
    "docs/results.md": results,
    "docs/sharing.md": sharing,
    "docs/thumos14.md": thumos14,
    "docs/viewing.md": viewing,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return Data(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("page", FORMS)
def test_a_pages_commands_run_from_the_first_to_the_last(
    page: str, data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    FORMS[page](data)
    for line in commands(ROOT / page):
        words = shlex.split(line)
        added = ADDED.get(words[1], "")
        if "--weights" in words:
            added = added.replace("--weights random", "")
        type_in(f"{line} {added}", STATUS.get((page, line), 0))
    assert [name for name in OUTCOMES[page] if not any(tmp_path.glob(name))] == []


def test_every_page_with_commands_is_run_or_says_why_not() -> None:
    with_commands = {name(page) for page in PAGES if list(commands(page))}
    assert with_commands <= set(FORMS) | set(NOT_RUN)
    assert set(FORMS) == set(OUTCOMES) and not set(FORMS) & set(NOT_RUN)
    typed = {(name(page), line) for page in PAGES for line in commands(page)}
    assert set(STATUS) <= typed


def other_programs() -> Iterator[tuple[str, list[str]]]:
    """Yield the other commands in the pages: the page, and the words without variables."""
    for page in PAGES:
        for text in blocks(page, ""):
            for line in text.replace("\\\n", " ").splitlines():
                line = re.sub(r"^([A-Z_]+=\S+ )+", "", line.strip()).partition(" #")[0]
                for part in line.split(" && "):
                    words = part.split()
                    if words and words[0] in OTHER_PROGRAMS:
                        yield name(page), words


def test_make_has_the_targets_that_pages_name() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    named = {word for _, words in other_programs() if words[0] == "make" for word in words[1:]}
    assert named and named <= targets


def test_scripts_have_the_options_that_pages_give_them() -> None:
    """They need data, hours or a peer's code, so they are only read here."""
    seen = set()
    for page, words in other_programs():
        if words[0] != "python" or not words[1].startswith("benchmarks/"):
            continue
        seen.add(words[1])
        source = (ROOT / words[1]).read_text("utf-8")
        own = words[2 : words.index("--")] if "--" in words else words[2:]
        given = {word for word in own if word.startswith("--")}
        assert given <= set(re.findall(r'"(--[a-z-]+)"', source)), (page, words)
    assert len(seen) >= 4


@pytest.mark.parametrize(
    "options",
    re.findall(r"\| `(--format [^`]+)`", (ROOT / "docs/published_features.md").read_text("utf-8")),
)
def test_the_table_of_published_features_has_options_that_import_knows(options: str) -> None:
    command = main.get_command(None, "import")  # type: ignore[arg-type]
    assert command is not None
    words = ["SOURCE", "OUT.h5", "--annotations", "A.json", *options.split()]
    command.make_context("import", words)
