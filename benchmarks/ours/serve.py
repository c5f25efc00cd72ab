"""How a Holdfast process of a benchmark says that it is ready, and ends."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from holdfast.engines.machine import MachineSignals


async def serve_until_stopped(
    ready: Mapping[str, Any], stop: Callable[[], Awaitable[object]]
) -> None:
    """Announce what is ready, wait for SIGTERM, and stop it."""
    ended = asyncio.Event()
    MachineSignals().on_stop(ended.set)
    print(json.dumps(ready), flush=True)
    await ended.wait()
    await stop()
