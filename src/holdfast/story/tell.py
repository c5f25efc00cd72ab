"""Tells a story: a pure function from the rows of all services to what happened, in order."""

from collections.abc import Iterator, Sequence
from uuid import UUID

import msgspec

from holdfast.consistency.schedule import Schedule, time_of
from holdfast.consistency.steps import CANCELLED, StepOutcome
from holdfast.contract.envelope import Kind, MessageRow, SagaRow, State, StepRow
from holdfast.runtime.shown import Shown
from holdfast.story.causal import Line
from holdfast.story.entry import Advice, Entry, Open, OrderStory, when
from holdfast.story.order_rows import OrderRows, Wanted, input_of, letter_of, response_of
from holdfast.story.search import LETTERS_MAX, SAGAS_MAX
from holdfast.story.standing import LetterRows, Standing, step_of, tries_of
from holdfast.system import System
from holdfast.system.tables import known_sagas


def tell(
    system: System, held: Sequence[OrderRows], wanted: Wanted, *, typed: str, runs: bool = True
) -> OrderStory:
    """Return the story of an order; one without entries if nothing is held of it.

    Args:
        typed: what commands are given for this system, such as `shop`.
        runs: a process serves it, as far as is known.
    """
    story = _Telling(system, held, wanted, typed).told()
    if story.open and not runs:
        effect = "starts it, with the options that it had: nothing goes on while it does not run"
        story.advice.insert(0, Advice(f"holdfast run {typed}", effect))
    return story


