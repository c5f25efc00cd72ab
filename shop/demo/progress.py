"""Progress: bars on a terminal, a line for every tenth in a pipe."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class Meter(Protocol):
    """Shows how far something is."""

    def __call__(self, what: str, done: int) -> None:
        """Show that `done` of all orders are `what`, such as "placed"."""
        ...

    def say(self, text: str) -> None:
        """Show a sentence."""
        ...


class _Bars:
    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._bars = {what: progress.add_task(what, total=total) for what in ("placed", "settled")}

    def __call__(self, what: str, done: int) -> None:
        self._progress.update(self._bars[what], completed=done)

    def say(self, text: str) -> None:
        self._progress.console.print(text, markup=False)


class _Lines:
    def __init__(self, total: int) -> None:
        self._total = total
        self._tenths: dict[str, int] = {}

    def __call__(self, what: str, done: int) -> None:
        tenth = 10 * done // self._total
        if tenth > self._tenths.get(what, 0):
            self._tenths[what] = tenth
            self.say(f"{what} {done}/{self._total}")

    def say(self, text: str) -> None:
        print(text, flush=True)


@contextmanager
def meter(total: int) -> Generator[Meter, None, None]:
    """Show progress towards `total` while the block runs."""
    if not sys.stdout.isatty():
        yield _Lines(total)
        return
    columns = (TextColumn("{task.description:<8}"), BarColumn(40), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn()) as progress:
        yield _Bars(progress, total)
