"""Which rows an operator's list has, as SQL: the same words for both databases.

States and numbers are written into the statement, since a partial index is only used where the
words of its predicate stand.
"""

from collections.abc import Callable, Mapping, Sequence

from holdfast.storage import Failing, MessageFilter, SagaFilter

Mark = Callable[[object], str]
"""Takes a value and returns what stands for it in the statement."""
Holds = Callable[[str, str], str]
"""Takes a column of bytes and a mark, and returns the condition that the one holds the other."""


def which_messages(
    which: MessageFilter, mark: Mark, holds: Holds, *, waiting: str, failed: str
) -> str:
    """Return the condition of a list of messages.

    Args:
        holds: how the database looks for bytes.
        waiting, failed: what it says of a letter that waits for a version, or failed.
    """
    parts: list[str] = []
    if which.edges:
        parts.append(f"edge IN ({_numbers(which.edges)})")
    elif which.id is not None or which.ids:  # the key begins with the edge
        parts.append("edge IN (SELECT id FROM holdfast_edge)")
    if which.id is not None:
        parts.append(f"id = {mark(which.id)}")
    if which.ids:
        parts.append(f"id IN ({', '.join(map(mark, which.ids))})")
    if which.text:
        parts.append(_holds_any(("body", "answer"), which.text, mark, holds))
    if which.owner is not None:
        parts.append(f"owner = {mark(which.owner)}")
    any_of = [f"state = '{state.value}'" for state in which.states]
    if any_of and which.waiting:
        any_of.append(waiting)
    if any_of and which.failing is not None:
        any_of.append(failing_long(which.failing, mark, failed=failed))
    if any_of:
        parts.append(f"({' OR '.join(any_of)})")
    return " AND ".join(parts) or "1 = 1"


def failing_long(failing: Failing, mark: Mark, *, failed: str) -> str:
    """Return the condition of a row that has failed for long."""
    return f"({failed} AND (tries > {failing.tries:d} OR id < {mark(failing.before)}))"


def hastened(*, sent_once: bool, letter: str | None) -> str:
    """Return the condition of letters that are made due before their time.

    What somebody waits for on purpose, a saga's sleep or a job's next run, is none of them.

    Args:
        letter: the mark of the one that is meant.
    """
    letters = "kind NOT IN ('timer', 'wait', 'tick')"
    if letter is not None:
        return f"id = {letter} AND ({letters} OR error IS NOT NULL)"
    if sent_once:
        return f"((tries > 0 AND {letters}) OR error IS NOT NULL)"
    return "tries > 1"


def _holds_any(columns: Sequence[str], texts: Sequence[bytes], mark: Mark, holds: Holds) -> str:
    found = [holds(column, mark(text)) for column in columns for text in texts]
    return f"({' OR '.join(found)})"


def which_sagas(which: SagaFilter, mark: Mark, holds: Holds) -> str:
    """Return the condition of a list of sagas."""
    parts: list[str] = []
    if which.text:
        own = _holds_any(("input",), which.text, mark, holds)
        if which.in_steps:
            of_steps = _holds_any(("outcome",), which.text, mark, holds)
            own = f"({own} OR id IN (SELECT saga FROM holdfast_step WHERE {of_steps}))"
        parts.append(own)
    if which.id is not None:
        parts.append(f"id = {mark(which.id)}")
    if which.states:
        states = "(" + " OR ".join(f"state = '{state}'" for state in which.states) + ")"
        if which.known is not None:
            strange = _strange(which.known, mark)
            parked = "parked" in which.states
            states = f"({states} {'OR' if parked else 'AND NOT'} {strange})"
        parts.append(states)
    return " AND ".join(parts) or "1 = 1"


def _strange(known: Mapping[str, int], mark: Mark) -> str:
    types = (f"(type = {mark(type_)} AND version <= {known[type_]:d})" for type_ in sorted(known))
    return f"(ended_at IS NULL AND NOT ({' OR '.join(types) or '1 = 0'}))"


def _numbers(values: Sequence[int]) -> str:
    return ", ".join(f"{value:d}" for value in values)
