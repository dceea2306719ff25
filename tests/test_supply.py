"""What comes from outside stays data: no source runs code from a file, or reaches out unasked."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NO_PACKAGE = {"tests", "benchmarks", "build", "dist", "demo"}

# Modules whose readers run code from a file, or start programs.
REFUSED_MODULES = {
    "cloudpickle", "dill", "joblib", "marshal", "multiprocessing", "pickle", "pty", "runpy",
    "shelve", "subprocess",
}  # fmt: skip
REFUSED_CALLS = {
    "__import__", "eval", "exec", "import_module", "popen", "system",
    "full_load", "load_all", "load_state_dict_from_url", "unsafe_load",
}  # fmt: skip
# Calls that are safe only when told so.
NEEDED = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "np.lib.format.read_array": ("allow_pickle", False),
}
NETWORK_MODULES = {"http", "requests", "socket", "ssl", "urllib"}
MAY_USE_NETWORK = {
    "annotator/server.py": {"socket"},  # listens on this machine alone
    "extract/backbones/weights.py": {"urllib"},  # the one download
    "formats/atomic.py": {"socket"},  # the host's name
    # Quoting and reading of paths and addresses.
    "formats/labels/elan.py": {"urllib"},
    "formats/labels/label_studio.py": {"urllib"},
    "formats/labels/record.py": {"urllib"},
    "reports/contact_sheet.py": {"urllib"},
    "reports/viewer.py": {"urllib"},
}


def wrong_in(tree: ast.Module) -> Iterator[str]:
    """Yield what in a module could run code from a file, or start a program."""
    for node in ast.walk(tree):
        for module in imported(node) & REFUSED_MODULES:
            yield f"line {node.lineno}: imports {module}"  # type: ignore[attr-defined]
        if isinstance(node, ast.Call) and (reason := wrong_call(node)):
            yield f"line {node.lineno}: {reason}"


def imported(node: ast.AST) -> set[str]:
    """Return the top-level modules that a statement imports from elsewhere."""
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and not node.level:
        return {str(node.module).split(".")[0]}
    return set()


def wrong_call(call: ast.Call) -> str | None:
    name = ast.unparse(call.func)
    last = name.rsplit(".", 1)[-1]
    if last in REFUSED_CALLS and not (last == "eval" and not call.args):  # `net.eval()` is torch's
        return f"calls {name}"
    if name.startswith("yaml.") and last in ("load", "dump"):
        return f"calls {name}, not its safe form"
    told = {k.arg: k.value.value for k in call.keywords if isinstance(k.value, ast.Constant)}
    if name in NEEDED and told.get(NEEDED[name][0]) is not NEEDED[name][1]:
        return f"calls {name} without {NEEDED[name][0]}={NEEDED[name][1]}"
    unsafe = [
        f"{option}={value}"
        for option, value in (("allow_pickle", True), ("weights_only", False), ("shell", True))
        if told.get(option) is value
    ]
    return f"calls {name} with {unsafe[0]}" if unsafe else None


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Yield every module of the package, by its path."""
    for path in sorted(ROOT.rglob("*.py")):
        inside = path.relative_to(ROOT)
        if inside.parts[0] not in NO_PACKAGE and not inside.parts[0].startswith("."):
            yield inside.as_posix(), ast.parse(path.read_text("utf-8"))


def test_no_source_runs_code_from_a_file_or_starts_a_program() -> None:
    found = [f"{path}: {wrong}" for path, tree in sources() for wrong in wrong_in(tree)]
    # Commands, public names and backbones are loaded when used, by names that stand in tables.
    by_name = {"cli.py", "__init__.py", "extract/backbones/table.py"}
    allowed = {f"{path}: calls import_module" for path in by_name}
    # Trainings side by side: processes of this very program, which exchange what it makes itself.
    allowed |= {"head/jobs.py: imports multiprocessing"}
    # A pickle that may make arrays of numbers and nothing else; see its own test.
    allowed |= {"extract/backbones/inception_weights.py: imports pickle"}
    assert {re.sub(r"line \d+: ", "", f) for f in found} == allowed


def test_the_network_is_used_for_one_download() -> None:
    found = {
        path: used
        for path, tree in sources()
        if (used := set().union(*(imported(n) for n in ast.walk(tree))) & NETWORK_MODULES)
    }
    assert found == MAY_USE_NETWORK


def test_there_are_sources_to_look_at() -> None:
    assert len(list(sources())) > 50


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from subprocess import run",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, Loader=yaml.Loader)",
        "eval(text)",
        "os.system(text)",
    ],
)
def test_what_is_refused_is_found(code: str) -> None:
    assert list(wrong_in(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "torch.load(path, map_location='cpu', weights_only=True)",
        "np.load(path, allow_pickle=False)",
        "yaml.safe_load(text)",
        "net.eval()",
    ],
)
def test_what_is_safe_is_let_pass(code: str) -> None:
    assert not list(wrong_in(ast.parse(code)))
