"""A receiver of traces that costs little: it takes what exporters post, and counts the spans.

It shares the load's core. A line on its standard input is answered with how many spans came since
the last one.
"""

import asyncio
import json
import sys
from typing import cast

import uvloop
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_END = b"\r\n\r\n"
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"


class Receiver(asyncio.Protocol):
    """One connection of an exporter; an empty body is an `ExportTraceServiceResponse`."""

    spans = 0

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        self._buffer += data
        while (end := self._buffer.find(_END)) >= 0:
            lines = bytes(self._buffer[:end]).lower().split(b"\r\n")
            length = next(line for line in lines if line.startswith(b"content-length:"))
            size = end + len(_END) + int(length.partition(b":")[2])
            if len(self._buffer) < size:
                return
            self._take(bytes(self._buffer[end + len(_END) : size]))
            del self._buffer[:size]

    def _take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            Receiver.spans += sum(len(scope.spans) for scope in resource.scope_spans)
        assert self._transport is not None
        self._transport.write(_ANSWER)


async def main() -> None:
    """Serve until the input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Receiver, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({"url": f"http://127.0.0.1:{port}"}), flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(Receiver.spans, flush=True)
        Receiver.spans = 0


if __name__ == "__main__":
    uvloop.run(main())
