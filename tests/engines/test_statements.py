"""What the engines have in common: which statements surely read."""

from typing import Any

import pytest
from sqlalchemy import func, insert, select, text, update

from holdfast.engines.statements import only_reads
from tests.contracts.rows import PAIR, THING


@pytest.mark.parametrize(
    ("statement", "reads"),
    [
        (select(THING), True),
        (select(func.count()).select_from(THING).where(THING.c.id.in_([1])), True),
        (select(THING).where(THING.c.id.in_(select(PAIR.c.left))).with_for_update(), True),
        (select(func.pg_sleep(0)), False),
        (select(func.my_own_function(THING.c.id)), False),
        (select(text("nextval('s')")), False),
        (text("SELECT 1"), False),
        (insert(THING), False),
        (update(THING).values(name="x"), False),
        (select(insert(THING).values(id=1).returning(THING.c.id).cte().c.id), False),
    ],
)
def test_only_what_surely_reads_goes_without_a_savepoint(statement: Any, reads: bool) -> None:
    """A function may write; what is not known is taken to."""
    assert only_reads(statement) is reads
