"""What is wrong with a server at the moment, by place: for readiness, and once for the log."""

import asyncio
import logging

SAID_AGAIN_S = 60.0  # what lasts is a line in the log so often
FADES_S = 60.0  # what happens now and then is shown for so long after the last time
PLACES_MAX = 64  # further ones share one entry
SHOWN_MAX = 3
_REST = "elsewhere"


class Troubles:
    """What does not go well: {place: why}.

    Args:
        server: what it is about, the first word of each line in the log.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._lasting: dict[str, str] = {}
        self._fading: dict[str, tuple[str, float]] = {}  # why, and until when it is shown
        self._said_at: dict[str, tuple[str, float]] = {}

    def begin(self, place: str, why: str) -> None:
        """Say that a place is in trouble, until `end`."""
        place = self._known(place, self._lasting)
        self._lasting[place] = why
        self._say(place, why)

    def end(self, place: str) -> None:
        """Say that a place is well; nothing happens if it was."""
        if self._lasting.pop(place, None) is not None:
            self._said_at.pop(place, None)
            _log().info("%s: %s: well again", self._server, place)

    def happen(self, place: str, why: str) -> None:
        """Note what has no end that anybody would tell: it is shown for a minute."""
        now = _now_s()
        self._fading = {p: entry for p, entry in self._fading.items() if entry[1] > now}
        place = self._known(place, self._fading)
        self._fading[place] = (why, now + FADES_S)
        self._say(place, why)

    def now(self) -> str | None:
        """Return what is wrong, in one line, or None."""
        now = _now_s()
        found = [f"{place}: {why}" for place, why in self._lasting.items()]
        found += [f"{place}: {why}" for place, (why, until) in self._fading.items() if until > now]
        if len(found) > SHOWN_MAX:
            found[SHOWN_MAX:] = [f"and {len(found) - SHOWN_MAX} more"]
        return "; ".join(found) or None

    def _known(self, place: str, known: "dict[str, str] | dict[str, tuple[str, float]]") -> str:
        return place if place in known or len(known) < PLACES_MAX else _REST

    def _say(self, place: str, why: str) -> None:
        said, at_s = self._said_at.get(place, ("", 0.0))
        if said == why and _now_s() < at_s + SAID_AGAIN_S:
            return
        while len(self._said_at) >= 2 * PLACES_MAX:
            self._said_at.pop(next(iter(self._said_at)))
        self._said_at[place] = (why, _now_s())
        _log().warning("%s: %s: %s", self._server, place, why)


def _log() -> logging.Logger:
    return logging.getLogger("holdfast")


def _now_s() -> float:
    return asyncio.get_running_loop().time()
