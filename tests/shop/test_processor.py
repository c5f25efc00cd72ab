"""The card processor over real HTTP: keys, cards that misbehave, refunds and the books."""

import asyncio
import re
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from holdfast.errors import CallError, DeadlineExceeded
from holdfast.testing import Client
from shop.processor.cards import CARDS, Tries
from shop.processor.ledger import KEY_LIFE_MS, Answer, Ledger, LedgerUnavailable
from tests.shop.conftest import Cards

SOON_S = 0.1
NOTHING = {"count": 0, "charged_cents": 0, "refunded_cents": 0}


def order(card: str = "tok_ok", reference: str = "order-1", amount_cents: int = 1_250) -> Any:
    return {"amount_cents": amount_cents, "card": card, "reference": reference}


async def charge(
    client: Client, body: Any, key: str | None = "key-1", timeout_s: float = 60
) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return await client.post("/v1/charges", json=body, headers=headers, timeout_s=timeout_s)


async def test_a_good_card_is_charged(cards: Cards) -> None:
    """The answer names the charge, and the books hold it."""
    answer = await charge(cards.client, order())

    assert (answer.status, answer.json()) == (201, {"id": "ch_1", "amount_cents": 1_250})
    assert cards.ledger.find("order-1") == [
        {
            "id": "ch_1",
            "reference": "order-1",
            "card": "tok_ok",
            "amount_cents": 1_250,
            "refunded_cents": 0,
        }
    ]


async def test_the_same_key_gets_the_same_answer(cards: Cards) -> None:
    """A repeated request charges nothing more."""
    first = await charge(cards.client, order())
    second = await charge(cards.client, order())

    assert (second.status, second.body) == (first.status, first.body)
    assert cards.ledger.totals()["count"] == 1


async def test_without_a_key_every_request_is_a_new_one(cards: Cards) -> None:
    """Nobody guesses whether two equal charges are one."""
    await charge(cards.client, order(), key=None)
    await charge(cards.client, order(), key=None)

    assert cards.ledger.totals()["count"] == 2


async def test_a_key_stands_for_one_request(cards: Cards) -> None:
    """The same key with another amount, or at another path, is refused."""
    await charge(cards.client, order())

    other = await charge(cards.client, order(amount_cents=1))
    elsewhere = await cards.client.post(
        "/v1/charges/ch_1/refunds", headers={"Idempotency-Key": "key-1"}
    )

    assert (other.status, elsewhere.status) == (409, 409)
    assert cards.ledger.totals() == {"count": 1, "charged_cents": 1_250, "refunded_cents": 0}


async def test_one_key_many_times_at_once_charges_once(cards: Cards) -> None:
    """Requests that arrive together meet at the key's row."""
    answers = await asyncio.gather(*(charge(cards.client, order()) for _ in range(40)))

    assert {(a.status, a.body) for a in answers} == {(201, answers[0].body)}
    assert cards.ledger.totals()["count"] == 1


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        ("tok_insufficient_funds", "insufficient_funds"),
        ("tok_stolen", "stolen_card"),
        ("tok_nobody_knows", "unknown_card"),
    ],
)
async def test_a_refused_card_is_not_charged(cards: Cards, card: str, reason: str) -> None:
    """The refusal is an answer like any other: the key remembers it."""
    first = await charge(cards.client, order(card))
    second = await charge(cards.client, order(card))

    assert (first.status, first.json()) == (402, {"reason": reason})
    assert second.body == first.body
    assert cards.ledger.totals() == NOTHING


async def test_a_card_that_fails_twice_works_at_the_third_try(cards: Cards) -> None:
    """Nothing is charged by the tries that fail."""
    statuses = [(await charge(cards.client, order("tok_fails_twice"))).status for _ in range(3)]

    assert statuses == [500, 500, 201]
    assert cards.ledger.totals()["count"] == 1


async def test_silence_before_the_charge(cards: Cards) -> None:
    """The first try gets no answer, with nothing charged; the second one charges."""
    await cards.abandon(charge(cards.client, order("tok_silent_before"), timeout_s=600))
    before = cards.ledger.totals()
    second = await charge(cards.client, order("tok_silent_before"))

    assert before == NOTHING
    assert second.status == 201
    assert cards.ledger.totals()["count"] == 1


async def test_silence_after_the_charge(cards: Cards) -> None:
    """The first try gets no answer though it charged; the second one gets the recorded answer."""
    first = charge(cards.client, order("tok_silent_after"), timeout_s=600)
    await cards.abandon(first, when=lambda: cards.ledger.totals()["count"] == 1)
    before = cards.ledger.totals()
    second = await charge(cards.client, order("tok_silent_after"))

    assert before["count"] == 1
    assert (second.status, second.json()["id"]) == (201, "ch_1")
    assert cards.ledger.totals()["count"] == 1


