"""A story as a sequence diagram that Mermaid draws."""

from collections.abc import Iterator

from holdfast.story.entry import Entry, OrderStory, when
from holdfast.story.text import printable

_NOTE_CHARS_MAX = 80
_CLIENT = "client"


def diagram(story: OrderStory) -> Iterator[str]:
    """Yield the lines of a sequence diagram."""
    yield "sequenceDiagram"
    named = {name: None for entry in story.entries for name in (entry.service, entry.to) if name}
    named |= {name: None for one in story.open for name in (one.service, one.on) if name}
    if any(_is_request(entry) for entry in story.entries):
        yield f"  actor {_CLIENT}"
    yield from (f"  participant {name}" for name in named)
    for entry in story.entries:
        yield from _drawn(entry)
    for one in story.open:
        waits = f"waits for {one.what} since {when(one.since)}"
        yield f"  Note over {one.service}: {_escaped(waits)}<br/>{_short(one.why)}"


def _drawn(entry: Entry) -> Iterator[str]:
    what = _escaped(entry.what)
    if _is_request(entry):
        sent, _, answered = what.partition(" is answered ")
        yield f"  {_CLIENT}->>{entry.service}: {sent}"
        yield f"  {entry.service}-->>{_CLIENT}: {answered}"
    elif entry.to:
        arrow = "->>" if entry.what.endswith(" is sent") else "--x" if entry.failed else "-->>"
        yield f"  {entry.service}{arrow}{entry.to}: {what}"
    else:
        detail = f"<br/>{_short(entry.detail)}" if entry.detail and entry.failed else ""
        yield f"  Note over {entry.service}: {what}{detail}"


def _is_request(entry: Entry) -> bool:
    return not entry.to and " is answered " in entry.what


def _short(text: str) -> str:
    return _escaped(text if len(text) <= _NOTE_CHARS_MAX else f"{text[:_NOTE_CHARS_MAX]}…")


def _escaped(text: str) -> str:
    """Return a text without what ends a line of Mermaid's, or begins a tag."""
    escapes = {"#": "#35;", ";": "#59;", "<": "#lt;", ">": "#gt;"}
    return "".join(escapes.get(c, c) for c in printable(text))