class _Telling:
    def __init__(
        self, system: System, held: Sequence[OrderRows], wanted: Wanted, typed: str
    ) -> None:
        self._system, self._held = system, held
        self._standing = Standing(typed)
        self._shown = Shown(system)
        self._rows = LetterRows(held)
        self._line = Line()
        self._story = OrderStory(wanted.asked)
        self._owners = {
            wire: name
            for name, handlers in system.handlers().items()
            for wire in handlers.by_wire_name
        }
        self._untold = dict.fromkeys(self._rows.letters)
        self._ended: set[UUID] = set()
        self._unknown_tries: list[str] = []
        self._requests: dict[tuple[str, str], int] = {}  # {(service, correlation id): its entry}

    def told(self) -> OrderStory:
        story = self._story
        correlations: set[str] = set()
        traces: set[str] = set()
        subjects: set[str] = set()
        for correlation, trace, subject in self._contexts():
            correlations.add(correlation)
            subjects.add(subject)
            traces.add(trace.split("-")[1] if trace else "")
        story.correlations, story.traces = sorted(correlations - {""}), sorted(traces - {""})
        story.subjects = sorted(subjects - {""})
        for held, row in self._rows.requests:
            self._request(held, row)
        sagas = [(held, saga) for held in self._held for saga in held.sagas.values()]
        for held, saga in sorted(sagas, key=lambda one: (one[1].started_at, one[1].id)):
            self._saga(held, saga)
        for letter in list(self._untold):
            self._letter(self._rows.letters[letter].some)
        story.entries = self._line.ordered()
        story.gone += self._gone()
        return story

    def _contexts(self) -> Iterator[tuple[str, str, str]]:
        """Yield the correlation id, the trace and the subject of everything that has them."""
        for held in self._held:
            for saga in held.sagas.values():
                stored = input_of(saga)
                yield stored.correlation, stored.trace, stored.subject
            for row in held.messages.values():
                if row.kind is Kind.REQUEST:
                    answered = response_of(row)
                    yield answered.correlation, answered.trace, ""
                elif (letter := letter_of(row)) is not None:
                    yield letter.correlation, letter.trace, letter.subject

    # -- requests -------------------------------------------------------------------------------

    def _request(self, held: OrderRows, row: MessageRow) -> None:
        answered = response_of(row)
        entry = Entry(
            answered.at,
            held.service,
            f"{answered.what or 'a request'} is answered {answered.status}",
            f"Idempotency-Key {answered.key}" if answered.key else "",
        )
        self._requests[held.service, answered.correlation] = self._line.add(entry)

    # -- sagas ----------------------------------------------------------------------------------

    def _saga(self, held: OrderRows, row: SagaRow) -> None:
        stored, id_, name = input_of(row), str(row.id), f"saga {row.type}"
        service, line = held.service, self._line
        came = self._requests.get((service, stored.correlation))
        body = self._text(bytes(stored.body))
        key = f"key {row.key}, " if row.key else ""
        start = Entry(row.started_at, service, f"{name} starts", key + body, saga=id_)
        last = line.add(start, *(() if came is None else (came,)))
        if stored.restarts:
            again = f"{name} begins again, for the {stored.restarts}. time"
            last = line.add(Entry(stored.began_at, service, again, saga=id_), last)
            self._story.gone.append(f"The steps of {name} {id_} before it began again.")
        if stored.cancelled:
            entry = Entry(stored.cancelled, service, f"an operator cancels {name}", saga=id_)
            line.add(entry, last)
        ends = [self._step(held, row, step, last) for step in _in_order(held.steps.get(row.id, ()))]
        if row.ended_at is not None:
            error = (row.error or "").split("\n", 1)[0]
            failed = row.state == "failed"
            entry = Entry(
                row.ended_at, service, f"{name} {row.state}", error, saga=id_, failed=failed
            )
            line.add(entry, last, *ends)
        self._story.state.append(self._state_of(held, row))
        for letter in self._rows.of_saga(held, row.id):
            self._letter(letter, cause=last)

    def _state_of(self, held: OrderRows, row: SagaRow) -> str:
        service = self._system.service(held.service)
        known = known_sagas(service).get(row.type)
        since = max([row.started_at, *(step.ended_at for step in held.steps.get(row.id, ()))])
        state: str = row.state
        if row.ended_at is None and (known is None or row.version > known):
            has = "does not know it" if known is None else f"has version {known}"
            state, why = "parked", f"it is at version {row.version}, and this code {has}"
            self._open(self._standing.stranger(held.service, row, since, why))
        elif row.state == "parked":
            self._open(self._standing.parked(held.service, row, since))
        if row.ended_at is not None:
            over = when(row.ended_at + Schedule().saga_kept_ms)
            self._story.kept.append(f"saga {row.type} {row.id}, with its steps: until {over}")
        return f"{row.type} {row.id} of {held.service}: {state}"

    def _step(self, held: OrderRows, row: SagaRow, step: StepRow, start: int) -> int:
        """Tell one ended step; return the number of its end."""
        outcome = msgspec.json.decode(step.outcome, type=StepOutcome)
        verb, _, name = step.kind.partition(" ")
        service, saga = held.service, str(row.id)
        what, failed = _ending(outcome)
        value = bytes(outcome.body)
        detail = "" if value in (b"null", b"") else self._text(value)
        letter = str(outcome.letter or "")
        if verb not in ("call", "undo"):
            told = f"step {step.path}, {verb} {name}".rstrip() + f": {what}"
            entry = Entry(step.ended_at, service, told, detail, "", letter, saga, failed)
            return self._line.add(entry, start)
        there, cause = self._owners.get(name, ""), start
        path = f"step {step.path}, undo" if verb == "undo" else f"step {step.path},"
        if outcome.letter is not None:
            told = f"{path} {name} is sent"
            sent = Entry(time_of(outcome.letter), service, told, "", there, letter, saga)
            cause = self._tries(step, outcome, self._line.add(sent, start))
        told = f"{path} {name} {what}"
        sides = (there, service)
        if outcome.kind == "unanswered":  # nobody said so: the saga did not wait any longer
            sides = (service, "")
        side, other = sides
        entry = Entry(step.ended_at, side, told, detail, other, letter, saga, failed)
        return self._line.add(entry, cause)

    def _tries(self, step: StepRow, outcome: StepOutcome, cause: int) -> int:
        """Tell how often a letter was tried, as far as its receiver has kept it."""
        assert outcome.letter is not None
        known = self._rows.letters.get(outcome.letter)
        self._ended.add(outcome.letter)
        inn = known.inn if known is not None else None
        if inn is None:
            self._unknown_tries.append(step.path)
            return cause
        name = f"step {step.path}, {step.kind.removeprefix('call ')}"
        for entry in tries_of(inn[1], inn[0].service, name):
            entry.saga = str(step.saga)
            cause = self._line.add(entry, cause)
        return cause

    # -- letters --------------------------------------------------------------------------------

    def _letter(self, some: tuple[OrderRows, MessageRow], cause: int | None = None) -> None:
        """Tell a letter, a timer or a wait, and how it stands."""
        row = some[1]
        if row.id not in self._untold:
            return
        del self._untold[row.id]
        known = self._rows.letters[row.id]
        if row.id in self._ended:  # told with its step; while it was read, its row may be there yet
            if row.state is State.HELD:
                self._open(self._standing.letter(known))
            return
        letter = known.letter
        causes = () if cause is None else (cause,)
        if letter is not None and row.kind not in (Kind.TIMER, Kind.WAIT, Kind.TICK):
            sender, receiver = known.sides
            sent = Entry(
                time_of(row.id),
                sender,
                f"{step_of(row)}{letter.type} is sent",
                self._text(bytes(letter.body)),
                receiver,
                str(row.id),
                str(row.owner or ""),
            )
            number = self._line.add(sent, *causes)
            if known.inn is not None:
                name = f"{step_of(row)}{letter.type}"
                for entry in tries_of(known.inn[1], known.inn[0].service, name):
                    entry.saga = str(row.owner or "")
                    number = self._line.add(entry, number)
        self._open(self._standing.letter(known))

    def _open(self, found: tuple[Open, list[Advice]] | None) -> None:
        if found is not None:
            self._story.open.append(found[0])
            known = {advice.command for advice in self._story.advice}
            self._story.advice += [one for one in found[1] if one.command not in known]

    # -- what is not kept -----------------------------------------------------------------------

    def _gone(self) -> Iterator[str]:
        """Yield what cannot be told, and why."""
        started = any(input_of(s).correlation for held in self._held for s in held.sagas.values())
        if started and not self._requests:
            yield (
                "The request: it had no Idempotency-Key, or is over a day ago. What it began is "
                "told from its saga."
            )
        if self._unknown_tries:
            steps = ", ".join(self._unknown_tries)
            yield (
                f"How often the letters of steps {steps} were tried: where they were handled, "
                "their rows are deleted about a minute after they are settled."
            )
        if any(steps for held in self._held for steps in held.steps.values()):
            yield "What settled letters held, and events that everybody has heard: see the logs."
        for held in self._held:
            if held.trouble:
                yield f"What {held.service} holds; its database cannot be read: {held.trouble}"
            if held.cut:
                yield (
                    f"More of {held.service}: at most {SAGAS_MAX} sagas and {LETTERS_MAX:,} "
                    "letters are looked at; give the id of a saga"
                )

    def _text(self, body: bytes) -> str:
        """Return a stored body as one line of JSON, without secrets."""
        return msgspec.json.encode(self._shown.parsed(body)).decode()


def _ending(outcome: StepOutcome) -> tuple[str, bool]:
    """Return how a step ended, in words, and whether that is not as it should."""
    match outcome.kind:
        case "reply":
            return "is done", False
        case "failure":
            return f"is refused: {outcome.type.rpartition(':')[2]}", True
        case "unanswered" if outcome.type == CANCELLED:
            return "is not waited for any more: the saga was cancelled", True
        case "unanswered" if outcome.effect == "none":
            return "got no answer in time; it was withdrawn, and has not run", True
        case "unanswered":
            return "got no answer in time; whether it was done is unknown", True
        case "value":
            return "done", False
        case "slept":
            return "over", False
        case "undone":
            return "is done", False
        case "event" if bytes(outcome.body) == b"null":
            return "none came in time", True
        case "event":
            return f"{outcome.type or 'it'} came", False


def _in_order(steps: Sequence[StepRow]) -> list[StepRow]:
    def place(step: StepRow) -> tuple[int, list[int]]:
        return step.ended_at, [int(part) for part in step.path.split(".")]

    return sorted(steps, key=place)
