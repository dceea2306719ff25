"""The rules of the house (docs/design.md), held by reading every import of the package."""

import ast
import sys

import pytest

from .house import BESIDE, LAYERS, ROOT, arrows, imports, modules, trees

LAYER = {room: height for height, layer in enumerate(LAYERS) for room in layer}
MOST_ARROWS = 64
WHOLE_CONFIG = {("head", name) for name in ("run", "training", "detector", "studies")}
# Keys of our own files: of annotations, predictions, and the feature file.
KEYS_ON_DISK = {"database", "results", "tsatal-features"}


def test_the_root_has_eight_modules_and_every_room_has_a_layer() -> None:
    at_the_root = {parts[0] for parts in modules() if len(parts) == 1}
    assert at_the_root == {
        "__init__", "__main__", "cli", "pipeline", "config", "errors", "segments", "progress",
    }  # fmt: skip
    rooms = {parts[0] for parts in modules()} - {"__init__"}
    assert rooms == set(LAYER)


def test_no_module_at_the_root_is_named_like_one_of_the_standard_library() -> None:
    rooms = {parts[0] for parts in modules()} - {"__init__", "__main__"}
    assert not rooms & set(sys.stdlib_module_names)


def test_imports_lead_down() -> None:
    wrong = [
        f"{'.'.join(module)} imports {'.'.join(imported)}"
        for module, imported, _ in imports()
        if imported and module[0] != imported[0] and module != ("__init__",)
        if LAYER[module[0]] >= LAYER[imported[0]] and (module[0], imported[0]) not in BESIDE
    ]
    assert wrong == []
    assert len(arrows()) <= MOST_ARROWS


def test_wiring_is_behind_pipeline() -> None:
    assert {above for above, room in arrows() if room == "wiring"} == {"pipeline"}
    assert {room for above, room in arrows() if above == "pipeline"} == {"wiring"}
    lengths = {
        ".".join(module): len(path.read_text("utf-8").splitlines())
        for module, path in modules().items()
        if module[0] in ("pipeline", "wiring")
    }
    assert {module: length for module, length in lengths.items() if length > 400} == {}


def test_no_module_imports_itself_by_a_detour() -> None:
    below: dict[tuple[str, ...], set[tuple[str, ...]]] = {module: set() for module in modules()}
    for module, imported, _ in imports():
        if imported in below:
            below[module].add(imported)
    while ends := {module for module, lower in below.items() if not lower}:
        below = {module: lower - ends for module, lower in below.items() if module not in ends}
    assert below == {}, "modules in a circle, and those above them"


def test_in_head_only_four_modules_know_the_whole_configuration() -> None:
    others = {
        (module, name)
        for module, imported, name in imports()
        if module[0] == "head" and imported == ("config",) and module not in WHOLE_CONFIG
    }
    # A module of the network takes its own section of the settings, and no other.
    assert all(name.endswith("Config") and name != "Config" for _, name in others)


def foreign_imports(room: str) -> set[str]:
    """Return the top-level packages from elsewhere that a room imports."""
    found = set()
    for module, tree in trees().items():
        if module[0] != room:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(str(node.module).split(".")[0])
    return found


def test_evaluation_imports_no_torch_and_no_pictures() -> None:
    assert not foreign_imports("evaluation") & {"torch", "matplotlib", "PIL", "cv2"}


def test_only_reports_draw_and_only_stage_one_decodes() -> None:
    drawing = {room for room in LAYER if "matplotlib" in foreign_imports(room)}
    assert drawing == {"reports"}
    assert {room for room in LAYER if "av" in foreign_imports(room)} <= {"extract", "reports"}


def test_only_formats_knows_the_keys_of_files_on_disk() -> None:
    """Exchange knows those of other programs' files, which share some words."""
    found = {
        f"{'.'.join(module)}:{node.lineno}: {node.value!r}"
        for module, tree in trees().items()
        if module[0] not in ("formats", "exchange")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in KEYS_ON_DISK
    }
    assert found == set()
    assert {room for room in LAYER if "h5py" in foreign_imports(room)} <= {"formats", "exchange"}


@pytest.mark.parametrize("room", sorted(r for r in LAYER if (ROOT / r).is_dir()))
def test_every_folder_and_module_says_what_it_is(room: str) -> None:
    for module, tree in trees().items():
        if module[0] == room:
            assert ast.get_docstring(tree), module
