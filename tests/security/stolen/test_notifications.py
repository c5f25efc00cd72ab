"""Who has stolen the certificate of notifications gets nothing with it but what is its own.

Each attempt is made against processes and servers as `holdfast run shop --on postgres,nats,redis
--split` starts them, and again with `--insecure`, where it succeeds.
"""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from holdfast.contract.envelope import Kind, Lane, Letter, LetterAnswer, Parcel
from holdfast.engines.machine import MachineClock, MachineIds
from tests.security.stolen.shop import THIEF, Shop, Thief, running_shop

OTHERS = ("users", "inventory", "orders", "payments")
JSON = (b"content-type", b"application/json")


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Run the shop as it is by default."""
    with running_shop(tmp_path_factory.mktemp("proven")) as shop:
        assert shop.is_proven
        yield shop


@pytest.fixture(scope="module")
def insecure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Run the shop with `--insecure`."""
    with running_shop(tmp_path_factory.mktemp("insecure"), "--insecure") as shop:
        assert not shop.is_proven
        yield shop


def letter(type_: str, body: object) -> bytes:
    """Return a letter, encoded."""
    fresh = MachineIds().uuid7(int(MachineClock().now() * 1000))
    raw = msgspec.Raw(msgspec.json.encode(body))
    return msgspec.json.encode(Letter(fresh, Kind.COMMAND, type_, raw))


async def test_it_cannot_call_any_inner_door(proven: Shop, insecure: Shop) -> None:
    """Neither as itself nor as another service: nobody has declared that it asks for anything."""
    for shop, wanted in ((proven, {403}), (insecure, {422})):
        thief, found = Thief(shop), set[int]()
        for says in ("orders", "gateway"):
            wire = "GetPrice.v1" if says == "orders" else "GetSigningKeys.v1"
            door = "inventory-1" if says == "orders" else "users-1"
            answer = await thief.knock(
                door, "POST", f"/-/ask/{says}/{wire}", (b"holdfast-ask", b"1"), JSON, body=b"[]"
            )
            found.add(answer.status)
        own = await thief.knock(
            "inventory-1",
            "POST",
            f"/-/ask/{THIEF}/GetPrice.v1",
            (b"holdfast-ask", b"1"),
            JSON,
            body=b"{}",
        )

        assert found == wanted
        assert own.status == 403  # the graph has no such edge, with identities or without


async def test_it_cannot_forge_a_caller(proven: Shop, insecure: Shop) -> None:
    """Routes of other services are for the gateway, which alone knows whose request it is."""
    caller = b'{"subject": "somebody else", "scopes": ["orders:read"], "client": ""}'
    for shop, wanted in ((proven, 403), (insecure, 200)):
        answer = await Thief(shop).knock(
            "orders-1", "GET", "/v1/orders", (b"holdfast-caller", caller)
        )

        assert answer.status == wanted, answer


async def test_it_cannot_read_a_letter_for_payments(proven: Shop, insecure: Shop) -> None:
    """A customer orders, payments is asked for the money, and nobody else hears of it."""
    for shop in (proven, insecure):
        async with Thief(shop).at_nats() as nats, shop.customer() as customer:
            heard = await nats.client.subscribe("shop.payments.>")
            await nats.client.flush()
            assert await customer.ended(await customer.order()) == "confirmed"
            refused = await nats.refusals()

            assert (heard.pending_msgs > 0) is not shop.is_proven
            assert any("shop.payments" in one for one in refused) is shop.is_proven


async def test_it_cannot_publish_as_orders(proven: Shop, insecure: Shop) -> None:
    """A letter in the name of orders reserves nothing."""
    for shop in (proven, insecure):
        async with Thief(shop).at_nats() as nats, shop.customer() as customer:
            before = await customer.lanterns()
            lines = [{"sku": "LANTERN", "quantity": 7}]
            body = {"order_id": str(uuid4()), "lines": lines, "total_cents": 7 * LANTERN_CENTS}
            parcel = Parcel(
                "orders", "inventory", Lane.WORK, letters=[msgspec.Raw(letter("Reserve.v1", body))]
            )
            raw = msgspec.json.encode(parcel)
            for sender in ("orders", THIEF):
                await nats.client.publish(f"shop.inventory.work.{sender}", raw)
            refused = await nats.refusals()
            assert await customer.ended(await customer.order()) == "confirmed"
            after = await customer.lanterns()

            assert before - after == (1 if shop.is_proven else 8)
            assert (len(refused) == 2) is shop.is_proven, refused


