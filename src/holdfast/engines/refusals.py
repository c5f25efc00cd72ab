"""What a database's no to a row means, in one form for both: which column, and why.

A handler that catches SQLAlchemy's error catches it still: ours are of its classes, too.
"""

import re
from collections.abc import Mapping, Sequence
from typing import cast
from weakref import WeakKeyDictionary

from sqlalchemy import Dialect, Engine, Executable, Insert, Table, Update, event
from sqlalchemy.engine import Compiled
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.exc import IntegrityError, StatementError

from holdfast.engines.fits import Given, given, misfits, refuse_misfits
from holdfast.errors import Refused

_DATA = ("22001", "22003", "22007", "22008", "22021", "22P02", "22P05")
"""SQLSTATEs of values: too long, out of range, not of its type, not of the encoding."""
_KEY = re.compile(r"Key \((.*?)\)=")
_ARGUMENT = re.compile(r"invalid input for query argument \$\d+.*\((.*?)\)$", re.DOTALL)
_MISFIT = re.compile(r"holdfast misfit: (.*?): (.*)", re.DOTALL)  # of `sqlite_bounds`
_SQLITE = re.compile(r"(UNIQUE|NOT NULL|CHECK|FOREIGN KEY) constraint failed(?:: (.*))?")
_KINDS = {"23505": "UNIQUE", "23502": "NOT NULL", "23514": "CHECK", "23503": "FOREIGN KEY"}
_TOLD = {
    "UNIQUE": "another row has this value",
    "NOT NULL": "a value is missing",
    "CHECK": "the CHECK refuses it",
    "FOREIGN KEY": "the row that it names is not there, or is named by another row still",
}
_AT_ODDS = ("UNIQUE", "FOREIGN KEY")  # with other rows: 409; else it is the value itself: 422


class RefusedRow(Refused, IntegrityError):  # type: ignore[misc]  # `code` is ours
    """A constraint refuses a row."""

    def __init__(self, told: str, error: IntegrityError, *, column: str, status: int) -> None:
        IntegrityError.__init__(self, error.statement, error.params, error.orig)  # type: ignore[arg-type]
        Refused.__init__(self, told, column=column, status=status)

    def __str__(self) -> str:
        return self.told


def look_at_values(engine: Engine) -> None:
    """Have an engine refuse values that do not fit their columns. Its statements raise Refused."""
    known: WeakKeyDictionary[Compiled, list[Given]] = WeakKeyDictionary()

    @event.listens_for(engine, "before_cursor_execute")
    def look(
        _: object, __: object, sql: str, ___: object, context: DefaultExecutionContext, many: bool
    ) -> None:
        compiled = context.compiled
        if compiled is None:
            return
        checks = known.get(compiled)
        if checks is None:
            known[compiled] = checks = given(compiled, engine.dialect)
        if checks:
            for row in context.compiled_parameters:
                refuse_misfits(checks, row)


def refusal_of(error: Exception) -> Refused | None:
    """Return what a database has refused, or None if the error is about something else."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, IntegrityError):
        return _constraint(error)
    cause = error.orig if isinstance(error, StatementError) else error
    if isinstance(cause, TypeError):  # of what converts a value
        return Refused(str(cause))
    while cause is not None:
        sqlstate = getattr(cause, "sqlstate", None) or ""
        if sqlstate in _DATA or isinstance(cause, ValueError | LookupError):
            return Refused(_plain(str(cause)))
        cause = cause.__cause__
    return None


def row_refused(
    table: Table, rows: Sequence[Mapping[str, object]], dialect: Dialect, error: Exception
) -> Exception:
    """Return what to raise for rows that were not written: which value of which column, if any."""
    found = refusal_of(error)
    if found is None or found.column or isinstance(found, RefusedRow):
        return found or error
    for row in rows:
        values = {name: value for name, value in row.items() if name in table.columns}
        for column, why in misfits(table, values, dialect):
            return Refused(f"{column}: {why}", column=column)
    return Refused(f"{table.name}: {found.told}")


def refused_by(
    statement: Executable, parameters: object, error: Exception, dialect: Dialect
) -> Exception:
    """Return what to raise for a user's statement: which value of which column, if any."""
    found = refusal_of(error)
    if found is None or found.column or not isinstance(statement, Insert | Update):
        return found or error
    many = isinstance(parameters, list | tuple)
    rows = cast("Sequence[Mapping[str, object]]", parameters if many else [parameters or {}])
    compiled = statement.compile(dialect=dialect, column_keys=list(rows[0]) or None)
    for row in rows:
        try:
            refuse_misfits(given(compiled, dialect), compiled.construct_params(row))
        except Refused as refused:
            return refused
    return found


def _constraint(error: IntegrityError) -> Refused | None:
    cause: object = error.orig
    misfit = _MISFIT.fullmatch(str(cause))
    if misfit is not None:
        return Refused(f"{misfit[1]}: {misfit[2]}", column=misfit[1])
    found = _SQLITE.search(str(cause))
    if found is not None:
        kind, column = found[1], (found[2] or "").removeprefix("index ").strip("'")
    else:
        cause = getattr(cause, "__cause__", None) or cause
        kind = _KINDS.get(str(getattr(cause, "sqlstate", "")), "")
        column = _named(cause, kind)
    if not kind:
        return None
    told = f"{column}: {_TOLD[kind]}" if column else _TOLD[kind]
    status = 409 if kind in _AT_ODDS else 422
    return RefusedRow(told, error, column=column, status=status)


def _named(cause: object, kind: str) -> str:
    """Return what Postgres says that its no is about, as SQLite says it."""
    table = getattr(cause, "table_name", None) or ""
    columns = getattr(cause, "column_name", None)
    key = _KEY.search(getattr(cause, "detail", None) or "")
    if columns is None and key is not None and kind == "UNIQUE":
        columns = key[1].replace('"', "")
    if columns is None:
        return str(getattr(cause, "constraint_name", None) or "") if kind == "CHECK" else ""
    return ", ".join(f"{table}.{name.strip()}" for name in columns.split(","))


def _plain(text: str) -> str:
    """Return what a driver says of a value, without the value."""
    found = _ARGUMENT.search(text)
    return found[1] if found else text.partition("\n")[0]
