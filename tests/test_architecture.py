"""The rooms of the house: which may import which, by which doors, and what starts without the heavy libraries."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import headstart

SOURCES = Path(headstart.__file__).parent
# Bottom up, as CONTRIBUTING.md has it; `errors`, `lazy`, `statistics` and `typed` are below all of them.
ROOMS = {
    "errors": set(),
    "lazy": set(),
    "statistics": set(),
    "typed": set(),
    "store": set(),
    "config": {"store"},
    "data": {"store"},
    "models": {"store"},
    "footprint": {"data", "models"},
    "training": {"footprint", "config", "data", "models", "store"},
    "timing": {"training", "models", "store"},
    "sweep": {"timing", "training", "config", "store"},
    "analysis": {"store"},
    "report": {"analysis", "store"},
    "export": {"analysis", "store"},
    "inference": {"training", "footprint", "models", "data", "config", "store"},
    "serving": {"inference", "report", "data", "store"},
    "notebook": {"analysis", "report", "inference", "store"},
    "cli": {
        "sweep",
        "training",
        "report",
        "export",
        "analysis",
        "inference",
        "serving",
        "data",
        "models",
        "config",
        "store",
        "notebook",
    },
}
BELOW_ALL = {"errors", "lazy", "statistics", "typed"}
FOREIGN = {  # libraries that a room must do without, whatever a library that it uses imports
    "errors": {"torch", "hydra", "omegaconf", "optuna", "pandas", "numpy"},
    "statistics": {"torch", "hydra", "omegaconf", "optuna", "pandas"},
    "lazy": {"torch", "hydra", "omegaconf", "optuna", "pandas", "numpy"},
    "typed": {"torch", "hydra", "omegaconf", "optuna", "pandas", "numpy"},
    "store": {"torch", "hydra", "omegaconf", "optuna", "pandas"},
    "config": {"torch", "optuna", "pandas"},
    "data": {"hydra", "omegaconf", "optuna", "pandas"},
    "models": {"hydra", "omegaconf", "optuna", "pandas"},
    "footprint": {"hydra", "omegaconf", "optuna", "pandas"},
    "training": {"optuna", "pandas"},
    "sweep": {"torch", "pandas"},
    "analysis": {"torch", "hydra", "omegaconf", "optuna"},
    "report": {"torch", "hydra", "omegaconf"},
    "export": {"torch", "hydra", "omegaconf", "optuna"},
}
LONGEST_FILE, LONGEST_FUNCTION, MOST_FILES = 300, 45, 18


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(SOURCES.parent).with_suffix("").parts).removesuffix(".__init__")


FILES = {
    module_of(path): path for path in sorted(SOURCES.rglob("*.py")) if {"conf", "experiments"}.isdisjoint(path.parts)
}
TREES = {module: ast.parse(path.read_text()) for module, path in FILES.items()}


def room_of(module: str) -> str:
    """`store` of headstart.store.files; "" of the package's own __init__."""
    return module.partition(".")[2].partition(".")[0]


def imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(module, name) of every import, inside functions too; the name is "" of a plain `import module`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from ((node.module or "", alias.name) for alias in node.names)


def own_imports(module: str) -> Iterator[tuple[str, str]]:
    """Those of headstart's own, without the version that the package says."""
    for source, name in imported(TREES[module]):
        if source == "headstart" and name == "__version__":
            continue
        if source == "headstart" or source.startswith("headstart."):
            yield (f"headstart.{name}", "") if source == "headstart" else (source, name)


def exported(module: str) -> set[str]:
    """The names in a package's __all__; of a module those that it defines at its top, constants included."""
    body = TREES[module].body
    assigned = {ast.unparse(node.targets[0]): node.value for node in body if isinstance(node, ast.Assign)}
    if "__all__" in assigned:
        return set(ast.literal_eval(assigned["__all__"]))
    defined = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return {name for name in {*defined, *assigned} if not name.startswith("_")}


def test_every_folder_and_file_at_the_top_is_a_room_of_the_house():
    found = {room_of(module) for module in FILES} - {""}
    assert found == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_downwards_only(room):
    allowed = ROOMS[room] | BELOW_ALL | {room}
    for module in (m for m in FILES if room_of(m) == room):
        reached = {room_of(source) for source, _ in own_imports(module)}
        assert reached <= allowed, f"{module} imports {sorted(reached - allowed)}"


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_are_entered_by_their_doors(room):
    """From outside only what a package's __init__ names in __all__: nobody reaches further."""
    for module in (m for m in FILES if room_of(m) == room):
        for source, name in own_imports(module):
            if room_of(source) not in (room, ""):
                open_door = source.count(".") == 1 and (not name or name in exported(source))
                assert open_door, f"{module} reaches past the door of {room_of(source)}: {source}.{name}"


