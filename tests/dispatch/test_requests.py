"""Writes over HTTP: one transaction, and what an Idempotency-Key makes of it."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, Uuid, select

from holdfast import Caller, Failure, Model, Outside, Service, System, Tx
from holdfast.consistency.turn import Effects
from holdfast.contract.envelope import Kind, MessageRow, State
from holdfast.contract.http import Request, Response
from holdfast.dispatch.requests import (
    KEY_CHARS_MAX,
    REFUSAL_BYTES_MAX,
    RESPONSE_BYTES_MAX,
    Refusals,
)
from holdfast.errors import DeadlineExceeded
from holdfast.storage import MessageFilter, Transaction
from tests.ablations.off import switch_off
from tests.dispatch.hosting import ADA, Hosted, hosting, problem, system

METADATA = MetaData()
SALES = Table(
    "sale",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("item", String, nullable=False),
    Column("pieces", Integer, nullable=False),
)
BOB = Caller("bob", frozenset())


class Sale(Model):
    """What is bought."""

    item: str
    pieces: int = 1


class Refused(Failure, status=409):
    """There is none left."""

    item: str


class Till:
    """A service that sells; `gate` holds up who buys "slow", `runs` counts its handler."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.refuses_slow = False
        self.breaks: Exception | None = None
        self.entered, self.gate = asyncio.Event(), asyncio.Event()
        self.service = Service("till", tables=METADATA)
        self.service.post("/v1/sales", status_code=201)(self.sell)
        self.service.post("/v1/secrets", record=False)(self.sell_secretly)
        self.service.put("/v1/sales/{item}", scope="write")(self.replace)

    @property
    def system(self) -> System:
        """The system of this one service."""
        return system(self.service)

    async def sell(self, body: Sale, outside: Outside, tx: Tx) -> Sale:
        """Sell it, if it is to be had."""
        self.runs.append(body.item)
        if self.breaks is not None:
            raise self.breaks
        if body.item == "slow":
            self.entered.set()
            await self.gate.wait()
            if self.refuses_slow:
                raise Refused(item=body.item)
        tx.insert(SALES, id=tx.new_id(), item=body.item, pieces=body.pieces)
        if body.item == "refused":
            raise Refused(item=body.item)
        if body.item == "broken" and len(self.runs) == 1:
            raise RuntimeError("the drawer jams")
        return body

    async def sell_secretly(self, body: Sale, tx: Tx) -> Sale:
        """Sell something whose receipt is a secret."""
        self.runs.append(body.item)
        return body

    async def replace(self, item: str, body: Sale, tx: Tx) -> Sale:
        """Sell something else instead."""
        self.runs.append(item)
        return body


@pytest.fixture
async def till() -> Till:
    """Return a till that is not running yet."""
    return Till()


async def sell(hosted: Hosted, item: str, key: str | None = None, **options: Any) -> Response:
    """Buy one piece."""
    return await hosted.post("/v1/sales", json={"item": item}, key=key, **options)


async def sold(hosted: Hosted) -> list[str]:
    """Return the items that were sold."""
    return sorted(row.item for row in await hosted.table("till", SALES))


async def test_a_write_without_a_key_happens_each_time(till: Till, tmp_path: Path) -> None:
    """Nothing but the key says that two equal requests are the same one."""
    async with hosting(till.system, tmp_path) as hosted:
        first, second = await sell(hosted, "cup"), await sell(hosted, "cup")

        assert (first.status, second.status) == (201, 201)
        assert await sold(hosted) == ["cup", "cup"]


