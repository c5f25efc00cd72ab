"""The issuer is asked seldom and once at a time, and its absence is survived for a while."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from holdfast.errors import Unauthenticated, Unreachable
from holdfast.security import CachedKeys, TokenVerifier
from tests.virtual_loop import run_virtual

from .forge import POLICY, ManualClock, header, private_key, public_jwk, token


class Issuer:
    """Publishes one key per kid; can be down, slow, or talk nonsense."""

    def __init__(self, *kids: str) -> None:
        self.kids = kids
        self.down: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.fetches = 0

    async def __call__(self) -> Mapping[str, object]:
        self.fetches += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.down is not None:
            raise self.down
        return {"keys": [public_jwk(private_key("EdDSA", ord(kid)), kid) for kid in self.kids]}


def cached(issuer: Any, clock: ManualClock, **options: float) -> CachedKeys:
    return CachedKeys(issuer, clock, **options)


async def kids_of(keys: CachedKeys, *, refresh: bool = False) -> list[str]:
    return list((await keys.keys(refresh=refresh)).keys)


async def settle() -> None:
    """Let tasks that are ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_fresh_set_is_not_fetched_again() -> None:
    """Within `max_age_s` one fetch serves everybody, and at its end there is the next."""
    issuer, clock = Issuer("a"), ManualClock()
    keys = cached(issuer, clock)

    assert await kids_of(keys) == ["a"]
    clock.advance(299.9)
    assert await kids_of(keys) == ["a"]
    await settle()
    assert issuer.fetches == 1

    clock.advance(0.1)
    assert await kids_of(keys) == ["a"]
    await settle()
    assert issuer.fetches == 2


@pytest.mark.parametrize(("takes_s", "fits"), [(2.9, True), (3.1, False)])
def test_a_fetch_may_take_so_long(takes_s: float, fits: bool) -> None:
    """Then it is given up, and whoever waits for it is told so."""

    async def issuer() -> Mapping[str, object]:
        await asyncio.sleep(takes_s)
        return {"keys": [public_jwk(private_key("EdDSA"), "a")]}

    async def main() -> float:
        loop, keys = asyncio.get_running_loop(), cached(issuer, ManualClock())
        began = loop.time()
        if fits:
            assert await kids_of(keys) == ["a"]
        else:
            with pytest.raises(Unreachable, match="not available"):
                await kids_of(keys)
        return loop.time() - began

    assert run_virtual(main()) == pytest.approx(min(takes_s, 3.0))


async def test_callers_share_one_fetch() -> None:
    """Everybody who needs keys at the same time waits for the same fetch."""
    issuer, clock = Issuer("a"), ManualClock()
    issuer.gate = asyncio.Event()
    keys = cached(issuer, clock)
    waiting = [asyncio.create_task(kids_of(keys, refresh=n % 2 == 0)) for n in range(50)]
    await settle()

    issuer.gate.set()

    assert await asyncio.gather(*waiting) == [["a"]] * 50
    assert issuer.fetches == 1


async def test_a_slow_fetch_is_not_joined_by_another() -> None:
    """One fetch is under way at most, even when the next one would be due."""
    issuer, clock = Issuer("a"), ManualClock()
    issuer.gate = asyncio.Event()
    keys = cached(issuer, clock)
    first = asyncio.create_task(kids_of(keys))
    await settle()
    clock.advance(2)

    second = asyncio.create_task(kids_of(keys, refresh=True))
    await settle()
    issuer.gate.set()

    assert await first == await second == ["a"]
    assert issuer.fetches == 1


async def test_one_impatient_caller_does_not_end_the_fetch_of_the_others() -> None:
    """Cancelling a waiter leaves the fetch running."""
    issuer, clock = Issuer("a"), ManualClock()
    issuer.gate = asyncio.Event()
    keys = cached(issuer, clock)
    first, second = (asyncio.create_task(kids_of(keys)) for _ in range(2))
    await settle()

    first.cancel()
    await settle()
    issuer.gate.set()

    assert await second == ["a"]
    assert first.cancelled()
    assert issuer.fetches == 1


async def test_an_old_set_is_served_while_the_next_is_fetched() -> None:
    """Under steady traffic nobody waits for the issuer, however slow it is."""
    issuer, clock = Issuer("a"), ManualClock()
    keys = cached(issuer, clock)
    await kids_of(keys)
    issuer.kids, issuer.gate = ("b",), asyncio.Event()
    clock.advance(301)

    assert await kids_of(keys) == ["a"]
    issuer.gate.set()
    await settle()

    assert await kids_of(keys) == ["b"]
    assert issuer.fetches == 2


