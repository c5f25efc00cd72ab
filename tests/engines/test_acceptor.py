"""Connections are accepted together, whatever the loop, and again when files can be opened."""

import asyncio
import errno
import socket
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from holdfast.engines.acceptor import Acceptor, bound
from holdfast.engines.network import SystemNetwork
from holdfast.ports import AddressRefused

CLIENTS = 100


class Server(asyncio.Protocol):
    """Holds the loop for each that is accepted, and counts rounds by those who spoke."""

    def __init__(self, told: list[str]) -> None:
        self._told = told

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._told.append("made")
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._told.append("read")
        self._transport.close()


def spoken(address: tuple[str, int]) -> list[socket.socket]:
    """Return clients that have connected and said something, before anybody accepts."""
    clients = [socket.create_connection(address) for _ in range(CLIENTS)]
    for client in clients:
        client.sendall(b"x")
    return clients


async def all_at_once() -> int:
    """Return how many were accepted before the first was read."""
    told: list[str] = []
    listener = await SystemNetwork().listen(lambda: Server(told), "127.0.0.1", 0)
    clients = spoken(listener.address)
    while told.count("read") < CLIENTS:
        await asyncio.sleep(0)
    listener.close()
    for client in clients:
        client.close()
    return told.index("read")


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_all_that_wait_are_accepted_together(
    run: Callable[[Coroutine[Any, Any, int]], int],
) -> None:
    """By uvloop one is taken in each round, and the last one waits for a hundred."""
    assert run(all_at_once()) > CLIENTS / 2


class Full:
    """A socket whose process has no file left, for a while."""

    def __init__(self, real: socket.socket) -> None:
        self.real, self.refused = real, 0

    def accept(self) -> tuple[socket.socket, object]:
        """Refuse once."""
        if not self.refused:
            self.refused += 1
            raise OSError(errno.EMFILE, "Too many open files")
        return self.real.accept()

    def fileno(self) -> int:
        """Return that of the real one."""
        return self.real.fileno()

    def close(self) -> None:
        """Close the real one."""
        self.real.close()


async def test_without_a_file_it_is_tried_again() -> None:
    """Nobody is lost who waits in the kernel, and the loop does not turn meanwhile."""
    told: list[str] = []
    (one,) = await bound("127.0.0.1", 0, backlog=10, share_port=None)
    full = Full(one)
    acceptor = Acceptor([full], lambda: Server(told), None, None)  # type: ignore[list-item]
    client = socket.create_connection(one.getsockname())
    client.sendall(b"x")
    async with asyncio.timeout(60):
        while "read" not in told:
            await asyncio.sleep(0.01)
    acceptor.close()
    client.close()

    assert full.refused == 1


async def test_a_closed_one_accepts_nobody_and_frees_its_port() -> None:
    """Connections stay; another may listen there at once."""
    told: list[str] = []
    first = await SystemNetwork().listen(lambda: Server(told), "127.0.0.1", 0)
    host, port = first.address
    said = rf"127\.0\.0\.1:{port}: Address already in use"
    with pytest.raises(AddressRefused, match=said) as taken:
        await SystemNetwork().listen(lambda: Server(told), host, port)
    first.close()
    second = await SystemNetwork().listen(lambda: Server(told), host, port)
    second.close()

    assert taken.value.errno == errno.EADDRINUSE


class Counted:
    """A socket that notes in which round of the loop each connection was accepted."""

    def __init__(self, real: socket.socket) -> None:
        self.real, self.round = real, 0
        self.rounds = Counter[int]()

    def accept(self) -> tuple[socket.socket, object]:
        """Accept one."""
        taken = self.real.accept()
        self.rounds[self.round] += 1
        return taken

    def fileno(self) -> int:
        """Return that of the real one."""
        return self.real.fileno()

    def close(self) -> None:
        """Close the real one."""
        self.real.close()


@pytest.mark.parametrize(("clients", "accepted"), [(4, [4]), (5, [4, 1])])
async def test_so_many_are_accepted_in_one_round(
    clients: int, accepted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who came before go on meanwhile; the next one waits for the next round."""
    monkeypatch.setattr("holdfast.engines.acceptor.ACCEPTED_MAX", 4)
    told: list[str] = []
    (one,) = await bound("127.0.0.1", 0, backlog=10, share_port=None)
    came = [socket.create_connection(one.getsockname()) for _ in range(clients)]
    counted = Counted(one)
    acceptor = Acceptor([counted], lambda: Server(told), None, None)  # type: ignore[list-item]
    async with asyncio.timeout(3_600):
        while told.count("made") < clients:
            await asyncio.sleep(0)
            counted.round += 1
    acceptor.close()
    for client in came:
        client.close()

    assert list(counted.rounds.values()) == accepted
