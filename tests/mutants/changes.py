"""Small changes of source code, each of which a test should notice.

mutmut's operators make most of them: a boundary moved, a condition turned round, a constant
changed. Ours take statements and named arguments away and force conditions, since what is forgotten
is most often a whole line. What no test should look at is left alone: annotations, decorators,
docstrings, `__slots__` and texts for people. So is what any run would stumble over, such as a call
that lacks an argument: it would only flatter the tests.
"""

import ast
import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import libcst as cst
from libcst import matchers as m
from mutmut.mutation.mutators import (
    mutation_operators,
    operator_arg_removal,
    operator_assignment,
)

_NAMES_A_TYPE = m.OneOf(m.Name("TypeVar"), m.Name("ParamSpec"), m.Name("NewType"))
_CODECS = frozenset(["ascii", "utf-8", "latin-1"])
_LEFT_ALONE = frozenset(["len", "isinstance", "cast"])


@dataclass(frozen=True, slots=True)
class Place:
    """A node that can be changed, what it becomes, and the function that it is in."""

    module: cst.Module
    within: str
    node: cst.CSTNode
    changed: cst.CSTNode

    def source(self) -> str | None:
        """Return the module as it is after the change; None where that is no change at all."""
        code = cast(cst.Module, self.module.deep_replace(self.node, self.changed)).code
        try:
            same = ast.dump(ast.parse(code)) == ast.dump(ast.parse(self.module.code))
        except SyntaxError:
            return None
        return None if same else code

    def lines(self, source: str) -> tuple[str, str]:
        """Return the lines that the change takes away, and those that it brings."""
        diff = list(difflib.ndiff(self.module.code.splitlines(), source.splitlines()))
        gone = " ".join(line[2:].strip() for line in diff if line.startswith("- "))
        come = " ".join(line[2:].strip() for line in diff if line.startswith("+ "))
        return gone, come


@dataclass(frozen=True, slots=True)
class Mutant:
    """A change of one module, as a whole source."""

    module: str
    within: str
    before: str
    after: str
    code: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What it is found by in equivalent.toml."""
        return self.module, self.within, self.before, self.after

    def __str__(self) -> str:
        return f"{self.module} {self.within}\n  - {self.before}\n  + {self.after}"


def places(code: str) -> list[Place]:
    """Return every change of a module that there is, in the order of its lines."""
    module = cst.parse_module(code)
    return [Place(module, within, *pair) for within, pair in _walk(module, "", False)]


def _walk(
    node: cst.CSTNode, within: str, is_prose: bool
) -> Iterator[tuple[str, tuple[cst.CSTNode, cst.CSTNode]]]:
    if isinstance(node, cst.Annotation | cst.Decorator | cst.Import | cst.ImportFrom):
        return
    if isinstance(node, cst.ClassDef | cst.FunctionDef):
        within = f"{within}.{node.name.value}".lstrip(".")
        is_prose = False
    if isinstance(node, cst.Call) and _name(node.func) in _LEFT_ALONE:
        return
    if isinstance(node, cst.SimpleStatementLine) and _says_nothing(node):
        return
    if isinstance(node, cst.Assign) and m.matches(node.value, m.Call(func=_NAMES_A_TYPE)):
        return
    if isinstance(node, cst.ConcatenatedString):
        is_prose = True
    if isinstance(node, cst.FormattedString) and _is_prose(_text(node)):
        is_prose = True
    if not (is_prose or (isinstance(node, cst.SimpleString) and _is_prose(node.value))):
        for changed in _changes(node):
            yield within, (node, changed)
    for child in node.children:
        yield from _walk(child, within, is_prose)


def _changes(node: cst.CSTNode) -> Iterable[cst.CSTNode]:
    for kind, operator in mutation_operators:
        if isinstance(node, kind) and operator not in (operator_arg_removal, operator_assignment):
            yield from (changed for changed in operator(node) if not _same_codec(node, changed))
    if isinstance(node, cst.Call):  # a call that lacks a positional argument fails by itself
        for argument in node.args:
            if argument.keyword is not None:
                yield node.with_changes(args=[one for one in node.args if one is not argument])
    if isinstance(node, cst.Assign) and not _is_none(node.value):
        yield node.with_changes(value=cst.Name("None"))
    if isinstance(node, cst.SimpleStatementLine) and _can_go(node.body):
        yield node.with_changes(body=[cst.Pass()])
    if isinstance(node, cst.If | cst.While):
        yield node.with_changes(test=cst.Name("False"))
        if isinstance(node, cst.If):
            yield node.with_changes(test=cst.Name("True"))
    if isinstance(node, cst.Return) and node.value is not None and not _is_none(node.value):
        yield node.with_changes(value=cst.Name("None"))
    if isinstance(node, cst.BooleanOperation):
        yield node.left
        yield node.right


def _can_go(body: Sequence[cst.BaseSmallStatement]) -> bool:
    match body:
        case [cst.Expr(value=cst.Call() | cst.Await())]:
            return True
        case [cst.AugAssign() | cst.Raise() | cst.Del()]:
            return True
        case [cst.Assign(targets=[cst.AssignTarget(target=cst.Attribute() | cst.Subscript())])]:
            return True
    return False


def _says_nothing(line: cst.SimpleStatementLine) -> bool:
    match line.body:
        case [cst.Expr(value=cst.BaseString())]:
            return True
        case [cst.Assign(targets=[cst.AssignTarget(target=cst.Name(value=name))])]:
            return name in ("__slots__", "__all__") or _is_type(line)
    return False


def _is_type(line: cst.SimpleStatementLine) -> bool:
    """Whether this names a type: `Verdict = Literal[…]`, `Call = Callable[…]`."""
    name = m.Name(value=m.MatchIfTrue(lambda value: value[0].isupper() and not value.isupper()))
    assign = m.Assign(targets=[m.AssignTarget(target=name)], value=m.Subscript())
    return m.matches(line, m.SimpleStatementLine(body=[assign]))


def _same_codec(node: cst.CSTNode, changed: cst.CSTNode) -> bool:
    """Whether both name one encoding: Python does not look at the case of such names."""
    names = [one.value.strip("'\"") for one in (node, changed) if isinstance(one, cst.SimpleString)]
    return len(names) == 2 and {name.lower() for name in names} <= _CODECS


def _is_none(node: cst.BaseExpression) -> bool:
    return isinstance(node, cst.Name) and node.value == "None"


def _name(node: cst.BaseExpression) -> str:
    return node.value if isinstance(node, cst.Name) else ""


def _text(node: cst.FormattedString) -> str:
    return "".join(
        part.value if isinstance(part, cst.FormattedStringText) else "…" for part in node.parts
    )


def _is_prose(text: str) -> bool:
    """Whether a text is for people: two words at least, of which the first two are plain."""
    words = text.strip("rbf'\"").split()
    return sum(word.strip(".,:;…").isalpha() for word in words) >= 2
