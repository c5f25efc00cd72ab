"""Answers the questions of a template: what can never happen for one route is left out.

It knows just enough of Python for `template`: conditions made of `flags`, `not`, `and` and `or`, as
statements and as expressions; and the call of a handler with all its arguments. What is left keeps
the file and the lines of the template, so that tracebacks show them.
"""

import ast
import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import FunctionType
from typing import TypeVar, cast

F = TypeVar("F", bound=Callable[..., object])
Arguments = tuple[tuple[str, str], ...]
"""(parameter of a handler, an expression that fills it), for each."""

_REMEMBERED_MAX = 1_024


def specialise(template: F, flags: Mapping[str, bool], arguments: Arguments = ()) -> F:
    """Return a template without its questions; routes that are alike share one.

    Args:
        template: a function of a module, whose parameters it keeps.
        flags: the answers, by their names.
    """
    return cast(F, _made(template, tuple(flags.items()), arguments))


def source(
    template: Callable[..., object], flags: Mapping[str, bool], arguments: Arguments = ()
) -> str:
    """Return a template without its questions, as Python."""
    return ast.unparse(_answered(template, flags, arguments))


@lru_cache(maxsize=_REMEMBERED_MAX)
def _made(
    template: Callable[..., object], flags: tuple[tuple[str, bool], ...], arguments: Arguments
) -> Callable[..., object]:
    function = cast(FunctionType, template)
    code = compile(_answered(template, dict(flags), arguments), _file(function), "exec")
    made: dict[str, Callable[..., object]] = {}
    exec(code, dict(function.__globals__), made)  # noqa: S102  # our own template
    return made[function.__name__]


def _answered(
    template: Callable[..., object], flags: Mapping[str, bool], arguments: Arguments
) -> ast.Module:
    function = cast(FunctionType, template)
    tree = ast.parse(_text(function))
    ast.increment_lineno(tree, function.__code__.co_firstlineno - 1)
    return cast(ast.Module, ast.fix_missing_locations(_Answers(flags, arguments).visit(tree)))


def _file(function: FunctionType) -> str:
    return function.__code__.co_filename


@lru_cache(maxsize=8)
def _text(function: FunctionType) -> str:
    return inspect.getsource(function)


class _Answers(ast.NodeTransformer):
    """Puts the answers in, and folds what they decide."""

    def __init__(self, flags: Mapping[str, bool], arguments: Arguments) -> None:
        self._flags, self._arguments = flags, arguments

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """Replace `flags.NAME` by its answer."""
        if isinstance(node.value, ast.Name) and node.value.id == "flags":
            return ast.Constant(self._flags[node.attr])
        return self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        """Fold `not`."""
        self.generic_visit(node)
        known = _known(node.operand)
        if isinstance(node.op, ast.Not) and known is not None:
            return ast.Constant(not known)
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        """Fold `and` and `or`."""
        self.generic_visit(node)
        decides = isinstance(node.op, ast.Or)
        left: list[ast.expr] = []
        for value in node.values:
            known = _known(value)
            if known is None:
                left.append(value)
            elif known is decides:
                left.append(ast.Constant(decides))
                break
        if not left:
            return ast.Constant(not decides)
        if _known(left[0]) is decides or len(left) == 1:
            return left[0]
        node.values = left
        return node

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        """Keep the branch that is taken."""
        self.generic_visit(node)
        known = _known(node.test)
        if known is None:
            return node
        return node.body if known else node.orelse

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        """Keep the value that is chosen."""
        self.generic_visit(node)
        known = _known(node.test)
        if known is None:
            return node
        return node.body if known else node.orelse

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """Write `function(**arguments(…))` out."""
        if isinstance(node.func, ast.Name) and node.func.id == "function":
            node.keywords = [
                ast.keyword(name, ast.parse(text, mode="eval").body)
                for name, text in self._arguments
            ]
            return node
        return self.generic_visit(node)


def _known(node: ast.expr) -> bool | None:
    """Return the value of a condition that is decided."""
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return node.value
    return None
