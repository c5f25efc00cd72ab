"""The life of a serving process: start, serve until it is asked to stop, drain."""

import asyncio
import gc
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from holdfast.errors import DataFolderBusy, DataFolderUnfit
from holdfast.observability import Logger, bridged
from holdfast.ports import Signals
from holdfast.runtime.audit import started
from holdfast.runtime.figures import watch_process
from holdfast.runtime.kept_log import KeptLog
from holdfast.runtime.process import Options, Process
from holdfast.system import System


async def serve(
    system: System,
    options: Options,
    logger: Logger,
    signals: Signals,
    on_ready: Callable[[Process], None],
) -> None:
    """Run `system` until `signals` ask to stop; return when everything is drained.

    A wish to stop that comes during the start is granted as soon as the start is through. While
    it serves, the standard `logging` writes to `logger` too.

    Args:
        on_ready: called once, when the process takes requests.
    Raises:
        DeclarationError, SettingError, DataFolderBusy, DataFolderUnfit, UnknownName: it cannot be
            started so.
        OSError: an address is in use or not ours, or the data folder is not.
        ExceptionGroup: the drain was not clean.
    """
    gc.freeze()  # what was imported: who looks for garbage before it is ready need not look there
    stop = asyncio.Event()
    signals.on_stop(stop.set)
    with bridged(logger), ExitStack() as closing:
        process = Process(system, replace(options, alone=True), logger)
        await start(process)
        if process.folder is not None and options.settings.log_kept_mb:
            kept = KeptLog(process.folder.path, options.settings.log_kept_mb << 20)
            logger.keep(kept)
            closing.callback(kept.close)
            closing.callback(logger.flush)  # before it
        watch_process(process.metrics)
        lag = process.loop_lag()
        lag.start()
        started(process.audit, system, options)
        logger.info("process.ready", **process.addresses)
        logger.flush()
        _settle_garbage()
        on_ready(process)
        await stop.wait()
        logger.info("process.draining", drain_s=options.settings.drain_s)
        await process.stop()
        lag.stop()
        logger.info("process.stopped")


async def start(process: Process) -> None:
    """Start a process. One that fails half way is stopped, so that it leaves nothing behind."""
    try:
        await process.start()
    except (DataFolderBusy, DataFolderUnfit):
        raise  # nothing was opened
    except BaseException:  # raised again: nothing is left running
        try:
            await process.stop()  # the stand-ins that are running must not outlive this process
        except Exception as exc:  # why it did not start matters more than what it left behind
            process.logger.warning("process.stop_failed", exc=exc)
        raise


def _settle_garbage() -> None:
    """Keep the collector off what lives as long as the process, and let it look less often.

    With the default threshold it goes through all live objects several hundred times in 1,000
    orders, a tenth of the CPU; what is garbage here dies by its reference count.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