async def test_a_repeated_request_gets_the_same_bytes(till: Till, tmp_path: Path) -> None:
    """Also from the next process: the record is committed with the effect."""
    async with hosting(till.system, tmp_path) as hosted:
        first = await sell(hosted, "cup", "k1")
    async with hosting(till.system, tmp_path) as hosted:
        again = await sell(hosted, "cup", "k1")
        items = await sold(hosted)

    assert first.header(b"idempotency-replayed") is None
    assert again.header(b"idempotency-replayed") == b"true"
    assert (again.status, again.body) == (first.status, first.body)
    assert again.header(b"content-type") == first.header(b"content-type")
    assert (items, till.runs) == (["cup"], ["cup"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/sales", b'{"item": "pot"}'),
        ("/v1/sales", b'{"item":  "cup"}'),
        ("/v1/sales?x=1", b'{"item": "cup"}'),
    ],
)
async def test_a_key_with_another_request_is_refused(
    till: Till, tmp_path: Path, path: str, body: bytes
) -> None:
    """Any other byte of the body, the path or the query; the first effect stays."""
    async with hosting(till.system, tmp_path) as hosted:
        await hosted.post("/v1/sales", body=b'{"item": "cup"}', key="k1")
        response = await hosted.post(path, body=body, key="k1")

        assert "take a new key" in problem(response, 422)["detail"]
        assert await sold(hosted) == ["cup"]


async def test_a_key_belongs_to_its_caller_and_its_route(till: Till, tmp_path: Path) -> None:
    """Two callers who both count from 1 do not see each other's answers."""
    async with hosting(till.system, tmp_path) as hosted:
        await sell(hosted, "cup", "1")
        other = await sell(hosted, "cup", "1", caller=BOB)
        route = await hosted.request("PUT", "/v1/sales/cup", json={"item": "cup"}, key="1")

    assert (other.status, route.status) == (201, 200)
    assert other.header(b"idempotency-replayed") is None
    assert till.runs == ["cup", "cup", "cup"]


async def test_the_key_of_an_anonymous_caller_includes_the_body(tmp_path: Path) -> None:
    """Nobody can find out what another one sent by trying keys: another body is another request."""
    service = Service("till", tables=METADATA)

    @service.post("/v1/sales", public=True)
    async def buy(body: Sale, tx: Tx) -> Sale:
        tx.insert(SALES, id=tx.new_id(), item=body.item, pieces=body.pieces)
        return body

    async with hosting(system(service), tmp_path) as hosted:
        answers = [
            await sell(hosted, item, "1", caller=None) for item in ("cup", "pot", "cup", "pot")
        ]
        items = await sold(hosted)

    assert [answer.status for answer in answers] == [200] * 4
    assert [bool(answer.header(b"idempotency-replayed")) for answer in answers] == [
        *(False, False),
        *(True, True),
    ]
    assert items == ["cup", "pot"]


async def test_a_key_that_is_under_way_is_a_conflict(till: Till, tmp_path: Path) -> None:
    """The impatient client is told to come again; it does not wait, and nothing runs twice."""
    async with hosting(till.system, tmp_path) as hosted:
        first = asyncio.create_task(sell(hosted, "slow", "k1"))
        await till.entered.wait()
        second = await sell(hosted, "slow", "k1")
        till.gate.set()
        third = await first
        again = await sell(hosted, "slow", "k1")

    assert problem(second, 409)["code"] == "conflict"
    assert second.header(b"retry-after") == b"1"
    assert (third.status, again.body) == (201, third.body)
    assert till.runs == ["slow"]


async def test_two_processes_record_a_key_once(till: Till, tmp_path: Path) -> None:
    """The row of the key decides; the one that comes second answers with the first one's."""
    other = Till()
    async with (
        hosting(till.system, tmp_path) as hosted,
        hosting(other.system, tmp_path) as second,
    ):
        late = asyncio.create_task(sell(hosted, "slow", "k1"))
        await till.entered.wait()
        other.gate.set()
        first = await sell(second, "slow", "k1")
        till.gate.set()
        answer = await late
        items = await sold(hosted)

    assert (first.status, answer.status) == (201, 201)
    assert answer.header(b"idempotency-replayed") == b"true"
    assert items == ["slow"]


async def records(hosted: Hosted) -> int:
    """Count the records of keys."""
    ledger = hosted.hosts["till"].ledger
    which = MessageFilter(edges=(ledger.http_edge,), limit=10_000)
    return len(await ledger.database.messages(which))


async def test_a_refusal_is_repeated_and_leaves_nothing(till: Till, tmp_path: Path) -> None:
    """A failure is an answer, and who asks again at once gets the same one."""
    async with hosting(till.system, tmp_path) as hosted:
        first, again = await sell(hosted, "refused", "k1"), await sell(hosted, "refused", "k1")
        items = await sold(hosted)
        kept = await records(hosted)

    document = problem(first, 409)
    assert kept == 0
    assert (document["code"], document["failure"]) == ("Refused", {"item": "refused"})
    assert again.body == first.body
    assert again.header(b"idempotency-replayed") == b"true"
    assert (items, till.runs) == ([], ["refused"])


