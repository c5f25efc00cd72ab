"""Rate limits: a token bucket as a pure function, and a bounded table of buckets."""

import math
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from holdfast.ports import Taken
from holdfast.resilience.sources import Ticks

_SLACK = 1e-3  # in tokens: who comes back exactly on time is let in, whatever rounding says


Wanted = tuple[str, float, int]
"""A bucket that a token is wanted of: its key, tokens a second, and how many it holds at most."""


class Bucket(msgspec.Struct, gc=False):
    """What a bucket held at a time; after `full_at` it is full, and may as well be forgotten.

    `tokens` may be a thousandth below zero: what rounding gave away is taken off the next refill.
    """

    tokens: float
    at: float
    full_at: float


def take(bucket: Bucket | None, now: float, rate_per_s: float, burst: int) -> tuple[Taken, Bucket]:
    """Take one token of a bucket, None being a full one; return the outcome and the bucket after.

    Over any t seconds a bucket gives at most burst + rate_per_s * t tokens.

    `Taken.remaining` is the number of whole tokens left, `Taken.reset_s` the time until it grows
    by one; after a refusal that is how long to wait before coming back.

    Raises:
        ValueError: rate_per_s <= 0 or burst < 1.
    """
    if not (rate_per_s > 0 and burst >= 1):
        raise ValueError(f"rate_per_s must be > 0 and burst >= 1, got {rate_per_s} and {burst}")
    tokens = float(burst)
    if bucket is not None:
        tokens = min(tokens, bucket.tokens + (now - bucket.at) * rate_per_s)
    allowed = tokens >= 1.0 - _SLACK
    if allowed:
        tokens -= 1.0
    remaining = int(tokens + _SLACK)
    taken = Taken(allowed, remaining, (remaining + 1 - tokens) / rate_per_s)
    return taken, Bucket(tokens, now, now + (burst - tokens) / rate_per_s)


@dataclass(frozen=True, slots=True)
class LimitsStats:
    """Counts since the start, and the number of keys now.

    Attributes:
        evicted: buckets that were forgotten before they were full, for want of room. Whoever they
            belonged to got a full one back: raise keys_max if this grows.
    """

    keys: int
    allowed: int
    refused: int
    evicted: int


class MemoryLimits:
    """Rate limits of one process (`ports.Limits`), for at most `keys_max` keys.

    When there is no room, the key that was used least recently goes: with one rate for all it is
    the fullest. Somebody who can invent keys to push others out could as well use each once.
    A key takes about 300 bytes.
    """

    __slots__ = ("_allowed", "_buckets", "_clock", "_evicted", "_keys_max", "_refused")

    def __init__(self, clock: Ticks, keys_max: int = 100_000) -> None:
        if keys_max < 1:
            raise ValueError(f"keys_max must be >= 1, got {keys_max}")
        self._clock = clock
        self._keys_max = keys_max
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()  # least recently used first
        self._allowed = self._refused = self._evicted = 0

    async def try_take(self, key: str, rate_per_s: float, burst: int) -> Taken:
        """Take one token of the bucket `key`; refills at `rate_per_s`, holds at most `burst`."""
        now = self._clock.monotonic()
        taken, bucket = take(self._buckets.get(key), now, rate_per_s, burst)
        self._keep(key, bucket, now)
        if taken.allowed:
            self._allowed += 1
        else:
            self._refused += 1
        return taken

    def take_all(self, wanted: "Iterable[Wanted]") -> Taken | None:
        """Take a token of each bucket, and return what the last one says; None: take none.

        It takes nothing unless all of them have a token.
        """
        now, buckets = self._clock.monotonic(), self._buckets
        found: list[Bucket] = []
        tokens, rate_per_s = 0.0, math.inf
        for key, rate_per_s, burst in wanted:  # `take`, written out: each request comes here
            bucket = buckets.get(key)
            if bucket is None:
                bucket = Bucket(burst, now, now)
                self._keep(key, bucket, now)
            else:
                buckets.move_to_end(key)
            tokens = bucket.tokens + (now - bucket.at) * rate_per_s
            if tokens > burst:
                tokens = burst
            bucket.at = now
            if tokens < 1.0 - _SLACK:
                bucket.tokens = tokens
                for taken in found:
                    taken.tokens += 1.0
                return None
            bucket.tokens = tokens = tokens - 1.0
            bucket.full_at = now + (burst - tokens) / rate_per_s
            found.append(bucket)
        self._allowed += len(found)
        remaining = int(tokens + _SLACK)
        return Taken(True, remaining, (remaining + 1 - tokens) / rate_per_s)

    def _keep(self, key: str, bucket: Bucket, now: float) -> None:
        buckets = self._buckets
        if key in buckets:
            buckets.move_to_end(key)
        elif len(buckets) >= self._keys_max:
            _, oldest = buckets.popitem(last=False)
            self._evicted += oldest.full_at > now
        buckets[key] = bucket

    def alone(self) -> int:
        """Return 0: there is no store to be away."""
        return 0

    async def close(self) -> None:
        """Do nothing."""

    def stats(self) -> LimitsStats:
        """Return how many keys there are, and what they were told."""
        return LimitsStats(len(self._buckets), self._allowed, self._refused, self._evicted)
