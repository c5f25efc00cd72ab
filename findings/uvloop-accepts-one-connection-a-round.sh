#!/usr/bin/env bash
# uvloop 0.23.0 accepts one connection in each round of its loop; asyncio accepts all that wait.
#
# Expected: a hundred clients that have connected and sent something are accepted together, and the
# age of a round of the loop tells how long the oldest of them has waited.
# Behaviour: with uvloop one is accepted, read and served in each round. The rounds are short, no
# measure of the loop's lag rises, and the ninetieth client has waited for ninety rounds in the
# kernel's backlog. Whoever wants to know how long a first request has waited must ask the kernel
# (TCP_INFO, tcpi_last_data_recv).
#
# Exits with 0 while that is so, with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" uvloop==0.23.0
PYTHONPATH="$folder" python3 - <<'PYTHON'
import asyncio
import itertools
import socket
import sys
import time

import uvloop

CLIENTS = 100


async def most_accepted_at_once() -> int:
    events: list[str] = []

    class Server(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            events.append("accepted")

        def data_received(self, data: bytes) -> None:
            asyncio.get_running_loop().call_soon(self.serve)

        def serve(self) -> None:
            events.append("served")
            time.sleep(0.002)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0, backlog=2 * CLIENTS)
    address = server.sockets[0].getsockname()
    clients = [socket.create_connection(address) for _ in range(CLIENTS)]
    for client in clients:
        client.sendall(b"x")
    while events.count("served") < CLIENTS:
        await asyncio.sleep(0.01)
    for client in clients:
        client.close()
    runs = [(kind, len(list(run))) for kind, run in itertools.groupby(events)]
    return max(size for kind, size in runs if kind == "accepted")


with_asyncio = asyncio.run(most_accepted_at_once())
with_uvloop = uvloop.run(most_accepted_at_once())
print(f"accepted in one round: asyncio {with_asyncio}, uvloop {with_uvloop}")
sys.exit(0 if with_asyncio == CLIENTS and with_uvloop <= 2 else 1)
PYTHON
