"""The report of `System.check()`: complete, in one piece, at the right lines, and quick."""

import ast
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast import Command, Outside, Saga, Service, System, Tx
from holdfast.errors import DeclarationError
from holdfast.system.uses import uses
from tests.system.loading import HERE, load, system_of


def test_all_problems_are_in_one_report() -> None:
    """What cannot be read in one place does not hide what is wrong in another."""

    class Charge(Command[None]): ...

    orders = Service("orders", calls=[Charge])
    mail = Service("Mail")

    async def broken(command: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    def blocking(command: Charge) -> None: ...

    async def route() -> None: ...

    mail.handles(broken)
    orders.handles(blocking)
    orders.get("/v1/a")(route)
    orders.get("/v1/a")(route)

    with pytest.raises(DeclarationError) as refused:
        System("shop", [orders, mail]).check()

    said = [
        "Service('Mail'): a name is",
        "orders: blocking (",
        "Mail: broken (",
        "GET /v1/a is served twice",
        "orders: GET /v1/a (",
        "orders: GET /v1/a (",
    ]
    problems = refused.value.problems
    assert [word for word, line in zip(said, problems, strict=True) if word not in line] == []
    assert str(refused.value) == "\n".join(problems)


def test_a_handler_that_cannot_be_read_is_not_missing() -> None:
    """It may be the one that handles the command, so nobody says that there is none."""

    class Charge(Command[None]): ...

    payments = Service("payments")

    async def broken(command: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    payments.handles(broken)

    with pytest.raises(DeclarationError) as refused:
        System("shop", [payments, Service("orders", calls=[Charge])]).check()

    assert len(refused.value.problems) == 1


def test_a_problem_names_the_line_that_sends() -> None:
    """In a helper it is the helper's line, and behind a decorator the function's own."""
    path = HERE / "refused" / "helper_sends_undeclared.py"
    lines = path.read_text().splitlines()

    with pytest.raises(DeclarationError) as refused:
        system_of(path).check()

    places = [problem.rpartition(f"({path}:")[2].rstrip(")") for problem in refused.value.problems]
    assert [lines[int(place) - 1].strip() for place in places] == [
        "tx.send(command)",
        "await saga.call(command)",
        "tx.publish(Paid())",
    ]


def test_what_a_decorated_function_uses_is_found() -> None:
    """The source behind the decorator is read, with the names of its own module."""
    module = load(HERE / "accepted" / "decorated.py")

    assert [(u.verb, u.what) for u in uses(module.charge)] == [("publish", module.Paid)]


def test_a_function_without_source_uses_nothing_that_is_seen() -> None:
    """What is typed into a REPL is checked when it runs."""
    scope: dict[str, object] = {"Tx": Tx}
    exec("async def handler(tx: Tx) -> None: tx.send(1)", scope)

    assert list(uses(scope["handler"])) == []  # type: ignore[arg-type]  # a function


def test_functions_that_call_each_other_are_read_once() -> None:
    """Recursion ends."""

    async def ping(saga: Saga, depth: int) -> None:
        await pong(saga, depth)

    async def pong(saga: Saga, depth: int) -> None:
        await ping(saga, depth)
        await saga.call(PING())

    class PING(Command[None]): ...

    assert [use.verb for use in uses(ping)] == ["call"]


def test_what_cannot_be_told_is_not_guessed() -> None:
    """A name that is assigned twice, or that hides a global one, stands for nothing known."""

    async def handler(tx: Tx, outside: Outside) -> None:
        command = ONE()
        command = TWO()
        tx.send(command)
        for either in (ONE, TWO):
            tx.send(either())
        tx.send({}.get("command"))  # type: ignore[arg-type]

    class ONE(Command[None]): ...

    class TWO(Command[None]): ...

    assert [use.what for use in uses(handler) if isinstance(use.what, type)] == []


def test_both_sides_of_a_choice_are_seen() -> None:
    """`A() if … else B()` may send either."""

    async def handler(tx: Tx, yes: bool) -> None:
        tx.send(ONE() if yes else TWO.model_validate({}))

    class ONE(Command[None]): ...

    class TWO(Command[None]): ...

    assert [use.what for use in uses(handler)] == [ONE, TWO]


def test_a_system_as_big_as_the_shop_is_checked_in_a_blink() -> None:
    """Five services with forty functions take some 10 ms of a core: a start may not wait for it.

    What the machine needs to parse the module tells how fast it is; neither counts what others use.
    """
    module = load(HERE / "accepted" / "one_file.py")
    services = [module.payments, module.orders]
    for n in range(3):
        services.append(module.made(f"more-{n}"))
    system = System("shop", services, gateway=module.system.gateway)
    system.check()  # the sources are read from the disk once

    source = Path(module.__file__).read_text()
    took_s, parsed_s = _cpu_s(system.check), _cpu_s(lambda: ast.parse(source))

    assert sum(len(s.handlers) + len(s.routes) + len(s.sagas) for s in services) >= 40
    assert took_s < 100 * parsed_s


def _cpu_s(work: Callable[[], object]) -> float:
    """Return the CPU of this thread that some work takes, the least of five times."""
    took: list[float] = []
    for _ in range(5):
        begun = time.thread_time()
        work()
        took.append(time.thread_time() - begun)
    return min(took)