async def test_a_card_that_hangs_comes_back(cards: Cards) -> None:
    """It gives no answer eight times, and then one."""
    for _ in range(CARDS["tok_hangs"].silent_before):
        await cards.abandon(charge(cards.client, order("tok_hangs"), timeout_s=600))

    assert (await charge(cards.client, order("tok_hangs"))).status == 201


async def test_a_refund_gives_back_all_of_a_charge_once(cards: Cards) -> None:
    """A second refund, under another key or none, changes nothing."""
    await charge(cards.client, order())

    answers = [
        await cards.client.post("/v1/charges/ch_1/refunds", headers=headers)
        for headers in ({"Idempotency-Key": "r1"}, {"Idempotency-Key": "r1"}, {})
    ]

    assert [a.status for a in answers] == [200, 200, 200]
    assert answers[0].json()["refunded_cents"] == 1_250
    assert cards.ledger.totals() == {"count": 1, "charged_cents": 1_250, "refunded_cents": 1_250}


@pytest.mark.parametrize("id", ["ch_1", "1", "ch_", "ch_-1", "ch_99999999999999999999", "%C2%B2"])
async def test_a_refund_of_nothing_is_refused(cards: Cards, id: str) -> None:
    """An id that no charge has gets a 404."""
    answer = await cards.client.post(f"/v1/charges/{id}/refunds")

    assert (answer.status, answer.json()) == (404, {"reason": "no_such_charge"})


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"amount_cents":0,"card":"tok_ok","reference":"r"}', b'{"card":"tok_ok"}'],
)
async def test_a_bad_request_is_refused_and_not_remembered(cards: Cards, body: bytes) -> None:
    """The key is still free for the corrected request."""
    headers = {"Idempotency-Key": "key-1"}
    refused = await cards.client.post("/v1/charges", body=body, headers=headers)
    corrected = await charge(cards.client, order())

    assert (refused.status, refused.json()["reason"]) == (400, "bad_request")
    assert corrected.status == 201


async def test_the_books_are_read_in_pages(cards: Cards) -> None:
    """Following `next` shows every charge once; the totals are those of all."""
    await asyncio.gather(*(charge(cards.client, order(reference=f"o-{n}"), None) for n in range(5)))

    seen: list[str] = []
    after, page = "", dict[str, Any]()
    while after is not None:
        page = (await cards.client.get(f"/v1/ledger?limit=2&after={after}")).json()
        seen += [row["reference"] for row in page["rows"]]
        after = page["next"]

    assert sorted(seen) == [f"o-{n}" for n in range(5)]
    assert (page["count"], page["charged_cents"]) == (5, 5 * 1_250)


async def test_health_and_unknown_paths(cards: Cards) -> None:
    """A prober gets a 200; whatever is not served a 404."""
    assert (await cards.client.get("/health")).status == 200
    assert (await cards.client.get("/v1/charges/ch_1")).status == 404


