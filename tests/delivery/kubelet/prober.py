"""Asks what a probe asks, from the node, as the kubelet does."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from tests.delivery.kubelet.manifests import Object
from tests.delivery.kubelet.node import Node

Inside = Callable[[Sequence[str], float], Awaitable[bool]]
"""Runs a command in the container, within so many seconds; returns whether that went well."""


async def ask(
    probe: Object, ports: dict[str, tuple[str, int]], address: str, node: Node, inside: Inside
) -> bool:
    """Return whether a probe, or a hook, is answered well within its time."""
    timeout_s = float(probe.get("timeoutSeconds", 1))
    if "exec" in probe:
        return await inside(probe["exec"]["command"], timeout_s)
    try:
        async with asyncio.timeout(timeout_s):
            if "tcpSocket" in probe:
                port = number(probe["tcpSocket"]["port"], ports)
                (await node.connected("", address, port)).close()
                return True
            return await _http(node, address, probe["httpGet"], ports)
    except (OSError, TimeoutError, EOFError):
        return False


def number(port: int | str, ports: dict[str, tuple[str, int]]) -> int:
    """Return a port's number; one whose name is not known is 0, where nobody answers."""
    if isinstance(port, int):
        return port
    return ports.get(port, ("TCP", 0))[1]


async def _http(node: Node, address: str, get: Object, ports: dict[str, tuple[str, int]]) -> bool:
    """Send a GET; 200 to 399 is well. Raises OSError."""
    port = number(get["port"], ports)
    options: dict[str, Any] = {}
    if get.get("scheme") == "HTTPS":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        options = {"ssl": context, "server_hostname": get.get("host", "")}
    made = await node.connected("", address, port)
    # The socket is closed by what it was given to, and by nobody else before that.
    reader, writer = await asyncio.open_connection(sock=made, **options)
    try:
        headers = {
            "host": f"{address}:{port}",
            "user-agent": "kube-probe/1.36",
            "connection": "close",
        }
        headers |= {h["name"].lower(): h["value"] for h in get.get("httpHeaders") or []}
        lines = [f"GET {get.get('path', '/')} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        status = (await reader.readline()).split()
        return len(status) > 1 and 200 <= int(status[1]) < 400
    finally:
        writer.close()
