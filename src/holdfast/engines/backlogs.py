"""What waits in a service's tables besides its own letters, as SQL for both databases.

Each statement reads one index, and as many rows of it as it counts.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

from holdfast.storage import SagasOpen

SAGAS_OPEN = (
    "SELECT type, state, count(*), min(started_at) FROM holdfast_saga WHERE ended_at IS NULL "
    "GROUP BY type, state ORDER BY type, state"
)
FLOORS = (
    "SELECT id, floor FROM holdfast_edge e WHERE floor IS NOT NULL "
    "AND EXISTS (SELECT 1 FROM holdfast_message m WHERE m.edge = e.id)"
)


UNANSWERED_MAX = 10_000
"""Letters to others of which it is told whether this version may send them: the oldest."""
UNANSWERED = (
    "SELECT kind, body, receiver FROM holdfast_message JOIN holdfast_edge e ON e.id = edge "
    "WHERE state = 'due' AND receiver <> sender AND sender IN (SELECT sender FROM holdfast_edge "
    "WHERE receiver = sender) "
    f"ORDER BY holdfast_message.id LIMIT {UNANSWERED_MAX}"
)


def to_handle(out_edges: Sequence[int], *, now_ms: str, oldest: str) -> str:
    """Return what counts the letters of others that are due, or have failed and are tried again.

    A letter that a handler holds is neither: its lease ends later.

    Args:
        now_ms: the placeholder of the time, so that the statement is prepared once.
        oldest: what the database calls the smallest id.
    """
    edges = ", ".join(f"{edge:d}" for edge in (0, *out_edges))  # 0 is none, and a list has one
    where = (
        f"FROM holdfast_message WHERE state = 'due' AND edge NOT IN ({edges}) "
        "AND kind IN ('command', 'event', 'undo', 'withdraw')"
    )
    return (
        f"SELECT sum(n), min(id) FROM (SELECT count(*) AS n, {oldest} AS id {where} "
        f"AND error IS NULL AND due_at <= {now_ms} UNION ALL "
        f"SELECT count(*), {oldest} {where} AND error IS NOT NULL) AS found"
    )


def sagas_open(found: Iterable[tuple[str, str, int, int]], now_ms: int) -> tuple[SagasOpen, ...]:
    """Return what `SAGAS_OPEN` has found."""
    return tuple(
        SagasOpen(type_, state == "parked", count, max(0, now_ms - started))
        for type_, state, count, started in found
    )


def age_ms(id_: UUID | None, now_ms: int) -> int:
    """Return the age of what has this id, by the time in it."""
    return 0 if id_ is None else max(0, now_ms - (id_.int >> 80))
