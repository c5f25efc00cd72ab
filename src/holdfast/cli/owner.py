"""Carries out an operator's verb where it may be done: in the process that owns the data folder.

A running process is spoken to over the folder's Unix socket. With none running, the folder is
opened, and owned, for as long as the verb takes.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from holdfast.cli.options import data_folder
from holdfast.communication import ClientPool, Origin
from holdfast.contract.http import Request, Response
from holdfast.contract.model import JsonObject
from holdfast.engines.machine import MachineClock
from holdfast.engines.network import SystemNetwork
from holdfast.errors import (
    CallError,
    Conflict,
    ConnectionLost,
    DataFolderBusy,
    HoldfastError,
    Invalid,
    UnknownName,
    Unreachable,
)
from holdfast.observability import Logger
from holdfast.runtime.environment import environment
from holdfast.runtime.folder import DataFolder
from holdfast.runtime.settings import process_settings
from holdfast.system import System

ANSWER_S = 30.0
PATIENCE_S = 5.0
_PAUSE_S = 0.1
_LOOKS = {"sagas", "saga", "dead-letters", "dead-letter"}
_KNOWN: dict[str, type[HoldfastError]] = {
    kind.code: kind for kind in (UnknownName, Invalid, Conflict)
}


def perform(system: System, data: Path | None, verb: str, **arguments: object) -> Any:
    """Return the result of one of `runtime.control.Control`'s verbs, as JSON types.

    Raises:
        UnknownName: there is no such data folder, message, saga or dead letter.
        Invalid, Conflict: the verb was refused.
        DataFolderBusy: the folder's owner does not answer.
        DataFolderUnfit: the folder must not be opened as it is.
    """
    return uvloop.run(_perform(system, data_folder(data, system.name), verb, arguments))


async def _perform(system: System, path: Path, verb: str, arguments: dict[str, object]) -> Any:
    folder = DataFolder(path)
    if not folder.path.is_dir():
        raise UnknownName(
            f"there is no data folder {path}; `holdfast run {system.name}` makes it, --data names "
            "another"
        )
    request = Request("POST", f"/{verb}", body=msgspec.json.encode(arguments))
    loop = asyncio.get_running_loop()
    give_up = loop.time() + PATIENCE_S
    while True:
        try:
            if folder.is_owned():
                return _result(await _ask(folder.socket, request))
            return _result(await _open(system, path, request, to_look=verb in _LOOKS))
        except (Unreachable, DataFolderBusy) as exc:
            # The owner starts or stops just now, or is another command like this one.
            if loop.time() > give_up:
                raise DataFolderBusy(
                    f"{path} is in use by a process that does not answer; try again, or stop it"
                ) from exc
            await asyncio.sleep(_PAUSE_S)


async def _ask(socket: str, request: Request) -> Response:
    pool = ClientPool(network=SystemNetwork(), clock=MachineClock())
    try:
        return await pool.request(Origin.parse(f"unix:{socket}"), request, deadline_s=ANSWER_S)
    except ConnectionLost as exc:
        raise CallError(f"{exc}; look whether it was done before you try again") from exc
    finally:
        await pool.close()


async def _open(system: System, path: Path, request: Request, *, to_look: bool) -> Response:
    from holdfast.runtime.process import Options, Process  # whoever asks an owner need not wait

    environ = environment(system)
    options = Options(data=path, environ=environ, settings=process_settings(environ))
    logger = Logger(sys.stderr.buffer, MachineClock(), system.name, "warning")
    process = Process(system, options, logger)
    try:
        await process.open(to_look=to_look)
        return await process.control(request)
    finally:
        await process.close()
        logger.close()


def _result(response: Response) -> Any:
    document = msgspec.json.decode(response.body or b"{}", type=JsonObject)
    if response.status == 200:
        return document["result"]
    message = str(document.get("error", f"the running process answered {response.status}"))
    raise _KNOWN.get(str(document.get("code")), HoldfastError)(message)