@pytest.mark.parametrize("room", [room for room in ROOMS if (SOURCES / room).is_dir()])
def test_a_room_says_what_it_is_for(room):
    tree = TREES[f"headstart.{room}"]
    assert (ast.get_docstring(tree) or "").partition("\n")[0].endswith(".")


@pytest.mark.parametrize("room", FOREIGN)
def test_rooms_do_without_the_libraries_of_others(room):
    for module in (m for m in FILES if room_of(m) == room):
        found = {source.partition(".")[0] for source, _ in imported(TREES[module])}
        assert not found & FOREIGN[room], module


@pytest.mark.parametrize("room", [None, "data", "report"])
def test_no_circle_of_modules(room):
    """Of these rooms not even one of types, which are below those who speak of them; of doors, that lead to all, no."""
    own = [module for module in FILES if room is None or (room_of(module) == room and module.count(".") > 1)]
    graph = {m: {source for source in named(m, for_types=room is not None) if source in own} - {m} for m in own}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' -> '.join(error.args[1])}")


def named(module: str, *, for_types: bool = False) -> Iterator[str]:
    """The modules that a module imports at its top; what a package's door leads to counts as the package.

    for_types: with what it imports for type checkers alone.
    """
    body = TREES[module].body
    for_checkers = [n for node in body if isinstance(node, ast.If) and for_types for n in node.body]
    top = ast.Module([n for n in (*body, *for_checkers) if isinstance(n, ast.Import | ast.ImportFrom)], [])
    for source, name in imported(top):
        yield f"{source}.{name}" if f"{source}.{name}" in FILES else source


def test_files_are_short_and_folders_hold_few():
    lengths = {module: len(path.read_text().splitlines()) for module, path in FILES.items()}
    assert {m: n for m, n in lengths.items() if n > LONGEST_FILE} == {}
    folders = [path.parent for path in FILES.values()]
    assert max(map(folders.count, folders)) <= MOST_FILES + 1  # and __init__


def test_functions_are_short():
    long = [
        f"{module}.{node.name}: {node.end_lineno - node.lineno + 1}"
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION
    ]
    assert long == []


def test_every_module_has_a_test_file():
    """tests/ROOM/test_MODULE.py for src/headstart/ROOM/MODULE.py; a file that tests several lies in their room, too."""
    root = Path(__file__).parent
    rooms = [room for room in ROOMS if (SOURCES / room).is_dir()]
    inside = [m.split(".")[1:] for m, path in FILES.items() if room_of(m) in rooms and path.name != "__init__.py"]
    expected = {"/".join([*folders, f"test_{name}.py"]) for *folders, name in inside}
    found = {path.relative_to(root).as_posix() for room in rooms for path in (root / room).rglob("test_*.py")}
    assert expected - found == set()


HEAVY = ("torch", "torchvision", "timm", "sklearn", "optuna", "scipy", "matplotlib", "pandas")


def started(script: str, folder: Path | None = None) -> subprocess.CompletedProcess:
    said = f"print('imported:', *(m for m in {HEAVY} if m in sys.modules))"
    return subprocess.run(
        [sys.executable, "-c", f"import sys\n{script}\n{said}"], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("words", [[], ["data"], ["report"], ["weights"], ["weights", "export"], ["serve"], ["cache"]])
def test_help_comes_without_importing_anything_heavy(words):
    script = f"""sys.argv = ['headstart', *{words}, '--help']
from headstart.cli.main import main
try:
    main()
except SystemExit:
    pass"""
    done = started(script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("imported:") and "headstart" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data=folder", "data.root=.", "data.size=abc"], "data.size=abc: expected a whole number from 1 to 4096"),
        (
            ["data=digits", "schedule=cosine", "schedule.warmup=2"],
            "schedule.warmup=2: expected a number from 0 below 1",
        ),
        (["-m", "data=digits", "data.folds=x", "model=cnn,resnet9"], "data.folds=x: expected a whole number from 2"),
    ],
)
def test_what_a_source_or_a_schedule_does_not_take_is_refused_without_torch(words, said, tmp_path):
    (tmp_path / "a.png").touch()
    script = f"""sys.argv = ['headstart', *{words}]
from headstart.cli.main import main
try:
    main()
except SystemExit:
    pass
print('torch' in sys.modules)"""
    done = started(script, tmp_path)
    assert said in done.stderr and "reading the pictures" not in done.stderr
    assert done.stdout.splitlines()[-2] == "False"


def test_collating_tables_needs_neither_torch_nor_hydra(tmp_path):
    (tmp_path / "study.json").write_text("{}")
    script = (
        "sys.argv = ['headstart', 'report', '.']\nfrom headstart.cli.main import main\nmain()\n"
        "print('torch' in sys.modules, 'hydra' in sys.modules)"
    )
    done = started(script, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2] == "False False"
