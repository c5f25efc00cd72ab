"""Columns: whether what a handler gives to `tx.insert` and `tx.update` names columns of a table.

It is looked at in the handler's own line: the statement is made later, and would leave out what it
does not know.
"""

from collections.abc import Collection
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Table


class Columns:
    """What the tables that were written to so far have; at most as many as the service declares."""

    def __init__(self) -> None:
        self._known: dict[Table, tuple[frozenset[str], int]] = {}

    def check(
        self, table: "Table", given: Collection[str], key: tuple[object, ...] | None = None
    ) -> None:
        """Refuse a column that a table lacks, and a key of another length than its own.

        Args:
            key: of the row to update; None for an insert.
        Raises:
            TypeError: with the nearest name.
        """
        found = self._known.get(table)
        if found is None:
            found = frozenset(c.key for c in table.columns), len(table.primary_key)
            self._known[table] = found
        names, length = found
        what = "insert" if key is None else "update"
        if not names.issuperset(given):
            raise TypeError(f"tx.{what}({table.name}, …): {_unknown(names, given)}")
        if key is None:
            return
        if len(key) != length or not length:
            raise TypeError(
                f"tx.update({table.name}, {key!r}, …): its primary key has {length} columns; give "
                "their values in a tuple"
            )
        if not given:
            raise TypeError(f"tx.update({table.name}, {key!r}): name the columns to change")


def _unknown(names: frozenset[str], given: Collection[str]) -> str:
    wrong = sorted(set(given) - names)[0]
    near = get_close_matches(wrong, names, 1)
    known = ", ".join(sorted(names))
    return f"there is no column {wrong!r}; " + (
        f"did you mean {near[0]!r}?" if near else f"there are {known}"
    )
