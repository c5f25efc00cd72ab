"""What a story is made of: what happened, what is waited for, and what a person can do."""

import msgspec

from holdfast.consistency.transitions import at_time


def when(ms: int) -> str:
    """Return a time of a database as people read it: `2026-11-30T05:54:24.882Z`."""
    return at_time(ms).replace("+00:00", "Z")


class Entry(msgspec.Struct, omit_defaults=True):
    """One thing that happened.

    Attributes:
        at: ms since 1970, of the database of `service`; 0: it is not kept when.
        to: the other side, of what travels between two.
        what: `Charge.v1 is sent`. detail: a body, an error.
        letter: the id of the letter that it is about.
        failed: it did not go as it should.
    """

    at: int
    service: str
    what: str
    detail: str = ""
    to: str = ""
    letter: str = ""
    saga: str = ""
    failed: bool = False


class Open(msgspec.Struct, omit_defaults=True):
    """What is waited for.

    Attributes:
        service: who waits. on: whose work it is.
        since: ms since 1970. why: how it stands, and the newest error.
        until: until when, as a sentence; "": for ever.
    """

    service: str
    what: str
    since: int
    why: str
    until: str = ""
    on: str = ""
    letter: str = ""
    saga: str = ""


class Advice(msgspec.Struct):
    """What a person can do: a command to type, and what comes of it."""

    command: str
    effect: str


class OrderStory(msgspec.Struct):
    """What is still known of an order.

    Attributes:
        correlations, traces: all its ids. subjects: for whom it was, as data.
        state: of its sagas, one line each.
        entries: in causal order. open: what is waited for. advice: what a person can do.
        kept: until when it is. gone: what is not kept any more, a sentence each.
    """

    asked: str
    correlations: list[str] = []
    traces: list[str] = []
    subjects: list[str] = []
    state: list[str] = []
    entries: list[Entry] = []
    open: list[Open] = []
    advice: list[Advice] = []
    kept: list[str] = []
    gone: list[str] = []

    def ids(self) -> set[str]:
        """Return every id by which a log line can belong to it."""
        named = {self.asked, *self.correlations, *self.traces}
        for entry in self.entries:
            named |= {entry.letter, entry.saga}
        for one in self.open:
            named |= {one.letter, one.saga}
        return named - {""}


def document(story: OrderStory) -> dict[str, object]:
    """Return a story as JSON types, its times as people read them."""
    whole: dict[str, object] = msgspec.to_builtins(story)
    return whole | {
        "entries": [
            {**msgspec.to_builtins(entry), "at": when(entry.at) if entry.at else None}
            for entry in story.entries
        ],
        "open": [{**msgspec.to_builtins(one), "since": when(one.since)} for one in story.open],
    }
