"""What is written together, against a model of a table."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table

from holdfast.engines.pending import together
from holdfast.storage import Write

TABLES = [
    Table(name, MetaData(), Column("id", Integer, primary_key=True), *map(Column, "ab"))
    for name in ("one", "two")
]
_COLUMNS = st.lists(st.sampled_from("ab"), min_size=1, unique=True)
_WRITES = st.lists(
    st.builds(
        lambda table, id_, columns, value, new: (
            Write(table, {"id": id_, **dict.fromkeys(columns, value)})
            if new
            else Write(table, dict.fromkeys(columns, value), (id_,))
        ),
        st.sampled_from(TABLES),
        st.integers(0, 3),
        _COLUMNS,
        st.integers(),
        st.booleans(),
    ),
    max_size=12,
)


def after(writes: Sequence[Write]) -> dict[tuple[str, int], dict[str, Any]] | None:
    """Return a model's rows after some writes; None if one of them fails."""
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for write in writes:
        key = (write.table.name, write.values["id"] if write.key is None else write.key[0])
        if (key in rows) == (write.key is None):
            return None
        rows.setdefault(key, {}).update(write.values)
    return rows


@given(_WRITES)
def test_joined_writes_come_to_the_same(writes: list[Write]) -> None:
    """Also that something of it fails. Each group is of one shape, and names no row twice."""
    groups = list(together(writes))
    joined = [write for group in groups for write in group]

    assert after(joined) == after(writes)
    for group in groups:
        assert len({(w.table, tuple(w.values), w.key is None) for w in group}) == 1
        if group[0].key is not None:
            assert len({w.key for w in group}) == len(group)


def test_rows_of_many_turns_are_one_group() -> None:
    """Ten turns that write two tables are two statements."""
    writes = [Write(table, {"id": n, "a": n}) for n in range(10) for table in TABLES]

    assert [len(group) for group in together(writes)] == [10, 10]
