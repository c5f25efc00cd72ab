"""Schema: what a database's tables are, as facts that can be compared one by one.

Two schemas are compared that the same kind of database was asked for: what a server makes of a
type, a default or a CHECK is then written alike on both sides, and nothing has to be normalised.
"""

import re
import warnings
from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import Connection, Inspector, inspect
from sqlalchemy.exc import SAWarning
from sqlalchemy.types import TypeEngine

Fact = tuple[str, ...]
"""Whose: `("book",)`, `("book", "title")`, `("book", "title", "type")`, `("book", "CHECK pos")`."""
Schema = dict[Fact, str]
"""What each is. Names of constraints and indexes hold a blank, those of columns do not."""

_OURS = ("holdfast_", "alembic_version")


def schema_of(connection: Connection) -> Schema:
    """Return what the tables of a database are, without the framework's own."""
    there = inspect(connection)
    found: Schema = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)  # of indexes that `_indexes` reads by itself
        for table in there.get_table_names():
            if not table.startswith(_OURS):
                found[(table,)] = "table"
                found.update(_columns(there, table))
                found.update(_constraints(there, table))
                found.update(_indexes(there, connection, table))
    return found


def differences(
    made: Schema, declared: Schema, *, of: str = "the revisions", retired: Collection[str] = ()
) -> list[str]:
    """Return where tables are not what the code declares, one line each, sorted.

    Args:
        of: whose the tables are that were made.
        retired: columns and tables, `book.title` or `book`, that the code no longer has on
            purpose, while the database keeps them for the version that is still running.
    """
    told: list[str] = []
    for fact in sorted(made.keys() | declared.keys()):
        theirs, ours = made.get(fact), declared.get(fact)
        if theirs == ours or (len(fact) > 1 and _alone(fact, made, declared)):
            continue
        if ours is None and _is_retired(fact, theirs or "", retired):
            continue
        told.append(_told(fact, theirs, ours, of))
    return told


def _alone(fact: Fact, made: Schema, declared: Schema) -> bool:
    """Whether what a fact is about is on one side only, so that its details are no news."""
    owners = [fact[:length] for length in range(1, len(fact))]
    return any((owner in made) != (owner in declared) for owner in owners)


def _is_retired(fact: Fact, text: str, retired: Collection[str]) -> bool:
    """Whether a fact is about something retired, or is a constraint over it."""
    if fact[0] in retired or ".".join(fact[:2]) in retired:
        return True
    columns = [name.partition(".")[2] for name in retired if name.startswith(f"{fact[0]}.")]
    words = set(re.findall(r"\w+", " ".join((*fact[1:], text))))
    return " " in fact[-1] and not words.isdisjoint(columns)


def _told(fact: Fact, theirs: str | None, ours: str | None, of: str) -> str:
    """Return the line for a fact that differs."""
    match fact:
        case (table,):
            name = f"table {table}"
        case (table, part):
            name = f"{part} on {table}" if " " in part else f"{table}.{part}"
        case (table, part, aspect):
            name = f"the {aspect} of {table}.{part}"
        case _:
            name = ".".join(fact)
    if len(fact) < 3 and ours is None:
        return f"{name} is in {of}, and not in the code"
    if len(fact) < 3 and theirs is None:
        return f"{name} is in the code, and not in {of}"
    return f"{name} is {ours or 'not there'} in the code, and {theirs or 'not there'} in {of}"


def _columns(there: Inspector, table: str) -> Iterator[tuple[Fact, str]]:
    for column in there.get_columns(table):
        owner = (table, column["name"])
        yield owner, "column"
        yield (*owner, "type"), _type(column["type"], there)
        yield (*owner, "nullability"), "NULL" if column["nullable"] else "NOT NULL"
        computed = column.get("computed")
        if computed:
            stored = "STORED" if computed.get("persisted") else "VIRTUAL"
            yield (*owner, "expression"), f"{computed['sqltext']} {stored}"
        elif column["default"] is not None:
            yield (*owner, "server_default"), str(column["default"])


def _type(type_: TypeEngine[Any], there: Inspector) -> str:
    """Return a type as its database writes it, with what it says beside its name."""
    written = type_.compile(dialect=there.dialect)
    values = getattr(type_, "enums", None)
    return f"{written} ({', '.join(values)})" if values else str(written)


def _constraints(there: Inspector, table: str) -> Iterator[tuple[Fact, str]]:
    if key := there.get_pk_constraint(table)["constrained_columns"]:
        yield (table, "PRIMARY KEY"), ", ".join(key)
    for unique in there.get_unique_constraints(table):
        yield (table, f"UNIQUE ({', '.join(unique['column_names'])})"), "constraint"
    for check in there.get_check_constraints(table):
        text = " ".join(str(check["sqltext"]).split())
        yield (table, f"CHECK {check['name'] or text}"), text
    for foreign in there.get_foreign_keys(table):
        own, theirs = foreign["constrained_columns"], foreign["referred_columns"]
        options = " ".join(f"{k} {v}" for k, v in sorted(foreign.get("options", {}).items()))
        name = f"FOREIGN KEY ({', '.join(own)})"
        yield (table, name), f"{foreign['referred_table']}({', '.join(theirs)}) {options}".strip()


def _indexes(there: Inspector, connection: Connection, table: str) -> Iterator[tuple[Fact, str]]:
    found = there.get_indexes(table)
    for index in found:
        if index.get("duplicates_constraint"):
            continue
        parts = [str(part) for part in index.get("expressions") or index["column_names"]]
        words = ["UNIQUE" if index["unique"] else "", f"({', '.join(parts)})"]
        options = index.get("dialect_options", {})
        words += [f"{name.partition('_')[2]} {options[name]}" for name in sorted(options)]
        yield (table, f"INDEX {index['name']}"), " ".join(filter(None, words))
    if connection.dialect.name == "sqlite":
        sql = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ?"
        for name, text in connection.exec_driver_sql(sql, (table,)):
            if text is not None and name not in {index["name"] for index in found}:
                yield (table, f"INDEX {name}"), " ".join(text.split()).partition(" ON ")[2]
