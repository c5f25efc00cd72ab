"""Log lines for people at a terminal: the same fields as JSON, in reading order."""

from collections.abc import Mapping

import msgspec

_COLOURS = {"debug": 90, "info": 32, "warning": 33, "error": 31, "critical": 35}
_FIRST = ("ts", "level", "event", "service")
_LAST = ("correlation_id", "trace_id", "span_id")


def console_line(line: Mapping[str, object]) -> bytes:
    """Return `time LEVEL service event name=value …` with the ids, dimmed, at the end.

    Values that are not plain words are written as JSON, which also keeps control characters of a
    hostile value away from the terminal.
    """
    level = str(line["level"])
    clock = str(line["ts"])[11:23]
    head = f"{clock} \x1b[{_COLOURS[level]}m{level:<8}\x1b[0m {_word(line['service']):<12} "
    fields = " ".join(
        f"{_word(name)}={_word(value)}"
        for name, value in line.items()
        if name not in _FIRST and name not in _LAST
    )
    ids = " ".join(f"{name}={_word(line[name])}" for name in _LAST if name in line)
    text = f"{head}\x1b[1m{_word(line['event'])}\x1b[0m {fields} \x1b[2m{ids}\x1b[0m"
    return text.encode() + b"\n"


def _word(value: object) -> str:
    if isinstance(value, str) and value.isprintable() and value and not set(value) & set(' "='):
        return value
    text = msgspec.json.encode(value).decode()
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
