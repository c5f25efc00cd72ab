"""Runs a module, and samples where its CPU goes: `python -m benchmarks.sampled FILE MODULE …`.

SIGUSR1 begins, SIGUSR2 ends and writes {room: seconds} to the file. A tick of the process's own
CPU (ITIMER_PROF) asks each thread how much it has used since the last one, and puts that down to
the innermost frame that belongs to somebody; so what C code used, and the kernel for it, counts
for whoever called it. Nothing is instrumented: it is as fast as without, but for the ticks.
"""

import contextlib
import dis
import json
import runpy
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

TICK_S = 0.001  # as asked; the kernel makes it one of its own, of up to 10 ms
LOOP = "event loop and kernel"
HANDLERS = "handlers of the system"
OTHER_THREADS = "other threads"
_RESUME = dis.opmap["RESUME"]
_OF_A_THREAD = 6  # CPUCLOCK_PERTHREAD_MASK and CPUCLOCK_SCHED, include/linux/posix-timers_types.h
_LOOP_FILES = ("asyncio/runners.py", "uvloop/__init__.py")
_LIBRARIES = {"sqlalchemy": "SQLAlchemy", "asyncpg": "asyncpg", "nats": "nats-py"}
_LIBRARIES |= {"pydantic": "pydantic", "aiosqlite": "aiosqlite", "alembic": "Alembic"}


def room_of(files: list[str]) -> str:
    """Return whom a stack belongs to, whose files come innermost first."""
    for file in files:
        if file.endswith(_LOOP_FILES):
            return LOOP
        _, installed, library = file.rpartition("/site-packages/")
        if installed:
            if name := _LIBRARIES.get(library.partition("/")[0]):
                return name
            continue
        _, ours, inside = file.rpartition("/src/holdfast/")
        if ours:
            return inside.partition("/")[0].removesuffix(".py")
        if "/shop/" in file or "/benchmarks/ours/" in file:
            return HANDLERS
    return OTHER_THREADS


def was_in(frame: FrameType) -> FrameType:
    """Return the frame in which the time went that a signal found in this one.

    Signals are looked for when a frame begins or goes on (`RESUME`), after a call and at the end
    of a loop's round. What begins has taken no time yet: it was who called it, which is the event
    loop, with the kernel, where that is a callback or a task's step.
    """
    while frame.f_back is not None and frame.f_code.co_code[frame.f_lasti] == _RESUME:
        frame = frame.f_back
    return frame


class Sampler:
    """Counts the CPU of each room.

    Attributes:
        found: {room: seconds}.
    """

    def __init__(self) -> None:
        self.found = Counter[str]()
        self._used_s: dict[int, float] = {}

    def begin(self) -> None:
        """Sample from now on."""
        self.found.clear()
        self._used_s = _used_s()
        signal.signal(signal.SIGPROF, self._tick)
        signal.setitimer(signal.ITIMER_PROF, TICK_S, TICK_S)

    def end(self) -> Mapping[str, float]:
        """Sample no more; return what was found."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        return dict(self.found.most_common())

    def _tick(self, signum: int, frame: FrameType | None) -> None:
        frames = sys._current_frames()
        main = threading.main_thread().ident
        assert main is not None and frame is not None
        frames[main] = was_in(frame)
        used_s = _used_s()
        for thread, now_s in used_s.items():
            grown_s = now_s - self._used_s.get(thread, 0.0)
            if grown_s > 0 and thread in frames:
                self.found[room_of(_files(frames[thread]))] += grown_s
        self._used_s = used_s


def _used_s() -> dict[int, float]:
    """Return {thread: CPU so far} of all threads of Python."""
    found: dict[int, float] = {}
    for thread in threading.enumerate():
        if thread.ident is not None and thread.native_id is not None:
            with contextlib.suppress(OSError):  # it has ended meanwhile
                found[thread.ident] = time.clock_gettime(~thread.native_id << 3 | _OF_A_THREAD)
    return found


def _files(frame: FrameType) -> list[str]:
    found, outer = [frame.f_code.co_filename], frame.f_back
    while outer is not None:
        found.append(outer.f_code.co_filename)
        outer = outer.f_back
    return found


def main() -> None:
    """Run the module that the command line names, as if it were run itself."""
    path, module = Path(sys.argv[1]), sys.argv[2]
    sampler = Sampler()

    def write() -> None:
        whole = path.with_suffix(".part")
        whole.write_text(json.dumps(sampler.end()))
        whole.rename(path)

    signal.signal(signal.SIGUSR1, lambda signum, frame: sampler.begin())
    signal.signal(signal.SIGUSR2, lambda signum, frame: write())
    sys.argv[:] = sys.argv[2:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
