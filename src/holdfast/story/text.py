"""A story for people."""

from collections.abc import Iterator

from holdfast.story.entry import Entry, Open, OrderStory, when

_DETAIL_CHARS_MAX = 400  # of a line; `--json` has all of it


def lines(story: OrderStory) -> Iterator[str]:
    """Yield the lines of a story."""
    for state in story.state:
        yield printable(state)
    for name, ids in (("correlation id", story.correlations), ("trace id", story.traces)):
        if ids:
            yield f"  {name:<14}  {printable(', '.join(ids))}"
    if story.subjects:
        yield f"  {'on behalf of':<14}  {printable(', '.join(story.subjects))}"
    if story.entries:
        yield ""
        yield from _entries(story.entries)
    if story.open:
        yield ""
        yield "waits for"
        for one in story.open:
            yield from _open(one)
    if story.advice:
        yield ""
        yield "what you can do"
        width = max(len(one.command) for one in story.advice)
        for advice in story.advice:
            yield f"  {advice.command:<{width}}  {advice.effect}"
    elif story.open:
        yield ""
        yield "what you can do: nothing; it goes on by itself"
    for title, sentences in (("kept", story.kept), ("not kept", story.gone)):
        if sentences:
            yield ""
            yield title
            yield from (f"  {printable(sentence)}" for sentence in sentences)


def _entries(entries: list[Entry]) -> Iterator[str]:
    width = max(len(where(entry)) for entry in entries)
    before = 0
    for entry in entries:
        at = when(entry.at) if entry.at else "-"
        after = _after(entry.at - before) if before and entry.at else ""
        before = entry.at or before
        mark = "! " if entry.failed else ""
        line = f"{at:<24}  {after:>9}  {where(entry):<{width}}  {mark}{entry.what}"
        yield printable(line) + _detail(entry.detail)


def _open(one: Open) -> Iterator[str]:
    on = f" of {one.on}" if one.on else ""
    yield printable(f"  {one.what}{on}, since {when(one.since)}")
    yield f"    {_cut(printable(one.why))}"
    if one.until:
        yield printable(f"    {one.until}")


def where(entry: Entry) -> str:
    """Return where something happened, or between whom."""
    return f"{entry.service} → {entry.to}" if entry.to else entry.service


def _detail(text: str) -> str:
    return f"  {_cut(printable(text))}" if text else ""


def _cut(text: str) -> str:
    return text if len(text) <= _DETAIL_CHARS_MAX else f"{text[:_DETAIL_CHARS_MAX]}…"


def _after(ms: int) -> str:
    """Return how much later something happened; on another host's clock it may be earlier."""
    size, sign = abs(ms), "-" if ms < 0 else "+"
    if size < 10_000:
        return f"{sign}{size} ms"
    if size < 600_000:
        return f"{sign}{size / 1000:.1f} s"
    if size < 36_000_000:
        return f"{sign}{size / 60_000:.0f} min"
    return f"{sign}{size / 3_600_000:.1f} h"


def printable(text: str) -> str:
    """Return a text on one line, without what moves a terminal's cursor."""
    return "".join(c if c.isprintable() else " " for c in text)
