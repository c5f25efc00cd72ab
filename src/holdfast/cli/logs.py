"""`holdfast logs`: what the local processes of a system write, also of one order alone."""

import asyncio
import sys
from collections.abc import Collection, Iterable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import uvloop

from holdfast.cli.named import Loaded, load
from holdfast.cli.options import AsJson, DataFolderPath, SystemName, data_folder
from holdfast.cli.output import complain
from holdfast.cli.trace import told
from holdfast.errors import UnknownName, Unreachable
from holdfast.observability.console import console_line
from holdfast.story import wanted
from holdfast.story.log_lines import Matching, Tail, by_time, log_folders

LOOK_S = 0.3

About = Annotated[
    str | None,
    typer.Option(
        "--about",
        metavar="ID",
        help="Lines of one order: an id as `holdfast trace` takes it, or FIELD=VALUE.",
        show_default=False,
    ),
]
Once = Annotated[bool, typer.Option("--once", help="Print what is kept, and end.")]


def command(
    system: SystemName,
    about: About = None,
    once: Once = False,
    data: DataFolderPath = None,
    as_json: AsJson = False,
) -> None:
    """Print the kept log lines of all local processes by time, then follow them, until Ctrl-C.

    With --about only those that have an id of that order: of its correlation, its trace, its saga
    or its letters. Each process keeps its newest lines, HOLDFAST_LOG_KEPT_MB of them, in its data
    folder. They are JSON in a pipe, or with --json.
    """
    loaded = load(system)
    folder = data_folder(data, loaded.system.name)
    folders = log_folders(folder)
    if not folders:
        raise UnknownName(
            f"no process has kept a log in {folder}; `holdfast run {loaded.name}` does, and --data "
            "names another folder"
        )
    matching = Matching(_ids(loaded, about, data))
    people = sys.stdout.isatty() and not as_json
    with ExitStack() as stack:
        tails = [stack.enter_context(closing(Tail(one, matching))) for one in folders]
        kept = (line for tail in tails for line in (*tail.kept(), *tail.new()))
        try:
            count = _print(by_time(kept), people=people)
            if not count and about is not None:
                complain(f"no kept line is about {about}")
            if not once:
                uvloop.run(_follow(folder, folders, tails, matching, people=people))
        except (KeyboardInterrupt, BrokenPipeError):
            return


def _ids(loaded: Loaded, about: str | None, data: Path | None) -> Collection[str]:
    """Return every id of an order; of one that no database knows any more, what was typed."""
    if about is None:
        return ()
    meant = wanted(None, about) if "=" in about else wanted(about, None)
    try:
        return told(loaded, meant, data).ids()
    except (UnknownName, Unreachable):
        return {meant.value or about}


async def _follow(
    folder: Path, known: list[Path], tails: list[Tail], matching: Matching, *, people: bool
) -> None:
    """Print what comes, also of processes that are started from now on."""
    while True:
        for one in log_folders(folder):
            if one not in known:
                known.append(one)
                tails.append(Tail(one, matching))
        for tail in tails:
            _print(tail.new(), people=people)
        await asyncio.sleep(LOOK_S)


def _print(lines: Iterable[bytes], *, people: bool) -> int:
    """Print lines; return how many."""
    count = 0
    for line in lines:
        sys.stdout.buffer.write(_for_people(line) if people else line)
        count += 1
    sys.stdout.buffer.flush()
    return count


def _for_people(line: bytes) -> bytes:
    try:
        return console_line(msgspec.json.decode(line, type=dict[str, object]))
    except (msgspec.DecodeError, KeyError):
        return line
