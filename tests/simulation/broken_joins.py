"""Joined turns with one mistake each, which the simulator must find."""

from collections.abc import Callable, Sequence

from holdfast.engines.joined import Apart, JoinedTransaction
from holdfast.engines.pending import Level, Pending
from holdfast.storage import Write


class LosesAtRelease(JoinedTransaction):
    """The end of a turn forgets what it wrote last."""

    async def release(self) -> None:
        """Forget it."""
        if len(self._pending.users) > max(self._levels[-1].users, self._pending.users_done):
            self._pending.users.pop()
        await super().release()


class TellsNoConflict(JoinedTransaction):
    """That a row was there already, or another's by now, is nobody's loss."""

    async def _write_ours(self) -> None:
        rows = self._pending.take_ours()
        if rows is not None:
            await self.apart.write_ours(rows)


class ReadsTooEarly(JoinedTransaction):
    """A SELECT does not see what was gathered before it."""

    _ends = False

    async def _write_users(self) -> None:
        if self._ends:
            await super()._write_users()

    async def commit(self) -> bool:
        """Write everything now."""
        self._ends = True
        return await super().commit()


class TellsNoSavepoint(JoinedTransaction):
    """The server does not hear of savepoints: what a turn did directly stays when it fails."""

    async def _tell_levels(self) -> None:
        """Tell nothing."""


def _with(pending: type[Pending]) -> Callable[[Apart], JoinedTransaction]:
    def join(apart: Apart) -> JoinedTransaction:
        tx = JoinedTransaction(apart)
        tx._pending = pending()
        return tx

    join.__name__ = pending.__name__
    return join


class WritesInAnyOrder(Pending):
    """Rows that are written in two ways are written in the order of the ways."""

    def take_users(self) -> list[Write]:
        """Sort by shape."""
        found = super().take_users()
        return sorted(found, key=lambda write: (write.key is not None, len(write.values)))


class KeepsWhatIsUndone(Pending):
    """What a turn gathered before it failed is written."""

    def undo(self, level: Level) -> None:
        """Undo nothing."""


class WritesOnce(Pending):
    """What others had gathered, and a savepoint has undone with it, is not written again."""

    def undo(self, level: Level) -> None:
        """Take it for written."""
        done = self.users_done, self.ours_done
        super().undo(level)
        self.users_done = min(done[0], len(self.users))
        self.ours_done = min(done[1], len(self.ours))


BROKEN: Sequence[Callable[[Apart], JoinedTransaction]] = (
    LosesAtRelease,
    TellsNoConflict,
    ReadsTooEarly,
    TellsNoSavepoint,
    *map(_with, (WritesInAnyOrder, KeepsWhatIsUndone, WritesOnce)),
)
