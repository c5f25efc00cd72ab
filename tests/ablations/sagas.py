"""What becomes of sagas without a safeguard."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from holdfast.consistency.advance import Advance, SagaType
from holdfast.consistency.replay import Call, Ended, Replay, Wait
from holdfast.consistency.sagas import Sagas
from holdfast.contract.envelope import MessageRow, SagaRow, State
from holdfast.storage import Transaction
from tests.ablations.off import without


@without("discard_suspended", Replay, "_alive")
def lives_on(real: Any, replay: Replay) -> None:
    """A run that waits may ask for steps in its `finally`."""
    replay._dead = False
    real(replay)


@without("compare_steps", Replay, "_recorded")
def any_step(real: Any, replay: Replay, path: str, kind: str, **options: bool) -> Any:
    """A recorded step is taken for whatever the function asks for."""
    step = replay.steps.get(path)
    return real(replay, path, kind if step is None else step.kind, **options)


@without("compare_steps", Replay, "_check_met")
def met_or_not(real: Any, replay: Replay, kinds: Any) -> None:
    """A step that the function does not come to is overlooked."""


@without("older_version_hands_back", Sagas, "_known")
def of_any_version(real: Any, sagas: Sagas, row: SagaRow) -> SagaType:
    """An older process goes on with it."""
    return sagas._types.get(row.type) or real(sagas, row)


@without("uncaught_failure_undoes", Replay, "_undo_all")
async def undoes_nothing(real: Any, replay: Replay) -> Ended:
    """It fails as it is."""
    return "failed"


@without("withdraw_without_undo", Sagas, "pending_call")
async def as_if_undoable(
    real: Any, sagas: Sagas, tx: Transaction, saga: UUID, path: str
) -> Call | None:
    """A command without an undo times out like one that has one."""
    call: Call | None = await real(sagas, tx, saga, path)
    undo: Any = "none"
    return call and replace(call, undo=call.undo or undo)


@without("undo_newest_first", Replay, "undo")
async def oldest_first(real: Any, replay: Replay) -> None:
    """What came first is undone first."""
    replay._undoable.reverse()
    await real(replay)


@without("undo_carries_knowledge", Replay, "_undo_one")
def knows_nothing(real: Any, replay: Replay, path: str, entry: Any) -> bool:
    """An undo does not say that its command is known to be done."""
    return real(replay, path, replace(entry, known=False))


@without("held_until_undone", Sagas, "hold")
async def lets_go(real: Any, sagas: Sagas, tx: Transaction, call: MessageRow) -> None:
    """A command's row goes when nobody waits for it."""
    await tx.delete_message(call.edge, call.id, State.DUE)


@without("keep_early_events", Advance, "_kept_event")
async def too_early(real: Any, advance: Advance, want: Wait) -> None:
    """What came before the wait does not count."""
    await real(advance, want)