async def test_a_set_that_nobody_asked_for_is_fetched_before_it_is_trusted() -> None:
    """After a quiet time every caller waits, because a key may have been withdrawn long ago."""
    issuer, clock = Issuer("a"), ManualClock()
    keys = cached(issuer, clock)
    await kids_of(keys)
    issuer.kids, issuer.gate = ("b",), asyncio.Event()
    clock.advance(1000)

    waiting = [asyncio.create_task(kids_of(keys)) for _ in range(2)]
    await settle()
    issuer.gate.set()

    assert await asyncio.gather(*waiting) == [["b"], ["b"]]


async def test_a_newer_set_is_fetched_for_an_unknown_kid() -> None:
    """A rotation is noticed with the first token of the new key, not after `max_age_s`."""
    issuer, clock = Issuer("a"), ManualClock()
    keys = cached(issuer, clock)
    await kids_of(keys)
    issuer.kids = ("a", "b")
    clock.advance(10)

    assert await kids_of(keys) == ["a"]
    assert await kids_of(keys, refresh=True) == ["a", "b"]


async def test_forged_kids_cannot_hammer_the_issuer() -> None:
    """However many tokens name unknown keys, fetches begin `min_refresh_s` apart."""
    issuer, clock = Issuer("a"), ManualClock()
    judge = TokenVerifier(POLICY, cached(issuer, clock), clock)

    for n in range(600):
        with pytest.raises(Unauthenticated, match="invalid"):
            await judge.verify(token(header(kid=f"forged-{n}")))
        clock.advance(0.1)

    assert issuer.fetches <= 7  # in 60 seconds


async def test_an_issuer_that_is_down_is_survived() -> None:
    """The old set serves until `max_stale_s`; then nothing does; then the issuer is back."""
    issuer, clock = Issuer("a"), ManualClock()
    keys = cached(issuer, clock, max_stale_s=900)
    await kids_of(keys)
    issuer.down = OSError("no route")

    for _ in range(89):
        clock.advance(10)
        assert await kids_of(keys) == ["a"]
        await settle()
    assert keys.stats().failures > 10
    assert "no route" in keys.stats().last_error
    clock.advance(10)
    with pytest.raises(Unreachable, match="keys are not available") as caught:
        await kids_of(keys)

    assert isinstance(caught.value.__cause__, OSError)
    assert keys.stats().keys == 0
    issuer.down = None
    clock.advance(1)
    assert await kids_of(keys) == ["a"]
    assert keys.stats().last_error == ""


async def test_while_the_issuer_is_down_requests_stay_on_the_fast_path() -> None:
    """A failed fetch does not make remembered tokens be verified again until the next attempt."""
    issuer, clock = Issuer("a"), ManualClock()
    judge = TokenVerifier(POLICY, cached(issuer, clock), clock)
    good = token(header(kid="a"), key=private_key("EdDSA", ord("a")))
    await judge.verify(good)
    issuer.down = OSError("no route")
    clock.advance(301)

    await judge.verify(good)
    await settle()

    assert judge.cached(good) is not None
    clock.advance(9)
    assert judge.cached(good) is not None
    clock.advance(1)
    assert judge.cached(good) is None


async def test_after_a_quiet_time_a_failed_fetch_gives_back_the_fast_path() -> None:
    """One request waits for the failure; the ones after it need no fetch and no verification."""
    issuer, clock = Issuer("a"), ManualClock()
    judge = TokenVerifier(POLICY, cached(issuer, clock), clock)
    good = token(header(kid="a"), key=private_key("EdDSA", ord("a")))
    await judge.verify(good)
    issuer.down = OSError("no route")
    clock.monotonic_s += 1000

    await judge.verify(good)

    assert judge.cached(good) is not None
    assert issuer.fetches == 2


