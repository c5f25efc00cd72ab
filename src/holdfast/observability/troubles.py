"""What a system has said of its own errors, for whoever reads why a test or a run failed."""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from holdfast.contract.model import JsonObject

_SHOWN_MAX = 5
_LIBRARIES = ("-packages", str(Path(__file__).parents[1]), str(Path(sys.prefix) / "lib"), "<")
_TELLING = ("letter.failed", "letter.dead", "saga.parked")


def troubles(log: bytes) -> list[str]:
    """Return a line for each different error in a log of JSON lines: where, what, in which code.

    A client is told of a bug that it is a 500, and a caller of a letter nothing; the log knows. Of
    many, the last are returned.
    """
    found = dict.fromkeys(_told(log.splitlines()))
    return list(found)[-_SHOWN_MAX:]


def _told(lines: list[bytes]) -> Iterator[str]:
    for line in lines:
        said = msgspec.json.decode(line, type=JsonObject)
        if "level" not in said:
            continue  # an entry of the audit log
        if said["level"] != "error" and said["event"] not in _TELLING:
            continue
        asked = f"{said.get('method')} {said['route']}" if "route" in said else ""
        what = asked or said.get("type") or said.get("saga") or ""
        place = said.get("at") or _theirs(said.get("error_at") or [])
        about = f"{said['event']} in {said.get('service')} {what}".rstrip()
        what = said.get("error") or said.get("message", "")  # of the standard `logging`
        yield f"{about}: {what}{f', at {place}' if place else ''}"


def _theirs(frames: list[str]) -> str:
    """Return the innermost frame of the user's own code; without one, the innermost."""
    own = [frame for frame in frames if not any(part in frame for part in _LIBRARIES)]
    return (own or frames or [""])[-1]
