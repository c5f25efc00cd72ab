"""The order of the house: arrows point down, without a circle, and the world comes in by ports."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import holdfast

ROOT = Path(holdfast.__file__).parent

GROUND = {"errors", "pump", "ports", "storage", "contract"}
DECLARED = GROUND | {"resilience", "system"}
HANDLED = DECLARED | {"security", "observability", "consistency"}
SERVED = HANDLED | {"dispatch"}
WIRED = SERVED | {"communication", "gateway", "engines"}

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "contract": {"errors"},
    "ports": set(),
    "storage": {"contract", "errors"},
    "pump": set(),
    "resilience": GROUND,
    "system": GROUND | {"resilience"},
    "security": DECLARED,
    "observability": DECLARED,
    "engines": GROUND,
    "consistency": GROUND,
    "dispatch": HANDLED,
    "communication": SERVED - {"consistency"},
    "gateway": SERVED - {"consistency"} | {"communication"},
    "straight": SERVED | {"communication", "gateway"},
    "migrations": GROUND | {"engines", "system"},
    "runtime": WIRED | {"migrations", "straight"},
    "testing": WIRED | {"runtime", "simulation"},
    "simulation": WIRED | {"runtime"},
    "delivery": DECLARED | {"security", "observability", "communication", "runtime"},
    "story": WIRED | {"runtime"},
    "live": WIRED | {"runtime"},
    "load": WIRED | {"runtime", "live", "testing"},
    "console": WIRED | {"runtime", "story", "live"},
    "cli": WIRED
    | {"migrations", "runtime", "simulation", "story", "live", "delivery", "console", "testing"}
    | {"straight", "load"},
    "holdfast": DECLARED,  # the public names, in __init__.py
}
"""{package: the packages that it may import}; a package that is not here is refused."""

WORLD = {
    *("time.*", "random.*", "secrets.*", "socket.*"),
    *("uuid.uuid1", "uuid.uuid4", "uuid.uuid6", "uuid.uuid7", "uuid.uuid8", "uuid.getnode"),
    *("os.environ", "os.environb", "os.getenv", "os.urandom", "os.getrandom"),
    *("datetime.now", "datetime.utcnow", "datetime.today", "date.today"),
}
"""Names by which time, chance, the environment and the network could come in unseen."""

HARMLESS = {"secrets.compare_digest", "socket.AF_INET", "socket.AF_UNIX", "socket.SOCK_STREAM"}
"""What of them reads nothing: constants and a pure function."""

OPEN_TO_THE_WORLD = {"engines", "runtime", "simulation"}


def names_of_modules() -> dict[str, Path]:
    """Return {module: file} of the whole package."""
    names = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("holdfast", *path.relative_to(ROOT).with_suffix("").parts)
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


MODULES = names_of_modules()
TREES = {module: ast.parse(path.read_text()) for module, path in MODULES.items()}


def package_of(module: str) -> str:
    """Return the top-level package or module below `holdfast` that a module belongs to."""
    return f"{module}.".split(".")[1] or "holdfast"


def imports_of(module: str) -> Iterator[tuple[str, int]]:
    """Yield (module of ours, line) of each import: in functions and for type checkers too."""
    for node in ast.walk(TREES[module]):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are written in full"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            while name and name not in MODULES:
                name = name.rpartition(".")[0]
            if name and name != module:
                yield name, node.lineno  # type: ignore[attr-defined]  # an import has a line


def is_of_the_world(name: str) -> bool:
    """Whether a dotted name, such as `time.monotonic`, reads something that is not its input."""
    everything = f"{name.partition('.')[0]}.*"
    return (name in WORLD or everything in WORLD) and name not in HARMLESS


def reads_of(module: str) -> Iterator[str]:
    """Yield where a module takes something of the outside world, as `line: name`."""
    aliases: dict[str, str] = {"datetime": "datetime", "date": "date"}
    nodes = list(ast.walk(TREES[module]))
    imported = imported_names(nodes)
    for node in nodes:
        if isinstance(node, ast.Import):
            aliases |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (f"{node.lineno}: {name}" for name in names if is_of_the_world(name))
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = node.value.id
            name = f"{aliases.get(owner, owner)}.{node.attr}"
            if is_of_the_world(name) and owner in imported:
                yield f"{node.lineno}: {name}"


def imported_names(nodes: list[ast.AST]) -> set[str]:
    """Return the names that a module's imports bind."""
    return {
        alias.asname or alias.name
        for node in nodes
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }


