"""How rows become the parameters of a statement: as few values as tell them."""

from uuid import UUID

from holdfast.contract.envelope import Kind, MessageRow, State
from holdfast.engines.postgres_rows import columns_of, inserted


def row(number: int, **more: object) -> MessageRow:
    """Return a letter as it is sent."""
    made = MessageRow(1, UUID(int=number), State.DUE, Kind.EVENT, 5, 1, body=b"x")
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_rows_that_are_alike_are_told_once() -> None:
    """An array is written value by value: what all rows hold is one value, or in the statement."""
    shape, arrays, same = columns_of([row(1), row(2)])

    assert shape.arrays == ("id", "due_at", "body")
    assert len(arrays) == 3
    assert same == [1, "due", "event"]
    assert inserted(shape, above_floor=False) == (
        "INSERT INTO holdfast_message (edge, id, state, kind, due_at, tries, reached, body) "
        "SELECT new.edge, new.id, new.state, new.kind, new.due_at, 1, false, new.body FROM "
        "(SELECT *, $4::int AS edge, $5::text AS state, $6::text AS kind FROM "
        "unnest($1::uuid[], $2::bigint[], $3::bytea[]) AS new (id, due_at, body)) AS new "
        "ON CONFLICT DO NOTHING RETURNING edge, id"
    )


def test_rows_that_differ_are_told_one_by_one() -> None:
    """One that differs in its edge, state or kind makes arrays of all three."""
    shape, _, same = columns_of([row(1), row(2, edge=2), row(3, tries=0, error="e")])

    assert shape.arrays == ("edge", "id", "state", "kind", "due_at", "tries", "body", "error")
    assert (shape.same, same) == ((), [])
