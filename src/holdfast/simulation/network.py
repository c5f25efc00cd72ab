"""A simulated network: connections that are slow, break, or lead one way only.

Bytes of one direction arrive whole and in order, as TCP's do. What a cut holds up is sent again
once it is healed, unless the sender gave up before. Of TLS there is who proves to be who.
"""

import asyncio
import errno
import random
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import Context
from typing import Literal

from holdfast.communication import LOOPBACK
from holdfast.ports import Listener, Unread
from holdfast.simulation.identity import shake_hands
from holdfast.simulation.node import Node

GIVE_UP_S = 15.0  # how long a kernel sends again what nobody confirms
_FIRST_PORT = 40_000  # of those that are given to who asks for any
_READ_BYTES = 256 * 1024  # the most that asyncio hands over at a time
_MERGE_BYTES = 64 * 1024  # writes of one moment share a chunk of up to so many bytes
_HIGH_BYTES = 64 * 1024  # asyncio's default for what may wait to be read before writers pause

_What = Literal["data", "eof", "reset"]


def _unseen(kind: str, **fields: object) -> None:
    """Take nothing down."""


class SimNetwork:
    """The wire between all nodes. Nodes are named by their name, or "*" for any.

    Attributes:
        names: returns the nodes behind a host name.
        latency_s: (low, high) of one way; each chunk draws its own, but none overtakes another.
        reset: probability that a chunk breaks its connection; it may still have arrived, or not.
        listeners, ends, held: what is open, and what a cut holds up.
    """

    def __init__(self, chance: random.Random, *, record: Callable[..., None] = _unseen) -> None:
        self.names: Callable[[str], list[str]] = lambda host: [host]
        self.latency_s = (0.0002, 0.001)
        self.reset = 0.0
        self.chance = chance
        self.record = record
        self.listeners: dict[tuple[str, int], _Listener] = {}
        self._cuts: dict[tuple[str, str], int] = {}
        self._slow_s: dict[tuple[str, str], float] = {}
        self.ends: dict[_End, None] = {}
        self.held: dict[_End, None] = {}
        self._off: dict[str, None] = {}  # nodes whose machine is lost
        self._addresses: dict[str, str] = {}
        self._ports = _FIRST_PORT

    @classmethod
    def seeded(cls, seed: str) -> "SimNetwork":
        """Return a network whose latency a seed decides."""
        return cls(random.Random(seed))  # noqa: S311  # it draws milliseconds

    def of(self, node: Node) -> "NodeNetwork":
        """Return the network as one node sees it."""
        self._off.pop(node.name, None)
        return NodeNetwork(self, node)

    # -- misfortunes

    def cut(self, source: str, target: str) -> None:
        """Let nothing through from one node to another; two cuts must be healed twice."""
        self._cuts[source, target] = self._cuts.get((source, target), 0) + 1
        self.record("net.cut", source=source, target=target)

    def heal(self, source: str, target: str) -> None:
        """End a cut; what it held up is sent again."""
        count = self._cuts.pop((source, target), 0)
        if count > 1:
            self._cuts[source, target] = count - 1
        elif count:
            self.record("net.healed", source=source, target=target)
            self._send_again()

    def heal_all(self) -> None:
        """End all cuts, and what `slow` did."""
        self._cuts.clear()
        self._slow_s.clear()
        self._send_again()

    def slow(self, source: str, target: str, extra_s: float) -> None:
        """Let everything from one node to another take longer; 0 ends it."""
        self._slow_s[source, target] = extra_s
        if not extra_s:
            del self._slow_s[source, target]
        self.record("net.slow", source=source, target=target, extra_s=extra_s)

    def crashed(self, node: Node) -> None:
        """End what a killed process had open: the kernel of its machine resets it."""
        for end in self._leave(node):
            end.crash()

    def lost(self, node: Node) -> None:
        """Let a machine vanish: the others hear nothing, until a node of its name is there."""
        self._off[node.name] = None
        for end in self._leave(node):
            end.vanish()

    def _leave(self, node: Node) -> "list[_End]":
        self.listeners = {k: v for k, v in self.listeners.items() if v.node is not node}
        return [end for end in self.ends if end.node is node]

    def _send_again(self) -> None:
        for end in list(self.held):
            end.send_again()

    # -- what is between two nodes

    def is_cut(self, source: str, target: str) -> bool:
        """Return whether nothing travels from one node to another, or one of them is gone."""
        if target in self._off or source in self._off:
            return True
        return bool(self._cuts) and any(p in self._cuts for p in _pairs(source, target))

    def delay_s(self, source: str, target: str) -> float:
        """Draw the time of one way."""
        low, high = self.latency_s
        extra_s = 0.0
        if self._slow_s:
            extra_s = sum(self._slow_s.get(pair, 0.0) for pair in _pairs(source, target))
        return low + (high - low) * self.chance.random() + extra_s

    def address(self, node: str) -> str:
        """Return a node's address, given at its first use."""
        return self._addresses.setdefault(node, f"10.0.0.{len(self._addresses) + 1}")

    def next_port(self) -> int:
        """Return a port that nobody was given before."""
        self._ports += 1
        return self._ports

    def find(self, names: list[str], port: int) -> "_Listener | None":
        """Return one of those that listen on a port of these nodes, at random."""
        found = [self.listeners.get((name, port)) for name in names]
        alive = [listener for listener in found if listener is not None and listener.node.alive]
        return alive[int(self.chance.random() * len(alive))] if alive else None


