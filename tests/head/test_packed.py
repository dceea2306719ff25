"""Packed models in a run's place: unpacked once, found on the hub, and refused in one line."""

import errno
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tsatal import pipeline
from tsatal.errors import InputError
from tsatal.formats.bundle import Bundle
from tsatal.head.detector import load_detector
from tsatal.head.packed import hub_model, is_packed, place_for, run_folder

SMALL = ("model.width=16", "optim.epochs=1", "data.least_steps=1", "data.windows_per_video=1")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, write_toy: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("model")
    run = pipeline.train(write_toy(folder / "f.h5"), overrides=SMALL, run=folder / "run")
    return pipeline.pack(run, folder / "m.tsatal").path


def test_a_run_is_its_own_folder(tmp_path: Path) -> None:
    assert run_folder(tmp_path) == tmp_path and not is_packed(tmp_path)
    assert run_folder(tmp_path / "none") == tmp_path / "none"
    assert place_for(tmp_path) == tmp_path
    assert place_for(str(tmp_path), "detections") == tmp_path / "detections"


def test_a_packed_model_is_unpacked_once_into_a_folder_of_its_name(model: Path) -> None:
    folder = run_folder(model)
    assert is_packed(folder) and folder.name == "m.tsatal" and folder != model
    assert run_folder(str(model)) == folder
    assert place_for(model) == Path("m-evaluation")
    assert place_for("hf:ann/gym@v1") == Path("gym-evaluation")
    assert place_for(model, "detections") == Path("detections")


def test_another_file_in_its_place_is_unpacked_anew(model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "m.tsatal"
    copy.write_bytes(model.read_bytes())
    before = run_folder(copy)
    pipeline.pack(model.parent / "run", copy, note="other")
    assert run_folder(copy) != before


def test_no_room_to_unpack_it_is_told(model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "full.tsatal"
    copy.write_bytes(model.read_bytes())
    with pytest.MonkeyPatch.context() as patched:

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patched.setattr(Bundle, "unpack", full)
        line = r"full\.tsatal: cannot be unpacked \(No space left on device\); name a folder"
        with pytest.raises(InputError, match=line):
            run_folder(copy)
    assert is_packed(run_folder(copy))


def test_what_is_no_packed_model_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.tsatal").write_text("x")
    with pytest.raises(InputError, match=r"x\.tsatal: not a packed model of tsatal, or cut short"):
        load_detector(tmp_path / "x.tsatal")
    with pytest.raises(InputError, match=r"y\.tsatal: no such file$"):
        load_detector(tmp_path / "y.tsatal")


def test_a_packed_model_holds_one_checkpoint(model: Path) -> None:
    assert load_detector(model).epoch == 1
    with pytest.raises(InputError, match=r"m\.tsatal: holds the last weights alone; pack the best"):
        load_detector(model, checkpoint="best")
    best = pipeline.pack(model.parent / "run", model.parent / "b.tsatal", checkpoint="best").path
    assert load_detector(best).epoch == 1 and load_detector(best, checkpoint="best").epoch == 1


# The hub's own errors are known by their names.
RAISED = {
    "ann/offline": type("LocalEntryNotFoundError", (OSError,), {}),
    "ann/old": type("RevisionNotFoundError", (OSError,), {}),
    "ann/other": type("RemoteEntryNotFoundError", (OSError,), {}),
    "ann/secret": type("GatedRepoError", (OSError,), {}),
}


@pytest.fixture
def hub(model: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str | None]]:
    """A hub that has one model in its cache; returns what it is asked for."""
    hub_model.cache_clear()
    asked = []

    def download(repository: str, file: str, *, revision: str | None = None) -> str:
        asked.append((repository, file, revision))
        if repository != "ann/gym":
            raise RAISED.get(repository, ConnectionError)("no route to host\nat all")
        return str(model)

    library = ModuleType("huggingface_hub")
    library.hf_hub_download = download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", library)
    return asked


def test_a_model_comes_from_the_hub_by_its_name(
    model: Path, hub: list[tuple[str, str, str | None]]
) -> None:
    names = ("hf:ann/gym", "hf:ann/gym@v1.2", "hf:ann/gym/sub/lift.tsatal@refs/pr/1")
    assert [hub_model(name) for name in names] == 3 * [model]
    assert hub == [
        ("ann/gym", "model.tsatal", None),
        ("ann/gym", "model.tsatal", "v1.2"),
        ("ann/gym", "sub/lift.tsatal", "refs/pr/1"),
    ]
    assert hub_model("hf:ann/gym") == model and len(hub) == 3  # a command asks once
    # Paths of the command line keep the name.
    assert load_detector(Path("hf:ann/gym@v1")).data.labels == ("jump", "run")


def test_a_hub_out_of_reach_is_one_line(hub: list[tuple[str, str, str | None]]) -> None:
    with pytest.raises(InputError) as told:
        hub_model("hf:ann/none")
    assert str(told.value) == (
        "hf:ann/none: model.tsatal is not in the cache and cannot be downloaded (ConnectionError); "
        "look at https://huggingface.co/ann/none, or give the file itself"
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hf:ann/offline", "the hub does not answer"),
        ("hf:ann/old@v9", "no such branch, tag or commit"),
        ("hf:ann/other", "no such file there; name it: hf:OWNER/NAME/FILE.tsatal"),
        ("hf:ann/secret", "no such repository, or one that needs a login: hf auth login"),
    ],
)
@pytest.mark.usefixtures("hub")
def test_why_the_hub_gives_nothing_is_told(
    name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with pytest.raises(InputError, match=re.escape(f"cannot be downloaded ({words}); look at")):
        hub_model(name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match=r"downloaded \(HF_HUB_OFFLINE is set\); look at"):
        hub_model(name)


@pytest.mark.parametrize("name", ["hf:", "hf:ann", "hf:ann/gym/x.zip", "hf:../x y/z", "hf:a/b@"])
def test_a_name_of_another_form_is_told(name: str) -> None:
    with pytest.raises(InputError, match="must be hf:OWNER/NAME"):
        hub_model(name)


def test_the_hub_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    hub_model.cache_clear()
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match="hf:ann/gym: the hub needs: pip install"):
        hub_model("hf:ann/gym")
