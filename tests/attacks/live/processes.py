"""A process that is started and stopped by hand."""

import asyncio
import io
from dataclasses import dataclass
from pathlib import Path

from holdfast import System
from holdfast.engines.machine import MachineClock
from holdfast.observability import Logger
from holdfast.runtime.folder import DataFolder
from holdfast.runtime.process import Options, Process
from holdfast.runtime.serve import start
from holdfast.runtime.settings import ProcessSettings


@dataclass(frozen=True, slots=True)
class Stopped:
    """A process after its drain; `unclean` is what the drain complained of."""

    folder: DataFolder
    unclean: tuple[Exception, ...]


async def stopped_within(
    system: System, data: Path, settings: ProcessSettings, *, within_s: float
) -> Stopped:
    """Start a system, drain it at once, and return what is left of it."""
    logger = Logger(io.BytesIO(), MachineClock(), system.name, form="json")
    process = Process(system, Options(data, port=0, settings=settings), logger)
    await start(process)
    unclean: tuple[Exception, ...] = ()
    try:
        async with asyncio.timeout(within_s):
            await process.stop()
    except ExceptionGroup as group:
        unclean = group.exceptions
    return Stopped(process.folder, unclean)
