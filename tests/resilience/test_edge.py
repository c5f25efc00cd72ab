"""All defences together, in their order."""

import asyncio
import gc
import random
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import pytest

from holdfast.errors import (
    BulkheadFull,
    CallError,
    CircuitOpen,
    ConnectionLost,
    DeadlineExceeded,
    NotFound,
    Overloaded,
    Unreachable,
)
from holdfast.resilience import (
    DEFAULT,
    BreakerPolicy,
    BudgetPolicy,
    BulkheadPolicy,
    DeadlinePassed,
    Edge,
    EdgePolicy,
    RetryPolicy,
)
from tests.virtual_loop import LoopClock

T = TypeVar("T")
BARE = EdgePolicy(timeout_s=2.0, retry=None, budget=None, breaker=None, bulkhead=None)
RETRYING = replace(BARE, retry=RetryPolicy(tries_max=3, base_s=0.1))


class OtherSide:
    """Answers with what it was given, in turn, and notes when it was called and with what limit."""

    def __init__(self, *script: BaseException | float | str) -> None:
        self.script = list(script)  # an error is raised, seconds are waited, a text is answered
        self.called_at: list[float] = []
        self.limits: list[float] = []

    async def __call__(self, limit_s: float) -> str:
        self.called_at.append(asyncio.get_running_loop().time())
        self.limits.append(limit_s)
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, BaseException):
            raise step
        if isinstance(step, str):
            return step
        await asyncio.sleep(step)
        return "late"


MakeEdge = Callable[[EdgePolicy], Edge]


class Straight(Edge):
    """An edge whose calls are begun by `begin`, as by who keeps the limit of a try by itself."""

    async def call(
        self,
        operation: Callable[[float], Awaitable[T]],
        *,
        deadline: float | None,
        idempotent: bool,
        patient: bool = False,
    ) -> T:
        """Call straight where that is possible."""
        begun = self.begin(deadline)
        if begun is None:
            return await super().call(
                operation, deadline=deadline, idempotent=idempotent, patient=patient
            )
        try:
            answer = await _within(operation, begun.limit_s)
        except BaseException as error:
            return await self.go_on(
                begun, error, operation, deadline=deadline, idempotent=idempotent
            )
        self.ended(begun)
        return answer


