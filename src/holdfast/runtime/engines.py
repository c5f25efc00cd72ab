"""What one process runs on: the concrete classes behind the ports."""

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.communication import Origin
from holdfast.engines.host import HostClock, HostIds, host_random
from holdfast.engines.memory import MemoryBroker
from holdfast.engines.network import SystemNetwork
from holdfast.engines.sqlite import SqliteDatabase
from holdfast.ports import Broker, Clock, Database, Ids, Network, Random
from holdfast.runtime.threads import Threads


@dataclass(frozen=True, slots=True)
class Engines:
    """The engines of one process.

    Attributes:
        database: returns the database of a service, by its name.
        run: runs a blocking function.
        discover: where a process of a service listens for the others; None: all services are
            here, and nothing listens for them.
    """

    clock: Clock
    ids: Ids
    random: Random
    network: Network
    broker: Broker
    database: Callable[[str], Database]
    run: Callable[..., Awaitable[Any]]
    discover: Callable[[str], Origin] | None = None


def embedded(files: Callable[[str], Path], *, threads: int) -> Engines:
    """Return the engines that need nothing installed: SQLite files, a broker in memory.

    Args:
        files: returns the path of a service's database.
        threads: for blocking functions.
    """
    clock, pool = HostClock(), Threads(threads)

    async def run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await pool.run(functools.partial(function, *args, **kwargs))

    return Engines(
        clock=clock,
        ids=HostIds(),
        random=host_random(),
        network=SystemNetwork(),
        broker=MemoryBroker(),
        database=lambda service: SqliteDatabase(files(service), clock),
        run=run,
    )
