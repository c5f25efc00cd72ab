"""Writes docs/reference.md from the docstrings: `make reference`. A test holds the two equal.

What is public, and in which groups, is said by the imports and comments of `holdfast/__init__.py`;
PLACES names what users import from elsewhere.
"""

import ast
import dataclasses
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import holdfast
from holdfast import errors
from tests.docs.snippets import ROOT

PAGE = ROOT / "docs" / "reference.md"
WIDTH = 96

PLACES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "How an edge is defended": (
        "holdfast.resilience",
        "The `policy` of an `External`, and of the queries in the `policies` of a `Service`.",
        ("EdgePolicy", "RetryPolicy", "BudgetPolicy", "BreakerPolicy", "BulkheadPolicy"),
    ),
    "A service's own metrics": (
        "holdfast.system.measures",
        "What `Service.counter()` and `Service.histogram()` return.",
        ("ServiceCounter", "ServiceHistogram"),
    ),
    "Tests": (
        "holdfast.testing",
        "",
        ("play", "Story", "running", "virtual_time", "Running", "Client"),
    ),
    "Passwords and tokens": (
        "holdfast.security",
        "For services that issue tokens themselves: [Tokens and keys](tokens.md).",
        (
            *("SigningKey", "TokenSigner", "public_jwks"),
            *("hash_password", "password_matches", "is_outdated"),
        ),
    ),
    "Simulation": (
        "holdfast.simulation",
        "What workloads and invariants take: [Simulation](simulation.md).",
        ("Client", "Answer", "World", "run", "Setup", "Outcome", "Violation", "BrokenWorkload"),
    ),
    "Load": (
        "holdfast.load",
        "What `@system.traffic` returns: [Load](load.md).",
        ("Offer",),
    ),
    "Time": ("holdfast.ports", "What a stand-in in a simulation takes.", ("Clock",)),
}
"""{title: (module, what it is for, the names in it)}."""

_OF_MEASURES = {"name", "help", "labels", "bounds", "bind", "is_bound"}  # given to `Service`

HIDDEN = {
    "Service": {"metadata"},
    "ServiceCounter": _OF_MEASURES,
    "ServiceHistogram": _OF_MEASURES | {"buckets"},
    "System": {"simulated", "offered", "handlers", "owner_of"},
    "Setup": {"safe", "schedule"},
    "World": {
        *("close", "within", "end", "arm", "watch", "passed", "calm", "operate", "client"),
        *("start", "start_node", "stop_node", "restart_later", "revive", "crash", "pause", "go_on"),
        *("clocks_of", "set_lever", "reset_lever", "record"),
    },
}
"""{class: fields and methods that only Holdfast itself uses}."""

_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Source)\b([^:]*):(.*)$")
_SPACED = re.compile(r"^(\w+: .+?)=(.+)$")
_ENTRY = re.compile(r"^((?:\*?\w+)(?:, \w+)*): (.*)$")


@dataclass(frozen=True, slots=True)
class Docs:
    """A docstring in its parts.

    Attributes:
        text: what stands before the sections, as Markdown.
        named: {name: meaning} of `Args` and `Attributes`.
        others: lines of `Raises`, `Returns` and `Source`.
    """

    text: str
    named: dict[str, str]
    others: tuple[str, ...]


def read(docstring: str | None) -> Docs:
    """Return a docstring in its parts."""
    text: list[str] = []
    named: dict[str, str] = {}
    others: list[str] = []
    section, head, inner = "", "", list[str]()
    for line in [*inspect.cleandoc(docstring or "").splitlines(), "Source: "]:
        found = _SECTION.match(line)
        if found is None:
            (inner if section else text).append(line)
            continue
        if section in ("Args", "Attributes"):
            named |= _entries(inner)
        elif section:
            words = " ".join(part.strip() for part in inner if part.strip())
            others.append(f"{head} {words}".strip())
        section, head, inner = found[1], f"*{found[1]}{found[2]}:*", [found[3]]
    return Docs("\n".join(text).strip(), named, tuple(others))


def _entries(lines: list[str]) -> dict[str, str]:
    """Return {name: meaning}; names that share an entry share its meaning."""
    entries: dict[str, str] = {}
    names: list[str] = []
    for line in lines:
        found = _ENTRY.match(line.strip())
        if found and len(line) - len(line.lstrip()) == 4:
            names = [name.strip().lstrip("*") for name in found[1].split(",")]
            entries |= dict.fromkeys(names, found[2])
        else:
            entries |= {name: f"{entries[name]} {line.strip()}".strip() for name in names}
    return entries