def _pairs(source: str, target: str) -> Iterator[tuple[str, str]]:
    """Yield what a way between two nodes may be called; a node reaches itself at any time."""
    if source != target:
        yield from ((source, target), ("*", target), (source, "*"), ("*", "*"))


class NodeNetwork:
    """The network of one node. See `ports.Network`."""

    def __init__(self, network: SimNetwork, node: Node) -> None:
        self._network = network
        self._node = node

    async def connect(
        self,
        factory: Callable[[], asyncio.Protocol],
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        path: str | None = None,
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """Open a connection to a node, or to one of those behind a name.

        It takes a round trip. Where one of the ways is cut, it never returns.

        Raises:
            ConnectionRefusedError: nobody listens there.
            OSError: one side refuses the other.
        """
        network, node = self._network, self._node
        if path is not None:
            names, port = [path], 0
        else:
            names = [node.name] if host in ("localhost", LOOPBACK) else network.names(host)
        listener = network.find(names, port)
        there = listener.node.name if listener is not None else names[0]
        for source, target in ((node.name, there), (there, node.name)):
            if not network.is_cut(source, target):
                await asyncio.sleep(network.delay_s(source, target))
            if network.is_cut(source, target):
                await asyncio.get_running_loop().create_future()  # nobody ever answers
        if listener is None or not listener.is_open:
            raise ConnectionRefusedError(
                errno.ECONNREFUSED, f"nobody listens on {path or host}:{port}"
            )
        sees, seen = shake_hands(tls, listener.tls)
        mine = (network.address(node.name), network.next_port())
        near = _End(network, node, mine, (network.address(there), port), sees)
        far = _End(network, listener.node, near.peer_address, mine, seen)
        near.peer, far.peer = far, near
        listener.node.call_soon(far.open, listener.factory)
        return near, near.open(factory)

    async def listen(
        self,
        factory: Callable[[], asyncio.Protocol],
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        path: str | None = None,
    ) -> Listener:
        """Listen under the node's name, whatever `host` says, or under the name `path`.

        Raises:
            OSError: the port is in use.
        """
        network, node = self._network, self._node
        if path is None:
            port = port or network.next_port()
            key, address = (node.name, port), (host, port)
        else:
            key = address = (path, 0)
        listener = network.listeners.get(key)
        if listener is not None and listener.node.alive:
            raise OSError(
                errno.EADDRINUSE, f"{key[0]}:{key[1]} is in use: close its listener first"
            )
        network.listeners[key] = listener = _Listener(network, node, factory, key, address, tls)
        return listener

    def unread(self, transport: asyncio.BaseTransport) -> Unread:
        """Return how long ago what was read last arrived: a node that is busy reads late."""
        assert isinstance(transport, _End)
        return Unread(max(0.0, asyncio.get_running_loop().time() - transport.came_at_s))

    def untaken(self, transport: asyncio.BaseTransport) -> int:
        """Return 0: a simulated transport itself holds what is not read."""
        return 0

    def cut(self, transport: asyncio.Transport) -> None:
        """Abort a connection, which resets it."""
        transport.abort()


class _Listener:
    def __init__(
        self,
        network: SimNetwork,
        node: Node,
        factory: Callable[[], asyncio.Protocol],
        key: tuple[str, int],
        address: tuple[str, int],
        tls: ssl.SSLContext | None,
    ) -> None:
        self.node = node
        self.factory = factory
        self.tls = tls
        self._network = network
        self._key = key
        self._address = address

    @property
    def address(self) -> tuple[str, int]:
        return self._address

    @property
    def is_open(self) -> bool:
        return self._network.listeners.get(self._key) is self

    def close(self) -> None:
        if self.is_open:
            del self._network.listeners[self._key]


_KERNEL = Context()  # of no node: what a machine does for its processes, also for dead ones


def _broken() -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, "the connection was reset")


