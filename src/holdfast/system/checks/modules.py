"""Checks of messages' modules: who imports a message must not get the whole service with it."""

import ast
import importlib.util
import inspect
import sys
from collections.abc import Iterator, Sequence, Set

from holdfast.contract.messages import Message
from holdfast.system.checks.reading import Reading

_LIGHT = frozenset(
    {"holdfast", "pydantic", "pydantic_core", "annotated_types", "typing_extensions"}
)


def module_problems(reading: Reading) -> Iterator[str]:
    """Yield which modules of messages import more than messages."""
    homes: dict[str, set[str]] = {service.name: set() for service in reading.services}
    for declared in reading.functions:
        homes[declared.service.name].add(declared.function.__module__)
    users: dict[str, set[str]] = {}
    for service, message in _used(reading):
        users.setdefault(message.__module__, set()).add(service)
    services = {module for modules in homes.values() for module in modules}
    for module, names in sorted(users.items()):
        beside = sorted(name for name, modules in homes.items() if module in modules)
        afar = sorted(name for name in names if homes[name] and module not in homes[name])
        if not beside:
            yield from _drags(module, services)
        elif afar:  # a system of one file has nothing to drag in
            yield (
                f"{module} holds messages beside the functions of {beside[0]}, and {afar[0]} "
                "imports it; move the messages to a module of their own, such as messages.py"
            )


def _used(reading: Reading) -> Iterator[tuple[str, type[Message]]]:
    for service in reading.services:
        for sent in (*service.calls, *service.publishes):
            yield service.name, sent
    for declared, message in reading.handlers():
        yield declared.service.name, message


def _drags(module: str, services: Set[str]) -> Iterator[str]:
    for line, imported in _imports(module) or ():
        chain = _heavy(imported, services, {module})
        if chain:
            through = f" (through {' → '.join(chain[:-1])})" if len(chain) > 1 else ""
            yield (
                f"{module} imports {chain[-1]}{through} in line {line}; a module of messages "
                "imports messages and models alone, so that others can import it: move the rest"
            )


def _heavy(name: str, services: Set[str], seen: set[str]) -> list[str]:
    """Return the imports that lead from `name` to what is no message's business, or nothing."""
    top = name.partition(".")[0]
    module = sys.modules.get(name)
    if module is None or name in seen or top in sys.stdlib_module_names or top in _LIGHT:
        return []
    seen.add(name)
    imports = (
        None if name in services or "site-packages" in str(module.__file__) else _imports(name)
    )
    if imports is None:
        return [name]
    for _, imported in imports:
        chain = _heavy(imported, services, seen)
        if chain:
            return [name, *chain]
    return []


def _imports(name: str) -> list[tuple[int, str]] | None:
    """Return (line, module) of what a module imports as it is loaded; None without a source."""
    module = sys.modules.get(name)
    try:
        tree = ast.parse(inspect.getsource(module)) if module else None
    except (OSError, TypeError):
        tree = None
    if module is None or tree is None:
        return None
    package = module.__package__ or ""
    return [
        (node.lineno, imported)
        for node in _import_nodes(tree.body)
        for imported in _imported(node, package)
    ]


def _import_nodes(body: Sequence[ast.AST]) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports that run at import time: not those in functions or for type checkers."""
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _import_nodes(node.orelse)
        else:
            yield from _import_nodes(list(ast.iter_child_nodes(node)))


def _imported(node: ast.Import | ast.ImportFrom, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = "." * node.level + (node.module or "")
    name = importlib.util.resolve_name(base, package) if node.level else base
    parts = [f"{name}.{alias.name}" for alias in node.names]
    modules = [part for part in parts if part in sys.modules]
    yield from modules
    if len(modules) < len(parts):
        yield name
