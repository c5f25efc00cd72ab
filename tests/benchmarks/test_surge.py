"""The clients of the surge: they try again, and are counted by when they came."""

import asyncio
import random
from typing import cast

import pytest

from benchmarks import surge
from benchmarks.harness import Plan
from benchmarks.surge import TRIES, Clients, Phases, Seen
from holdfast.communication import Origin


class Server(asyncio.Protocol):
    """Answers with one status after the other; 0: not at all."""

    def __init__(self, left: list[int], made: list[asyncio.Transport]) -> None:
        self._left, self._made = left, made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._made.append(cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        status = self._left.pop(0)
        if status:
            self._made[-1].write(b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n" % status)


async def served(*statuses: int) -> tuple[Seen, int]:
    """Return what became of one client whose tries are answered so, and the answers left."""
    left, seen, made = list(statuses), Seen(), list[asyncio.Transport]()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Server(left, made), "127.0.0.1", 0)
    clients = Clients(Origin.of(*server.sockets[0].getsockname()[:2]), random.Random(1), seen)
    await clients.come(7)
    clients.close()
    for one in made:
        one.abort()
    server.close()
    await asyncio.sleep(0)  # transports close in the next round
    return seen, len(left)


@pytest.mark.parametrize(
    ("statuses", "good", "left"),
    [
        ((200, 200), 1, 1),
        ((503, 503, 503, 200, 200), 1, 1),
        ((503, 504, 503, 503, 200), 0, 1),
    ],
)
async def test_who_is_refused_comes_again(
    statuses: tuple[int, ...], good: int, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four times at most; who got what it wanted is counted where it came."""
    monkeypatch.setattr(surge, "PAUSE_S", 0.001)
    seen, unused = await served(*statuses)

    assert (seen.came, seen.good[7], unused) == ({7: 1}, good, left)
    assert seen.tries == len(statuses) - left <= TRIES


async def test_who_is_not_answered_gives_up_and_comes_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On another connection, since the first one is the one that hangs."""
    monkeypatch.setattr(surge, "PATIENCE_S", 0.2)
    monkeypatch.setattr(surge, "PAUSE_S", 0.001)
    seen, _ = await served(0, 503, 0, 503)

    assert (seen.tries, seen.good.total()) == (4, 0)


def test_what_is_asked_and_counted_follows_the_clock() -> None:
    """The surge of the record is ten seconds; a share is of those who came from then to then."""
    phases, seen = Phases.of(Plan()), Seen()
    seen.came.update({9: 4, 10: 4, 19: 4, 20: 4})
    seen.good.update({9: 4, 10: 1, 19: 2})

    assert [phases.load(at) for at in (4.9, 5.0, 14.9, 15.0)] == [0.8, 3.0, 3.0, 0.8]
    assert seen.share(1.0, 2.0) == 3 / 8
