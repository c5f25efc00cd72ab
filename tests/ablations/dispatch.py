"""What becomes of requests, queries and ticks without a safeguard."""

from typing import Any

import msgspec
from msgspec.structs import replace

from holdfast.consistency.delivery import Delivery
from holdfast.contract.envelope import Letter, MessageRow
from holdfast.dispatch import host
from holdfast.dispatch.handlers import CompiledHandler, CompiledJob
from holdfast.dispatch.outside import OutsideView
from holdfast.dispatch.requests import Key
from holdfast.dispatch.routes import CompiledRoute
from tests.ablations.off import without


@without("tolerant_letters", CompiledHandler, "invoke")
async def strict(real: Any, handler: CompiledHandler, delivery: Delivery) -> object:
    """A field that this version does not know is an error."""
    handler._carrier.decode(bytes(delivery.letter.body), extra="forbid")
    return await real(handler, delivery)


@without("derived_ticks", CompiledJob, "next_row")
def ticks_of_ones_own(real: Any, job: CompiledJob, now_ms: int) -> MessageRow:
    """A tick gets an id like any letter."""
    row: MessageRow = real(job, now_ms)
    row.id = job._ledger.ids.uuid7(row.due_at or 0)
    letter = replace(msgspec.json.decode(row.body, type=Letter), id=row.id)
    row.body = msgspec.json.encode(letter)
    return row


@without("request_with_effect", Key, "record")
async def records_nothing(real: Any, key: Key, *args: Any) -> None:
    """The effect commits alone."""


@without("request_with_effect", CompiledRoute, "_recorded")
async def remembers_nothing(real: Any, route: CompiledRoute, key: Key) -> None:
    """Nothing is known of a key."""


@without("remaining_time_on_hops", OutsideView, "ask")
async def asks_for_ever(real: Any, view: OutsideView, query: Any) -> Any:
    """Whoever is asked is not told how long its client waits."""
    view._call_s = view._deadline = None
    return await real(view, query)


@without("time_goes_on", host, "floors_lag_ms")
def any_time(real: Any, schedule: Any) -> None:
    """A service's time is that of the clock on which its database starts."""
