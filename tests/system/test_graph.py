"""The graph: derived from the declaration, sorted, and drawn."""

import json
import re

import pytest

from holdfast import Command, Event, External, Model, Query, Saga, Service, System, Tx, Undo
from holdfast.errors import UnknownName
from holdfast.system import GraphEdge


class Charge(Command[None]): ...


class Refund(Undo[Charge]): ...


class GetPrice(Query[int]): ...


class Paid(Event, topic="order"):
    order: int


class Order(Model): ...


processor = External("card-processor", url="https://processor.example")


def shop(*, reverse: bool = False) -> System:
    """Return a small system; `reverse` declares the same in another order."""
    payments = Service("payments", publishes=[Paid], reaches=[processor])
    calls = [GetPrice, Charge]
    orders = Service("end", calls=calls[::-1] if reverse else calls)

    async def charge(command: Charge, tx: Tx) -> None: ...

    async def refund(undo: Refund) -> None: ...

    async def price(query: GetPrice) -> int:
        return 1

    async def paid(event: Paid) -> None: ...

    async def chase(saga: Saga, order: Order) -> None: ...

    functions = [charge, refund, price, paid]
    for function in functions[::-1] if reverse else functions:
        payments.handles(function)
    orders.saga(waits=[Paid])(chase)
    for path in ("/v1/a", "/v1/b"):
        orders.get(path, public=True)(show)
    return System("shop", [payments, orders])


async def show() -> None: ...


def test_the_graph_has_every_edge_once() -> None:
    """Routes, commands with their undos, queries, events (waits too) and third parties."""
    edges = shop().graph().edges

    assert edges == (
        GraphEdge("end", "payments", "command", "Charge.v1"),
        GraphEdge("end", "payments", "query", "GetPrice.v1"),
        GraphEdge("end", "payments", "undo", "Refund.v1"),
        GraphEdge("gateway", "end", "route", "GET /v1/a"),
        GraphEdge("gateway", "end", "route", "GET /v1/b"),
        GraphEdge("payments", "card-processor", "external", "https://processor.example"),
        GraphEdge("payments", "end", "event", "Paid.v1"),
        GraphEdge("payments", "payments", "event", "Paid.v1"),
    )


def test_a_mounted_app_is_an_edge() -> None:
    """By the path below which it serves, in the table and in the drawing."""
    old = Service("old")
    old.mount("/old", object(), public=True)
    old.mount("/", object(), public=True)
    graph = System("mounts", [old]).graph()

    assert graph.edges == (
        GraphEdge("gateway", "old", "mount", "/"),
        GraphEdge("gateway", "old", "mount", "/old"),
    )
    assert 'gateway -->|"/, /old"| n_old' in graph.to_mermaid()
    assert graph.senders_to("old") == ()


def test_two_declarations_of_one_system_have_one_graph() -> None:
    """The order in which things were declared does not show."""
    assert shop().graph() == shop(reverse=True).graph()


def test_who_sends_letters_to_whom() -> None:
    """Queries and routes are no letters; a publisher that hears itself is its own receiver."""
    graph = shop().graph()

    assert graph.senders_to("payments") == ("end", "payments")
    assert graph.senders_to("end") == ("payments",)
    assert graph.receivers_of("payments") == ("end", "payments")
    assert graph.receivers_of("end") == ("payments",)
    assert graph.subscribers("payments", "Paid.v1") == ("end", "payments")
    assert graph.subscribers("end", "Paid.v1") == ()


def test_the_graph_as_json_is_json() -> None:
    """Everything in it is a JSON type, so that tools of others can read it."""
    found = json.loads(json.dumps(shop().graph().to_json()))

    assert found["system"] == "shop"
    assert found["services"] == ["payments", "end"]
    assert found["externals"] == ["card-processor"]
    assert found["edges"][0] == {
        "sender": "end",
        "receiver": "payments",
        "kind": "command",
        "message": "Charge.v1",
    }


def test_the_graph_as_mermaid() -> None:
    """Labels are quoted, ids are no words of Mermaid (`end`), and undos are left out."""
    assert shop().graph().to_mermaid() == (
        "flowchart LR\n"
        '  gateway(["gateway"])\n'
        '  n_payments["payments"]\n'
        '  n_end["end"]\n'
        '  n_card_processor{{"card-processor"}}\n'
        '  n_end -->|"Charge.v1"| n_payments\n'
        '  n_end -->|"GetPrice.v1"| n_payments\n'
        '  gateway -->|"2 routes"| n_end\n'
        "  n_payments ==> n_card_processor\n"
        '  n_payments -.->|"Paid.v1"| n_end\n'
        '  n_payments -.->|"Paid.v1"| n_payments\n'
    )


def test_every_arrow_of_the_drawing_joins_two_nodes() -> None:
    """An id that no node has would be drawn as a box without a name."""
    lines = shop().graph().to_mermaid().splitlines()[1:]

    nodes = {m[1] for line in lines if (m := re.fullmatch(r"  (\w+)(?:\(\[|\[|\{\{)\".*", line))}
    arrows = [line.split() for line in lines if "==>" in line or "-.->" in line or "-->" in line]
    assert {end for arrow in arrows for end in (arrow[0], arrow[-1])} <= nodes


def test_a_service_is_found_by_its_name() -> None:
    """A wrong name is answered with those that exist."""
    system = shop()

    assert system.service("payments").name == "payments"
    assert system.owner_of(Charge) == "payments"
    assert system.owner_of(Refund) == "payments"
    with pytest.raises(UnknownName, match="system 'shop' has no service 'mail'; it has payments"):
        system.service("mail")


def test_a_message_that_nobody_handles_has_no_owner() -> None:
    """An owner is who handles a message, not who sends it."""

    class Lost(Command[None]): ...

    assert shop().owner_of(Lost) is None
