"""An ASGI app whose answer is larger than what the kernels of both sides hold."""

from typing import Any

_PIECE = b"f" * 65_536
_PIECES = 128


async def feed(scope: Any, receive: Any, send: Any) -> None:
    """Answer with 8 MiB, piece by piece."""
    if scope["type"] != "http":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(_PIECES):
        await send({"type": "http.response.body", "body": _PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
