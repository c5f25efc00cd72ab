"""The story of an order of each test card, as text; and what is left of it when rows are gone."""

import asyncio
from pathlib import Path

from holdfast.testing import virtual_time
from shop.processor.cards import CARDS
from tests.story.orders import open_shop, place, same, story_of

STARTS = """\
checkout <id-1> of orders: {state}
  correlation id  corr-{card}
  trace id        <trace-1>
  on behalf of    ada

<time> orders              POST /v1/orders is answered 202  Idempotency-Key key-{card}
<time> orders              saga checkout starts  {{"id":"<id-2>","owner":"ada",\
"lines":[{{"sku":"TEA-100G","quantity":2}}],"total_cents":1300,"card":"[redacted]"}}
<time> orders → inventory  step 1, Reserve.v1 is sent
<time> inventory → orders  step 1, Reserve.v1 is done
<time> orders → payments   step 2, Charge.v1 is sent"""
PAID = """
<time> payments → orders   step 2, Charge.v1 is done  {"payment_id":"<id-3>"}
<time> orders              step 3, local confirm: done
<time> orders              saga checkout completed"""
REFUSED = """
<time> payments → orders   ! step 2, Charge.v1 is refused: CardDeclined  {{"reason":"{reason}"}}
<time> orders → inventory  step 3.1, undo Release.v1 is sent
<time> inventory → orders  step 3.1, undo Release.v1 is done
<time> orders              step 4, local cancel: done
<time> orders              saga checkout completed"""
KEPT = """

kept
  saga checkout <id-1>, with its steps: until <time>

not kept
"""
TRIES = """\
  How often the letters of steps {steps} were tried: where they were handled, their rows are \
deleted about a minute after they are settled.
"""
LETTERS = "  What settled letters held, and events that everybody has heard: see the logs."
FAILS = """
<time> payments            ! step 2, Charge.v1 is tried, and fails  DeadlineExceeded: \
payments→processor: no answer within 2 s at shop/payments/service.py:… in charge"""
STUCK = (
    """  {"order_id":"<id-2>","amount_cents":1300,"card":"[redacted]"}"""
    + FAILS
    + """

waits for
  step 2, Charge.v1 of payments, since <time>
    1 try failed in payments, and may have had an effect outside, tried again at <time>; \
the last error: DeadlineExceeded: payments→processor: no answer within 2 s at \
shop/payments/service.py:… in charge
    counts as unanswered at <time>

what you can do
  holdfast letters retry-now shop <id-3>  has it tried now, once it is mended
  holdfast sagas cancel shop <id-1>       gives it up: what it did is undone

not kept
"""
    + LETTERS
)
ENDS = {
    "tok_ok": PAID,
    "tok_insufficient_funds": REFUSED.format(reason="insufficient_funds"),
    "tok_stolen": REFUSED.format(reason="stolen_card"),
    "tok_fails_twice": PAID,  # the edge has tried again: no try of the letter has failed
    "tok_silent_before": PAID,
    "tok_silent_after": PAID,
    "tok_hangs": FAILS + FAILS + PAID,
}


def test_the_story_of_each_card_is_told(tmp_path: Path) -> None:
    """While it is stuck, when it is settled, and when its letters' rows are gone."""

    @virtual_time
    async def stories() -> tuple[str, dict[str, str], dict[str, str]]:
        async with open_shop(tmp_path) as system:
            for card in CARDS:
                await place(system, card)
            told: list[dict[str, str]] = []
            for moment_s in (7, 53, 600):
                await asyncio.sleep(moment_s)
                told.append({c: same(await story_of(tmp_path, f"corr-{c}")) for c in CARDS})
            return told[0]["tok_hangs"], told[1], told[2]

    stuck, settled, later = stories()

    assert stuck == STARTS.format(card="tok_hangs", state="running") + STUCK
    for card in CARDS:
        starts, ends = STARTS.format(card=card, state="completed"), ENDS[card]
        assert settled[card] == starts + ends + KEPT + LETTERS
        steps = "1, 2, 3.1" if "undo" in ends else "1, 2"
        left = starts + ends.replace(FAILS, "")
        assert later[card] == left + KEPT + TRIES.format(steps=steps) + LETTERS


def test_an_order_is_found_by_any_of_its_ids(tmp_path: Path) -> None:
    """By the ids of its correlation, trace, request, saga and letters, and by a field."""

    @virtual_time
    async def stories() -> list[str]:
        async with open_shop(tmp_path) as system:
            order = await place(system, "tok_hangs")
            await place(system, "tok_ok")
            await asyncio.sleep(7)
            first = await story_of(tmp_path, "corr-tok_hangs")
            [open_] = first.open
            known = ["key-tok_hangs", first.traces[0], open_.saga, open_.saga.upper()]
            known += [open_.letter, first.entries[2].letter, order]
            told = [first, *[await story_of(tmp_path, one) for one in known]]
            told += [await story_of(tmp_path, None, f"order_id={order}")]
            told += [await story_of(tmp_path, None, f"id={order}")]
            return [same(story) for story in told]

    first, *others = stories()

    assert "tok_hangs" in first
    assert "tok_ok" not in first
    assert len(others) == 9
    assert set(others) == {first}


def test_nothing_is_told_of_what_is_not_there(tmp_path: Path) -> None:
    """Nor of a text that is only a part of one, or stands under another field."""

    @virtual_time
    async def entries() -> list[int]:
        async with open_shop(tmp_path) as system:
            order = await place(system, "tok_ok")
            await asyncio.sleep(7)
            asked = ["nobody", "corr-tok_o", "%", order[:-1] + ("0" if order[-1] != "0" else "1")]
            told = [await story_of(tmp_path, one) for one in asked]
            for about in (f"owner={order}", f"payment_id={order}", "order_id=1", "owner=ad"):
                told.append(await story_of(tmp_path, None, about))
            told.append(await story_of(tmp_path, None, "owner=ada"))
            return [len(story.entries) + len(story.open) for story in told]

    *nothing, something = entries()

    assert set(nothing) == {0}
    assert something > 5
