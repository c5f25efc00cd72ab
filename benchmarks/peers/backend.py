"""What stands behind both gateways: answers every request with the same bytes, and parses little.

It shares a core with the load, so it must cost next to nothing.
"""

import asyncio
import json
import re
from typing import cast

import uvloop

_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_BODY = json.dumps(
    {
        "order_id": "00000000-0000-7000-8000-000000000000",
        "state": "placed",
        "total_cents": 650,
    }
).encode()
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(_BODY),
    _BODY,
)


class Backend(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._transport = cast(asyncio.Transport, None)
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        data = self._buffer + data if self._buffer else data
        while (end := data.find(_END)) >= 0:
            length = _LENGTH.search(data, 0, end + 2)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(data) < size:
                break
            data = data[size:]
            self._transport.write(_ANSWER)
        self._buffer = data


async def main() -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Backend, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
