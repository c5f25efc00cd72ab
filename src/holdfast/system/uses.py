"""What a function sends, raises and reaches, read from its source.

A best effort that runs at start-up: what it finds is refused early, with the line; what it
cannot see (a message built elsewhere) is refused when it is sent, with the same words.
"""

import ast
import builtins
import inspect
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import CellType
from typing import Any

from holdfast.system.parameters import Outside, Saga, Tx
from holdfast.system.signature import read_signature

VERBS: dict[object, frozenset[str]] = {
    Tx: frozenset({"send", "publish", "start"}),
    Outside: frozenset({"ask", "get", "post", "request"}),
    Saga: frozenset({"call", "local", "wait"}),
}
AWAITED: dict[object, frozenset[str]] = {
    Tx: frozenset({"execute"}),
    Outside: frozenset({"ask", "get", "post", "request", "run"}),
    Saga: frozenset({"call", "local", "sleep", "wait", "gather", "undo", "restart"}),
}
_FIRST = frozenset({"command", "event", "saga", "query", "external", "function"})
"""How the first argument of a verb is called, if it is passed by name."""
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
Caught = tuple[type[BaseException], ...]


@dataclass(frozen=True, slots=True)
class Use:
    """One place in a function.

    Attributes:
        verb: `call`, `undo`, `send`, `publish`, `ask`, `start`, `get`, `post`, `request`,
            `local`, `wait`, `raise` or `forgotten`; a `request` with a safe method is a `get`.
        what: the class, function or object that is named there; None if it cannot be told; of
            what is forgotten, the words that lack an `await`.
        where: `file:line`.
        of: of an undo, the command that it is passed with.
    """

    verb: str
    what: object
    where: str
    of: object = None


def uses(function: Callable[..., object], _seen: frozenset[object] = frozenset()) -> Iterator[Use]:
    """Yield what a function sends.

    Functions that are given to `saga.local` are followed, and so are those that it calls with its
    `tx`, `outside` or `saga`.
    """
    try:
        source = _Source(function, _seen | {function})
    except (OSError, TypeError, SyntaxError, NameError):
        return  # no source (a REPL, a compiled module): the check at run time remains
    yield from source.uses()


