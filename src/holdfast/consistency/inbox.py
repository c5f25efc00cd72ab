"""The inbox: takes letters, runs their handlers once, and remembers the answers.

A first delivery runs at once and its row commits with the effect. Whatever may not be the first
is put into the table before it is acknowledged, and from there only the table runs it.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from holdfast.consistency.delivery import (
    NOT_MADE,
    Delivery,
    Handled,
    HandlerTurn,
    Noticed,
    OtherBytes,
    Superseded,
    insert_next,
)
from holdfast.consistency.leases import Leases
from holdfast.consistency.ledger import Ledger, encode
from holdfast.consistency.outbox import Outbox
from holdfast.consistency.replies import Replies
from holdfast.consistency.sagas import Sagas
from holdfast.consistency.schedule import expired, postponed_to, time_of
from holdfast.consistency.steps import Ended, StepOutcome
from holdfast.consistency.told import place_of
from holdfast.consistency.transitions import (
    Meeting,
    after_failed_try,
    answer_again,
    exhausted,
    meet,
    refused,
    settled,
)
from holdfast.consistency.unit import Unit
from holdfast.consistency.unknown import NotKnown, waiting
from holdfast.consistency.writer import RUNS_MAX, Effects, Own, RunAgain, Writer
from holdfast.contract.carrier import carrier_of
from holdfast.contract.envelope import (
    EdgeRow,
    Kind,
    Lane,
    Letter,
    LetterAnswer,
    MessageRow,
    Parcel,
    State,
)
from holdfast.contract.messages import Message
from holdfast.errors import Overloaded
from holdfast.storage import Transaction

DELETE_MAX = 512  # rows that one transaction deletes
UNDER_WAY_MAX = 256  # claimed rows whose handlers run, or wait for their turn at an External


class Inbox:
    """Takes parcels for one service."""

    def __init__(
        self,
        ledger: Ledger,
        writer: Writer,
        outbox: Outbox,
        sagas: Sagas,
        find: Callable[[str], Handled | None],
        waited: Mapping[str, type[Message]],
        notice: Noticed,
    ) -> None:
        self.ledger = ledger
        self.writer = writer
        self.sagas = sagas
        self.notice = notice
        self._replies = Replies(ledger, outbox, sagas, writer.perform_own, notice)
        self._find = find
        self.waited = waited
        self._running: dict[tuple[int, UUID], Delivery | None] = {}
        self.leases = Leases(ledger, writer.perform_own, self.new_row, notice)
        self.keep = self.leases.keep
        self._tasks: set[asyncio.Task[None]] = set()
        self.wake: Callable[[], None] = lambda: None
        self.too_full: Callable[[], bool] = lambda: False
        self.ignored_below_floor = Counter[int]()  # by edge
        self._leaves_waiting_until = 0.0  # loop time

    # -- parcels --------------------------------------------------------------------------------

    async def deliver(self, raw: bytes, again: bool) -> None:
        """Take a parcel; when this returns, it need not be delivered again.

        What is not committed by then is due in its sender's table, which sends it again: a letter
        whose transactions were all lost, or of which a copy is under way.
        """
        try:
            parcel = msgspec.json.decode(raw, type=Parcel)
            letters = [msgspec.json.decode(bytes(raw), type=Letter) for raw in parcel.letters]
        except msgspec.DecodeError as exc:  # to deliver it again would not help
            self.notice("parcel.refused", error=str(exc))
            return
        if parcel.answers:
            await self._replies.take(parcel)
            return
        edge_id = self.ledger.edge_from(parcel.sender, parcel.lane)
        if edge_id is None:
            self.notice("letter.refused", sender=parcel.sender, reason="no such edge")
            return
        edge = self.ledger.edges[edge_id]
        if letters and self.too_full() and not self.ledger.safe.high_water_spares_letters:
            raise Overloaded("letters are refused")  # two full services would wait for each other
        if parcel.floor is not None:
            await self._lower(edge, parcel.floor)
        withdrawals = [letter for letter in letters if letter.kind is Kind.WITHDRAW]
        others = [letter for letter in letters if letter.kind is not Kind.WITHDRAW]
        work: list[Coroutine[Any, Any, None]] = [self._withdraw(edge, w) for w in withdrawals]
        if (again or parcel.again) and self.ledger.safe.due_first_if_not_first:
            if others:
                work.append(self._take_due(edge, others))
        else:
            work += [self._first(edge, letter) for letter in others]
        if len(work) == 1:
            await work[0]
        elif work:
            await asyncio.gather(*work)

    async def _lower(self, edge: EdgeRow, floor: UUID) -> None:
        if edge.floor is not None and floor <= edge.floor:
            return
        deleted = DELETE_MAX

        async def set_floor(tx: Transaction, effects: Effects) -> None:
            nonlocal deleted
            deleted = await tx.set_floor(edge.id, floor, DELETE_MAX)

        while deleted >= DELETE_MAX:
            await self.writer.perform_own(set_floor)

    def new_row(self, edge: EdgeRow, letter: Letter, *, due_at: int | None = None) -> MessageRow:
        """Return the inbox row of a letter."""
        row = MessageRow(
            edge.id,
            letter.id,
            State.DUE,
            letter.kind,
            due_at=due_at,
            tries=1,
            about=letter.about,
            body=encode(letter),
        )
        if letter.kind is Kind.EVENT:
            row.topic = self._topic(letter)
        return row

    def _topic(self, letter: Letter) -> str | None:
        """Return the topic of an event that sagas of this service may wait for."""
        waited = self.waited.get(letter.type)
        if waited is None:
            return None
        event: Any = carrier_of(waited).decode(bytes(letter.body))
        topic: str | None = event.topic_key()
        return topic

    def answer(self, effects: Effects, edge: EdgeRow, answer: LetterAnswer) -> None:
        """Have an answer given after the commit; nobody waits for letters to oneself."""
        if edge.sender != self.ledger.service:
            effects.answers.append((edge.id, answer))

    # -- letters --------------------------------------------------------------------------------

    async def _first(self, edge: EdgeRow, letter: Letter) -> None:
        """A first delivery: run it now."""
        if letter.kind is Kind.UNDO and not letter.known:
            await self._meet(edge, letter, None)
        else:
            await self.run(edge, letter, None)

    async def _take_due(self, edge: EdgeRow, letters: Sequence[Letter]) -> None:
        """Put letters into the table in one turn; those that are there already are answered."""

        async def take(tx: Transaction, effects: Effects) -> None:
            rows = [self.new_row(edge, letter, due_at=tx.now_ms) for letter in letters]
            for row in rows:
                row.tries = 0  # the claim that runs it counts the first try
            new = await tx.insert_messages(rows, above_floor=self.ledger.safe.floor_check)
            known = {row.id for row in new}
            for row in rows:
                if row.id not in known:
                    await self._repeat(tx, edge, row.id, effects)
            if new:
                effects.done.append(self.wake)

        await self.writer.perform_own(take)

    async def _repeat(self, tx: Transaction, edge: EdgeRow, letter: UUID, effects: Effects) -> None:
        """A letter that is known already: say again what was said."""
        row = await tx.lock_message(edge.id, letter)
        if row is None:  # settled long ago, and forgotten by evidence
            self._ignore(edge, letter, effects)
            return
        if self.ledger.safe.answer_again:
            self.answer(effects, edge, answer_again(row))

    def _ignore(self, edge: EdgeRow, letter: UUID, effects: Effects) -> None:
        """Count and tell a letter below the floor, once that is committed.

        It is a late copy, as a rule. If its sender still waits for an answer, floors or clocks
        have gone wrong, and this is the only trace that it leaves here.
        """

        def tell() -> None:
            self.ignored_below_floor[edge.id] += 1
            self.notice(
                "letter.ignored",
                sender=edge.sender,
                lane=edge.lane.value,
                letter=str(letter),
                reason="it is below its sender's floor: settled long ago",
            )

        effects.done.append(tell)

    async def run(
        self, edge: EdgeRow, letter: Letter, row: MessageRow | None, *, alone: bool = False
    ) -> None:
        """Run a letter's handler in its transaction, again if the transaction was lost."""
        key = (edge.id, letter.id)
        if key in self._running:
            return  # a copy of it is under way in this process
        self._running[key] = None
        try:
            await self._run(edge, letter, row, alone)
        finally:
            del self._running[key]

    async def _run(
        self, edge: EdgeRow, letter: Letter, row: MessageRow | None, alone: bool
    ) -> None:
        handled = self._find(letter.type)
        kept: dict[int, Any] = {}
        for lost in range(RUNS_MAX):
            started = self.ledger.clock.monotonic()
            unit = Unit(
                self.ledger,
                seed=letter.id,
                at_ms=time_of(letter.id),
                what=letter.type,
                correlation=letter.correlation,
                trace=letter.trace,
            )
            delivery = Delivery(letter, edge, unit, _unreachable, row, kept)
            self._running[edge.id, letter.id] = delivery
            delivery.reach = self._reach(delivery)
            turn = HandlerTurn(self, delivery, handled, alone)
            turn.lost = lost
            if handled is None and letter.type not in self.waited:
                turn.error = NotKnown(
                    f"nobody handles {letter.type} in {self.ledger.service}; another version may"
                )
            try:
                await turn.prepare()
                await self.writer.perform(turn)
            except RunAgain:
                row = delivery.row
                continue
            except Overloaded:
                if delivery.row is None:
                    raise  # it comes again
                row = delivery.row
                break
            except Superseded:
                await self._say_again(edge, letter.id)
            finally:
                turn.close()
            if handled is not None:
                turn.observe(self.ledger.clock.monotonic() - started)
            return
        self.notice("letter.postponed", type=letter.type, letter=str(letter.id))
        if row is not None and self.ledger.safe.conflicts_are_no_tries:
            working = self._running[edge.id, letter.id]
            assert working is not None, "it has run"
            await self._give_back_try(working)

    async def _give_back_try(self, delivery: Delivery) -> None:
        """The claim counted a try that the database, not the handler, has ended.

        While that database is busy the lease may end, and the row be claimed by this process
        again: `claimed_again` puts the new token into the delivery.
        """
        pause_s = 0.1
        while True:  # left counted, a busy database would make letters dead
            row = delivery.row
            assert row is not None, "it was claimed"
            try:
                if await self._untry(row) or delivery.row is row:
                    return
            except (RunAgain, Overloaded):
                await asyncio.sleep(pause_s)
                pause_s = min(5.0, pause_s * 2)

    async def _untry(self, row: MessageRow) -> bool:
        """Write a row with one try less, and a pause; False if it was claimed again since."""
        untried, written = row.copy(), False
        untried.tries = max(0, row.tries - 1)

        async def write(tx: Transaction, effects: Effects) -> None:
            nonlocal written
            untried.due_at = postponed_to(row, tx.now_ms, self.ledger.schedule)
            written = await tx.update_message(untried, State.DUE, held=self._token(row))

        await self.writer.perform_own(write)
        return written

    def _token(self, row: MessageRow) -> int | None:
        """Return what shows that a claimed row has not been claimed by another since."""
        return row.due_at if self.ledger.safe.lease_fenced else None

    async def _say_again(self, edge: EdgeRow, letter: UUID) -> None:
        async def repeat(tx: Transaction, effects: Effects) -> None:
            await self._repeat(tx, edge, letter, effects)

        await self.writer.perform_own(repeat)

    def _reach(self, delivery: Delivery) -> Callable[[bytes, int, float], Awaitable[bool]]:
        """Return what commits `due, reached` before an External is called."""
        safe = self.ledger.safe
        in_turn = asyncio.Lock()  # a handler may gather its calls; each adds to what is stored

        async def reach(digest: bytes, number: int, key_life_s: float) -> bool:
            async with in_turn:
                return await reach_alone(digest, number, key_life_s)

        async def reach_alone(digest: bytes, number: int, key_life_s: float) -> bool:
            sent = delivery.made(number)
            if sent != NOT_MADE:
                if sent != digest and safe.same_bytes:
                    raise OtherBytes(
                        f"{delivery.letter.type} {delivery.letter.id}: this try would send other "
                        "bytes under the same key; make the request from the command alone"
                    )
                return True  # an earlier try; the key's life was checked by the claim
            if not safe.reached_committed:
                return False

            was = delivery.row

            async def commit(tx: Transaction, effects: Effects) -> None:
                nonlocal was
                was = row = delivery.row  # as it is now: its lease may have been renewed
                marked = self.new_row(delivery.edge, delivery.letter) if row is None else row.copy()
                marked.reached, marked.hash = True, delivery.with_made(number, digest)
                marked.due_at = tx.now_ms + self.ledger.schedule.lease_ms
                forgotten_at = tx.now_ms + int(key_life_s * 1000)  # of several, the first
                marked.expires_at = min(marked.expires_at or forgotten_at, forgotten_at)
                if row is None:
                    ok = bool(await tx.insert_messages([marked], above_floor=safe.floor_check))
                else:
                    ok = await tx.update_message(marked, State.DUE, held=self._token(row))
                if not ok:
                    raise Superseded(f"{marked.kind} {marked.id} was taken over by another copy")
                delivery.row = marked

            try:
                await self.writer.perform(Own(commit))
            except (RunAgain, Superseded):
                delivery.row = was  # nothing of it was kept
                raise
            return False

        return reach

    def record_later(self, row: MessageRow) -> None:
        """What a test does that switches `record_with_effect` off."""

        async def record() -> None:
            async def write(tx: Transaction, effects: Effects) -> None:
                if not await tx.insert_messages([row]):
                    await tx.update_message(row, State.DUE)

            await self.writer.perform_own(write)

        task = asyncio.create_task(record())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def wake_waits(self, tx: Transaction, row: MessageRow, effects: Effects) -> None:
        """Let the sagas go on that wait for this event."""
        if row.topic is None:
            return
        await tx.lock_topic(row.topic)
        letter = msgspec.json.decode(row.body, type=Letter)
        for wait in await tx.messages_of_topic(row.topic):
            if wait.kind is not Kind.WAIT or wait.owner is None or wait.path is None:
                continue
            if await tx.delete_message(wait.edge, wait.id, State.DUE):
                outcome = StepOutcome("event", letter.body, letter.type, row.id)
                await self._end_others(tx, wait)
                ended = Ended(wait.path, wait.body.decode(), outcome)
                await self.sagas.advance(tx, wait.owner, [ended], effects)

    async def _end_others(self, tx: Transaction, met: MessageRow) -> None:
        """End what else a saga waited for at the same place: the first event has come."""
        assert met.owner is not None
        if b"|" not in met.body:
            return
        for other in await tx.messages_of_owner(met.owner):
            if other.kind is Kind.WAIT and other.path == met.path:
                await tx.delete_message(other.edge, other.id, State.DUE)

    # -- undos and withdrawals ------------------------------------------------------------------

    def _command_edge(self, edge: EdgeRow) -> int:
        found = self.ledger.edge_from(edge.sender, Lane.WORK)
        assert found is not None, f"{edge.sender} has no work lane"
        return found

    async def _meet_command(
        self, tx: Transaction, edge: EdgeRow, about: UUID
    ) -> tuple[Meeting, MessageRow | None]:
        """Meet the command at its own row; whichever came second obeys the first.

        Without a row it is below the floor: settled long ago, and so is what meets it.
        """
        work, safe = self._command_edge(edge), self.ledger.safe
        if safe.refuse_before_command:
            tombstone = refused(MessageRow(work, about, State.DUE, Kind.COMMAND))
            await tx.insert_messages([tombstone], above_floor=safe.floor_check)
        row = await tx.lock_message(work, about)
        if row is None:
            return Meeting.NOTHING, None
        meeting = meet(row, safe)
        if meeting is Meeting.REFUSE:
            changed = await tx.update_message(refused(row), row.state)
            assert changed, "the row was locked"
        return meeting, row

    async def _meet(self, edge: EdgeRow, letter: Letter, row: MessageRow | None) -> None:
        """An undo whose command may or may not have happened."""
        assert letter.about is not None
        about = letter.about
        goes_on: list[MessageRow] = []

        async def decide(tx: Transaction, effects: Effects) -> None:
            meeting, _ = await self._meet_command(tx, edge, about)
            own = row.copy() if row is not None else self.new_row(edge, letter)
            answer = LetterAnswer(letter.id, "taken")
            if meeting is Meeting.WAIT:
                own.due_at = tx.now_ms + self.ledger.schedule.resend_ms
            elif meeting is Meeting.DONE:
                own.due_at = tx.now_ms + self.ledger.schedule.lease_ms
                goes_on.append(own)
            else:
                answer = LetterAnswer(letter.id, "reply")
                own = settled(own, answer)
            if row is not None:
                ok = await tx.update_message(own, State.DUE, held=self._token(row))
            else:
                ok = bool(await tx.insert_messages([own], above_floor=self.ledger.safe.floor_check))
            if not ok:
                goes_on.clear()
                await self._repeat(tx, edge, letter.id, effects)
            elif meeting is not Meeting.DONE:
                self.answer(effects, edge, answer)

        try:
            await self.writer.perform(Own(decide))
        except RunAgain:
            return  # it is sent again, or claimed again
        if goes_on:
            await self.run(edge, letter, goes_on[0], alone=goes_on[0].tries >= 2)

    async def _withdraw(self, edge: EdgeRow, letter: Letter) -> None:
        """A command without an undo is withdrawn: its answer is the step's outcome."""

        async def decide(tx: Transaction, effects: Effects) -> None:
            meeting, row = await self._meet_command(tx, edge, letter.id)
            if row is None:
                self._ignore(edge, letter.id, effects)
            elif meeting is Meeting.REFUSE:
                self.answer(effects, edge, LetterAnswer(letter.id, "refused"))
            else:
                self.answer(effects, edge, answer_again(row))

        await self.writer.perform_own(decide)

    def met_unknown(self) -> None:
        """Leave what waits for another version to it for a while: it is due there at once."""
        pause_s = self.ledger.schedule.version_ms / 1000
        self._leaves_waiting_until = asyncio.get_running_loop().time() + pause_s

    def takes_waiting(self) -> bool:
        """Whether rows that wait for a version are claimed here, to see whether it is this one."""
        return asyncio.get_running_loop().time() >= self._leaves_waiting_until

    # -- claimed rows ---------------------------------------------------------------------------

    def claimed(self, row: MessageRow) -> None:
        """Run a row that the claim loop took; it is not waited for."""
        task = asyncio.create_task(self._guarded(row))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    @property
    def room(self) -> int:
        """How many more claimed rows may be under way; the others wait in the table."""
        return UNDER_WAY_MAX - len(self._tasks)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if len(self._tasks) == UNDER_WAY_MAX // 2:
            self.wake()

    async def _guarded(self, row: MessageRow) -> None:
        try:
            await self._claimed(row)
        except Exception as exc:  # the root of a claimed row: its lease ends, it is claimed again
            self.notice(
                "letter.postponed",
                letter=str(row.id),
                error=self.ledger.describe(exc),
                at=place_of(exc),
            )

    def claimed_again(self, rows: Sequence[MessageRow]) -> None:
        """Leave rows to the handlers of this process that work on them; called after the claim.

        One came again while it had no row yet, or could not be renewed for the time of a lease.
        """
        for row in rows:
            delivery = self._running.get((row.edge, row.id))
            if delivery is None:
                continue
            if delivery.row is None:
                delivery.row = row
            else:  # the claim has counted a try that is none
                delivery.row = delivery.row.copy()
                delivery.row.due_at = row.due_at

    async def _claimed(self, row: MessageRow) -> None:
        if (row.edge, row.id) in self._running:
            return  # whoever works on it settles it
        edge = self.ledger.edges[row.edge]
        if row.kind in (Kind.TIMER, Kind.WAIT):
            await self._wake(row)
            return
        letter = msgspec.json.decode(row.body, type=Letter)
        if row.kind is Kind.EVENT and row.topic is None:  # one that the service sent to itself
            row.topic = self._topic(letter)
        schedule, safe = self.ledger.schedule, self.ledger.safe
        claimed_at = (row.due_at or 0) - schedule.lease_ms  # by the database's clock
        if row.reached and expired(row, claimed_at) and safe.key_life:
            await self._bury(
                row,
                letter,
                "the External has forgotten its key: another try could be another effect; "
                "look there, then drop this letter",
            )
        elif exhausted(row, schedule) and safe.try_counted_before:
            await self._bury(row, letter, "its last try ended with the process")
        elif letter.kind is Kind.UNDO and not letter.known and not row.reached:
            await self._meet(edge, letter, row)
        else:
            await self.run(edge, letter, row, alone=row.tries >= 2)

    async def _bury(self, row: MessageRow, letter: Letter, why: str) -> None:
        """Make a letter dead without another try."""

        async def bury(tx: Transaction, effects: Effects) -> None:
            dead = after_failed_try(row, why, tx.now_ms, self.ledger.schedule)
            dead.state, dead.due_at = State.DEAD, None
            if await tx.update_message(dead, State.DUE, held=self._token(row)):
                await insert_next(tx, self._find(letter.type))

        await self.writer.perform_own(bury)
        self.notice("letter.dead", letter=str(row.id), error=why)

    async def _wake(self, row: MessageRow) -> None:
        """A saga's sleep is over, or its wait."""

        async def wake(tx: Transaction, effects: Effects) -> None:
            if await tx.delete_message(row.edge, row.id, State.DUE) is None:
                return
            assert row.owner is not None and row.path is not None
            timer = row.kind is Kind.TIMER
            outcome = StepOutcome("slept" if timer else "event")
            kind = "sleep" if timer else row.body.decode()
            await self.sagas.advance(tx, row.owner, [Ended(row.path, kind, outcome)], effects)

        async def wait(tx: Transaction, effects: Effects) -> None:
            waits = waiting(row, str(unknown), tx.now_ms, self.ledger.schedule)
            await tx.update_message(waits, State.DUE, held=self._token(row))

        try:
            await self.writer.perform_own(wake)
            return
        except NotKnown as exc:
            unknown = exc
        await self.writer.perform_own(wait)
        self.met_unknown()
        self.notice("saga.waits", id=str(row.owner), error=str(unknown))

    async def idle(self) -> None:
        """Wait until nothing that was claimed is under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)


async def _unreachable(digest: bytes, number: int, key_life_s: float) -> bool:
    raise AssertionError("set right after the delivery was made")