@cache
def _parsed(thing: Any) -> Any:
    """Return the tree of a class or a function, as it stands in its file."""
    source = textwrap.dedent(inspect.getsource(inspect.unwrap(thing)))
    return ast.parse(source).body[0]


def _signature(node: Any, *, name: str | None = None, bound: bool = False) -> str:
    """Return `name(parameters) -> returns`, without `self`, one parameter a line if it is long."""
    arguments = ast.parse(ast.unparse(node)).body[0].args  # type: ignore[attr-defined]  # a copy
    for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
        if isinstance(argument.annotation, ast.Constant):  # "Table": imported for types alone
            argument.annotation = ast.parse(str(argument.annotation.value)).body[0].value  # type: ignore[attr-defined]
    if bound:
        (arguments.posonlyargs or arguments.args).pop(0)
    returns = _annotation(node.returns)
    start = "async def " if isinstance(node, ast.AsyncFunctionDef) else "def "
    if _is(node, "asynccontextmanager"):
        start, returns = "async with ", returns.partition("[")[2].partition(",")[0]
    tail = f" -> {returns}" if returns else ""
    written = _unquoted(ast.unparse(arguments))
    parts = [_SPACED.sub(r"\1 = \2", part) for part in _split(written)]
    inside = ", ".join(parts)
    line = f"{start}{name or node.name}({inside}){tail}"
    if len(line) <= WIDTH:
        return line
    lines = "".join(f"    {part},\n" for part in parts)
    return f"{start}{name or node.name}(\n{lines}){tail}"


def _annotation(node: Any) -> str:
    """Return an annotation as its reader would write it, without quotes around names."""
    if node is None:
        return ""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return _unquoted(ast.unparse(node))


def _unquoted(text: str) -> str:
    return re.sub(r"(?<=\[)'([A-Z]\w+)'", r"\1", text)


def _split(parameters: str) -> list[str]:
    """Split parameters at the commas that are not inside of brackets or texts."""
    parts, depth = [""], 0
    for sign in parameters:
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def shown(value: object) -> str:
    """Return a default as its reader would write it."""
    if value is dataclasses.MISSING:
        return "needed"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        try:
            if value == type(value)():
                return f"`{type(value).__name__}()`"
        except TypeError:  # it has fields without defaults
            pass
    return f"`{_cell(repr(value))}`"


