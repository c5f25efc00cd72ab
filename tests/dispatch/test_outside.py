"""What handlers reach: keys, kept answers, one try where there are no keys, nothing undeclared."""

import asyncio
import re
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from sqlalchemy import Column, Integer, MetaData, Table, Uuid, select

from holdfast import Command, External, Model, Outside, Read, Saga, Service, Settings, System, Tx
from holdfast.consistency.schedule import Schedule
from holdfast.contract.envelope import MessageRow, State
from holdfast.contract.http import Request, Response
from holdfast.errors import ConnectionLost, TransactionLost
from holdfast.resilience import EdgePolicy
from holdfast.testing import play
from tests.dispatch.hosting import Answering, Hosted, fine, hosting, problem, system

METADATA = MetaData()
PAID = Table("paid", METADATA, Column("id", Uuid, primary_key=True), Column("cents", Integer))
ONE_TRY = EdgePolicy(timeout_s=5, retry=None, breaker=None)
QUICK = Schedule(retry_ms=100, retry_cap_ms=1_000, tries_max=4)

bank = External("bank", url="https://bank.example", policy=ONE_TRY)
fax = External("fax", url="https://fax.example", policy=ONE_TRY, idempotent=False)


class Pay(Command[None]):
    """Pay somebody."""

    cents: int


class Balance(Model):
    """An answer of the routes."""

    status: int


Handler = Callable[[Pay, Outside, Tx], Any]


def office(pay: Handler, *, reaches: list[External] | None = None) -> System:
    """Return a service whose handler of Pay is `pay`."""
    service = Service(
        "office", tables=METADATA, reaches=[bank, fax] if reaches is None else reaches
    )

    @service.handles
    async def handle(command: Pay, outside: Outside, tx: Tx) -> None:
        await pay(command, outside, tx)

    return system(service)


def scripted(*outcomes: int | Exception) -> Answering:
    """Return a third party that answers so, one after another, and then 200."""
    left = list(outcomes)

    async def answer(request: Request) -> Response:
        outcome = left.pop(0) if left else 200
        if isinstance(outcome, Exception):
            raise outcome
        return Response(outcome, [(b"x-number", b"1")], b'{"ok": true}')

    return answer


async def paid(hosted: Hosted, within_s: float = 60) -> None:
    """Send one Pay, and let time pass until it must be over."""
    await hosted.command("office", Pay(cents=5))
    await asyncio.sleep(within_s)


async def dead(hosted: Hosted) -> MessageRow:
    """Return the one dead letter."""
    [row] = await hosted.rows("office", State.DEAD)
    return row


def keys(hosted: Hosted) -> list[str]:
    """Return the Idempotency-Key of every request that was sent."""
    return [(sent.header(b"idempotency-key") or b"").decode() for sent in hosted.sent]


async def pay_twice(command: Pay, outside: Outside, tx: Tx) -> None:
    """Reach two times, then write."""
    await outside.post(bank, "/v1/charges", json={"cents": command.cents})
    await outside.request("PUT", bank, "/v1/notes/1?loud=yes", headers={"X-Note": "a"})
    tx.insert(PAID, id=tx.new_id(), cents=command.cents)


async def test_each_effect_has_a_key_of_its_letter(tmp_path: Path) -> None:
    """`<letter>.<n>`: n counts the effects of one run, so every try sends the same keys."""
    async with hosting(office(pay_twice), tmp_path, schedule=QUICK) as hosted:
        await paid(hosted)

    first, second = keys(hosted)
    letter, _, number = first.partition(".")
    assert UUID(letter).version == 7
    assert (number, second) == ("0", f"{letter}.1")


async def test_a_request_is_sent_as_it_was_written(tmp_path: Path) -> None:
    """Method, path, query, headers and JSON."""
    async with hosting(office(pay_twice), tmp_path) as hosted:
        await paid(hosted)

    charge, note = hosted.sent
    assert (charge.method, charge.path, charge.body) == ("POST", "/v1/charges", b'{"cents":5}')
    assert charge.header(b"content-type") == b"application/json"
    assert (note.method, note.path, note.query) == ("PUT", "/v1/notes/1", "loud=yes")
    assert (note.header(b"x-note"), note.header(b"content-type"), note.body) == (b"a", None, b"")


