"""A turn: one piece of work inside a transaction, and what leaves once that is committed."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast.contract.envelope import LetterAnswer, MessageRow
from holdfast.storage import Sharing, Transaction


class RunAgain(Exception):
    """The transaction was lost through no fault of this turn: make the turn anew."""


@dataclass(slots=True)
class Effects:
    """What leaves after the commit, and only then. The writer makes it, its turn fills it.

    Attributes:
        rows: letters to send. answers: [(edge of the letter, answer)] to give.
        done: callables for metrics and wake-ups.
    """

    rows: list[MessageRow] = field(default_factory=list[MessageRow])
    answers: list[tuple[int, LetterAnswer]] = field(default_factory=list[tuple[int, LetterAnswer]])
    done: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])

    def mark(self) -> tuple[int, int, int]:
        """Return where it stands, for `back_to`."""
        return len(self.rows), len(self.answers), len(self.done)

    def back_to(self, mark: tuple[int, int, int]) -> None:
        """Forget what came since a mark: it was rolled back."""
        rows, answers, done = mark
        del self.rows[rows:], self.answers[answers:], self.done[done:]


class Turn:
    """One piece of work inside a transaction.

    Attributes:
        effects: what leaves after the commit; the writer makes it anew for each run.
        alone: it gets a transaction of its own.
        lost: how many transactions it was run in that were lost: after one its statements are no
            longer joined with others', after two it is alone.
        unkept: what the database said to a COMMIT of this turn alone; its next run fails so.
        patient: it is run until it is committed, however often its transaction is lost.
        prepares: it has a part before the transaction; see `prepare`.
        begun: it has been given its transaction.
        wanted_until: returns the loop time after which nobody waits for it, None: there is none;
            it is asked before the turn begins, not after.
    """

    effects: Effects
    lost: int = 0
    unkept: Exception | None = None
    begun: bool = False
    alone: bool = False
    patient: bool = False
    prepares: bool = False
    wanted_until: Callable[[], float | None] | None = None

    @property
    def sharing(self) -> Sharing:
        """How it shares its transaction."""
        if self.alone or self.lost > 1:
            return Sharing.ALONE
        return Sharing.APART if self.lost else Sharing.JOINED

    async def prepare(self) -> bool:
        """Do what comes before the transaction, anew for each run; False: none is needed."""
        return True

    async def run(self, tx: Transaction) -> None:
        """Do it, in a savepoint of its own. What it raises rolls that back, and `perform` raises.

        Unless the turn answers for it: see `failed`.
        """
        raise NotImplementedError

    def answers_for(self, error: Exception) -> bool:
        """Whether an error that `run` raised is written down by `failed`, and raised no more."""
        return False

    async def failed(self, tx: Transaction, error: Exception) -> None:
        """Go on after an error of `run`, whose writes are rolled back, in a fresh savepoint."""

    def close(self) -> None:
        """Let go of what `prepare` made; called after each run."""


class Own(Turn):
    """A turn of the framework's own: one function of the transaction."""

    def __init__(
        self,
        function: Callable[[Transaction, Effects], object],
        *,
        alone: bool = False,
        patient: bool = False,
        deadline: float | None = None,
    ) -> None:
        self._function = function
        self.alone, self.patient = alone, patient
        if deadline is not None:
            self.wanted_until = lambda: deadline

    async def run(self, tx: Transaction) -> None:
        result = self._function(tx, self.effects)
        if asyncio.iscoroutine(result):
            await result
