"""Users' statements that run again and again: compiled once, and run past SQLAlchemy.

A module builds such a statement once. What SQLAlchemy does for each execution, made for all that a
statement may be, takes several times as long as the statement. Here is what needs none of it:
a SELECT of columns, or an UPDATE or DELETE without RETURNING, seen for the second time. Whatever
else, and whatever may raise, is left to SQLAlchemy.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, cast
from weakref import WeakKeyDictionary

from sqlalchemy import (
    Boolean,
    Column,
    Date,
    DateTime,
    Delete,
    Dialect,
    Executable,
    Integer,
    LargeBinary,
    Select,
    String,
    Update,
    Uuid,
)
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData
from sqlalchemy.sql.compiler import SQLCompiler

from holdfast.engines.fits import Given, SqlType, given
from holdfast.storage import Parameters, Rows

Convert = Callable[[Any], Any]
"""Makes of a value what the driver takes, or the other way round."""
InOrder = Callable[[Mapping[str, object]], Sequence[object]]
_READ = (Boolean, Date, DateTime, Integer, LargeBinary, String, Uuid)
"""Types whose values are read alike, whatever the driver says of a column."""
_LENGTHS_MAX = 64  # of lists for IN, for which a statement stays written out
_ONCE = object()


class Changed(IteratorResult[Any]):
    """What came of a statement that returns no rows."""

    returns_rows = False

    def __init__(self, rowcount: int) -> None:
        super().__init__(SimpleResultMetaData(()), iter(()))
        self.rowcount = rowcount
        self.close()  # who asks it for rows hears so


@dataclass(frozen=True, slots=True)
class Bound:
    """A statement for the driver, with its values in order."""

    sql: str
    values: Sequence[object]
    known: "Known"


@dataclass(frozen=True, slots=True)
class _Parameter:
    """One parameter: what callers name it, what it is if they do not, and how it is written."""

    name: str
    key: str
    default: object
    check: Callable[[object], str | None] | None
    convert: Convert | None
    is_list: bool
    is_required: bool


@dataclass(frozen=True, slots=True)
class Known:
    """A statement that was compiled.

    Attributes:
        columns: of an UPDATE, the names that a parameter would set a column by.
        orders: {the lengths of its lists: its SQL, and which values come in which order}.
    """

    compiled: SQLCompiler
    parameters: tuple[_Parameter, ...]
    columns: frozenset[str]
    metadata: SimpleResultMetaData | None
    reads: tuple[Convert | None, ...]
    orders: dict[tuple[int, ...], tuple[str, InOrder]]

    def bound(self, given_: Mapping[str, object]) -> Bound | None:
        """Return what the driver takes; None: SQLAlchemy is to say what is wrong with it."""
        if self.columns and not self.columns.isdisjoint(given_):
            return None
        values: dict[str, object] = {}
        lengths: tuple[int, ...] = ()
        for parameter in self.parameters:
            value = given_.get(parameter.key, parameter)
            if value is parameter:
                if parameter.is_required:
                    return None
                value = parameter.default
            if not parameter.is_list:
                if not _converted(parameter, parameter.name, value, values):
                    return None
                continue
            if not isinstance(value, list | tuple) or not value:
                return None
            parts = cast("Sequence[object]", value)
            lengths += (len(parts),)
            for number, part in enumerate(parts, 1):
                if not _converted(parameter, f"{parameter.name}_{number}", part, values):
                    return None
        found = self.orders.get(lengths)
        if found is None:
            alone = len(self.parameters) - len(lengths)
            if len(values) != alone + sum(lengths):
                return None  # a name is that of another list's part
            found = self._order(lengths, given_)
        return None if found is None else Bound(found[0], found[1](values), self)

    def _order(
        self, lengths: tuple[int, ...], given_: Mapping[str, object]
    ) -> tuple[str, InOrder] | None:
        if lengths:
            state = self.compiled.construct_expanded_state(dict(given_))
            sql, order = state.statement, state.positiontup
        else:
            sql, order = str(self.compiled), self.compiled.positiontup
        if order is None or len(self.orders) >= _LENGTHS_MAX:
            return None
        self.orders[lengths] = found = (sql, _in_order(tuple(order)))
        return found

    def rows(self, found: Iterable[Sequence[object]]) -> Rows:
        """Return what a SELECT has found."""
        assert self.metadata is not None, "it is a SELECT"
        rows = map(tuple, found)
        if any(self.reads):
            rows = map(self._read, rows)
        return IteratorResult(self.metadata, rows)

    def _read(self, row: tuple[object, ...]) -> tuple[object, ...]:
        return tuple(
            [
                value if read is None else read(value)
                for read, value in zip(self.reads, row, strict=True)
            ]
        )


def _in_order(names: tuple[str, ...]) -> InOrder:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda values: [values[name] for name in names]


def _converted(parameter: _Parameter, name: str, value: object, values: dict[str, object]) -> bool:
    """Add a value as the driver takes it; False if it does not fit."""
    if value is not None and parameter.check is not None and parameter.check(value):
        return False
    if parameter.convert is not None:
        try:
            value = parameter.convert(value)
        except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError):
            return False
    values[name] = value
    return True


@dataclass(slots=True)
class KnownStatements:
    """The statements that one database has seen, as long as the code keeps them."""

    dialect: Dialect
    _seen: "WeakKeyDictionary[Executable, object]" = field(
        default_factory=lambda: WeakKeyDictionary[Executable, object]()
    )

    def bound(self, statement: Executable, parameters: Parameters) -> Bound | None:
        """Return a statement for the driver; None: it is for SQLAlchemy."""
        known = self._seen.get(statement)
        if known is None:
            self._seen[statement] = _ONCE
            return None
        if known is _ONCE:
            self._seen[statement] = known = self._known(statement) or False
        if not isinstance(known, Known):
            return None
        if parameters is None:
            return known.bound({})
        return known.bound(parameters) if isinstance(parameters, Mapping) else None

    def _known(self, statement: Executable) -> Known | None:
        """Compile a statement, if all is known of it."""
        if statement.get_execution_options() or not isinstance(statement, Select | Update | Delete):
            return None
        compiled = statement.compile(dialect=self.dialect)
        if (
            compiled.literal_execute_params
            or compiled.escaped_bind_names
            or compiled.prefetch
            or compiled.effective_returning
        ):
            return None
        parameters = self._parameters(compiled)
        if parameters is None:
            return None
        if not isinstance(statement, Select):
            sets = statement.table.columns.keys() if isinstance(statement, Update) else ()
            return Known(compiled, parameters, frozenset(sets), None, (), {})
        selected = list(statement.selected_columns)
        keys = [str(column.key) for column in selected]
        plain = all(type(c) is Column and isinstance(c.type, _READ) for c in selected)
        if not plain or len(set(keys)) < len(keys) or keys != [c.name for c in selected]:
            return None
        metadata = SimpleResultMetaData(keys, extra=[(column,) for column in selected])
        reads = tuple(self._reading(column.type) for column in selected)
        return Known(compiled, parameters, frozenset(), metadata, reads, {})

    def _reading(self, type_: SqlType) -> Convert | None:
        return type_.dialect_impl(self.dialect).result_processor(self.dialect, None)

    def _parameters(self, compiled: SQLCompiler) -> tuple[_Parameter, ...] | None:
        checks: dict[str, Given] = {one[0]: one for one in given(compiled, self.dialect)}
        found: list[_Parameter] = []
        lists = compiled.post_compile_params
        for bind, name in compiled.bind_names.items():
            if bind.callable is not None or (bind in lists) is not bind.expanding:
                return None
            convert = bind.type.dialect_impl(self.dialect).bind_processor(self.dialect)
            check = checks[name][2] if name in checks else None
            default = None if bind.required else bind.effective_value
            found.append(
                _Parameter(name, bind.key, default, check, convert, bind.expanding, bind.required)
            )
        return tuple(found)


__all__ = ["Bound", "Changed", "Known", "KnownStatements"]