@pytest.mark.parametrize("outcome", [500, 503, 429, ConnectionLost("cut")])
async def test_a_third_party_that_is_away_is_tried_again_under_the_same_key(
    tmp_path: Path, outcome: int | Exception
) -> None:
    """The first answer is asked for again in each try; the third party knows its key."""
    answering = scripted(200, outcome)

    async with hosting(office(pay_twice), tmp_path, answering=answering, schedule=QUICK) as hosted:
        await paid(hosted)
        rows = await hosted.table("office", PAID)

    assert [key.partition(".")[2] for key in keys(hosted)] == ["0", "1", "0", "1"]
    assert len({key.partition(".")[0] for key in keys(hosted)}) == 1
    assert [row.cents for row in rows] == [5]


async def test_an_answer_is_kept_when_only_the_transaction_is_lost(tmp_path: Path) -> None:
    """The run is repeated at once, over the answers that the first one got."""
    runs: list[int] = []

    async def pay(command: Pay, outside: Outside, tx: Tx) -> None:
        answer = await outside.post(bank, "/v1/charges", json={"cents": command.cents})
        looked = await outside.get(bank, "/v1/rates")
        made = await outside.run(len, "four")
        runs.append(answer.status + looked.status + made)
        tx.insert(PAID, id=tx.new_id(), cents=made)
        if len(runs) == 1:
            raise TransactionLost("the disk is full")

    async with hosting(office(pay), tmp_path, schedule=QUICK) as hosted:
        await paid(hosted)
        rows = await hosted.table("office", PAID)

    assert runs == [404, 404]
    assert [sent.method for sent in hosted.sent] == ["POST", "GET"]
    assert [row.cents for row in rows] == [4]


async def test_other_bytes_are_never_sent_under_a_key(tmp_path: Path) -> None:
    """The second try would charge another amount; the letter is dead at once, and says so."""
    amounts = iter((1, 2, 3))

    async def pay(command: Pay, outside: Outside, tx: Tx) -> None:
        await outside.post(bank, "/v1/charges", json={"cents": next(amounts)})

    async with hosting(office(pay), tmp_path, answering=scripted(503), schedule=QUICK) as hosted:
        await paid(hosted)
        error = (await dead(hosted)).error or ""

    assert [sent.body for sent in hosted.sent] == [b'{"cents":1}']
    assert "OtherBytes" in error


async def test_a_third_party_without_keys_gets_one_try(tmp_path: Path) -> None:
    """Nobody knows whether the fax went out, so a person has to look."""

    async def pay(command: Pay, outside: Outside, tx: Tx) -> None:
        await outside.post(fax, "/", json={"cents": command.cents})

    lost = scripted(ConnectionLost("cut"))
    async with hosting(office(pay), tmp_path, answering=lost, schedule=QUICK) as hosted:
        await paid(hosted)
        row = await dead(hosted)

    assert len(hosted.sent) == 1
    assert row.reached
    assert "OneTryOnly: fax takes no idempotency keys" in (row.error or "")


async def test_a_refusal_of_a_third_party_is_an_answer(tmp_path: Path) -> None:
    """4xx is for the handler to read; it is neither an error nor tried again."""
    seen: list[Any] = []

    async def pay(command: Pay, outside: Outside, tx: Tx) -> None:
        answer = await outside.post(bank, "/v1/charges", json={})
        seen.append((answer.status, answer.headers["x-number"], answer.json()))

    async with hosting(office(pay), tmp_path, answering=scripted(402), schedule=QUICK) as hosted:
        await paid(hosted)

    assert seen == [(402, "1", {"ok": True})]


async def test_what_is_not_declared_is_not_reached(tmp_path: Path) -> None:
    """The error names the line to add, and nothing was sent."""
    async with hosting(office(pay_twice, reaches=[fax]), tmp_path, schedule=QUICK) as hosted:
        await paid(hosted)
        error = (await dead(hosted)).error or ""

    assert hosted.sent == []
    assert re.search(
        r"office reaches bank; add it to `reaches=\[…\]` of Service\('office'\)", error
    )


