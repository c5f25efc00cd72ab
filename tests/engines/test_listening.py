"""What a listener bounds: who waits to be accepted, and how long a TLS handshake may take."""

import asyncio
import socket
import ssl
import time
from pathlib import Path

import pytest

from holdfast.engines.network import HANDSHAKE_S, SystemNetwork
from tests.certificates import Authority
from tests.skipping_loop import SkippingLoop, pass_time

ESTABLISHED, ASKING = 1, 2  # include/net/tcp_states.h: TCP_ESTABLISHED, TCP_SYN_SENT
MOMENT_S = 0.001


class StillLoop(SkippingLoop):
    """Real sockets, and a clock that shows what was skipped and nothing else."""

    def time(self) -> float:
        """Return seconds."""
        return self._skipped_s


class Silent(asyncio.Protocol):
    """Counts those that come, and says nothing."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1


@pytest.fixture(autouse=True)
def nobody_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count anew."""
    monkeypatch.setattr(Silent, "made", 0)


async def come(count: int) -> None:
    """Let the loop run until so many have come."""
    async with asyncio.timeout(3_600):
        while Silent.made < count:
            await asyncio.sleep(0)


def states(clients: list[socket.socket]) -> list[int]:
    """Return how far each connection is, as its own kernel says."""
    return [one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] for one in clients]


async def test_the_kernel_holds_so_many_until_they_are_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Linux holds one more than it is told; who comes then asks again, and is served in the end."""
    monkeypatch.setattr("holdfast.engines.network.BACKLOG_MAX", 8)
    listener = await SystemNetwork().listen(Silent, "127.0.0.1", 0)
    clients = [socket.socket() for _ in range(10)]
    for one in clients:  # in one round of the loop, so that nobody is accepted
        one.setblocking(False)
        one.connect_ex(listener.address)
        while one is not clients[-1] and states([one]) != [ESTABLISHED]:
            time.sleep(0.001)
    waiting = states(clients)
    await come(10)
    listener.close()

    assert waiting == [ESTABLISHED] * 9 + [ASKING]
    for one in clients:
        one.close()


@pytest.mark.parametrize("by_path", [False, True])
def test_a_client_has_so_long_for_its_handshake(by_path: bool, tmp_path: Path) -> None:
    """It says nothing; at the end its connection is closed, and not before."""
    path = str(tmp_path / "socket") if by_path else None

    async def main() -> None:
        tls = Authority(tmp_path).server()
        listener = await SystemNetwork().listen(Silent, "127.0.0.1", 0, tls=tls, path=path)
        if path is None:
            reader, writer = await asyncio.open_connection(*listener.address)
        else:
            reader, writer = await asyncio.open_unix_connection(path)
        await come(1)
        await pass_time(HANDSHAKE_S - MOMENT_S)
        reading = asyncio.ensure_future(reader.read())
        await pass_time(0.0)
        assert not reading.done()
        await pass_time(MOMENT_S)
        assert await reading == b""
        writer.close()
        listener.close()

    with asyncio.Runner(loop_factory=StillLoop) as runner:
        runner.run(main())


@pytest.mark.parametrize("by_path", [False, True])
def test_a_server_has_so_long_for_its_handshake(by_path: bool, tmp_path: Path) -> None:
    """Who accepts and says nothing is given up at the end, and not before."""
    path = str(tmp_path / "socket") if by_path else None

    async def main() -> None:
        network, tls = SystemNetwork(), ssl.create_default_context()
        listener = await network.listen(Silent, "127.0.0.1", 0, path=path)
        port = listener.address[1]
        connecting = asyncio.ensure_future(
            network.connect(asyncio.Protocol, "127.0.0.1", port, tls=tls, path=path)
        )
        await come(1)
        await pass_time(HANDSHAKE_S - MOMENT_S)
        assert not connecting.done()
        await pass_time(MOMENT_S)
        with pytest.raises(ConnectionAbortedError, match="taking longer than 10"):
            await connecting
        listener.close()

    with asyncio.Runner(loop_factory=StillLoop) as runner:
        runner.run(main())