def fields_of(cls: type) -> Iterator[tuple[str, str, str, str]]:
    """Yield (name, type, default, meaning) of what a class is declared with."""
    meaning = read(cls.__doc__).named
    if not dataclasses.is_dataclass(cls):
        return
    written = {
        node.target.id: _annotation(node.annotation)
        for node in _parsed(cls).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    for field in dataclasses.fields(cls):
        if not field.init or field.name in HIDDEN.get(cls.__name__, ()):
            continue
        default: object = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        yield field.name, written[field.name], shown(default), meaning.get(field.name, "")


def methods_of(cls: type) -> Iterator[tuple[str, list[Any]]]:
    """Yield (name, its definitions: the overloads, or the one) of a class's public methods."""
    found: dict[str, list[Any]] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("holdfast"):
            for node in _parsed(base).body:
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    found.setdefault(node.name, []).append(node)
    for name, nodes in found.items():
        if not name.startswith("_") and name not in HIDDEN.get(cls.__name__, ()):
            yield name, nodes


def _is(node: Any, decorator: str) -> bool:
    return any(ast.unparse(one) == decorator for one in node.decorator_list)


def keywords_of(cls: type) -> str:
    """Return what may follow the bases in `class X(Command[R], version=2)`, or nothing."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not base.__module__.startswith("holdfast"):
            continue
        for node in _parsed(base).body:
            if isinstance(node, ast.FunctionDef) and node.name == "__init_subclass__":
                for argument in node.args.kwonlyargs:
                    found[argument.arg] = ast.unparse(argument.annotation or ast.Constant(None))
    if cls is holdfast.Undo:  # it has a message's, and refuses `fails`
        found.pop("fails", None)
    return ", ".join(f"`{name}: {kind}`" for name, kind in found.items())


def _class(cls: type, level: str) -> Iterator[str]:
    docs = read(cls.__doc__)
    yield f"{level} {cls.__name__}"
    yield docs.text
    keywords = keywords_of(cls)
    if keywords:
        yield f"In the line of the class: {keywords}."
    fields = list(fields_of(cls))
    named = dict(docs.named)
    if fields:
        rows = [
            f"| `{name}` | `{_cell(kind)}` | {default} | {_cell(meaning)} |"
            for name, kind, default, meaning in fields
        ]
        yield "\n".join(["| field | type | default | |", "|---|---|---|---|", *rows])
        for name, *_ in fields:
            named.pop(name, None)
    made = next((n for n in _parsed(cls).body if getattr(n, "name", "") == "__init__"), None)
    if made is not None and cls.__name__ in ("SigningKey", "TokenSigner"):
        call = _signature(made, name=cls.__name__, bound=True)
        yield _code(call.removeprefix("def ").removesuffix(" -> None"))
        yield read(ast.get_docstring(made)).text
    yield from _named(named)
    yield from docs.others
    for _, nodes in methods_of(cls):
        yield from _method(cls.__name__, nodes)


def _method(owner: str, nodes: list[Any]) -> Iterator[str]:
    """A method: its signature or its overloads, and what its last definition says."""
    overloads = [node for node in nodes if _is(node, "overload")]
    last, name = nodes[-1], f"{owner}.{nodes[-1].name}"
    if _is(last, "property"):
        yield _code(f"{name}: {_annotation(last.returns)}")
    else:
        bound = not _is(last, "staticmethod")
        lines = [_signature(node, name=name, bound=bound) for node in overloads or [last]]
        yield _code("\n".join(lines))
    docs = read(ast.get_docstring(last))
    yield docs.text
    yield from _named(docs.named)
    yield from docs.others


def _named(named: dict[str, str]) -> Iterator[str]:
    if named:
        yield "\n".join(f"- `{name}`: {' '.join(text.split())}" for name, text in named.items())


def _code(text: str) -> str:
    return f"```py\n{text}\n```"


def _function(function: Any, level: str) -> Iterator[str]:
    node = _parsed(function)
    docs = read(function.__doc__)
    yield f"{level} {function.__name__}"
    yield _code(_signature(node))
    yield docs.text
    yield from _named(docs.named)
    yield from docs.others


def _thing(module: str, name: str) -> Iterator[str]:
    thing = getattr(importlib.import_module(module), name)
    if not str(getattr(thing, "__module__", "")).startswith("holdfast"):
        yield f"### {name}"
        yield f"`{thing.__module__.split('.')[0]}.{name}`, as that library documents it."
    elif isinstance(thing, type):
        yield from _class(thing, "###")
    else:
        yield from _function(thing, "###")


def groups() -> list[tuple[str, list[str]]]:
    """Return [(comment, names)] of `holdfast/__init__.py`, in its order."""
    source = inspect.getsource(holdfast)
    lines = source.splitlines()
    found: list[tuple[str, list[str]]] = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom):
            names = [alias.asname or alias.name for alias in node.names]
            above = lines[node.lineno - 2]
            found.append((above.removeprefix("# ") if above.startswith("# ") else "", names))
    return found


def _errors() -> Iterator[str]:
    yield "## Errors"
    yield (
        "`from holdfast.errors import …`. `status` is what a client sees of an error that nobody "
        "handled; `code` stands in its problem document; `effect` says whether the other side did "
        "it. What they inherit from stands in brackets. A `Failure` of your own is none of these."
    )
    rows = ["| error | `code` | `status` | `effect` | |", "|---|---|---|---|---|"]
    for name, cls in vars(errors).items():
        if isinstance(cls, type) and issubclass(cls, errors.HoldfastError):
            docs = read(cls.__doc__)
            extra = "".join(f" `{k}`: {v}" for k, v in docs.named.items())
            base = "" if cls is errors.HoldfastError else f" ({cls.__bases__[0].__name__})"
            text = _cell(docs.text + extra)
            rows.append(f"| `{name}`{base} | `{cls.code}` | {cls.status} | {cls.effect} | {text} |")
    yield "\n".join(rows)


def page() -> str:
    """Return the whole page."""
    parts = [
        "# Reference",
        (
            "Every public name, from its docstring: `make reference` writes this page, and a test "
            "holds it equal to the code. A duration that code gives is a `timedelta`; where it is "
            "a number, its unit stands in the name: `_s` is seconds. What the environment sets is "
            "in [Operations](operations.md#settings), what a route may take in "
            "[Parameters](parameters.md), and what happens at each limit in [Limits](limits.md)."
        ),
    ]
    for title, names in groups():
        if title:
            parts.append(f"## {title.rstrip('.')}")
            parts.append("`from holdfast import …`")
        else:
            parts.append("## From pydantic")
        for name in names:
            parts += _thing("holdfast", name)
    for title, (module, purpose, names) in PLACES.items():
        parts += [f"## {title}", f"`from {module} import …`. {purpose}".strip(" ").rstrip()]
        for name in names:
            parts += _thing(module, name)
    parts += _errors()
    return "\n\n".join(part for part in parts if part) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"{PAGE.relative_to(ROOT)} is written")