async def test_the_fast_path_ends_with_the_set() -> None:
    """A remembered token is not believed beyond `max_stale_s`."""
    issuer, clock = Issuer("a"), ManualClock()
    judge = TokenVerifier(POLICY, cached(issuer, clock, max_stale_s=305), clock)
    good = token(header(kid="a"), key=private_key("EdDSA", ord("a")))
    await judge.verify(good)
    issuer.down = OSError("no route")
    clock.advance(301)
    await judge.verify(good)
    await settle()

    clock.advance(3)
    assert judge.cached(good) is not None
    clock.advance(1)
    assert judge.cached(good) is None
    with pytest.raises(Unreachable, match="keys are not available"):
        await judge.verify(good)


@pytest.mark.parametrize("error", [OSError("x"), RuntimeError("x"), Unreachable("x"), KeyError(1)])
async def test_without_any_set_the_error_is_ours(error: Exception) -> None:
    """Whatever the fetch raises, callers see Unreachable, and the next try comes after a second."""
    issuer, clock = Issuer("a"), ManualClock()
    issuer.down = error
    keys = cached(issuer, clock)

    for _ in range(10):
        with pytest.raises(Unreachable, match="keys are not available"):
            await kids_of(keys, refresh=True)
    assert issuer.fetches == 1

    issuer.down = None
    clock.advance(1)
    assert await kids_of(keys) == ["a"]


async def test_nonsense_does_not_replace_a_good_set() -> None:
    """A document that is no JWKS counts as a failure."""
    clock = ManualClock()
    documents: list[Any] = [{"keys": [public_jwk(private_key("EdDSA"), "a")]}, b"<html>"]

    async def fetch() -> Any:
        return documents.pop(0)

    keys = cached(fetch, clock)
    await kids_of(keys)
    clock.advance(301)

    assert await kids_of(keys, refresh=True) == ["a"]
    assert "not a usable JWKS" in keys.stats().last_error


async def test_a_fetch_has_an_end() -> None:
    """An issuer that never answers costs `fetch_timeout_s`, not for ever."""
    issuer, clock = Issuer("a"), ManualClock()
    issuer.gate = asyncio.Event()
    keys = cached(issuer, clock, fetch_timeout_s=0.01)

    with pytest.raises(Unreachable, match="keys are not available") as caught:
        await kids_of(keys)

    assert isinstance(caught.value.__cause__, TimeoutError)


async def test_closing_ends_the_fetch() -> None:
    """After `close` nothing runs, and whoever waited is told."""
    issuer, clock = Issuer("a"), ManualClock()
    issuer.gate = asyncio.Event()
    keys = cached(issuer, clock)
    waiting = asyncio.create_task(kids_of(keys))
    await settle()

    await keys.close()

    with pytest.raises(Unreachable, match="keys are not available"):
        await waiting
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await keys.close()


async def test_a_withdrawn_key_is_refused_in_time() -> None:
    """Under steady traffic, max_age_s + 2 * min_refresh_s after a key was withdrawn at the latest.

    The simulated traffic is one request a second, all with the same remembered token.
    """
    issuer, clock = Issuer("a", "b"), ManualClock()
    judge = TokenVerifier(POLICY, cached(issuer, clock, max_age_s=60), clock)
    stolen = token(header(kid="b"), key=private_key("EdDSA", ord("b")))
    await judge.verify(stolen)
    issuer.kids = ("a",)

    accepted_s = 0
    try:
        for _ in range(200):
            clock.advance(1)
            if judge.cached(stolen) is None:
                await judge.verify(stolen)
            await settle()
            accepted_s += 1
    except Unauthenticated:
        pass

    assert 60 <= accepted_s <= 80


@pytest.mark.parametrize("options", [{"min_refresh_s": 0}, {"max_age_s": 5}, {"max_stale_s": 299}])
def test_times_must_fit_together(options: dict[str, float]) -> None:
    """A cache that would hammer the issuer, or never be stale, is refused."""
    with pytest.raises(ValueError, match="min_refresh_s <= max_age_s <= max_stale_s"):
        cached(Issuer("a"), ManualClock(), **options)


async def test_what_was_fetched_and_failed_is_counted() -> None:
    """Each fetch once, and each failure once."""
    issuer, clock = Issuer("a", "b"), ManualClock()
    keys = cached(issuer, clock)
    for turn in range(3):
        stats = keys.stats()
        assert (stats.fetches, stats.failures) == (2 * turn, turn)
        issuer.down = None
        clock.advance(1_000)
        assert await kids_of(keys) == ["a", "b"]
        issuer.down = OSError("no route")
        clock.advance(1_000)
        await kids_of(keys)
        assert keys.stats().keys == 2