async def test_an_entry_that_fails_takes_nothing_with_it(cards: Cards, tmp_path: Path) -> None:
    """If the answer cannot be recorded the charge is rolled back, and the ledger goes on."""
    with closing(sqlite3.connect(tmp_path / "processor.db")) as other:
        other.execute(
            "CREATE TRIGGER full BEFORE INSERT ON answer BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
        failed = await charge(cards.client, order())
        other.execute("DROP TRIGGER full")

    assert (failed.status, failed.json()) == (503, {"reason": "unavailable"})
    assert cards.ledger.totals() == NOTHING
    assert (await charge(cards.client, order())).json()["id"] == "ch_1"


async def test_a_full_queue_refuses_more(cards: Cards, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries over the maximum are not booked; those that wait are."""
    monkeypatch.setattr("shop.processor.ledger.WAITING_MAX", 2)
    entries = [
        cards.ledger.book(partial(cards.ledger.charge, reference=r, card="c", amount_cents=1))
        for r in ("a", "b", "c")
    ]
    *booked, refused = await asyncio.gather(*entries, return_exceptions=True)

    assert [answer.status for answer in booked if isinstance(answer, Answer)] == [201, 201]
    assert isinstance(refused, LedgerUnavailable)
    assert cards.ledger.totals()["count"] == 2


def test_the_ledger_waits_for_the_disk() -> None:
    """A power cut cannot be made in a test, so the setting that survives one is looked at."""
    ledger = Ledger(":memory:", StoppedClock())
    (level,) = ledger._sql.execute(  # pyright: ignore[reportPrivateUsage]
        "PRAGMA synchronous"
    ).fetchone()
    ledger.close()

    assert level == 2  # FULL


class StoppedClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def now(self) -> float:
        return self.now_s

    def monotonic(self) -> float:
        return self.now_s


async def test_a_key_is_remembered_for_a_day() -> None:
    """Up to its last millisecond it gets the first answer, after it a new one."""
    clock = StoppedClock()
    ledger = Ledger(":memory:", clock)

    async def book(number: int) -> bytes:
        answer = await ledger.book(ledger.once("k", b"same", lambda: Answer.of(200, number=number)))
        return answer.body

    first = await book(1)
    clock.now_s += KEY_LIFE_MS / 1000
    last_moment = await book(2)
    clock.now_s += 1
    afterwards = await book(3)
    ledger.close()

    assert [first, last_moment, afterwards] == [b'{"number":1}', b'{"number":1}', b'{"number":3}']


def test_tries_forget_the_key_that_was_idle_longest() -> None:
    """The memory for tries has a maximum."""
    tries = Tries(keys_max=2)

    counts = [tries.count(key) for key in ("a", "b", "a", "c", "a", "b")]

    assert counts == [1, 1, 2, 1, 3, 1]


@asynccontextmanager
async def process(ledger: Path) -> AsyncGenerator[tuple[asyncio.subprocess.Process, Client]]:
    """Run the processor as its users do, and kill it without a warning at the end."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shop.processor", "--port", "0", "--ledger", str(ledger)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    line = (await asyncio.wait_for(child.stdout.readline(), 300)).decode()
    client = Client(line.split()[3].rstrip(","))
    try:
        yield child, client
    finally:
        await client.close()
        if child.returncode is None:
            child.kill()
        await child.wait()
        await child.stdout.read()


async def test_a_kill_loses_no_charge_and_doubles_none(tmp_path: Path) -> None:
    """What was answered before a SIGKILL is in the books, and its key still has the answer."""
    ledger, numbers = tmp_path / "cards.db", iter(range(100_000))
    answered: dict[int, bytes] = {}

    async def customer(client: Client, killer: asyncio.subprocess.Process) -> None:
        for number in numbers:
            try:
                answer = await charge(client, order(reference=f"o-{number}"), f"k-{number}")
            except CallError:
                return
            answered[number] = answer.body
            if len(answered) == 200 and killer.returncode is None:
                killer.kill()

    async with process(ledger) as (child, client):
        await asyncio.gather(*(customer(client, child) for _ in range(16)))
    tried = next(numbers)
    async with process(ledger) as (_, client):
        again = {
            n: (await charge(client, order(reference=f"o-{n}"), f"k-{n}")).body
            for n in range(tried)
        }
        books = (await client.get("/v1/ledger")).json()

    assert len(answered) >= 200
    assert {n: again[n] for n in answered} == answered
    assert books["count"] == len(again) == tried
    assert len({row["reference"] for row in books["rows"]}) == tried


async def test_sigterm_ends_the_processor_well(tmp_path: Path) -> None:
    """It leaves with 0 and without a request that hangs in its way."""
    async with process(tmp_path / "cards.db") as (child, client):
        with pytest.raises(DeadlineExceeded):
            await charge(client, order("tok_silent_before"), timeout_s=SOON_S)
        child.terminate()
        await asyncio.wait_for(child.wait(), 300)

    assert child.returncode == 0


async def raw(url: str, data: bytes) -> bytes:
    """Send bytes to a server; return all it says until it closes the connection."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(data)
    said = await reader.read()
    writer.close()
    return said


async def test_requests_of_one_connection_are_answered_in_their_order(cards: Cards) -> None:
    """Two that come in one piece get two answers; `Connection: close` ends it after the second."""
    first = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
    second = b"GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"

    said = await raw(cards.url, first + second)

    assert re.findall(rb"HTTP/1.1 (\d+)", said) == [b"200", b"404"]
    assert said.count(b"connection: close") == 1


@pytest.mark.parametrize(
    "data",
    [b"what?\r\n\r\n", b"POST / HTTP/1.1\r\ncontent-length: 70000\r\n\r\n" + b"x" * 70_000],
    ids=["no-http", "too-long"],
)
async def test_what_it_cannot_read_is_refused(cards: Cards, data: bytes) -> None:
    """The connection is closed: nobody knows where the next request begins."""
    assert (await raw(cards.url, data)).startswith(b"HTTP/1.1 400 ")


def test_it_loads_nothing_of_those_it_serves() -> None:
    """A third party, of whose memory a quarter was Holdfast's declarations, which it has not."""
    code = "import sys, shop.processor.__main__; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded & {"holdfast", "pydantic", "sqlalchemy", "shop"} == {"shop"}