async def test_it_cannot_answer_for_another_service(proven: Shop, insecure: Shop) -> None:
    """An answer in the name of payments ends no order; only the ids are needed for it."""
    for shop in (proven, insecure):
        async with Thief(shop).at_nats() as nats, shop.customer() as customer:
            heard = await nats.client.subscribe("shop.payments.>")
            await nats.client.flush()
            with shop.without("payments-1"):
                order = await customer.order()
                known = uuid4() if shop.is_proven else await charge_in(heard)
                answers = [LetterAnswer(known, "refused")]
                parcel = Parcel("orders", "payments", Lane.WORK, answers=answers)
                raw = msgspec.json.encode(parcel)
                for sender in ("payments", THIEF):
                    await nats.client.publish(f"shop.orders.urgent.{sender}", raw)
                refused = await nats.refusals()
                if not shop.is_proven:
                    assert await customer.ended(order) == "cancelled"
            if shop.is_proven:
                assert await customer.ended(order) == "confirmed"

            # in its own name it may answer: what orders has told it, and nothing of payments
            assert (len(refused) > 0) is shop.is_proven
            assert not any(f".{THIEF}" in one and "publish" in one for one in refused)


async def charge_in(heard: Any) -> Any:
    """Return the id of the next command that payments is sent."""
    while True:
        parcel = msgspec.json.decode((await heard.next_msg(timeout=60)).data, type=Parcel)
        for raw in parcel.letters:
            found = msgspec.json.decode(raw, type=Letter)
            if found.type == "Charge.v1":
                return found.id


@pytest.mark.parametrize(
    "verb",
    ["STREAM.PURGE.{0}", "STREAM.INFO.{0}", "CONSUMER.MSG.NEXT.{0}.{0}", "STREAM.MSG.GET.{0}"],
)
async def test_it_cannot_drain_a_stream(proven: Shop, insecure: Shop, verb: str) -> None:
    """Nor look into it, or take from it: JetStream does not answer it about those of others."""
    streams = [f"shop_{name}_{lane}" for name in OTHERS for lane in Lane]
    subjects = [f"$JS.API.{verb.format(stream)}" for stream in streams]
    async with Thief(proven).at_nats() as nats:
        subjects += [one.replace("$JS.API", "_js") for one in subjects]
        answers = await nats.ask(*subjects)
        refused = await nats.refusals()
        assert (len(refused), answers.pending_msgs) == (len(subjects), 0)
    async with Thief(insecure).at_nats() as nats:
        answers = await nats.ask(subjects[0])
        await answers.next_msg(timeout=60)
        assert await nats.refusals() == []


async def test_it_cannot_see_the_database_of_another(proven: Shop, insecure: Shop) -> None:
    """It has one of its own, and comes to no other, under no name."""
    import asyncpg

    for shop in (proven, insecure):
        thief = Thief(shop)
        own = thief.environ["NOTIFICATIONS_DATABASE_URL"]
        connection = await asyncpg.connect(own)
        assert await connection.fetchval("SELECT current_database()") == THIEF
        await connection.close()
        for other in OTHERS:
            there = own.replace(f"/{THIEF}?", f"/{other}?")
            for url in (there, *(there.replace(f"//{THIEF}", f"//{r}") for r in roles(other))):
                with pytest.raises((asyncpg.PostgresError, OSError)):
                    await asyncpg.connect(url)


def roles(service: str) -> tuple[str, ...]:
    """Return who may do something in the database of a service."""
    return (service, f"{service}_owner", "postgres", "pgserver")


LANTERN_CENTS = 2_750