async def test_nothing_is_reached_after_the_first_write(tmp_path: Path) -> None:
    """Otherwise a slow third party would hold the database's lock."""

    async def pay(command: Pay, outside: Outside, tx: Tx) -> None:
        tx.insert(PAID, id=tx.new_id(), cents=1)
        await outside.get(bank, "/v1/rates")

    async with hosting(office(pay), tmp_path, schedule=QUICK) as hosted:
        await paid(hosted)
        error = (await dead(hosted)).error or ""
        rows = await hosted.table("office", PAID)

    assert "OutsideShut" in error
    assert (hosted.sent, rows) == ([], [])


async def test_a_handler_may_look_reach_and_write(tmp_path: Path) -> None:
    """`read` is a look before the transaction: it leaves `outside` open until `tx` is used."""
    service = Service("office", tables=METADATA, reaches=[bank])
    seen: list[int] = []

    @service.handles
    async def pay(command: Pay, read: Read, outside: Outside, tx: Tx) -> None:
        before = await read.execute(select(PAID))
        seen.append(len(before.all()))
        await outside.post(bank, "/v1/charges", json=command.cents)
        assert read.now == tx.now
        tx.insert(PAID, id=tx.new_id(), cents=command.cents)

    async with hosting(system(service), tmp_path) as hosted:
        for cents in (1, 2):
            await hosted.command("office", Pay(cents=cents))
            await asyncio.sleep(1)
        rows = await hosted.table("office", PAID)

    assert (seen, [row.cents for row in rows], len(hosted.sent)) == ([0, 1], [1, 2], 2)


async def test_a_look_after_the_first_statement_is_refused(tmp_path: Path) -> None:
    """It would not see what the transaction has written."""
    service = Service("office", tables=METADATA)

    @service.handles
    async def pay(command: Pay, read: Read, tx: Tx) -> None:
        tx.insert(PAID, id=tx.new_id(), cents=command.cents)
        await read.execute(select(PAID))

    async with hosting(system(service), tmp_path, schedule=QUICK) as hosted:
        await paid(hosted)
        error = (await dead(hosted)).error or ""

    assert "ReadShut: `read` is shut by the first statement on `tx`" in error


class Rates(Settings):
    """What a saga is told by its environment."""

    cents: int = 1


async def test_a_saga_takes_settings(tmp_path: Path) -> None:
    """They are read at the start, as those of a handler are, and may go on to local steps."""
    service = Service("office", tables=METADATA)

    async def write(tx: Tx, cents: int) -> None:
        tx.insert(PAID, id=tx.new_id(), cents=cents)

    @service.saga
    async def flow(saga: Saga, input: Balance, rates: Rates) -> None:
        await saga.sleep(timedelta(minutes=1))
        await saga.local(write, rates.cents)

    @service.handles
    async def pay(command: Pay, tx: Tx) -> None:
        tx.start(flow, Balance(status=command.cents))

    environ = {"OFFICE_CENTS": "7"}
    async with hosting(system(service), tmp_path, environ=environ) as hosted:
        await hosted.command("office", Pay(cents=5))
        await asyncio.sleep(120)
        rows = await hosted.table("office", PAID)

    assert [row.cents for row in rows] == [7]
    assert play(flow, Balance(status=1), {}, Rates(cents=3)).steps == ["sleep", "write"]


async def test_each_call_of_a_long_handler_has_its_own_time(tmp_path: Path) -> None:
    """A handler that works for longer than a lease may still reach, and ends once."""
    seconds: list[float] = []

    async def slow(request: Request) -> Response:
        seconds.append(asyncio.get_running_loop().time())
        await asyncio.sleep(4)
        return await fine(request)

    async def pay(command: Pay, outside: Outside, tx: Tx) -> None:
        for number in range(12):
            await outside.get(bank, f"/v1/rates/{number}")
        await outside.post(bank, "/v1/charges", json=1)
        tx.insert(PAID, id=tx.new_id(), cents=command.cents)

    async with hosting(office(pay), tmp_path, answering=slow) as hosted:
        await hosted.command("office", Pay(cents=5))
        await asyncio.sleep(120)
        rows = await hosted.table("office", PAID)

    assert [row.cents for row in rows] == [5]
    assert len(hosted.sent) == 13
    assert seconds[-1] - seconds[0] > 40