async def test_an_error_of_ours_is_not_recorded(till: Till, tmp_path: Path) -> None:
    """The client may send the same key again, and then it happens."""
    async with hosting(till.system, tmp_path) as hosted:
        first, again = await sell(hosted, "broken", "k1"), await sell(hosted, "broken", "k1")
        items = await sold(hosted)

    assert problem(first, 500)["code"] == "internal"
    assert b"drawer" not in first.body
    assert (again.status, again.header(b"idempotency-replayed")) == (201, None)
    assert items == ["broken"]


async def test_a_secret_answer_is_not_recorded(till: Till, tmp_path: Path) -> None:
    """With `record=False` the key is not looked at, so no token is ever written down."""
    async with hosting(till.system, tmp_path) as hosted:
        answers = [await hosted.post("/v1/secrets", json={"item": "x"}, key="k1") for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 200]
    assert answers[1].header(b"idempotency-replayed") is None
    assert till.runs == ["x", "x"]


async def test_a_key_may_be_so_long(till: Till, tmp_path: Path) -> None:
    """To the character: it is one and the same key again."""
    async with hosting(till.system, tmp_path) as hosted:
        answers = [await sell(hosted, "cup", "k" * KEY_CHARS_MAX) for _ in range(2)]
        items = await sold(hosted)

    assert [answer.status for answer in answers] == [201, 201]
    assert items == ["cup"]


@pytest.mark.parametrize(("over", "status"), [(0, 201), (1, 413)])
async def test_a_recorded_response_may_be_so_large(
    over: int, status: int, till: Till, tmp_path: Path
) -> None:
    """To the byte; a larger one is refused before anything is written, here for what was sent."""
    plain = len(b'{"item":"","pieces":1}')
    item = "x" * (RESPONSE_BYTES_MAX - plain + over)
    async with hosting(till.system, tmp_path) as hosted:
        answer = await sell(hosted, item, "key-1")
        items = await sold(hosted)

    assert answer.status == status
    assert items == ([] if over else [item])
    assert over or len(answer.body) == RESPONSE_BYTES_MAX


@pytest.mark.parametrize("key", ["", "k" * 256, "schlüssel"])
async def test_a_key_is_short_ascii(till: Till, tmp_path: Path, key: str) -> None:
    """Anything else is refused before it runs."""
    async with hosting(till.system, tmp_path) as hosted:
        response = await sell(hosted, "cup", key)

    assert "1..255 ASCII" in problem(response, 400)["detail"]
    assert till.runs == []


@pytest.mark.parametrize(
    ("caller", "status", "code"), [(None, 401, "unauthenticated"), (BOB, 403, "forbidden")]
)
async def test_the_route_asks_for_its_scope_itself(
    till: Till, tmp_path: Path, caller: Caller | None, status: int, code: str
) -> None:
    """Also when whoever forwarded the request forgot to."""
    async with hosting(till.system, tmp_path) as hosted:
        response = await hosted.request("PUT", "/v1/sales/cup", json={"item": "cup"}, caller=caller)

    assert problem(response, status)["code"] == code
    assert till.runs == []


async def test_a_write_whose_deadline_has_passed_does_not_begin(till: Till, tmp_path: Path) -> None:
    """What was only waiting for its first statement is given up; nothing is written."""
    async with hosting(till.system, tmp_path) as hosted:
        deadline = asyncio.get_running_loop().time() + 0.5
        response = await sell(hosted, "slow", "k1", deadline=deadline)
        till.gate.set()
        again = await sell(hosted, "slow", "k1")
        items = await sold(hosted)

    assert problem(response, 504)["code"] == "deadline_exceeded"
    assert (again.status, items) == (201, ["slow"])


