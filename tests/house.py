"""The house as it stands: which module of the package imports which, read from the sources.

`python tests/house.py PICTURE.svg` draws its rooms in layers, with an arrow for every import.
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
NO_ROOM = {"tests", "benchmarks", "build", "dist", "demo", "docs", "examples"}

# From the top down. What stands higher may import what stands lower.
LAYERS = (
    ("__main__",),
    ("cli",),
    ("commands",),
    ("pipeline",),
    ("wiring",),
    ("checks", "reports", "annotator"),
    ("extract", "head", "evaluation", "exchange"),
    ("config", "formats"),
    ("errors", "segments", "progress"),
)
# Imports between rooms of one layer, each in this direction only.
BESIDE = {("head", "evaluation"), ("config", "formats"), ("annotator", "reports")}


def modules() -> dict[tuple[str, ...], Path]:
    """Return the file of every module of the package, by its parts: `("head", "tsa")`."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[0] not in NO_ROOM and not parts[0].startswith("."):
            found[parts] = path
    return found


@cache
def trees() -> dict[tuple[str, ...], ast.Module]:
    """Return the syntax tree of every module of the package, by its parts."""
    return {module: ast.parse(path.read_text("utf-8")) for module, path in modules().items()}


def imports() -> Iterator[tuple[tuple[str, ...], tuple[str, ...], str]]:
    """Yield every import inside the package: the importing module, the imported one, a name.

    Imports inside functions and those for type checkers count like all others.
    """
    known = modules()
    for module, tree in trees().items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or not node.level:
                continue
            base = (*module[: len(module) - node.level], *(node.module or "").split("."))
            base = tuple(part for part in base if part)
            for alias in node.names:
                inside = (*base, alias.name)
                yield (module, inside, "") if inside in known else (module, base, alias.name)


def arrows() -> Counter[tuple[str, str]]:
    """Return how many imports lead from room to room; a room is a folder or a root module.

    `__init__` is the face of the house, and no room: it names what others hold.
    """
    return Counter(
        (module[0], imported[0])
        for module, imported, _ in imports()
        if imported and module[0] not in (imported[0], "__init__")
    )


def draw(picture: Path) -> None:
    """Draw the rooms in their layers, and an arrow from every room to those that it imports."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 8), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=(0, 12), ylim=(len(LAYERS) - 0.4, -0.6))
    axes.set_axis_off()
    lines = Counter[str]()
    for module, path in modules().items():
        lines[module[0]] += len(path.read_text("utf-8").splitlines())
    place = {
        room: (12 * (n + 0.5) / len(layer), height)
        for height, layer in enumerate(LAYERS)
        for n, room in enumerate(layer)
    }
    for (importer, imported), number in sorted(arrows().items()):
        axes.annotate(
            "", place[imported], place[importer],
            arrowprops={
                "arrowstyle": "->", "color": "#999999", "linewidth": 0.5 + 0.12 * min(number, 20),
                "shrinkA": 16, "shrinkB": 16, "connectionstyle": "arc3,rad=0.06",
            },
        )  # fmt: skip
    for room, (x, y) in place.items():
        folder = (ROOT / room).is_dir()
        axes.text(
            x, y, f"{room}{'/' if folder else '.py'}\n{lines[room]:,} lines",
            ha="center", va="center", fontsize=9, weight="bold" if folder else "normal",
            bbox={"boxstyle": "round,pad=0.5", "fc": "#e8f1f8" if folder else "#f4f4f2",
                  "ec": "#0072B2" if folder else "#999999"},
        )  # fmt: skip
    figure.savefig(picture, metadata={"Date": None} if picture.suffix == ".svg" else None)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