class _Source:
    """The source of one function, and what its names stand for."""

    def __init__(self, function: Callable[..., object], seen: frozenset[object]) -> None:
        inner: Any = inspect.unwrap(function)
        lines, self._first_line = inspect.getsourcelines(inner)
        self._tree = ast.parse(textwrap.dedent("".join(lines)))
        self._file = inspect.getsourcefile(inner) or "?"
        self._seen = seen
        self._kinds = {p.name: p.kind for p in read_signature(function).parameters}
        self._verbs = {n: VERBS[k] for n, k in self._kinds.items() if _is_injected(k)}
        cells = zip(inner.__code__.co_freevars, inner.__closure__ or (), strict=True)
        nonlocals = {name: cell.cell_contents for name, cell in cells if _is_filled(cell)}
        self._scopes: tuple[Mapping[str, object], ...] = (
            nonlocals,
            inner.__globals__,
            vars(builtins),
        )
        nodes = list(ast.walk(self._tree))
        stored = Counter(name for node in nodes for name in _bound_by(node))
        self._local = frozenset(stored)
        self._made = {  # {name: the call that its value comes from}, if it is assigned once
            node.targets[0].id: node.value
            for node in nodes
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and isinstance(node.value, ast.Call)
            and stored[node.targets[0].id] == 1
        }

    def uses(self) -> Iterator[Use]:
        """Yield what the function uses, in the order of its lines."""
        return self._visit(self._tree, ())

    def _visit(self, node: ast.AST, caught: Caught) -> Iterator[Use]:
        """Walk the tree; `caught` is what the `try` blocks around `node` catch."""
        if isinstance(node, ast.Try):
            inner = caught + tuple(self._caught_by(node))
            for statement in node.body:
                yield from self._visit(statement, inner)
            for outside in (*node.handlers, *node.orelse, *node.finalbody):
                yield from self._visit(outside, caught)
            return
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield from self._forgotten(node.value)
        if isinstance(node, ast.Raise) and node.exc is not None:
            for what in self._named(node.exc):
                if not _is_caught(what, caught):
                    yield Use("raise", what, self._place(node))
        elif isinstance(node, ast.Call):
            yield from self._of_call(node)
            yield from self._followed(node, caught)
        for child in ast.iter_child_nodes(node):
            yield from self._visit(child, caught)

    def _forgotten(self, node: ast.Call) -> Iterator[Use]:
        """Yield a statement that makes a coroutine and lets it fall: nothing of it happens."""
        function = node.func
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            owner, verb = function.value.id, function.attr
            kind = self._kinds.get(owner)
            if _is_injected(kind) and verb in AWAITED[kind]:
                yield Use("forgotten", f"{owner}.{verb}", self._place(node))

    def _of_call(self, node: ast.Call) -> Iterator[Use]:
        """Yield what `owner.verb(what, …)` uses, if the owner is an injected parameter."""
        function = node.func
        if not (isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)):
            return
        verb = function.attr
        if verb not in self._verbs.get(function.value.id, ()):
            return
        arguments = node.args + [k.value for k in node.keywords if k.arg in _FIRST]
        if verb == "request" and len(arguments) > 1:
            method = arguments.pop(0)
            if isinstance(method, ast.Constant) and str(method.value).upper() in _SAFE_METHODS:
                verb = "get"
        named = arguments[:-1] or arguments if verb == "wait" else arguments[:1]
        whats = [what for argument in named for what in self._named(argument)]
        for what in whats:
            yield Use(verb, what, self._place(node))
        for keyword in node.keywords:
            if keyword.arg == "undo":
                for undo in self._named(keyword.value):
                    yield Use("undo", undo, self._place(keyword.value), whats[0] if whats else None)

    def _followed(self, node: ast.Call, caught: Caught) -> Iterator[Use]:
        """Yield what functions of the user's use that run in this one's name."""
        arguments = [*node.args, *(k.value for k in node.keywords)]
        names = {a.id for a in arguments if isinstance(a, ast.Name)}
        targets = list(self._named(node.func)) if names & self._verbs.keys() else []
        if isinstance(node.func, ast.Attribute) and node.func.attr == "local" and node.args:
            targets += self._named(node.args[0])
        for target in targets:
            if inspect.isfunction(target) and target not in self._seen:
                for use in uses(target, self._seen):
                    if use.verb != "raise" or not _is_caught(use.what, caught):
                        yield use

    def _named(self, node: ast.AST | None) -> Iterator[object]:
        """Yield what an expression stands for: `X` of `X(…)`, of `X.made(…)`, or of a name."""
        if isinstance(node, ast.IfExp):
            yield from self._named(node.body)
            yield from self._named(node.orelse)
        elif isinstance(node, ast.Call):
            made = self._resolved(node.func)
            owner = getattr(made, "__self__", None)
            yield owner if inspect.ismethod(made) and isinstance(owner, type) else made
        elif isinstance(node, ast.Name) and node.id in self._made:
            yield from self._named(self._made[node.id])
        elif node is not None:
            yield self._resolved(node)

    def _resolved(self, node: ast.AST) -> object:
        """Return the object of a name or dotted name, the type of a parameter, or None."""
        if isinstance(node, ast.Attribute):
            owner = self._resolved(node.value)
            known = inspect.ismodule(owner) or isinstance(owner, type)
            return getattr(owner, node.attr, None) if known else None
        if isinstance(node, ast.Name):
            if node.id in self._kinds:
                return self._kinds[node.id]
            if node.id not in self._local:
                return next((s[node.id] for s in self._scopes if node.id in s), None)
        return None

    def _caught_by(self, node: ast.Try) -> Iterator[type[BaseException]]:
        for handler in node.handlers:
            kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
            for kind in kinds:
                what = BaseException if kind is None else self._resolved(kind)
                if isinstance(what, type) and issubclass(what, BaseException):
                    yield what

    def _place(self, node: ast.AST) -> str:
        return f"{self._file}:{self._first_line + getattr(node, 'lineno', 1) - 1}"


def _bound_by(node: ast.AST) -> Iterator[str]:
    """Yield the names that a node of a function makes its own."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.ExceptHandler) and node.name:
        yield node.name
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.alias):
        yield node.asname or node.name.partition(".")[0]


def _is_injected(kind: object) -> bool:
    try:
        return kind in VERBS
    except TypeError:  # an unhashable annotation is none of ours
        return False


def _is_filled(cell: CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # a name that the enclosing function has not assigned yet
        return False


def _is_caught(what: object, caught: Caught) -> bool:
    return isinstance(what, type) and issubclass(what, caught)