async def test_without_its_safeguard_a_repeated_request_happens_twice(
    till: Till, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record in the effect's transaction is what keeps the promise, nothing else."""
    switch_off(monkeypatch, "request_with_effect")
    async with hosting(till.system, tmp_path) as hosted:
        await sell(hosted, "cup", "k1")
        await asyncio.sleep(1)
        await sell(hosted, "cup", "k1")

        assert await sold(hosted) == ["cup", "cup"]


@pytest.mark.parametrize("caller", [ADA, None])
async def test_refusals_under_fresh_keys_fill_nothing(
    tmp_path: Path, caller: Caller | None
) -> None:
    """Neither those before the first statement nor those behind it, whoever sends them."""
    service = Service("till", tables=METADATA)

    @service.post("/v1/sales", public=True)
    async def buy(body: Sale, tx: Tx) -> Sale:
        if body.pieces > 1:
            raise Refused(item=body.item)
        tx.insert(SALES, id=tx.new_id(), item=body.item, pieces=body.pieces)
        await tx.execute(select(SALES))
        raise Refused(item=body.item)

    async with hosting(system(service), tmp_path) as hosted:
        for number in range(20):
            body = {"item": "cup", "pieces": 1 + number % 2}
            answer = await hosted.post("/v1/sales", json=body, key=f"k{number}", caller=caller)
            assert answer.status == 409
        assert await records(hosted) == 0
        assert await sold(hosted) == []


async def test_another_process_decides_a_refused_request_anew(till: Till, tmp_path: Path) -> None:
    """Nothing was done, so nothing is done twice."""
    async with hosting(till.system, tmp_path) as hosted:
        first = await sell(hosted, "refused", "k1")
    async with hosting(till.system, tmp_path) as hosted:
        again = await sell(hosted, "refused", "k1")

    assert (first.status, again.status) == (409, 409)
    assert again.header(b"idempotency-replayed") is None
    assert till.runs == ["refused", "refused"]


async def test_a_refusal_gives_way_to_the_success_of_another_process(
    till: Till, tmp_path: Path
) -> None:
    """The same key, refused here after it was granted there: the effect is what is answered."""
    other = Till()
    async with (
        hosting(till.system, tmp_path) as hosted,
        hosting(other.system, tmp_path) as second,
    ):
        till.refuses_slow = True
        late = asyncio.create_task(sell(hosted, "slow", "k1"))
        await till.entered.wait()
        other.gate.set()
        first = await sell(second, "slow", "k1")
        till.gate.set()
        answer = await late

    assert (first.status, answer.status) == (201, 201)
    assert answer.header(b"idempotency-replayed") == b"true"


@pytest.mark.parametrize(("second", "status"), [("k2", 400), ("k1", 201), ("", 400)])
async def test_a_request_has_one_key(till: Till, tmp_path: Path, second: str, status: int) -> None:
    """Two that differ could be read in two ways; the same one twice cannot."""
    request = Request(
        "POST",
        "/v1/sales",
        "",
        [(b"idempotency-key", b"k1"), (b"idempotency-key", second.encode())],
        b'{"item": "cup"}',
        caller=ADA,
    )
    async with hosting(till.system, tmp_path) as hosted:
        target, path = hosted.router.find("POST", "/v1/sales")
        answer = await target.serve(request, path)

    assert answer.status == status


@pytest.mark.parametrize(("caller", "kept_s"), [(ADA, 86_400), (None, 3_600)])
async def test_a_record_is_kept_for_its_time(
    tmp_path: Path, caller: Caller | None, kept_s: int
) -> None:
    """Of strangers there is no end, so theirs are kept for a shorter one."""
    service = Service("till", tables=METADATA)

    @service.post("/v1/sales", public=True)
    async def buy(body: Sale, tx: Tx) -> Sale:
        tx.insert(SALES, id=tx.new_id(), item=body.item, pieces=body.pieces)
        return body

    async with hosting(system(service), tmp_path) as hosted:
        ledger = hosted.hosts["till"].ledger
        before_s = ledger.clock.now()
        await sell(hosted, "cup", "k1", caller=caller)
        after_s = ledger.clock.now()
        [row] = await ledger.database.messages(MessageFilter(edges=(ledger.http_edge,), limit=9))

    assert row.due_at is not None
    assert before_s + kept_s - 60 <= row.due_at / 1000 <= after_s + kept_s + 60


def test_refusals_are_remembered_up_to_a_maximum() -> None:
    """The oldest are forgotten first, as are large ones and what is past its time."""
    refusals = Refusals()
    rows = [
        MessageRow("e", UUID(int=n), State.DONE, Kind.REQUEST, due_at=2_000, answer=b"x")
        for n in range(1_001)
    ]
    for row in rows:
        refusals.keep(row)
    for number, size in ((9_998, REFUSAL_BYTES_MAX), (9_999, REFUSAL_BYTES_MAX + 1)):
        refusals.keep(replace(rows[5], id=UUID(int=number), answer=b"x" * size))

    assert refusals.find(rows[1].id, 1_000) is None
    assert refusals.find(rows[2].id, 1_000) is rows[2]
    assert refusals.find(rows[2].id, 2_000) is None
    assert refusals.find(UUID(int=9_998), 1_000) is not None
    assert refusals.find(UUID(int=9_999), 1_000) is None


async def test_a_write_whose_client_has_gone_does_not_begin(till: Till, tmp_path: Path) -> None:
    """It waited for its first statement, and meanwhile nobody waits for it."""
    loop = asyncio.get_running_loop()
    request = Request("POST", "/v1/sales", "", [], b'{"item": "slow"}', caller=ADA)
    request.received_at, request.deadline = loop.time() - 1.0, loop.time() + 60.0
    async with hosting(till.system, tmp_path) as hosted:
        target, path = hosted.router.find("POST", "/v1/sales")
        sale = asyncio.create_task(target.serve(request, path))
        await till.entered.wait()
        request.gone = True
        till.gate.set()
        answer = await sale
        items = await sold(hosted)

    assert problem(answer, 499)["code"] == "client_gone"
    assert items == []
    assert said(hosted) == []


@pytest.mark.parametrize(
    ("gone", "status", "code"), [(True, 499, "client_gone"), (False, 504, "deadline_exceeded")]
)
async def test_a_write_for_which_nobody_waits_any_more_is_no_error_of_ours(
    till: Till, tmp_path: Path, gone: bool, status: int, code: str
) -> None:
    """It waits for its transaction: who has gone is told so; a deadline is a line without code."""
    loop, held = asyncio.get_running_loop(), asyncio.Event()
    request = Request("POST", "/v1/sales", "", [], b'{"item": "cup"}', caller=ADA)
    request.route, request.received_at = "/v1/sales", loop.time()
    request.deadline = loop.time() + (60.0 if gone else 0.8)

    async def hold(tx: Transaction, effects: Effects) -> None:
        await held.wait()

    async with hosting(till.system, tmp_path) as hosted:
        target, path = hosted.router.find("POST", "/v1/sales")
        first = asyncio.create_task(hosted.hosts["till"].core.writer.perform_own(hold))
        sale = asyncio.create_task(target.serve(request, path))
        await asyncio.sleep(0.3)
        request.gone = gone
        await asyncio.sleep(0.6)
        held.set()
        answer, _ = await asyncio.gather(sale, first)
        items = await sold(hosted)

    assert till.runs == ["cup"]
    assert problem(answer, status)["code"] == code
    assert items == []
    late = "/v1/sales: the deadline passed before anything was written"
    lines = [("warning", "request.late", "/v1/sales", late, False)]
    assert said(hosted) == ([] if gone else lines)


async def test_whom_a_query_keeps_waiting_too_long_is_told_where(
    till: Till, tmp_path: Path
) -> None:
    """A call of the handler's own that ran out of time is an error, with its place."""
    till.breaks = DeadlineExceeded("the bank: no answer within 1 s")
    async with hosting(till.system, tmp_path) as hosted:
        answer = await sell(hosted, "cup", "k1")

    assert problem(answer, 504)["code"] == "deadline_exceeded"
    (line,) = said(hosted)
    assert (line[:2], line[4]) == (("error", "request.failed"), True)


def said(hosted: Hosted) -> list[tuple[object, ...]]:
    """Return the lines about requests: level, event, route, error, whether code is named."""
    lines = [msgspec.json.decode(line) for line in hosted.log.getvalue().splitlines()]
    return [
        (line["level"], line["event"], line["route"], line["error"], "error_at" in line)
        for line in lines
        if line["event"].startswith("request.")
    ]
