"""Health: what the probes of an orchestrator are told.

Alive means that the process answers at all: a restart helps one that does not. Ready means that
new requests may come, which is from the end of the start to the beginning of the drain. What is
away meanwhile is shown and does not decide: all pods would go out of service together, and make
one failure a total one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from holdfast.contract.http import Response
from holdfast.observability.redact import describe, scrub

Check = Callable[[], Awaitable[str | None]]
"""Returns None when all is well, or why not."""

Lifecycle = Literal["starting", "started", "draining"]

_WHY_CHARS_MAX = 256
_HEADERS = ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))


class Health:
    """The phase of a process, and the checks that its readiness shows.

    Args:
        limit_s: how long all checks, which run together, may take; below the probe's own limit.
    """

    def __init__(self, *, limit_s: float = 0.8) -> None:
        self._limit_s = limit_s
        self._phase: Lifecycle = "starting"
        self._watched: dict[str, Check] = {}
        self._shown: dict[str, Callable[[], object]] = {}
        self._round: asyncio.Task[dict[str, str | None]] | None = None

    def watch(self, name: str, check: Check) -> None:
        """Show a check; it does not decide about readiness."""
        self._watched[name] = check

    def show(self, name: str, stats: Callable[[], object]) -> None:
        """Tell figures to whoever asks for more than the checks."""
        self._shown[name] = stats

    def started(self) -> None:
        """Say that the start is over."""
        self._phase = "started"

    def draining(self) -> None:
        """Say that no new request may come; there is no way back."""
        self._phase = "draining"

    def live(self) -> Response:
        """Answer the liveness probe: who can answer is alive."""
        return _answer(200, {"status": "alive"})

    async def ready(self, *, verbose: bool = False) -> Response:
        """Answer the readiness probe: 200, or 503 with the phase; `verbose` with what is shown.

        Probes that come while checks run share their results, so a storm of probes is one check.
        """
        if self._phase != "started":
            return _answer(503, {"status": self._phase})
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._check_all(), name="health checks")
        found = await asyncio.shield(self._round)
        checks = {
            name: {"ok": why is None} if why is None else {"ok": False, "why": _short(why)}
            for name, why in found.items()
        }
        told: dict[str, object] = {"checks": checks}
        if verbose:
            told["stats"] = {name: stats() for name, stats in self._shown.items()}
        if self._phase != "started":
            return _answer(503, {"status": self._phase, **told})
        return _answer(200, {"status": "ready", **told})

    async def _check_all(self) -> dict[str, str | None]:
        found = await asyncio.gather(*(self._ask(check) for check in self._watched.values()))
        return dict(zip(self._watched, found, strict=True))

    async def _ask(self, check: Check) -> str | None:
        try:
            async with asyncio.timeout(self._limit_s):
                return await check()
        except TimeoutError:
            return f"no answer within {self._limit_s:g} s"
        except Exception as error:  # any failure of a check is an answer: not well
            return describe(error)


def in_brief(answer: Response) -> Response:
    """Return the answer to a probe with its status alone, for a port that strangers reach."""
    return _answer(answer.status, {"status": msgspec.json.decode(answer.body)["status"]})


def _short(why: str) -> str:
    return scrub(why)[:_WHY_CHARS_MAX]


def _answer(status: int, document: dict[str, object]) -> Response:
    return Response(status, list(_HEADERS), msgspec.json.encode(document))
