"""The root of the repository is the package: guards against what that makes easy to break."""

import ast
import configparser
import email
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
NO_PACKAGE = ("build", "tests")
PACKAGES = [
    p
    for p in sorted(ROOT.glob("*/**/__init__.py"))
    if not any(part.startswith(".") or part in NO_PACKAGE for part in p.relative_to(ROOT).parts)
]


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_packages_are_the_folders_of_the_tree() -> None:
    declared = set(setup_cfg()["options"]["packages"].split())
    found = {
        ".".join(("tsatal", *p.parent.relative_to(ROOT).parts))
        for p in (ROOT / "__init__.py", *PACKAGES)
    }
    assert declared == found


def test_every_file_can_be_read_by_the_oldest_python() -> None:
    """mypy looks at the standard library for that version, see setup.cfg."""
    oldest = setup_cfg()["options"]["python_requires"].removeprefix(">=")
    assert setup_cfg()["mypy"]["python_version"] == oldest
    version = (int(oldest.split(".")[0]), int(oldest.split(".")[1]))
    files = [p for p in ROOT.rglob("*.py") if not p.relative_to(ROOT).parts[0].startswith(".")]
    assert len(files) > 100
    for path in files:
        ast.parse(path.read_text("utf-8"), str(path), feature_version=version)


def test_constraints_pin_one_version_for_each_python() -> None:
    """A package has one line, or one up to a Python and one from it on."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins: dict[str, list[str]] = {}
    for line in lines:
        if line and not line.startswith("#"):
            pin, _, marker = line.partition("; ")
            pins.setdefault(pin.split("==")[0], []).append(marker)
    older, newer = 'python_version < "3.11"', 'python_version >= "3.11"'
    assert {tuple(sorted(m)) for m in pins.values()} == {
        ("",),
        (older,),
        tuple(sorted([older, newer])),
    }


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, tsatal, tsatal.cli; "
        "assert not {'torch', 'cv2', 'h5py', 'matplotlib'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built("sdist", tmp_path_factory.mktemp("sdist"))


def built(kind: str, out: Path) -> Path:
    pytest.importorskip("setuptools", minversion="77")
    shutil.rmtree(ROOT / "build", ignore_errors=True)  # modules of before would be packed too
    program = f"from setuptools import build_meta; build_meta.build_{kind}({str(out)!r})"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return next(out.iterdir())


def test_wheel_holds_the_modules_and_configurations_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    modules = {n for n in names if n.endswith(".py")}
    expected = {
        f"tsatal/{p.relative_to(ROOT)}"
        for folder in (ROOT, *(p.parent for p in PACKAGES))
        for p in folder.glob("*.py")
    }
    expected |= {f"tsatal/examples/{p.name}" for p in (ROOT / "examples").glob("*.py")}
    assert modules == expected
    configs = {n for n in names if n.endswith(".yaml")}
    assert configs == {f"tsatal/configs/{p.name}" for p in (ROOT / "configs").glob("*.yaml")}
    pages = {n for n in names if n.endswith((".html", ".css", ".js"))}
    kept = [*ROOT.glob("*/assets/*")]
    assert pages == {f"tsatal/{p.relative_to(ROOT).as_posix()}" for p in kept}
    assert not [n for n in names if "tests" in n or "benchmarks" in n]


def test_wheel_says_what_it_is(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
    about = email.message_from_bytes(archive.read(name))
    assert about["License-Expression"] == "Apache-2.0" and about["License-File"] == "LICENSE"
    assert about["Requires-Python"] == ">=3.10" and about["Summary"] and about["Keywords"]
    classifiers = about.get_all("Classifier") or []
    assert {f"Programming Language :: Python :: 3.{n}" for n in range(10, 14)} <= set(classifiers)
    assert "Typing :: Typed" in classifiers and "tsatal/py.typed" in archive.namelist()
    page = str(about.get_payload())
    assert "tsatal docs" in page
    assert all(link.startswith("http") for link in re.findall(r"\]\(([^)]+)\)", page))


def test_the_pythons_of_the_readme_are_those_that_are_tested() -> None:
    versions = [f"3.{n}" for n in range(10, 14)]
    assert f"Python {versions[0]} to {versions[-1]}" in (ROOT / "README.md").read_text("utf-8")
    assert " ".join(versions) in (ROOT / ".ci" / "pythons").read_text("utf-8")
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == versions


def test_wheel_holds_the_documentation_with_its_pictures(wheel: Path, tmp_path: Path) -> None:
    """All links between what is in it lead somewhere; others are of the tests and the like."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    pages = list((tmp_path / "tsatal" / "docs").rglob("*.md"))
    assert len(pages) == len(list((ROOT / "docs").rglob("*.md")))
    for page in pages:
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
            if not link.startswith(("http", "../tests", "../benchmarks", "../../benchmarks")):
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_sdist_holds_tests_and_docs(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {n.partition("/")[2] for n in archive.getnames()}
    kept = ("tests", "docs", "benchmarks", "examples", "configs", "head", ".ci")
    there = subprocess.run(
        ["git", "ls-files", *kept], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert set(there.stdout.split()) <= names
    assert {"constraints.txt", "Makefile", "LICENSE", "CHANGELOG.md", "tests/conftest.py"} <= names
    assert not [n for n in names if "__pycache__" in n or n.endswith(".h5")]


def test_wheel_has_the_console_script_and_works_from_elsewhere(wheel: Path, tmp_path: Path) -> None:
    entry = next(n for n in zipfile.ZipFile(wheel).namelist() if n.endswith("entry_points.txt"))
    assert "tsatal = tsatal.__main__:run" in zipfile.ZipFile(wheel).read(entry).decode()
    zipfile.ZipFile(wheel).extractall(tmp_path)
    # -I would drop the site packages' path order; the folder first makes this the copy imported.
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.meta_path[:] = "
        "[f for f in sys.meta_path if 'editable' not in repr(f)]; "
        "import tsatal, tsatal.config; print(tsatal.__file__); "
        "print(tsatal.config.load_config('thumos14').eval.protocol)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    where, protocol = done.stdout.splitlines()
    assert where.startswith(str(tmp_path)) and protocol == "thumos14"
