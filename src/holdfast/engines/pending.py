"""What joined turns have yet to write: gathered over a transaction, and written at once.

Pure: it keeps what waits, and says what belongs together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from sqlalchemy import Table

from holdfast.contract.envelope import MessageRow, SagaRow, State, StepRow
from holdfast.storage import Write


@dataclass(slots=True)
class Level:
    """An open savepoint, which the server hears of only if something has to be undone there.

    Attributes:
        users, ours: how much had been gathered when it was opened.
        direct: how many statements had been sent then that only a savepoint undoes.
        exact: of a user, who looks at what each statement in it raises; nothing is gathered.
        told: the server knows of it; then `users_done` and `ours_done` had been written before.
        leaks: something was sent before the server knew of it, and cannot be undone any more.
    """

    users: int
    ours: int
    direct: int
    exact: bool
    told: bool = False
    leaks: bool = False
    users_done: int = 0
    ours_done: int = 0


@dataclass(frozen=True, slots=True)
class Sent:
    """A new letter; a guarded one must be above its edge's floor."""

    row: MessageRow
    guarded: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """A row that has changed, if its state is still `was` and its `due_at` still `held`."""

    row: MessageRow
    was: State
    held: int | None


@dataclass(frozen=True, slots=True)
class Advanced:
    """A saga that is new, or has gone on."""

    row: SagaRow
    new: bool


_Entry = Sent | Settled | Advanced | StepRow


@dataclass(slots=True)
class Ours:
    """Rows of the framework's tables that one statement writes, each of them once.

    Attributes:
        started: sagas that are new, as they are after they have gone on.
    """

    sent: list[Sent] = field(default_factory=list[Sent])
    settled: list[Settled] = field(default_factory=list[Settled])
    started: list[SagaRow] = field(default_factory=list[SagaRow])
    advanced: list[SagaRow] = field(default_factory=list[SagaRow])
    stepped: list[StepRow] = field(default_factory=list[StepRow])


@dataclass(slots=True)
class Pending:
    """All that waits, in the order in which it came; what was written stays until the end."""

    users: list[Write] = field(default_factory=list[Write])
    ours: list[_Entry] = field(default_factory=list[_Entry])
    users_done: int = 0
    ours_done: int = 0
    _touched: set[UUID | None] = field(default_factory=set[UUID | None])

    def send(self, rows: Sequence[MessageRow], *, guarded: bool) -> None:
        """Gather new rows, as they are now; guarded ones must be above their edge's floor."""
        for row in rows:
            self._add(Sent(row.copy(), guarded))

    def settle(self, row: MessageRow, was: State, held: int | None = None) -> None:
        """Gather a row that has changed its state, if its `due_at` is still `held`."""
        self._add(Settled(row.copy(), was, held))

    def saga(self, row: SagaRow, *, new: bool) -> None:
        """Gather a saga that was started, or that has gone on."""
        self._add(Advanced(replace(row), new))

    def step(self, rows: Sequence[StepRow]) -> None:
        """Gather steps that have ended."""
        for row in rows:
            self._add(row)

    def _add(self, entry: _Entry) -> None:
        self.ours.append(entry)
        self._touched.update(_about(entry))

    def touches(self, *keys: UUID) -> bool:
        """Whether rows of these ids, or of these sagas, wait to be written."""
        return self.ours_done < len(self.ours) and not self._touched.isdisjoint(keys)

    def take_users(self) -> list[Write]:
        """Return what users want to have written next, what belongs together side by side."""
        found = self.users[self.users_done :]
        self.users_done = len(self.users)
        return [write for group in together(found) for write in group]

    def take_ours(self) -> Ours | None:
        """Return what we want to have written next."""
        found = self.ours[self.ours_done :]
        self.ours_done = len(self.ours)
        self._touched.clear()
        return _joined(found) if found else None

    def level(self, direct: int, *, exact: bool) -> Level:
        """Open a savepoint here."""
        return Level(len(self.users), len(self.ours), direct, exact)

    def tell(self, level: Level, direct: int) -> None:
        """Take down that the server hears of a savepoint now: behind what was written so far."""
        level.leaks = self.lost_by(level, direct)
        level.told = True
        level.users_done, level.ours_done = self.users_done, self.ours_done

    def lost_by(self, level: Level, direct: int) -> bool:
        """Whether undoing a savepoint would leave something behind."""
        if level.told:
            return level.leaks
        return direct > level.direct or self.users_done > level.users

    def undo(self, level: Level) -> None:
        """Forget what was gathered since a savepoint; what it has undone waits again."""
        del self.users[level.users :], self.ours[level.ours :]
        if level.told:
            self.users_done, self.ours_done = level.users_done, level.ours_done
        self.users_done = min(self.users_done, len(self.users))
        self.ours_done = min(self.ours_done, len(self.ours))
        self._touched = {key for entry in self.ours[self.ours_done :] for key in _about(entry)}


def _about(entry: _Entry) -> tuple[UUID | None, ...]:
    """Return the ids by which an entry may be asked for: its row's, and its saga's."""
    if isinstance(entry, StepRow):
        return (entry.saga,)
    if isinstance(entry, Advanced):
        return (entry.row.id,)
    return (entry.row.id, entry.row.owner)


def _joined(entries: Sequence[_Entry]) -> Ours:
    """Return what one statement writes: of a saga, which may be there often, its latest row."""
    ours, sagas = Ours(), dict[UUID, Advanced]()
    for entry in entries:
        match entry:
            case Sent():
                ours.sent.append(entry)
            case Settled():
                ours.settled.append(entry)
            case Advanced(row, new):
                known = sagas.get(row.id)
                sagas[row.id] = Advanced(row, new if known is None else known.new)
            case StepRow():
                ours.stepped.append(entry)
    for saga in sagas.values():
        (ours.started if saga.new else ours.advanced).append(saga.row)
    return ours


def together(writes: Sequence[Write]) -> Iterator[list[Write]]:
    """Yield what one statement can write, in an order that comes to the same.

    Writes of one shape are joined over all turns, as long as no row is written by two shapes: a
    row that is seen again in another one ends what came before it.
    """
    groups: dict[tuple[Table, tuple[str, ...], bool], dict[object, Write]] = {}
    writer: dict[tuple[Table, object], object] = {}
    for write in writes:
        shape = (write.table, tuple(write.values), write.key is None)
        row = (write.table, _row_of(write))
        if writer.get(row, shape) != shape or (shape[2] and row in writer):
            yield from (list(group.values()) for group in groups.values())
            groups, writer = {}, {}
        if row[1] is not None:
            writer[row] = shape
        group = groups.setdefault(shape, {})
        group[len(group) if row[1] is None else row[1]] = write  # an update again: the last holds
    yield from (list(group.values()) for group in groups.values())


def _row_of(write: Write) -> object:
    """Return the primary key that a write names, or None if the database makes it."""
    if write.key is not None:
        return write.key
    names = [column.key for column in write.table.primary_key]
    if not names or any(name not in write.values for name in names):
        return None
    return tuple(write.values[name] for name in names)
