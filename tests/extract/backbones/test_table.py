"""The backbones by name, and what each says of itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tsatal.errors import InputError
from tsatal.extract.backbones.family import kinetics_400
from tsatal.extract.backbones.table import (
    DEFAULT,
    MODULES,
    all_families,
    find_family,
    find_published,
    is_here,
)
from tsatal.extract.settings import ExtractSettings

from ...conftest import ROOT


def test_every_name_is_a_backbone_that_its_settings_suit() -> None:
    assert [family.name for family in all_families()] == list(MODULES)
    for family in all_families():
        settings = ExtractSettings(backbone=family.name)
        assert settings.family is family and settings.step_sec < 0.5
        assert family.labels is None or len(family.labels) == 400
        assert set(family.urls) == set(family.streams)
        assert settings.width == (512 if family.name == DEFAULT else family.width)
        assert family.first_frame(settings.clip_frames) >= -2


def test_unknown_names_are_refused() -> None:
    for name in ("", "resnet", "timm:", "hf", "nothing:x"):
        with pytest.raises(InputError, match=f"backbone {name!r}: there is none of that name"):
            find_family(name)


def test_the_page_lists_every_backbone_with_its_licence() -> None:
    page = (ROOT / "docs" / "backbones.md").read_text()
    for family in all_families():
        [row] = [line for line in page.splitlines() if line.startswith(f"| `{family.name}` ")]
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert str(family.width) in cells and family.licence in row
        assert f"{family.top1:.1f}" in row


def test_names_and_help_need_no_torch() -> None:
    program = (
        "import sys; from tsatal.extract.settings import ExtractSettings as S;"
        "from tsatal.extract.backbones.table import all_families;"
        "[S(backbone=f.name) for f in all_families()];"
        "import tsatal.commands.extract, tsatal.commands.backbones;"
        "assert 'torch' not in sys.modules and 'cv2' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_published_weights_are_looked_for_in_torchs_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    family = find_family("x3d_s")
    assert not is_here(family)
    cached = tmp_path / "hub" / "checkpoints" / "X3D_S.pyth"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"as if downloaded")
    assert is_here(family) and find_published(family, "rgb")[0] == cached
    stated = tmp_path / "hub" / "checkpoints" / "s3d-d76dad2f.pth"
    stated.write_bytes(b"cut off")
    with pytest.raises(InputError, match="begins with d76dad2f by its name; remove it"):
        find_published(find_family("s3d"), "rgb")


def test_classes_of_kinetics_are_in_the_order_of_the_networks() -> None:
    names = kinetics_400()
    assert len(names) == len(set(names)) == 400
    assert names[0] == "abseiling" and names[-1] == "zumba"
    assert (names[255], names[260], names[330]) == ("pull ups", "push up", "squat")
    assert list(names) == sorted(names, key=str.lower)