def desk() -> System:
    """Return a service whose routes reach by themselves."""
    service = Service("office", tables=METADATA, reaches=[bank])

    @service.get("/v1/balance", public=True)
    async def look(outside: Outside) -> Balance:
        return Balance(status=(await outside.get(bank, "/v1/balance")).status)

    @service.post("/v1/transfers", public=True)
    async def transfer(outside: Outside, tx: Tx) -> Balance:
        answer = await outside.post(bank, "/v1/charges")
        tx.insert(PAID, id=tx.new_id(), cents=1)
        return Balance(status=answer.status)

    return system(service)


async def test_a_route_may_look(tmp_path: Path) -> None:
    """A GET has no effect that somebody would have to finish."""
    async with hosting(desk(), tmp_path, answering=fine) as hosted:
        response = await hosted.request("GET", "/v1/balance")

    assert response.body == b'{"status":200}'


async def test_an_effect_from_a_route_is_refused(tmp_path: Path) -> None:
    """After a crash nobody would finish it; nothing was sent, nothing written."""
    async with hosting(desk(), tmp_path) as hosted:
        response = await hosted.post("/v1/transfers")
        rows = await hosted.table("office", PAID)
    log = hosted.log.getvalue().decode()

    assert problem(response, 500)["code"] == "effect_from_route"
    assert (hosted.sent, rows) == ([], [])
    assert "nobody would finish it" in log


@pytest.mark.parametrize(
    ("outcome", "status", "code"),
    [(503, 502, "bad_answer"), (ConnectionLost("cut"), 502, "connection_lost")],
)
async def test_a_third_party_that_is_away_is_a_gateway_error_of_the_route(
    tmp_path: Path, outcome: int | Exception, status: int, code: str
) -> None:
    """The client learns that it may try again, and nothing about whom we asked."""
    async with hosting(desk(), tmp_path, answering=scripted(outcome)) as hosted:
        response = await hosted.request("GET", "/v1/balance")

    assert problem(response, status)["code"] == code
    assert b"bank" not in response.body


class Order(Model):
    """What is sent may be a Model."""

    pin: SecretStr = SecretStr("1234")
    limit: float = 1.0
    at: date = date(2026, 1, 2)


@pytest.mark.parametrize(
    ("json", "said"),
    [
        ({"limit": float("inf")}, "json.limit is inf"),
        ({"limits": [1.0, float("nan")]}, "json.limits.1 is nan"),
        ({"pin": SecretStr("1234")}, "json.pin is a secret"),
        ([Order()], "json.0.pin is a secret"),
        ({"what": object()}, "cannot be written as JSON"),
    ],
)
async def test_what_would_arrive_as_null_or_asterisks_is_not_sent(
    tmp_path: Path, json: Any, said: str
) -> None:
    """The third party hears nothing; the try failed with the field."""

    async def pay(command: Pay, outside: Outside, tx: Tx) -> None:
        await outside.post(bank, "/v1/charges", json=json)

    async with hosting(office(pay), tmp_path, answering=scripted(), schedule=QUICK) as hosted:
        await paid(hosted)
        row = await dead(hosted)

    assert said in (row.error or "")
    assert hosted.sent == []


async def test_times_and_models_are_written_as_json(tmp_path: Path) -> None:
    """A text that only looks like a secret, or like a number, is a text."""

    async def pay(command: Pay, outside: Outside, tx: Tx) -> None:
        pin = Order().pin.get_secret_value()
        texts = {"stars": "*****", "name": "Infinity", "pin": pin, "at": Order().at}
        await outside.post(bank, "/v1/charges", json=texts)

    async with hosting(office(pay), tmp_path, answering=scripted(), schedule=QUICK) as hosted:
        await paid(hosted)

    [sent] = hosted.sent
    assert sent.body == b'{"stars":"*****","name":"Infinity","pin":"1234","at":"2026-01-02"}'
