"""The map in ``docs/architecture.md`` is true: floors, doors, no circles, one process file."""

import ast
import re
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "napari_seglite"
# Lower floors first; a room imports only from rooms before it.
FLOORS = (
    "src_models",
    "errors",
    "images",
    "formats",
    "checkpoints",
    "runtime",
    "catalogue",
    "labels",
    "inference",
    "blocks",
    "exchange",
    "training",
    "remote",
    "annotation",
    "batch",
    "cli",
    "widgets.file_layers",
    "widgets.common",
    ("widgets.segment", "widgets.correct", "widgets.fine_tune", "widgets.models", "widgets.tools"),
    "widgets",
)
LEVEL = {
    room: level
    for level, rooms in enumerate(FLOORS)
    for room in ([rooms] if isinstance(rooms, str) else rooms)
}


@cache
def modules() -> dict[str, Path]:
    """Return the files of both packages by the names of their modules."""
    found = {}
    for folder in (PACKAGE, "src_models"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room_of(module: str) -> str:
    """Return the room that a module is in: the longest name of a room that begins its own."""
    inside = module.removeprefix(f"{PACKAGE}.")
    rooms = [room for room in LEVEL if inside == room or inside.startswith(f"{room}.")]
    return max(rooms, key=len, default="")


@cache
def imports(module: str) -> list[tuple[str, str, int]]:
    """Return what a module imports from both packages: module, name and line."""
    path = modules()[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, "", node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*above, node.module or ""]).strip(".") if node.level else node.module
            found += [(base or "", alias.name, node.lineno) for alias in node.names]
    return [entry for entry in found if entry[0].partition(".")[0] in (PACKAGE, "src_models")]


def file_of(module: str, name: str) -> str:
    """Return the module that an import reads: a submodule if the name is one."""
    return f"{module}.{name}" if f"{module}.{name}" in modules() else module


@pytest.mark.parametrize("module", [m for m in modules() if room_of(m)])
def test_a_room_imports_from_lower_floors_and_through_doors(module):
    here = room_of(module)
    for source, name, line in imports(module):
        there = room_of(file_of(source, name))
        where = f"{modules()[module].relative_to(ROOT)}:{line} imports {name} of {source}"
        if there in (here, ""):
            continue
        assert LEVEL[there] < LEVEL[here], f"{where}: {there} is no floor below {here}"
        if there in ("src_models", "errors", "batch"):
            continue
        assert source == f"{PACKAGE}.{there}", f"{where}: the door is {PACKAGE}.{there}"
        door = ast.parse(modules()[source].read_text("utf-8"))
        offered = next(
            ast.literal_eval(node.value)
            for node in door.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        )
        assert name in offered, f"{where}: the door does not offer it"


def test_no_two_files_import_each_other_in_a_circle():
    graph = {
        module: {
            file_of(source, name)
            for source, name, _ in imports(module)
            if file_of(source, name) in modules()
        }
        - {module}
        for module in modules()
        if not module.endswith("__init__") and modules()[module].name != "__init__.py"
    }
    graph = {
        module: {other for other in others if other in graph} for module, others in graph.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_engine_knows_neither_qt_nor_napari():
    for module, path in modules().items():
        if room_of(module).startswith("widgets"):
            continue
        foreign = re.findall(
            r"^\s*(?:from|import) (qtpy|napari|magicgui|superqt)\b", path.read_text(), re.M
        )
        assert not foreign, f"{path.relative_to(ROOT)} imports {', '.join(foreign)}"


def test_only_applications_change_the_process():
    applications = ("cli", "widgets.common", "widgets.tools", "widgets")
    for module in modules():
        for source, name, line in imports(module):
            if name == "process" and room_of(module) != "runtime":
                where = f"{modules()[module].relative_to(ROOT)}:{line}"
                assert room_of(module) in applications, f"{where} changes the process"
                assert source == f"{PACKAGE}.runtime", where


def test_the_map_names_every_room():
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    for room in LEVEL:
        assert f"`{room.replace('.', '/')}" in text, f"docs/architecture.md does not name {room}"
