"""What becomes of letters and transactions without a safeguard."""

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
from msgspec.structs import replace as replaced

from holdfast.consistency import claimed, handling, meeting, outbox
from holdfast.consistency.core import Core
from holdfast.consistency.delivery import NOT_MADE, Delivery
from holdfast.consistency.handling import HandlerTurn, Handling
from holdfast.consistency.inbox import Inbox
from holdfast.consistency.letters import Letters, Sort
from holdfast.consistency.meeting import Meetings
from holdfast.consistency.received import Received
from holdfast.consistency.relay import Relay
from holdfast.consistency.transitions import Meeting
from holdfast.consistency.turn import Effects, Turn
from holdfast.consistency.unit import _ENTER, Driver, Unit
from holdfast.consistency.unknown import NotKnown
from holdfast.consistency.writer import Writer
from holdfast.contract.envelope import Kind, Lane, LetterAnswer, MessageRow, Parcel, State
from holdfast.contract.failure import Failure
from holdfast.engines.sqlite_transaction import SqliteTransaction
from holdfast.errors import Overloaded
from holdfast.pump import STOPPED
from holdfast.storage import Transaction
from tests.ablations.off import without

# -- sending --------------------------------------------------------------------------------------


@without("two_lanes", Letters, "_sort")
def on_one_lane(real: Any, letters: Letters, message: Any) -> Sort:
    """Undos travel with new work."""
    return replace(real(letters, message), lane=Lane.WORK)


@without("encode_before_commit", Letters, "payload_of")
def of_any_size(real: Any, letters: Letters, message: Any) -> bytes:
    """Nobody looks how large it is."""
    return letters.sort_of(message).carrier.encode(message)


@without("sent_above_floor", Letters, "insert")
async def below_floor(real: Any, letters: Letters, tx: Transaction, rows: Any) -> None:
    """Nobody looks at the floor."""
    await tx.insert_messages(rows, sure=True)


@without("window", outbox, "window_room")
def endless_window(real: Any, in_flight: int, schedule: Any) -> int:
    """There is room for all."""
    return 1_000_000


@without("expire_behind_answers", Core, "__init__", rule=Relay._expire)
def expires_at_once(real: Any, core: Core, *parts: Any) -> None:
    """A time-out is not sent behind the answers, but taken at once."""
    real(core, *parts)

    async def expire(row: MessageRow) -> None:
        edge = core.ledger.edges[row.edge]
        answers = [LetterAnswer(row.id, "expired")]
        parcel = Parcel(edge.sender, edge.receiver, edge.lane, answers=answers)
        await core.inbox.deliver(msgspec.json.encode(parcel), False, edge.sender)

    core.relay._expire = expire  # type: ignore[method-assign]


@without("authenticate_senders", Inbox, "_refusal")
def believes_any_parcel(real: Any, inbox: Inbox, parcel: Parcel, sender: str) -> None:
    """A parcel is from whom it says."""


@without("allowed_letters", Inbox, "_allowed")
def takes_any_letter(real: Any, inbox: Inbox, parcel: Parcel, letters: Any) -> Any:
    """Who may send one thing may send anything."""
    return letters


# -- taking in, running, answering ----------------------------------------------------------------


@without("high_water_spares_letters", Core, "__init__", rule=Inbox.deliver)
def refuses_when_full(real: Any, core: Core, *parts: Any) -> None:
    """Letters are refused as requests are."""
    real(core, *parts)
    deliver = core.inbox.deliver

    async def refusing(raw: bytes, again: bool, sender: str) -> None:
        if core.high_water.is_reached() and msgspec.json.decode(raw, type=Parcel).letters:
            raise Overloaded("letters are refused")
        await deliver(raw, again, sender)

    core.inbox.deliver = refusing  # type: ignore[method-assign]


@without("due_first_if_not_first", Inbox, "deliver")
async def as_if_new(real: Any, inbox: Inbox, raw: bytes, again: bool, sender: str) -> None:
    """Every letter is taken for one that was never delivered before."""
    parcel = replaced(msgspec.json.decode(raw, type=Parcel), again=False)
    await real(inbox, msgspec.json.encode(parcel), False, sender)


LATE: set[asyncio.Task[None]] = set()


@without("record_with_effect", HandlerTurn, "_write")
async def records_later(real: Any, turn: HandlerTurn, tx: Transaction, row: MessageRow) -> bool:
    """The letter is settled in a transaction of its own, after that of the effect."""

    async def write(tx: Transaction, effects: Effects) -> None:
        if not await tx.insert_messages([row]):
            await tx.update_message(row, State.DUE)

    def later() -> None:
        task = asyncio.create_task(turn._handling.writer.perform_own(write))
        LATE.add(task)
        task.add_done_callback(LATE.discard)

    turn.effects.done.append(later)
    return True


@without("guarded_states", HandlerTurn, "_write")
async def whatever_it_was(real: Any, turn: HandlerTurn, tx: Transaction, row: MessageRow) -> bool:
    """The handler's effect is kept whatever became of its row meanwhile."""
    stored = turn._delivery.row
    if stored is None:
        return await real(turn, tx, row)
    held = turn._handling.received.token(stored)
    await tx.update_message(row, State.DUE, held=held)
    return True


@without("conflicts_are_no_tries", Handling, "_give_back_try")
async def keeps_the_try(real: Any, handling: Handling, delivery: Delivery) -> None:
    """The try stays counted."""


@without("undo_failure_is_a_try", HandlerTurn, "_declares")
def undos_may_refuse(real: Any, turn: HandlerTurn, failure: Failure) -> bool:
    """Any failure of an undo is an answer."""
    return turn._delivery.letter.kind is Kind.UNDO or real(turn, failure)


