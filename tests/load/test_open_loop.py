"""The open loop in virtual time: what is due is due, whatever the server does."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast.contract.tier import Tier
from holdfast.load.offer import Mix, Offer, prepared
from holdfast.load.open_loop import TICK_S, ConstantRate, OpenLoop
from holdfast.load.tally import LoadTally
from tests.virtual_loop import LoopClock, run_virtual

ANSWER_S = 0.01
MIX = Mix([prepared(Offer("GET", "/"), Tier.NORMAL, host="a", keys="k")], [1.0])
KEYED = Mix(
    [prepared(Offer("POST", "/", keyed=True), Tier.NORMAL, host="a", keys="k")],
    [1.0],
)


@dataclass(eq=False)
class Server:
    """Answers each request a little later, but nothing while it is stopped.

    Attributes:
        stopped: from when to when, in seconds since it was made.
        status: of every answer; None: connections end instead.
        slots: how many it answers at once; others wait for their turn.
    """

    stopped: tuple[float, float] = (0.0, 0.0)
    status: int | None = 200
    answer_s: float = ANSWER_S
    begun: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    requests: list[bytes] = field(default_factory=list[bytes])
    lines: "list[Line]" = field(default_factory=list["Line"])

    def connect(
        self,
        answered: "Callable[[Line, int, bytes], None]",
        lost: "Callable[[Line, Exception], None]",
    ) -> "Line":
        """Make a connection."""
        line = Line(self, answered, lost)
        self.lines.append(line)
        return line

    def answers_in(self) -> float:
        """Return how long an answer takes that is asked for now."""
        now = asyncio.get_running_loop().time() - self.begun
        first, last = self.stopped
        if now + self.answer_s < first or now >= last:
            return self.answer_s
        return last - now + self.answer_s


@dataclass(eq=False)
class Line:
    """One connection to the server."""

    server: Server
    answered: "Callable[[Line, int, bytes], None]"
    lost: "Callable[[Line, Exception], None]"
    is_closed: bool = False

    def send(self, request: bytes) -> None:
        """Have it answered."""
        self.server.requests.append(request)
        asyncio.get_running_loop().call_later(self.server.answers_in(), self._answer)

    def _answer(self) -> None:
        if self.is_closed:
            return
        if self.server.status is None:
            self.lost(self, ConnectionResetError())
        else:
            self.answered(self, self.server.status, b"said")

    def close(self) -> None:
        """Answer nothing any more."""
        self.is_closed = True


def offered(
    server: Callable[[], Server],
    *,
    per_s: float = 100.0,
    seconds: float = 3.0,
    patience_s: float = 5.0,
    connections_max: int = 1_000,
    mix: Mix = MIX,
    first: int = 0,
) -> tuple[LoadTally, Server]:
    """Offer requests to a server in virtual time; return what became of them, and the server."""

    async def main() -> tuple[LoadTally, Server]:
        to = server()
        loop = OpenLoop[Line](
            mix,
            ConstantRate(per_s, seconds),
            to.connect,
            LoopClock(),
            first=first,
            patience_s=patience_s,
            connections_max=connections_max,
        )
        return await loop.run(), to

    return run_virtual(main())


def test_a_server_that_stops_for_a_second_shows_it() -> None:
    """A hundred requests are due in that second, and their latencies go from 0 to 1 s evenly."""
    tally, _ = offered(lambda: Server(stopped=(1.0, 2.0)))

    good_s = sorted(tally.whole.good_s)
    assert len(good_s) == 300
    slow = [took for took in good_s if took > 3 * ANSWER_S]
    assert 95 <= len(slow) <= 101
    assert 0.97 < good_s[-1] < 1.02
    assert abs(sum(slow) / len(slow) - 0.5) < 0.05  # a closed loop would have seen one of them


def test_waiting_for_a_connection_counts() -> None:
    """With one connection for twice what it carries, the last request has waited half the time."""
    tally, server = offered(
        lambda: Server(answer_s=0.02), per_s=100, seconds=1.0, connections_max=1
    )

    assert len(server.lines) == 1
    assert len(tally.whole.good_s) == 100
    assert 0.9 < max(tally.whole.good_s) < 1.1


def test_who_has_waited_too_long_is_gone() -> None:
    """A client closes its connection after its patience; others find a new one."""
    tally, server = offered(lambda: Server(stopped=(1.0, 2.0)), patience_s=0.5)

    whole = tally.whole
    assert 45 <= whole.late <= 52
    assert len(whole.good_s) == 300 - whole.late
    assert max(whole.good_s) <= 0.5
    assert sum(line.is_closed for line in server.lines) == len(server.lines)
    assert whole.unsent == 0


def test_who_never_got_a_connection_is_late_and_unsent() -> None:
    """One connection, and a server that is silent: all others wait for nothing."""
    tally, server = offered(
        lambda: Server(stopped=(0.0, 100.0)), seconds=1.0, patience_s=10.0, connections_max=1
    )

    whole = tally.whole
    assert (whole.late, len(whole.good_s)) == (100, 0)
    assert whole.unsent == 100 - len(server.requests)
    assert len(server.lines) == len(server.requests)


def test_connections_are_kept() -> None:
    """A server that keeps up is asked over as few as it needs."""
    tally, server = offered(Server)

    assert len(tally.whole.good_s) == 300
    assert len(server.lines) <= 3


def test_refusals_and_errors_are_told_apart() -> None:
    """429 and 503 are refusals with their own times; 500 is an error, with what was said."""
    refused, _ = offered(lambda: Server(status=503), seconds=0.1)
    failed, _ = offered(lambda: Server(status=500), seconds=0.1)
    lost, _ = offered(lambda: Server(status=None), seconds=0.1)

    assert (refused.whole.refused[503], len(refused.whole.refused_s)) == (10, 10)
    assert not refused.whole.errors
    assert (failed.whole.errors, failed.bad) == ({"500": 10}, "500 said")
    assert lost.whole.errors == {"ConnectionResetError": 10}


def test_each_request_has_a_key_of_its_own() -> None:
    """Numbers go on where the stretch before ended."""
    _, server = offered(Server, seconds=0.03, mix=KEYED, first=7)

    keys = [request.split(b"idempotency-key: ")[1].split(b"\r\n")[0] for request in server.requests]
    assert keys == [b"k-7", b"k-8", b"k-9"]


def test_a_generator_that_is_behind_says_so() -> None:
    """Its lag is known of each request: here the clock ticks, and no more."""
    tally, _ = offered(Server)

    assert len(tally.lags_s) == 300
    assert 0 <= min(tally.lags_s) <= max(tally.lags_s) <= 2 * TICK_S


def test_requests_are_due_at_a_constant_rate() -> None:
    """The rate alone says when; the last one is due just before the end."""
    rate = ConstantRate(250, 2.0)

    assert rate.count == 500
    assert [rate.due_s(turn) for turn in (0, 1, 499)] == [0.0, 0.004, 1.996]
    assert ConstantRate(0.1, 1.0).count == 1
