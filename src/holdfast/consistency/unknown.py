"""What this version of a service does not know: another one's letters, sagas and ticks.

During a rolling deployment, and after a roll-back, a database holds work of a newer version; after
a name has gone from the code, work that no version knows any more. None of it is poison. It waits,
without using tries, it is shown, and a version that knows it goes on with it.
"""

import asyncio
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from holdfast.consistency.schedule import Schedule, postponed_to
from holdfast.consistency.transitions import entries
from holdfast.contract.cause import NO_CAUSE, Cause
from holdfast.contract.envelope import Kind, MessageRow, State
from holdfast.errors import HoldfastError
from holdfast.storage import WAITS, Database, Unfinished


class NotKnown(HoldfastError):
    """This version does not know it, and one that does must go on with it.

    Attributes:
        cause: of a saga: what it goes back to.
    """

    code, status = "not_known", 409

    def __init__(self, detail: str, cause: Cause = NO_CAUSE) -> None:
        super().__init__(detail)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class KnownWork:
    """What this version of a service knows.

    Attributes:
        sagas: {type: version}. letters: the types that it handles, ticks too.
        sends: (to whom, type) of what the graph lets it send.
    """

    sagas: Mapping[str, int]
    letters: Container[str]
    sends: Container[tuple[str, str]] = ()

    def knows(self, work: Unfinished) -> bool:
        """Whether it goes on with work that a database holds."""
        if work.kind == "saga":
            return work.version <= self.sagas.get(work.name, 0)
        return (work.to, work.name) in self.sends if work.to else work.name in self.letters


class UnknownWork:
    """Whether rows that wait for another version are left to it, for as long as a letter waits.

    Such a row is due at once for a version that knows it, so this one must not take it each time.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._pause_s = schedule.version_ms / 1000
        self._left_until = 0.0  # loop time

    def met(self) -> None:
        """Leave what waits for another version to it for a while."""
        self._left_until = asyncio.get_running_loop().time() + self._pause_s

    def is_taken(self) -> bool:
        """Whether such rows are claimed here, to see whether this is the version."""
        return asyncio.get_running_loop().time() >= self._left_until


def waiting(row: MessageRow, why: str, now_ms: int, schedule: Schedule) -> MessageRow:
    """Return the row of a letter that waits for a version that knows it.

    The try that met this version is given back. The pause is half the letter's age, at most
    `version_ms`, so that it goes on soon after such a version has come. What earlier tries have
    written down stays before the one line that says why it waits.
    """
    waits = row.copy()
    waits.state = State.DUE
    waits.tries = max(0, row.tries - 1)
    waits.due_at = min(postponed_to(row, now_ms, schedule), now_ms + schedule.version_ms)
    before = [one for one in entries(row.error) if not one.startswith(WAITS)]
    waits.error = "\n".join([*before, f"{WAITS}{why}"])
    return waits


def unknown_here(wire: str, service: str) -> str:
    """Return the line by which the row of a letter waits for a version that knows it."""
    return f"{WAITS}nobody handles {wire} in {service}; another version may"


def waits(row: MessageRow) -> bool:
    """Whether a letter waits for a version that knows it."""
    return row.state is State.DUE and WAITS in (row.error or "")


def strangers(unfinished: Iterable[Unfinished], known: KnownWork) -> list[Unfinished]:
    """Return what of a database's unfinished work this version does not know."""
    return [work for work in unfinished if not known.knows(work)]


def remedy(service: str, work: Unfinished, known: KnownWork) -> str:
    """Return one line: what waits, and what to do about it."""
    name, many = work.name, "s" * (work.count != 1)
    if work.to:
        type_ = name.rpartition(".")[0]
        again = f"write `calls=[{type_}]` in {service} again"
        if work.kind == Kind.UNDO:
            again = f"let {service} call again what {type_} undoes"
        if work.kind == Kind.EVENT:
            again = f"let {service} publish it and {work.to} hear it again"
        return (
            f"{service}: {work.count} letter{many} {name} to {work.to} without an answer, and the "
            f"graph has no such edge any more: {again} until they are answered"
        )
    if work.kind == "saga" and name in known.sagas:
        return (
            f"{service}: {work.count} saga{many} {name} of version {work.version}, this process "
            f"has {known.sagas[name]}; deploy version {work.version} again"
        )
    if work.kind == "saga":
        return (
            f"{service}: {work.count} saga{many} {name}, which this version does not have; keep "
            f"the function until they have ended, or write `@{service}.saga(was={name!r})` above "
            "the one that goes on with them"
        )
    if work.kind == Kind.TICK:
        job = name.removeprefix("tick ")
        return (
            f"{service}: the job {job} has a tick to come, and this version no such job; write "
            f"`was={job!r}` at the job that took its place, or "
            f"`Service({service!r}, gone=[{job!r}])` if it is gone for good"
        )
    return (
        f"{service}: {work.count} letter{many} {name}, which nobody handles here; deploy a version "
        "that handles it, or give it up with `holdfast dead-letters drop`"
    )


async def unknown_work(database: Database, service: str, known: KnownWork) -> list[str]:
    """Return a line for everything in a database that this version does not know."""
    found = strangers(await database.unfinished(), known)
    return [remedy(service, work, known) for work in found]
