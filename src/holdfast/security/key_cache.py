"""The keys of a remote issuer: fetched seldom, one fetch at a time, kept while it is down."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from holdfast.errors import IssuerAway
from holdfast.ports import Clock
from holdfast.security.keys import Jwks, read_jwks

FetchKeys = Callable[[], Awaitable[bytes | Mapping[str, object]]]

_FIRST_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class KeyCacheStats:
    """What a key cache did so far.

    Attributes:
        keys: how many may be used now. left_out: published keys that are not, and why.
        last_error: why the newest fetch failed, "" if it did not.
    """

    fetches: int
    failures: int
    keys: int
    left_out: tuple[str, ...]
    last_error: str


class CachedKeys:
    """A key source that fetches a JWKS and keeps it.

    A set is fresh for `max_age_s`. The first request after that sets off a fetch and is served
    from the old set, so under steady traffic nobody waits for the issuer. A set that nobody asked
    for since then (for `min_refresh_s`) is not trusted before a fetch was tried. So a key that the
    issuer withdraws is refused after max_age_s + 2 * min_refresh_s at most. Only if the issuer
    cannot be reached is the old set served longer, until it is `max_stale_s` old.

    Fetches begin at least `min_refresh_s` apart (1 s while there is no set at all). Tokens with
    forged kids therefore cannot make us hammer the issuer. What sets off a fetch for an unknown kid
    is reckoned apart: it does not have to wait because the set was just looked at by itself, so an
    issuer may sign with a key as soon as it has published it.

    Args:
        fetch: gets the document from the issuer; whatever it raises counts as "issuer down".
        fetch_timeout_s: how long one fetch may take.
        kid_required: see `TokenPolicy`.
    """

    def __init__(
        self,
        fetch: FetchKeys,
        clock: Clock,
        *,
        max_age_s: float = 300.0,
        min_refresh_s: float = 10.0,
        max_stale_s: float = 3600.0,
        fetch_timeout_s: float = 3.0,
        kid_required: bool = True,
    ) -> None:
        if not 0 < min_refresh_s <= max_age_s <= max_stale_s:
            raise ValueError("it must hold that 0 < min_refresh_s <= max_age_s <= max_stale_s")
        self._fetch = fetch
        self._clock = clock
        self._max_age_s = max_age_s
        self._min_refresh_s = min_refresh_s
        self._max_stale_s = max_stale_s
        self._fetch_timeout_s = fetch_timeout_s
        self._kid_required = kid_required
        self._jwks: Jwks | None = None
        self._stale_at_s = 0.0  # monotonic; from then on `_jwks` must not be used
        self._next_fetch_s = float("-inf")  # monotonic; no fetch begins before
        self._next_search_s = float("-inf")  # the same for fetches that a token asks for
        self._under_way: asyncio.Task[None] | None = None
        self._error: Exception | None = None
        self._fetches = 0
        self._failures = 0

    async def keys(self, *, refresh: bool) -> Jwks:
        """Return the set; wait for a fetch only if `refresh` is set or no set can be used.

        Raises:
            IssuerAway: no set could be fetched, or the last one is older than `max_stale_s`.
        """
        now_s = self._clock.monotonic()
        jwks = self._usable(now_s)
        if jwks is not None and not refresh and now_s < jwks.fresh_until_s:
            return jwks
        overdue = jwks is None or now_s >= jwks.fresh_until_s + self._min_refresh_s
        if refresh and jwks is not None:
            await self._search(jwks)
        if self._under_way is None and now_s >= self._next_fetch_s:
            self._begin(now_s, overdue=overdue)
        if self._under_way is not None and (refresh or overdue):
            # `wait` leaves the fetch running for the others if this caller is cancelled.
            await asyncio.wait({self._under_way})
        jwks = self._usable(self._clock.monotonic())
        if jwks is None:
            raise IssuerAway("the token issuer's keys are not available", edge="jwks") from (
                self._error
            )
        return jwks

    def stats(self) -> KeyCacheStats:
        """Return what was fetched, what failed, and what can be used now."""
        jwks = self._usable(self._clock.monotonic())
        return KeyCacheStats(
            fetches=self._fetches,
            failures=self._failures,
            keys=len(jwks.candidates("")) if jwks else 0,
            left_out=jwks.left_out if jwks else (),
            last_error=repr(self._error) if self._error else "",
        )

    async def close(self) -> None:
        """Cancel the fetch under way, and wait until it has ended."""
        if self._under_way is not None:
            self._under_way.cancel()
            await asyncio.wait({self._under_way})

    def _usable(self, now_s: float) -> Jwks | None:
        return self._jwks if now_s < self._stale_at_s else None

    async def _search(self, known: Jwks) -> None:
        """Fetch a set that is newer than `known`, if it is time to."""
        if self._under_way is not None:  # it may have been asked for before the key was published
            await asyncio.wait({self._under_way})
        now_s, jwks = self._clock.monotonic(), self._jwks
        if jwks is not None and jwks.keys != known.keys:
            return
        if self._under_way is None and now_s >= self._next_search_s:
            self._next_search_s = now_s + self._min_refresh_s
            self._begin(now_s, overdue=False)

    def _begin(self, now_s: float, *, overdue: bool) -> None:
        pause_s = self._min_refresh_s
        if self._usable(now_s) is None:
            pause_s = min(pause_s, _FIRST_RETRY_S)
        self._next_fetch_s = now_s + pause_s
        if not overdue:
            self._prolong()
        self._under_way = asyncio.get_running_loop().create_task(self._refresh())

    def _prolong(self) -> None:
        # Until the next fetch may begin, asking again is of no use: the old set counts as fresh,
        # and verified tokens stay on their fast path.
        if self._jwks is not None:
            fresh_until_s = max(self._jwks.fresh_until_s, self._next_fetch_s)
            fresh_until_s = min(fresh_until_s, self._stale_at_s)
            self._jwks = replace(self._jwks, fresh_until_s=fresh_until_s)

    async def _refresh(self) -> None:
        self._fetches += 1
        try:
            async with asyncio.timeout(self._fetch_timeout_s):
                document = await self._fetch()
            now_s = self._clock.monotonic()
            self._jwks = read_jwks(
                document,
                fresh_until_s=now_s + self._max_age_s,
                kid_required=self._kid_required,
            )
            self._stale_at_s = now_s + self._max_stale_s
            self._error = None
        except Exception as error:  # whatever the issuer or the way to it does, the old set serves
            self._failures += 1
            self._error = error
            self._prolong()
        finally:
            self._under_way = None