@without("unknown_waits", HandlerTurn, "_try_failed")
async def unknown_fails(real: Any, turn: HandlerTurn, tx: Transaction, error: Exception) -> None:
    """What this version does not know is a failed try like any other."""
    await real(turn, tx, LookupError(str(error)) if isinstance(error, NotKnown) else error)


@without("try_counted_before", claimed, "exhausted")
def never_exhausted(real: Any, row: MessageRow, schedule: Any) -> bool:
    """What the claims have counted says nothing."""
    return False


@without("undo_never_dead", handling, "after_failed_try")
def undo_like_a_command(real: Any, row: MessageRow, *rest: Any, **options: Any) -> MessageRow:
    """An undo has as many tries as a command."""
    tried = row.copy()
    tried.kind = Kind.COMMAND if row.kind is Kind.UNDO else row.kind
    failed = real(tried, *rest, **options)
    failed.kind = row.kind
    return failed


@without("lease_fenced", Received, "token")
def no_token(real: Any, received: Received, row: MessageRow) -> None:
    """Any process may write a row that is due."""


@without("floor_check", SqliteTransaction, "insert_messages")
async def at_any_height(real: Any, tx: Any, rows: Any, **options: Any) -> Any:
    """Nobody looks at the floor."""
    return await real(tx, rows, **options | {"above_floor": False})


# -- transactions ---------------------------------------------------------------------------------


@without("send_after_commit", Writer, "_in_savepoint")
@without("answer_after_commit", Writer, "_in_savepoint")
async def leaves_before(
    real: Any, writer: Writer, tx: Transaction, turn: Turn, future: Any
) -> Exception | None:
    """What leaves does so before the commit."""
    error: Exception | None = await real(writer, tx, turn, future)
    if error is None:
        writer._after_commit([turn])
        turn.effects = Effects()
    return error


@without("failure_rolls_back", HandlerTurn, "run")
async def keeps_what_it_wrote(real: Any, turn: HandlerTurn, tx: Transaction) -> None:
    """What a handler wrote before it refused stays."""
    try:
        await real(turn, tx)
    except Failure as failure:
        turn.effects = Effects()
        await turn.failed(tx, failure)


@without("shielded", Writer, "_in_savepoint")
async def given_up(
    real: Any, writer: Writer, tx: Transaction, turn: Turn, future: Any
) -> Exception | None:
    """What nobody waits for any more is rolled back, though it has begun."""
    run = turn.run

    async def unless_cancelled(tx: Transaction) -> None:
        await run(tx)
        if future.cancelled():
            raise LookupError("nobody waits for it")

    turn.run = unless_cancelled  # type: ignore[method-assign]
    try:
        return await real(writer, tx, turn, future)
    finally:
        del turn.run


@without("sticky_errors", Unit, "flush")
async def forgets_errors(real: Any, unit: Unit, effects: Effects) -> None:
    """An error that the handler swallowed is forgotten."""
    unit.broken = None
    await real(unit, effects)


@without("no_foreign_awaits", Driver, "_look")
def awaits_anything(real: Any, driver: Driver, awaited: object) -> object:
    """A handler may await anything, and holds the transaction meanwhile."""
    return STOPPED if awaited is _ENTER else None


# -- outside --------------------------------------------------------------------------------------


@without("reached_committed", Delivery, "_reach")
async def reaches_at_once(
    real: Any, delivery: Delivery, digest: bytes, number: int, key_life_s: float
) -> bool:
    """Nothing is committed before the call."""
    return delivery.made(number) != NOT_MADE and await real(delivery, digest, number, key_life_s)


@without("same_bytes", Delivery, "_reach")
async def sends_others(
    real: Any, delivery: Delivery, digest: bytes, number: int, key_life_s: float
) -> bool:
    """A later try may send what it likes."""
    return delivery.made(number) != NOT_MADE or await real(delivery, digest, number, key_life_s)


@without("reached_kept", handling, "after_failed_try")
def forgets_what_it_reached(real: Any, *args: Any, **options: Any) -> MessageRow:
    """A failed try forgets that its call may have arrived."""
    failed = real(*args, **options)
    failed.reached = False
    return failed


@without("key_life", claimed, "expired")
def never_expired(real: Any, row: MessageRow, now_ms: int) -> bool:
    """A key is good for ever."""
    return False


@without("key_life", handling, "after_failed_try")
def tries_for_ever(real: Any, row: MessageRow, *rest: Any, **options: Any) -> MessageRow:
    """A key is good for ever."""
    tried = row.copy()
    tried.expires_at = None
    failed = real(tried, *rest, **options)
    failed.expires_at = row.expires_at
    return failed


# -- an undo and its command ----------------------------------------------------------------------


@without("refuse_before_command", Meetings, "_meet")
async def no_tombstone(
    real: Any, meetings: Meetings, tx: Transaction, edge: Any, command: Any
) -> tuple[Meeting, MessageRow | None]:
    """An undo that comes first leaves nothing behind."""
    work = meetings._ledger.edge_from(edge.sender, Lane.WORK)
    assert work is not None
    if await tx.lock_message(work, command) is None:
        return Meeting.NOTHING, None
    return await real(meetings, tx, edge, command)


@without("forward_finishes_first", meeting, "meet")
def refuses_what_has_reached(real: Any, command: MessageRow) -> Meeting:
    """An undo refuses its command though its call may have arrived."""
    unreached = command.copy()
    unreached.reached = False
    return real(unreached)
