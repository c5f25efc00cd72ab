"""Service and External: what they record, and what they answer by themselves."""

from datetime import timedelta

import pytest
from sqlalchemy import MetaData

from holdfast import Command, ExternalAnswer, Model, Saga, Service, System, Tx
from holdfast.errors import BadAnswer
from holdfast.system.tables import handlers_of


class Charge(Command[None]): ...


class Order(Model):
    id: int


async def charge(command: Charge, tx: Tx) -> None: ...


def test_decorators_return_the_function_unchanged() -> None:
    """So that a handler is called in a test as it is."""
    service = Service("payments")

    async def checkout(saga: Saga, order: Order) -> None: ...

    assert service.handles(charge) is charge
    assert service.handles(alone=True)(charge) is charge
    assert service.saga(checkout) is checkout
    assert service.every(timedelta(minutes=1))(charge) is charge
    for verb in (service.get, service.post, service.put, service.patch, service.delete):
        assert verb("/v1")(charge) is charge
    assert [(r.method, r.status_code) for r in service.routes] == [
        ("GET", 200),
        ("POST", 200),
        ("PUT", 200),
        ("PATCH", 200),
        ("DELETE", 204),
    ]
    assert [h.alone for h in service.handlers] == [False, True]


def test_a_table_of_handlers_by_wire_name() -> None:
    """The dispatch finds a handler by what the letter says."""
    service = Service("payments")
    service.handles(alone=True)(charge)

    handlers = handlers_of(service)

    handler = handlers.by_wire_name["Charge.v1"]
    assert (handler.message, handler.function, handler.alone) == (Charge, charge, True)
    assert handlers.hears == frozenset()


def test_tables_are_one_or_several() -> None:
    """They are handed on as a tuple."""
    one, two = MetaData(), MetaData()

    assert Service("a").metadata == ()
    assert Service("a", tables=one).metadata == (one,)
    assert Service("a", tables=[one, two]).metadata == (one, two)


def test_services_and_systems_are_keys() -> None:
    """They hash by name, though they are filled after they are made."""
    service = Service("a")

    assert {service: 1, System("s", [service]): 2}[service] == 1


def test_begin_needs_a_running_service() -> None:
    """The error says how to run it."""
    with pytest.raises(RuntimeError, match="'a' is not running in this process; run it with"):
        Service("a").begin()


def test_an_answer_is_parsed_or_refused() -> None:
    """What a third party sends may be anything; the error names it and the field."""
    answer = ExternalAnswer(200, {}, b'{"id": "x"}', "processor")

    assert answer.json() == {"id": "x"}
    with pytest.raises(BadAnswer, match=r"processor: id: Input should be a valid integer"):
        answer.parse(Order)
    with pytest.raises(BadAnswer, match="processor: the answer is not JSON"):
        ExternalAnswer(200, {}, b"<html>", "processor").json()
    assert ExternalAnswer(200, {}, b"[1, 2]").parse(list[int]) == [1, 2]
