"""Reads the rows of one order from the databases of all services; nothing is written."""

from collections.abc import Iterable, Sequence
from uuid import UUID

import msgspec

from holdfast.consistency.steps import StepOutcome
from holdfast.contract.envelope import Kind, MessageRow, SagaRow, StepRow
from holdfast.storage import MessageFilter, SagaFilter
from holdfast.story.databases import ServiceDatabase
from holdfast.story.order_rows import OrderRows, Wanted, input_of, letter_of, response_of
from holdfast.system import System
from holdfast.system.signature import read_signature

SAGAS_MAX = 100
LETTERS_MAX = 1_000
_AT_ONCE = 200  # ids in one statement


async def find(
    system: System, databases: Sequence[ServiceDatabase], wanted: Wanted
) -> list[OrderRows]:
    """Return what is held of an order, of each database.

    First what was asked for itself; then, by the correlation ids of that, what belongs to it; then
    the rows by which its letters are remembered where they were handled.
    """
    readers = [_Reader(one, _input_names(system, one.service)) for one in databases]
    for reader in readers:
        await reader.open()
    id_ = wanted.id
    if id_ is None or not any([await reader.named(id_) for reader in readers]):
        for reader in readers:
            await reader.meant(wanted)
    correlations = {name for reader in readers for name in reader.correlations()}
    if correlations:
        named = tuple(b'"correlation":' + msgspec.json.encode(name) for name in correlations)
        for reader in readers:
            await reader.add(text=named)
    for reader in readers:
        await reader.complete()
    letters = sorted({id_ for reader in readers for id_ in reader.letters()})
    for reader in readers:
        await reader.add_letters(letters)
    return [reader.held for reader in readers]


def _input_names(system: System, service: str) -> dict[str, str]:
    """Return {type of a saga: the name of what it is started with}."""
    found: dict[str, str] = {}
    for saga in system.service(service).sagas:
        kind = read_signature(saga.function).parameters[1].kind
        found |= dict.fromkeys((saga.name, *saga.was), getattr(kind, "__name__", ""))
    return found


class _Reader:
    """Gathers what one database holds. One that cannot be read is left out, and says why."""

    def __init__(self, of: ServiceDatabase, inputs: dict[str, str]) -> None:
        self._of, self._inputs = of, inputs
        self.held = OrderRows(of.service, trouble=of.trouble)

    async def open(self) -> None:
        if self._of.database is None:
            return
        try:
            edges = await self._of.database.look()
        except Exception as exc:  # of a database that is away, or damaged: the others are told
            self.held.trouble = f"{type(exc).__name__}: {exc}".splitlines()[0]
            return
        self.held.edges = {edge.id: edge for edge in edges}

    async def named(self, id_: UUID) -> bool:
        """Take a saga or a letter by its id, which needs no search; say whether it is here.

        The row of a settled letter alone does not tell what it belonged to.
        """
        if self._of.database is None or not self.held.edges:
            return False
        sagas = await self._of.database.sagas(SagaFilter(id=id_))
        letters = await self._of.database.messages(MessageFilter(id=id_))
        self._keep(sagas, letters)
        return bool(sagas) or any(letter_of(row) is not None for row in letters)

    async def meant(self, wanted: Wanted) -> None:
        """Take what was asked for, and no more."""
        sagas, letters = await self._look(wanted.text, in_steps=True)
        if wanted.field:
            sagas = [row for row in sagas if await self._is_about(row, wanted)]
            letters = [row for row in letters if _letter_is_about(row, wanted)]
        self._keep(sagas, letters)

    async def add(self, *, text: tuple[bytes, ...]) -> None:
        """Take what holds one of these texts."""
        self._keep(*await self._look(text))

    async def _look(
        self, text: tuple[bytes, ...], *, in_steps: bool = False
    ) -> tuple[list[SagaRow], list[MessageRow]]:
        database = self._of.database
        if database is None or not self.held.edges:
            return [], []
        which = SagaFilter(text=text, in_steps=in_steps, limit=SAGAS_MAX + 1)
        sagas = await database.sagas(which)
        letters = await database.messages(MessageFilter(text=text, limit=LETTERS_MAX + 1))
        self.held.cut |= len(sagas) > SAGAS_MAX or len(letters) > LETTERS_MAX
        return sagas[:SAGAS_MAX], letters[:LETTERS_MAX]

    async def _is_about(self, row: SagaRow, wanted: Wanted) -> bool:
        body = msgspec.json.decode(bytes(input_of(row).body))
        if wanted.is_in(body, self._inputs.get(row.type, "")):
            return True
        await self._take_steps(row)
        outcomes = (msgspec.json.decode(s.outcome, type=StepOutcome) for s in self._steps(row))
        bodies = (msgspec.json.decode(bytes(outcome.body)) for outcome in outcomes)
        return any(wanted.is_in(body, "") for body in bodies)

    async def _take_steps(self, row: SagaRow) -> None:
        assert self._of.database is not None
        if row.id not in self.held.steps:
            self.held.steps[row.id] = await self._of.database.saga_steps(row.id)

    def _steps(self, row: SagaRow) -> Sequence[StepRow]:
        return self.held.steps.get(row.id, ())

    def _keep(self, sagas: Iterable[SagaRow], letters: Iterable[MessageRow]) -> None:
        self.held.sagas |= {row.id: row for row in sagas}
        self.held.messages |= {
            (row.edge, row.id): row for row in letters if row.kind is not Kind.COMMIT
        }

    def correlations(self) -> set[str]:
        """Return the correlation ids of what was found."""
        found = {input_of(row).correlation for row in self.held.sagas.values()}
        for row in self.held.messages.values():
            if row.kind is Kind.REQUEST:
                found.add(response_of(row).correlation)
            elif (letter := letter_of(row)) is not None:
                found.add(letter.correlation)
        return found - {""}

    async def complete(self) -> None:
        """Take the sagas of letters, their steps, and what they wait for."""
        database, held = self._of.database, self.held
        if database is None:
            return
        owners = {row.owner for row in held.messages.values() if row.owner is not None}
        for owner in owners - held.sagas.keys():
            held.sagas |= {row.id: row for row in await database.sagas(SagaFilter(id=owner))}
        for saga in held.sagas.values():
            await self._take_steps(saga)
            rows = await database.messages(MessageFilter(owner=saga.id, limit=LETTERS_MAX))
            self._keep((), rows)

    def letters(self) -> set[UUID]:
        """Return the ids of all letters that are known: of open ones, and of those of steps."""
        found = {row.id for row in self.held.messages.values() if row.kind is not Kind.REQUEST}
        found |= {row.about for row in self.held.messages.values() if row.about is not None}
        for saga in self.held.sagas:
            for step in self.held.steps.get(saga, ()):
                letter = msgspec.json.decode(step.outcome, type=StepOutcome).letter
                if letter is not None:
                    found.add(letter)
        return found

    async def add_letters(self, ids: Sequence[UUID]) -> None:
        """Take the rows of letters that were found elsewhere."""
        if self._of.database is None or not self.held.edges:
            return
        for start in range(0, len(ids), _AT_ONCE):
            which = MessageFilter(ids=tuple(ids[start : start + _AT_ONCE]), limit=2 * _AT_ONCE)
            self._keep((), await self._of.database.messages(which))


def _letter_is_about(row: MessageRow, wanted: Wanted) -> bool:
    letter = letter_of(row)
    if letter is None:
        return False
    return wanted.is_in(msgspec.json.decode(bytes(letter.body)), letter.type.partition(".")[0])