class _End(asyncio.Transport):
    """One end of a connection: the transport of its node, and what it sends to the other end."""

    peer: "_End"

    def __init__(
        self,
        network: SimNetwork,
        node: Node,
        address: tuple[str, int],
        peer_address: tuple[str, int],
        workload: str,
    ) -> None:
        super().__init__({"sockname": address, "peername": peer_address, "workload": workload})
        self.node = node
        self.peer_address = peer_address
        self._network = network
        self._loop = asyncio.get_running_loop()
        self._protocol: asyncio.Protocol | None = None  # until the connection is accepted
        self._closing = False
        self._gone = False  # connection_lost was called, or nobody is left to call it for
        self._silent = False  # its machine is lost
        # sending: what is on its way to the peer, the next to arrive first, as (due_s, what, data)
        self._sent: deque[tuple[float, _What, bytes]] = deque()
        self._ended: _What | None = None  # how: nothing is sent after it
        self._sent_at_s = 0.0
        self._due_s = 0.0
        self._patience: asyncio.TimerHandle | None = None  # runs while a cut holds `_sent` up
        self._unread_bytes = 0  # sent, and not yet read by the peer
        self._high_bytes, self._low_bytes = _HIGH_BYTES, _HIGH_BYTES // 4
        self._full = False
        # receiving: what arrived
        self._came: deque[tuple[_What, bytes]] = deque()
        self.came_at_s = 0.0
        self._paused = False
        self._heard_eof = False
        network.ends[self] = None

    def open(self, factory: Callable[[], asyncio.Protocol]) -> asyncio.Protocol:
        """Begin to read, with a protocol of its own."""
        self._protocol = protocol = factory()
        protocol.connection_made(self)
        if self._gone:  # broken while it waited to be accepted
            protocol.connection_lost(_broken())
        self._read()
        return protocol

    # -- asyncio.Transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._ended == "eof" and not self._closing:
            raise RuntimeError("nothing can be written after write_eof()")
        data = bytes(data)
        if data and self._ended is None and not self._gone:
            self._unread_bytes += len(data)
            self._send("data", data)
            if self._unread_bytes > self._high_bytes and not self._full:
                self._full = True
                self.get_protocol().pause_writing()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if self._ended is None and not self._gone:
            self._send("eof")

    def close(self) -> None:
        self._close("eof")

    def abort(self) -> None:
        self._close("reset")

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        if self._came:
            self.node.call_soon(self._read)

    def is_reading(self) -> bool:
        return not self._paused and not self._closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high_bytes = high if high is not None else 4 * low if low else _HIGH_BYTES
        self._low_bytes = low if low is not None else self._high_bytes // 4

    def get_write_buffer_size(self) -> int:
        return self._unread_bytes

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None, "nobody has this transport before it has a protocol"
        return self._protocol

    # -- sending

    def _close(self, how: _What) -> None:
        if not self._closing:
            self._closing = True
            if self._ended is None or (self._ended, how) == ("eof", "reset"):
                self._send(how)
            self.node.call_soon(self._end, None)

    def _send(self, what: _What, data: bytes = b"") -> None:
        """Put something on its way, after all that was sent before."""
        network, peer, sent = self._network, self.peer, self._sent
        now_s = self._loop.time()
        if what != "data":
            self._ended = what
            if peer._gone:
                return
        elif sent and now_s == self._sent_at_s:
            due_s, last, before = sent[-1]
            if last == "data" and len(before) < _MERGE_BYTES:
                sent[-1] = (due_s, last, before + data)
                return
        self._sent_at_s = now_s
        at_rest = not sent
        due_s = now_s + network.delay_s(self.node.name, peer.node.name)
        self._due_s = due_s = max(due_s, self._due_s)
        broken = what == "data" and network.reset > 0 and network.chance.random() < network.reset
        if broken:
            arrives = network.chance.random() < 0.5
            self._tell("net.reset", arrived=arrives)
            if arrives:
                sent.append((due_s, what, data))
            self._ended = what = "reset"
            self._loop.call_at(due_s, self._end, _broken(), context=self.node.context)
            data = b""
        sent.append((due_s, what, data))
        if self._patience is None and not self._is_held() and at_rest:
            self._travel(due_s)

    def _travel(self, due_s: float) -> None:
        self._loop.call_at(due_s, self._arrive, context=self.peer.node.context)

    def _is_held(self) -> bool:
        """Return whether a cut holds up what was sent; then its sender waits for some time."""
        network, peer = self._network, self.peer
        if not (peer._silent or network.is_cut(self.node.name, peer.node.name)):
            return False
        if self._patience is None:
            self._patience = self._loop.call_later(GIVE_UP_S, self._give_up, context=_KERNEL)
            network.held[self] = None
        return True

    def send_again(self) -> None:
        """Let what was held up arrive, if nothing holds it up any longer."""
        network = self._network
        if self._patience is not None and not self._is_held():
            self._stop_waiting()
            due_s = self._loop.time() + network.delay_s(self.node.name, self.peer.node.name)
            self._due_s = max(due_s, self._due_s)
            self._travel(self._due_s)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
            del self._network.held[self]

    def _give_up(self) -> None:
        if not (self._gone and self.peer._gone):
            self._tell("net.gave_up")
        self._stop_waiting()
        self._sent.clear()
        self._ended = "reset"
        self.node.call_soon(self._end, _broken())
        self.peer.node.call_soon(self.peer._end, _broken())

    def _tell(self, kind: str, **fields: object) -> None:
        source, target = self.node.name, self.peer.node.name
        self._network.record(kind, source=source, target=target, **fields)

    # -- receiving; `_arrive` runs in the peer's node

    def _arrive(self) -> None:
        sent, came = self._sent, self.peer._came
        if not sent or self._patience is not None or self._is_held():
            return
        now_s = self._loop.time()
        while sent and sent[0][0] <= now_s:
            self.peer.came_at_s, what, data = sent.popleft()
            came.append((what, data))
        if sent:
            self._travel(sent[0][0])
        self.peer._read()

    def _read(self) -> None:
        """Hand what came to the protocol, in this end's node."""
        came, protocol = self._came, self._protocol
        while came and protocol is not None and not self._paused:
            what, data = came.popleft()
            if what == "data":
                if len(data) > _READ_BYTES:
                    came.appendleft((what, data[_READ_BYTES:]))
                    data = data[:_READ_BYTES]
                self.peer._was_read(len(data))
                if not self._closing:
                    protocol.data_received(data)
            elif what == "reset":
                self._end(_broken())
            elif not self._heard_eof and not self._closing:
                self._heard_eof = True
                if not protocol.eof_received():
                    self.close()

    def _was_read(self, size: int) -> None:
        self._unread_bytes -= size
        if self._full and self._unread_bytes <= self._low_bytes:
            self.node.call_soon(self._go_on_writing)

    def _go_on_writing(self) -> None:
        if self._full and self._unread_bytes <= self._low_bytes and not self._gone:
            self._full = False
            self.get_protocol().resume_writing()

    # -- ending

    def _end(self, exc: Exception | None) -> None:
        if not self._gone:
            self._leave()
            if self._protocol is not None:
                self._protocol.connection_lost(exc)
            self._read()  # so that a peer that waits to write goes on

    def _leave(self) -> None:
        self._gone = self._closing = True
        self._paused = False
        del self._network.ends[self]

    def crash(self) -> None:
        """Reset the connection for a process that is dead."""
        if not self._closing:
            self._send("reset")
        self._leave()

    def vanish(self) -> None:
        """Fall silent: what was on its way is gone too, and what comes is not confirmed."""
        self._silent = True
        self._sent.clear()
        self._stop_waiting()
        self._leave()
