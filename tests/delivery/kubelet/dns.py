"""The cluster's DNS, as far as pods ask for it: addresses of names (RFC 1035).

A name that is known and has no address of the kind asked for is answered with none; one that is
not known does not exist. Resolvers need the difference: the first ends the search for a name.
"""

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from typing import cast

_HEADER = struct.Struct("!6H")
_ANSWER = struct.Struct("!HHHIH")
_RESPONSE, _AUTHORITATIVE, _RECURSION = 0x8000, 0x0400, 0x0180
_NO_SUCH_NAME, _FORMAT_ERROR = 3, 1
_A, _IN = 1, 1
_NAME_OF_QUESTION = 0xC00C
TTL_S = 1

Names = Callable[[], Mapping[str, list[str]]]
"""Returns {full name in small letters, without the last dot: addresses}."""


def answer(query: bytes, names: Mapping[str, list[str]]) -> bytes:
    """Return the reply to one query."""
    try:
        key, flags, questions, *_ = _HEADER.unpack_from(query)
        name, end = _name(query)
        kind, _ = struct.unpack_from("!HH", query, end)
        if questions != 1:
            raise ValueError(f"{questions} questions")
    except (struct.error, IndexError, ValueError, UnicodeDecodeError):
        return (
            query[:2].ljust(2, b"\0") + _HEADER.pack(0, _RESPONSE | _FORMAT_ERROR, 0, 0, 0, 0)[2:]
        )
    known = names.get(name)
    addresses = known if known and kind == _A else []
    code = 0 if known is not None else _NO_SUCH_NAME
    flags = _RESPONSE | _AUTHORITATIVE | (flags & _RECURSION) | code
    header = _HEADER.pack(key, flags, 1, len(addresses), 0, 0)
    records = b"".join(
        _ANSWER.pack(_NAME_OF_QUESTION, _A, _IN, TTL_S, 4) + socket.inet_aton(address)
        for address in addresses
    )
    return header + query[_HEADER.size : end + 4] + records


def _name(query: bytes) -> tuple[str, int]:
    """Return the name that is asked for, and where it ends."""
    labels, at = [], _HEADER.size
    while length := query[at]:
        if length > 63:
            raise ValueError("a pointer in a question")
        labels.append(query[at + 1 : at + 1 + length].decode("ascii").lower())
        at += 1 + length
    return ".".join(labels), at + 1


class Datagrams(asyncio.DatagramProtocol):
    """Answers by UDP."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where answers go."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer one query."""
        assert self._transport is not None
        self._transport.sendto(answer(data, self._names()), addr)


async def over_tcp(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, names: Names
) -> None:
    """Answer the queries of one connection: each with its length before it."""
    try:
        while True:
            (length,) = struct.unpack("!H", await reader.readexactly(2))
            reply = answer(await reader.readexactly(length), names())
            writer.write(struct.pack("!H", len(reply)) + reply)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()