@pytest.mark.parametrize("package", sorted({package_of(module) for module in MODULES}))
def test_arrows_point_down(package: str) -> None:
    """A package imports only what stands below it."""
    allowed = MAY_IMPORT[package] | {package}

    wrong = [
        f"{MODULES[module]}:{line} imports {imported}"
        for module in MODULES
        if package_of(module) == package
        for imported, line in imports_of(module)
        if package_of(imported) not in allowed
    ]
    assert wrong == []


def test_the_table_of_arrows_has_no_circle() -> None:
    """So that the order of the house is one."""
    order = list(TopologicalSorter(MAY_IMPORT).static_order())

    assert order[0] == "errors" and order[-1] in ("cli", "holdfast")


def test_no_two_modules_need_each_other() -> None:
    """No circle of imports, not even in functions or for type checkers."""
    graph = {module: {name for name, _ in imports_of(module)} for module in MODULES}

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


@pytest.mark.parametrize(
    "package", sorted({package_of(module) for module in MODULES} - OPEN_TO_THE_WORLD)
)
def test_time_chance_and_the_outside_come_in_by_ports(package: str) -> None:
    """Engines, the runtime and the simulation touch the clock, chance, the environment, sockets."""
    wrong = [
        f"{MODULES[module]}:{read}"
        for module in MODULES
        if package_of(module) == package
        for read in reads_of(module)
    ]
    assert wrong == []


def test_the_check_for_reads_sees_what_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    """An alias, a name and a harmless use are told apart; so is a variable called `time`."""
    source = """
import os, socket, time as clock, uuid
from datetime import datetime
from random import choice
from uuid import UUID, uuid4
def f(time, socket):
    clock.monotonic(); os.environ["A"]; uuid.UUID(int=1); uuid.uuid7(); os.path; time.sleep()
    datetime.now(); datetime.fromtimestamp(0); socket.AF_UNIX
"""
    monkeypatch.setitem(TREES, "holdfast.example", ast.parse(source))

    assert sorted(reads_of("holdfast.example")) == [
        "4: random.choice",
        "5: uuid.uuid4",
        "7: os.environ",
        "7: time.monotonic",
        "7: uuid.uuid7",
        "8: datetime.now",
    ]


def test_importing_holdfast_does_not_import_sqlalchemy() -> None:
    """It costs more than half of the time that the import may take."""
    code = (
        "import sys, holdfast, holdfast.consistency, holdfast.resilience, holdfast.security\n"
        "heavy = {'sqlalchemy', 'asyncpg', 'nats', 'redis', 'uvloop', 'typer', 'rich'}\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []


@pytest.mark.parametrize("module", [m for m, p in MODULES.items() if p.name == "__init__.py"])
def test_what_a_package_offers_is_sorted_and_there(module: str) -> None:
    """`__all__` is the table of contents: CONSTANTS, then Classes, then functions."""
    found = importlib.import_module(module)
    names: list[str] = list(getattr(found, "__all__", ()))

    assert names == sorted(names, key=lambda n: (not n.isupper(), not n[0].isupper(), n))
    assert [name for name in names if not hasattr(found, name)] == []


@pytest.mark.parametrize("module", [m for m, p in MODULES.items() if p.name == "__init__.py"])
def test_a_package_init_only_re_exports(module: str) -> None:
    """A docstring, imports and `__all__`: nothing else runs when a package is imported."""
    strange = [
        ast.unparse(node)
        for node in TREES[module].body
        if not isinstance(node, (ast.Import, ast.ImportFrom))
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        and not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
    ]
    assert strange == []
