"""How far one goes: calls, files and changes of file of one POST, and of one whole order.

Counted by `sys.setprofile`: each call of a Python function of Holdfast, and each time that a
coroutine of it goes on, is a call; whether it is in another file than the one before is a change of
file. Calls of libraries, of the standard library and of the shop itself are not counted. The system
is the shop in one process on SQLite; what looks at tables by the clock is asked not to.

    POST     from the first byte read to the 202 written: a query, a transaction, a saga's start
    order    from the same byte until all five services have settled it
    a write  a POST that writes a row and starts a saga, and asks nobody: the shop's `POST` without
             the query, as a service of its own

Targets: 130 calls, 25 files and 60 changes for a write; 800 calls for an order.

`python -m benchmarks.walk write` (or `order`) prints every call of one in its order, and then how
many there were in each file.
"""

import argparse
import asyncio
import itertools
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from types import FrameType

import holdfast
from benchmarks.harness import Plan, Row
from benchmarks.orders import requests
from benchmarks.ours import roomy, write
from benchmarks.process import disk_folder
from holdfast.consistency.schedule import Schedule
from holdfast.engines.machine import MachineClock
from holdfast.observability import Logger
from holdfast.runtime.process import Options, Process
from holdfast.system import System

CALLS_TARGET, FILES_TARGET, CHANGES_TARGET, ORDER_TARGET = 130, 25, 60, 800
WARM_UP, WALKS = 10, 7
SETTLE_S = 1.0
_OURS = str(Path(holdfast.__file__).parent)
_QUIET = Schedule(poll_ms=3_600_000, keep_ms=3_600_000)
_ANSWERED = b"HTTP/1.1 2"


@dataclass(slots=True)
class Walk:
    """What was called between two moments, in order."""

    names: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    @property
    def calls(self) -> int:
        """How many calls there were."""
        return len(self.names)

    @property
    def files(self) -> int:
        """How many files they were in."""
        return len({file for file, _ in self.names})

    @property
    def changes(self) -> int:
        """How often the next call was in another file."""
        files = [file for file, _ in self.names]
        return sum(a != b for a, b in itertools.pairwise(files))

    def by_file(self) -> list[tuple[str, int]]:
        """Return (file, calls), most first."""
        return Counter(file for file, _ in self.names).most_common()


class Walker:
    """Counts in the thread that made it, from a request's first byte on.

    Attributes:
        answered: how far it was when the answer was written.
    """

    def __init__(self) -> None:
        self.walk = Walk()
        self.answered = 0
        self._begun = False

    def see(self, frame: FrameType, event: str, arg: object) -> None:
        """Be told of a call by the interpreter."""
        code = frame.f_code
        if event != "call":
            return
        if code.co_filename.startswith(_OURS):
            if not self._begun:
                if code.co_name != "data_received":
                    return
                self._begun = True
            self.walk.names.append((code.co_filename[len(_OURS) + 1 :], code.co_qualname))
        elif self._begun and code.co_name == "write" and not self.answered:
            data = frame.f_locals.get("data")
            if isinstance(data, bytes) and data.startswith(_ANSWERED):
                self.answered = self.walk.calls

    def upto_answer(self) -> Walk:
        """Return the part up to the answer."""
        return Walk(self.walk.names[: self.answered])


async def measure(plan: Plan) -> list[Row]:
    """Measure the figures."""
    alone, shop = _writes(), _orders()
    post, order = [w.upto_answer() for w in alone], [w.walk for w in shop]
    asked = [w.upto_answer() for w in shop]
    return [
        _row("calls of a write and a saga's start", post, "calls", CALLS_TARGET),
        _row("files of it", post, "files", FILES_TARGET),
        _row("changes of file of it", post, "changes", CHANGES_TARGET),
        _row("calls of the shop's POST, which asks for prices too", asked, "calls"),
        _row("calls of an order over four services", order, "calls", ORDER_TARGET),
        _row("files of it", order, "files"),
        _row("changes of file of it", order, "changes"),
    ]


def _writes() -> list[Walker]:
    return _in_thread(write.system, lambda url: [write.request(url)])


def _orders() -> list[Walker]:
    return _in_thread(roomy.system, lambda url: requests(url, "walk@example.org"))


def _row(figure: str, walks: list[Walk], what: str, target: float = float("nan")) -> Row:
    value = float(median(getattr(walk, what) for walk in walks))
    return Row(figure, what, value, target=target, at_most=True)


def _in_thread(system: System, made: Callable[[str], list[bytes]]) -> list[Walker]:
    """Walk in a thread of its own, whose loop is asyncio's: what it writes can be seen."""
    found: list[Walker] = []

    def run() -> None:
        with asyncio.Runner() as runner:
            found.extend(runner.run(_walks(system, made)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found


async def _walks(system: System, made: Callable[[str], list[bytes]]) -> list[Walker]:
    with disk_folder() as folder, open(os.devnull, "wb", buffering=0) as log:
        options = Options(folder, port=0, schedule=_QUIET)
        process = Process(system, options, Logger(log, MachineClock(), system.name, form="json"))
        await process.start()
        walkers: list[Walker] = []
        try:
            sent = await asyncio.to_thread(made, process.url)
            host, port = process.url.removeprefix("http://").rsplit(":", 1)
            reader, writer = await asyncio.open_connection(host, int(port))
            for number in range(WARM_UP + WALKS):
                walker = Walker()
                writer.write(sent[number % len(sent)])
                sys.setprofile(walker.see if number >= WARM_UP else None)
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(_ANSWERED), head
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
                await asyncio.sleep(SETTLE_S if number >= WARM_UP else 0.1)
                sys.setprofile(None)
                if number >= WARM_UP:
                    walkers.append(walker)
            writer.close()
        finally:
            await process.stop()
        return walkers


def main() -> int:
    """Print one walk."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.walk", description=__doc__)
    parser.add_argument("what", choices=["write", "order"])
    if parser.parse_args().what == "write":
        walk = _writes()[-1].upto_answer()
    else:
        walk = _orders()[-1].walk
    for file, name in walk.names:
        print(f"{file:40} {name}")
    for file, calls in walk.by_file():
        print(f"{calls:6} {file}")
    print(f"{walk.calls} calls, {walk.files} files, {walk.changes} changes of file")
    return 0


if __name__ == "__main__":
    sys.exit(main())