async def _within(operation: Callable[[float], Awaitable[T]], limit_s: float) -> T:
    """Keep the limit of a try, as a connection does."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    over = False

    def stop() -> None:
        nonlocal over
        over = True
        task.cancel()

    timer = loop.call_later(limit_s, stop)
    try:
        return await operation(limit_s)
    except asyncio.CancelledError:
        if not over or task.uncancel():
            raise
        raise DeadlineExceeded("a connection's own words", edge="10.0.0.7") from None
    finally:
        timer.cancel()


@pytest.fixture(params=[Edge, Straight])
def edge(request: pytest.FixtureRequest, clock: LoopClock, rng: random.Random) -> MakeEdge:
    """Return a function that makes an edge with a policy; its calls go the long or straight way."""
    kind: type[Edge] = request.param
    return lambda policy: kind("processor", policy, clock, rng)


async def test_an_answer_comes_through_untouched(edge: MakeEdge) -> None:
    """With every defence on and nothing wrong there is one try, with the whole time-out."""
    side, subject = OtherSide("answer"), edge(DEFAULT)

    answer = await subject.call(side, deadline=None, idempotent=False)

    assert answer == "answer"
    assert side.limits == [DEFAULT.timeout_s]
    assert (subject.stats().calls, subject.stats().tries) == (1, 1)


async def test_a_try_gets_no_more_time_than_the_deadline_leaves(edge: MakeEdge) -> None:
    """The limit is the smaller of time-out and what is left."""
    loop, side = asyncio.get_running_loop(), OtherSide(9.0)
    begun = loop.time()

    with pytest.raises(DeadlineExceeded, match=r"processor: no answer within 0\.5 s"):
        await edge(BARE).call(side, deadline=begun + 0.5, idempotent=True)

    assert side.limits == [pytest.approx(0.5)]
    assert loop.time() - begun == pytest.approx(0.5)


async def test_nothing_is_sent_after_the_deadline(edge: MakeEdge) -> None:
    """The error says so: its effect is none, unlike that of a time-out on the way."""
    loop, side = asyncio.get_running_loop(), OtherSide("answer")

    with pytest.raises(DeadlinePassed, match="before anything was sent") as caught:
        await edge(DEFAULT).call(side, deadline=loop.time(), idempotent=True)

    assert side.called_at == []
    assert caught.value.effect == "none"
    assert DeadlineExceeded.effect == "unknown"


async def test_a_safe_failure_is_tried_again(edge: MakeEdge) -> None:
    """Effect none: repeated even though the call is not idempotent."""
    side, subject = OtherSide(Unreachable("no route"), "answer"), edge(RETRYING)

    assert await subject.call(side, deadline=None, idempotent=False) == "answer"
    assert (subject.stats().calls, subject.stats().tries) == (1, 2)


async def test_an_unsafe_failure_is_tried_again_only_if_idempotent(edge: MakeEdge) -> None:
    """After a lost connection the effect may have happened."""
    once, often = OtherSide(ConnectionLost("reset"), "answer"), OtherSide(ConnectionLost("reset"))

    with pytest.raises(ConnectionLost, match="reset"):
        await edge(RETRYING).call(once, deadline=None, idempotent=False)
    with pytest.raises(ConnectionLost, match="reset"):
        await edge(RETRYING).call(often, deadline=None, idempotent=True)

    assert len(once.called_at) == 1
    assert len(often.called_at) == 3


async def test_a_refusal_is_an_answer(edge: MakeEdge) -> None:
    """It is not repeated, and it does not speak against the other side."""
    side = OtherSide(NotFound("no such order"))
    subject = edge(replace(RETRYING, breaker=BreakerPolicy(calls_min=1)))

    for _ in range(5):
        with pytest.raises(NotFound, match="no such order"):
            await subject.call(side, deadline=None, idempotent=True)

    assert len(side.called_at) == 5
    breaker = subject.stats().breaker
    assert breaker is not None
    assert (breaker.state, breaker.calls, breaker.failures) == ("closed", 5, 0)


async def test_it_does_not_sleep_past_the_deadline(edge: MakeEdge) -> None:
    """When the pause would not leave time for a try, the error comes at once."""

    class Later(Overloaded):
        retry_after_s = 3.0

    loop, side = asyncio.get_running_loop(), OtherSide(Later("later"))
    begun = loop.time()

    with pytest.raises(Later, match="later"):
        await edge(RETRYING).call(side, deadline=begun + 3.0, idempotent=True)

    assert loop.time() == begun
    assert len(side.called_at) == 1


async def test_a_hint_delays_the_next_try(edge: MakeEdge) -> None:
    """Retry-After is honoured when the deadline allows it."""

    class Later(Overloaded):
        retry_after_s = 3.0

    side = OtherSide(Later("later"), "answer")

    assert await edge(RETRYING).call(side, deadline=None, idempotent=False) == "answer"
    assert 3.0 <= side.called_at[1] - side.called_at[0] <= 3.1


async def test_a_later_safe_failure_does_not_hide_an_unsafe_one(edge: MakeEdge) -> None:
    """The first try may have had an effect, so the call as a whole may have had one."""
    side = OtherSide(ConnectionLost("reset"), Unreachable("no route"))

    with pytest.raises(ConnectionLost, match="reset") as caught:
        await edge(RETRYING).call(side, deadline=None, idempotent=True)

    assert caught.value.effect == "unknown"
    assert isinstance(caught.value.__cause__, Unreachable)


async def test_a_breaker_that_opens_ends_the_tries(edge: MakeEdge) -> None:
    """The error is that of the try, which says more than that the circuit is open now."""
    side = OtherSide(Unreachable("no route"))
    subject = edge(replace(RETRYING, breaker=BreakerPolicy(calls_min=2, open_s=60.0)))

    with pytest.raises(Unreachable, match="no route") as caught:
        await subject.call(side, deadline=None, idempotent=True)
    with pytest.raises(CircuitOpen, match="processor: the circuit is open") as refused:
        await subject.call(side, deadline=None, idempotent=True)

    assert isinstance(caught.value.__cause__, CircuitOpen)
    assert refused.value.edge == "processor"
    assert len(side.called_at) == 2


async def test_an_idle_time_out_of_the_driver_is_a_deadline_exceeded(edge: MakeEdge) -> None:
    """An operation that enforces the limit by itself raises TimeoutError; it means the same."""
    with pytest.raises(DeadlineExceeded, match="no answer within 2 s"):
        await edge(BARE).call(OtherSide(TimeoutError()), deadline=None, idempotent=False)


async def test_callers_in_a_hurry_do_not_open_the_breaker(edge: MakeEdge) -> None:
    """A try cut short before `patience_s` says nothing; one that had its time does."""
    loop = asyncio.get_running_loop()
    breaker = BreakerPolicy(calls_min=1, patience_s=0.5)
    for left_s, state in ((0.4, "closed"), (0.5, "open")):
        subject = edge(replace(BARE, breaker=breaker))
        with pytest.raises(DeadlineExceeded):
            await subject.call(OtherSide(9.0), deadline=loop.time() + left_s, idempotent=True)

        stats = subject.stats().breaker
        assert stats is not None
        assert stats.state == state


async def test_a_cancelled_probe_leaves_the_breaker_usable(edge: MakeEdge) -> None:
    """After the only probe was cancelled the next call probes again, and closes it."""
    subject = edge(
        replace(BARE, breaker=BreakerPolicy(calls_min=1, open_s=1.0, probes=1, jitter=0.0))
    )
    with pytest.raises(Unreachable):
        await subject.call(OtherSide(Unreachable("x")), deadline=None, idempotent=True)
    await asyncio.sleep(1.0)
    probe = asyncio.create_task(subject.call(OtherSide(1.5), deadline=None, idempotent=True))
    await asyncio.sleep(0.1)
    with pytest.raises(CircuitOpen):
        await subject.call(OtherSide("answer"), deadline=None, idempotent=True)

    probe.cancel()
    await asyncio.sleep(0)

    assert await subject.call(OtherSide("answer"), deadline=None, idempotent=True) == "answer"
    stats = subject.stats().breaker
    assert stats is not None
    assert stats.state == "closed"


async def test_a_call_that_waits_for_a_place_keeps_its_deadline(edge: MakeEdge) -> None:
    """Waiting before the bulkhead eats from the time of the call, and ends with it."""
    loop = asyncio.get_running_loop()
    subject = edge(replace(BARE, bulkhead=BulkheadPolicy(calls_max=1, wait_s=9.0)))
    first = asyncio.create_task(subject.call(OtherSide(1.0), deadline=None, idempotent=True))
    await asyncio.sleep(0)
    side, begun = OtherSide("answer"), loop.time()

    with pytest.raises(BulkheadFull, match=r"no place in 0\.4 s"):
        await subject.call(side, deadline=begun + 0.4, idempotent=True)
    with pytest.raises(DeadlinePassed):
        await subject.call(side, deadline=begun, idempotent=True)
    assert await subject.call(side, deadline=begun + 1.5, idempotent=True) == "answer"

    assert side.limits == [pytest.approx(0.5)]
    await first


async def test_a_place_is_given_back_however_the_call_ends(edge: MakeEdge) -> None:
    """After an answer, an error, a time-out and a cancellation nobody is inside."""
    subject = edge(replace(BARE, bulkhead=BulkheadPolicy(calls_max=9)))
    scripts: list[BaseException | float | str] = ["answer", Unreachable("x"), 9.0, 1.0]
    tasks = [
        asyncio.create_task(subject.call(OtherSide(step), deadline=None, idempotent=True))
        for step in scripts
    ]
    asyncio.get_running_loop().call_later(0.5, tasks[3].cancel)

    await asyncio.gather(*tasks, return_exceptions=True)

    stats = subject.stats().bulkhead
    assert stats is not None
    assert (stats.under_way, stats.entered) == (0, 4)


async def test_a_policy_that_is_off_has_no_stats(edge: MakeEdge) -> None:
    """None in the declaration is None in the record."""
    stats = edge(BARE).stats()

    assert (stats.breaker, stats.budget, stats.bulkhead) == (None, None, None)


async def test_the_budget_counts_what_is_sent(edge: MakeEdge) -> None:
    """A call earns before it returns, so the share is right while the other side hangs."""
    subject = edge(replace(RETRYING, budget=BudgetPolicy(ratio=1.0, floor_per_s=0.0)))
    hanging = asyncio.create_task(subject.call(OtherSide(1.0), deadline=None, idempotent=True))
    await asyncio.sleep(0)

    budget = subject.stats().budget
    assert budget is not None
    assert budget.calls == 1
    await hanging


async def test_a_retry_earns_nothing(edge: MakeEdge) -> None:
    """With a ratio of 1 one call pays for one retry, and that retry not for another."""
    side = OtherSide(Unreachable("no route"))
    subject = edge(replace(RETRYING, budget=BudgetPolicy(ratio=1.0, floor_per_s=0.0)))

    with pytest.raises(Unreachable):
        await subject.call(side, deadline=None, idempotent=True)

    assert len(side.called_at) == 2


async def test_errors_do_not_wait_for_the_garbage_collector(edge: MakeEdge) -> None:
    """In an outage every call ends with an error; none may leave a cycle behind."""
    subject = edge(replace(RETRYING, bulkhead=BulkheadPolicy()))

    async def gone(_: float) -> None:
        raise Unreachable("no route")

    async def fail() -> "weakref.ref[Unreachable]":
        try:
            await subject.call(gone, deadline=None, idempotent=True)
        except Unreachable as error:
            return weakref.ref(error)
        raise AssertionError("it must fail")

    gc.disable()
    try:
        assert (await fail())() is None
    finally:
        gc.enable()


def test_a_time_out_cannot_be_switched_off() -> None:
    """Every wait has an end."""
    with pytest.raises(ValueError, match="every wait has an end"):
        EdgePolicy(timeout_s=0.0)


def test_policies_compare_by_value() -> None:
    """A declaration that names the defaults equals one that does not."""
    assert EdgePolicy(timeout_s=2.0, retry=RetryPolicy()) == DEFAULT


async def test_it_works_with_the_modules_of_the_standard_library() -> None:
    """Outside of Holdfast `time` and `random` are clock and chance enough."""
    import time  # the point of the test; the loop's own virtual time is not used here

    subject = Edge("alone", replace(DEFAULT, breaker=None), time, random)

    async def operation(limit_s: float) -> float:
        return limit_s

    call: Awaitable[float] = subject.call(operation, deadline=None, idempotent=True)
    assert await call == DEFAULT.timeout_s


class Bottom:
    """Chance that always draws the least."""

    def uniform(self, a: float, b: float) -> float:
        return a


@pytest.mark.parametrize(("left_s", "tries"), [(3.0, 1), (3.0 + 1e-6, 2)])
async def test_a_pause_that_ends_with_the_deadline_is_not_begun(
    clock: LoopClock, left_s: float, tries: int
) -> None:
    """A try needs time, if only a moment."""

    class Later(Overloaded):
        retry_after_s = 3.0

    side = OtherSide(Later("later"), "answer")
    subject = Edge("processor", RETRYING, clock, Bottom())

    outcome = await asyncio.gather(
        subject.call(side, deadline=clock.monotonic() + left_s, idempotent=True),
        return_exceptions=True,
    )

    assert len(side.called_at) == tries
    assert outcome == ["answer"] if tries == 2 else isinstance(outcome[0], Later)


async def test_the_last_of_equal_failures_is_told(edge: MakeEdge) -> None:
    """It is the newest that is known of the other side."""
    first, second, third = (Unreachable(text) for text in ("first", "second", "third"))

    with pytest.raises(Unreachable) as caught:
        await edge(RETRYING).call(OtherSide(first, second, third), deadline=None, idempotent=True)

    assert caught.value is third


class Done(CallError):
    """Something that has happened."""

    effect = "done"


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        ((Done("done"), ConnectionLost("reset"), Unreachable("no route")), "done"),
        ((ConnectionLost("reset"), Done("done"), ConnectionLost("reset")), "done"),
        ((Unreachable("no route"), ConnectionLost("reset"), Unreachable("no route")), "reset"),
        ((Unreachable("no route"), DeadlinePassed("late"), DeadlinePassed("late")), "no route"),
    ],
)
async def test_the_failure_with_the_most_effect_is_told(
    edge: MakeEdge, errors: tuple[CallError, ...], told: str
) -> None:
    """Done before unknown before none; a circuit or deadline of ours says least."""
    with pytest.raises(CallError, match=told):
        await edge(RETRYING).call(OtherSide(*errors), deadline=None, idempotent=True)


async def test_a_time_out_below_the_patience_is_its_own_measure(edge: MakeEdge) -> None:
    """Where no try may take as long as `patience_s`, one that had its whole time counts."""
    breaker = BreakerPolicy(calls_min=1, patience_s=5.0)
    for left_s, state in ((None, "open"), (0.9, "closed")):
        subject = edge(replace(BARE, timeout_s=1.0, breaker=breaker))
        deadline = None if left_s is None else asyncio.get_running_loop().time() + left_s
        with pytest.raises(DeadlineExceeded):
            await subject.call(OtherSide(9.0), deadline=deadline, idempotent=True)

        stats = subject.stats().breaker
        assert stats is not None
        assert stats.state == state


async def test_every_refusal_names_its_edge(edge: MakeEdge) -> None:
    """So that who catches it need not read the text."""
    loop = asyncio.get_running_loop()
    policy = replace(
        BARE,
        breaker=BreakerPolicy(calls_min=1, open_s=60.0),
        bulkhead=BulkheadPolicy(calls_max=1, queue_max=0),
    )
    subject = edge(policy)
    first = asyncio.create_task(subject.call(OtherSide(9.0), deadline=None, idempotent=True))
    await asyncio.sleep(0)
    refused: list[str | BaseException] = []
    for deadline in (loop.time() + 1.0, loop.time()):
        refused += await asyncio.gather(
            subject.call(OtherSide("a"), deadline=deadline, idempotent=True),
            return_exceptions=True,
        )
    refused += await asyncio.gather(first, return_exceptions=True)
    for deadline in (loop.time() + 1.0, loop.time()):
        refused += await asyncio.gather(
            subject.call(OtherSide("a"), deadline=deadline, idempotent=True),
            return_exceptions=True,
        )

    kinds = [BulkheadFull, DeadlinePassed, DeadlineExceeded, CircuitOpen, DeadlinePassed]
    assert [type(error) for error in refused] == kinds
    assert [error.edge for error in refused if isinstance(error, CallError)] == ["processor"] * 5


async def test_nobody_is_patient_unless_asked(edge: MakeEdge) -> None:
    """By default a full compartment refuses; who is patient waits until the deadline."""
    subject = edge(replace(BARE, bulkhead=BulkheadPolicy(calls_max=1, queue_max=0)))
    first = asyncio.create_task(subject.call(OtherSide(1.0), deadline=None, idempotent=True))
    await asyncio.sleep(0)

    with pytest.raises(BulkheadFull):
        await subject.call(OtherSide("answer"), deadline=None, idempotent=True)
    patient = subject.call(OtherSide("answer"), deadline=None, idempotent=True, patient=True)

    assert await patient == "answer"
    await first


STEPS: list[Callable[[], BaseException | float | str]] = [
    *(lambda: "answer", lambda: 0.3, lambda: 0.9, lambda: KeyError("a bug")),
    *(lambda: Unreachable("no route"), lambda: ConnectionLost("cut"), lambda: NotFound("none")),
    *(lambda: Overloaded("busy"), lambda: TimeoutError("a driver's own")),
]
EVERYTHING = EdgePolicy(
    timeout_s=0.8,
    retry=RetryPolicy(tries_max=3, base_s=0.1),
    budget=BudgetPolicy(ratio=0.2, floor_per_s=0.1),
    breaker=BreakerPolicy(calls_min=4, open_s=1.0, patience_s=0.2),
    bulkhead=BulkheadPolicy(calls_max=2, queue_max=2, wait_s=0.5),
)


@pytest.mark.parametrize("seed", range(40))
async def test_the_straight_way_ends_as_the_long_one(clock: LoopClock, seed: int) -> None:
    """Calls that overlap, fail, are late and are cancelled end alike, at the same times."""
    assert await _ends(Straight, clock, seed) == await _ends(Edge, clock, seed)


async def _ends(kind: type[Edge], clock: LoopClock, seed: int) -> list[str]:
    """Return how drawn calls over one edge end, and its counts."""
    chance, loop = random.Random(seed), asyncio.get_running_loop()
    # whole seconds, since the breaker's window begins at one
    await asyncio.sleep(10_000 - loop.time() % 10_000)
    subject, began = kind("processor", EVERYTHING, clock, random.Random(seed)), loop.time()
    ends: list[str] = []

    async def one(n: int, side: OtherSide, left_s: float | None, idempotent: bool) -> None:
        deadline = None if left_s is None else loop.time() + left_s
        try:
            end = await subject.call(side, deadline=deadline, idempotent=idempotent)
        except (Exception, asyncio.CancelledError) as error:
            end = repr(error)
        limits = [f"{limit_s:.4f}" for limit_s in side.limits]
        ends.append(f"{n} {loop.time() - began:.4f} {end} {limits}")

    tasks: list[asyncio.Task[None]] = []
    for n in range(60):
        side = OtherSide(*(chance.choice(STEPS)() for _ in range(3)))
        left_s = chance.choice([None, 0.0, 0.15, 0.5, 2.0])
        tasks.append(asyncio.create_task(one(n, side, left_s, chance.random() < 0.7)))
        if chance.random() < 0.1:
            loop.call_later(chance.uniform(0.05, 0.5), tasks[-1].cancel)
        await asyncio.sleep(chance.choice([0.0, 0.0701, 0.2003]))
    await asyncio.wait(tasks)
    return [*sorted(ends), str(subject.stats())]  # two may end at the same time
