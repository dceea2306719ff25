"""The root of the repository is the package: guards against what that makes easy to break."""

import configparser
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

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


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, tsatal, tsatal.cli; "
        "assert not {'torch', 'cv2', 'h5py', 'matplotlib'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    shutil.rmtree(ROOT / "build", ignore_errors=True)  # modules of before would be packed too
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*build, "-w", str(out), str(ROOT)], capture_output=True, text=True, check=False
    )
    if "Cannot import 'setuptools" in done.stderr or "No module named 'setuptools'" in done.stderr:
        pytest.skip("setuptools is not installed in this environment")
    assert done.returncode == 0, done.stderr
    return next(out.glob("*.whl"))


def test_wheel_holds_the_modules_and_configurations_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    modules = {n for n in names if n.endswith(".py")}
    expected = {
        f"tsatal/{p.relative_to(ROOT)}"
        for folder in (ROOT, *(p.parent for p in PACKAGES))
        for p in folder.glob("*.py")
    }
    assert modules == expected
    configs = {n for n in names if n.endswith(".yaml")}
    assert configs == {f"tsatal/configs/{p.name}" for p in (ROOT / "configs").glob("*.yaml")}
    pages = {n for n in names if n.endswith((".html", ".css", ".js"))}
    kept = (ROOT / "reports" / "assets").iterdir()
    assert pages == {f"tsatal/reports/assets/{p.name}" for p in kept}
    assert not [n for n in names if "tests" in n or "benchmarks" in n]


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
