"""Opaque tokens: the issuer says what they are worth, and is believed for a while (RFC 7662)."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple, TypeVar

from holdfast.errors import BadAnswer, CallError, IssuerAway
from holdfast.ports import Clock
from holdfast.security._jose import read_object
from holdfast.security.acceptance import Reason, TokenPolicy, TokenRefused, one_or_more
from holdfast.security.bearer import token_invalid
from holdfast.security.claims import Claims, read_claims

Kept = TypeVar("Kept")

ANSWER_BYTES_MAX = 65_536
EDGE = "introspection"

_TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1
_KINDS = frozenset({"bearer", "dpop", "access_token"})  # the last one is what some issuers write


@dataclass(frozen=True, slots=True)
class AnswersKept:
    """How long what an issuer said is believed, in seconds, and of how many tokens."""

    taken_s: float = 60.0
    refused_s: float = 5.0
    tokens_max: int = 10_000


class _Taken(NamedTuple):
    claims: Claims
    until_s: float  # monotonic


class _Refused(NamedTuple):
    reason: Reason
    detail: str
    until_s: float  # monotonic


class OpaqueVerifier:
    """Judges tokens by what their issuer says of them.

    An answer is believed for a while, and an accepted token no longer than its `exp`. Answers that
    refuse are kept apart, so that made-up tokens push no good one out; both are bounded, the least
    recently used one goes. However many requests bring one token, the issuer is asked once.

    Args:
        ask: posts a token to the issuer, and returns the body of a 200; raises CallError.
        takes_signed: signed tokens of this issuer are asked about, too.
    """

    def __init__(
        self,
        policy: TokenPolicy,
        ask: Callable[[bytes], Awaitable[bytes]],
        clock: Clock,
        *,
        kept: AnswersKept | None = None,
        any_audience: bool = False,
        takes_signed: bool = False,
    ) -> None:
        self.policy = policy
        self.takes_signed = takes_signed
        self._ask = ask
        self._clock = clock
        self._kept = kept or AnswersKept()
        self._any_audience = any_audience
        self._taken: OrderedDict[bytes, _Taken] = OrderedDict()
        self._refused: OrderedDict[bytes, _Refused] = OrderedDict()
        self._asked: dict[bytes, asyncio.Task[Claims | _Refused]] = {}

    def cached(self, token: bytes | str) -> Claims | None:
        """Return the claims of a token that was accepted a moment ago; None: ask `verify`."""
        if len(token) > self.policy.max_token_bytes:
            return None
        raw = token.encode("ascii", "replace") if isinstance(token, str) else token
        digest = sha256(raw).digest()
        taken = self._taken.get(digest)
        if taken is None:
            return None
        ends_at = taken.claims.expires_at + self.policy.leeway_s
        if self._clock.monotonic() >= taken.until_s or self._clock.now() >= ends_at:
            del self._taken[digest]
            return None
        self._taken.move_to_end(digest)
        return taken.claims

    async def verify(self, token: bytes | str) -> Claims:
        """Return what the issuer says of a token.

        Raises:
            Unauthenticated: it is not active, or not as the policy wants it.
            IssuerAway: nobody knows; the token may be good.
        """
        if (claims := self.cached(token)) is not None:
            return claims
        try:
            raw = _readable(token, self.policy)
            digest = sha256(raw).digest()
            known = self._refused.get(digest)
            if known is None or self._clock.monotonic() >= known.until_s:
                found = await self._asked_once(digest, raw)
                if isinstance(found, Claims):
                    return found
                known = found
            raise TokenRefused(known.reason, known.detail)
        except TokenRefused as refused:
            raise token_invalid(self.policy.realm) from refused

    async def close(self) -> None:
        """Cancel what is being asked, and wait until it has ended."""
        asked = list(self._asked.values())
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)

    async def _asked_once(self, digest: bytes, token: bytes) -> Claims | _Refused:
        task = self._asked.get(digest)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._judge(digest, token))
            self._asked[digest] = task
            task.add_done_callback(lambda _: self._asked.pop(digest, None))
        # `wait` leaves the question to the others if this caller is cancelled.
        await asyncio.wait({task})
        error = None if task.cancelled() else task.exception()
        if isinstance(error, CallError):
            raise IssuerAway(f"the issuer was not to be asked: {error}", edge=EDGE) from error
        return task.result()

    async def _judge(self, digest: bytes, token: bytes) -> Claims | _Refused:
        body = await self._ask(token)
        now_s = self._clock.monotonic()
        try:
            claims = self._read(body)
        except TokenRefused as refused:
            known = _Refused(refused.reason, str(refused), now_s + self._kept.refused_s)
            _keep(self._refused, digest, known, self._kept.tokens_max)
            return known
        taken = _Taken(claims, now_s + self._kept.taken_s)
        _keep(self._taken, digest, taken, self._kept.tokens_max)
        return claims

    def _read(self, body: bytes) -> Claims:
        """Return what an answer says of a token.

        Raises:
            TokenRefused: it is not accepted.
            BadAnswer: that is no answer.
        Source: RFC 7662, section 2.2.
        """
        try:
            if len(body) > ANSWER_BYTES_MAX:
                raise ValueError(f"more than {ANSWER_BYTES_MAX} bytes")
            answer = read_object(body)
        except ValueError as error:
            raise BadAnswer(f"not the answer to an introspection: {error}", edge=EDGE) from error
        active = answer.get("active")
        if not isinstance(active, bool):
            raise BadAnswer("an introspection whose active is neither true nor false", edge=EDGE)
        if not active:
            raise TokenRefused("inactive", "the issuer says that it is not active")
        kind = answer.get("token_type", "bearer")
        if not isinstance(kind, str) or kind.lower() not in _KINDS:
            raise TokenRefused("claim", f"token_type is of no access token: {ascii(kind)[:40]}")
        now_s = self._clock.now()
        given: dict[str, object] = {
            "iss": one_or_more(self.policy.issuer)[0],
            "exp": int(now_s + self._kept.taken_s),
            **answer,
        }
        if self._any_audience:
            given[self.policy.audience_claim] = list(one_or_more(self.policy.audience))
        return read_claims(given, self.policy, now_s, typ="")


def _readable(token: bytes | str, policy: TokenPolicy) -> bytes:
    if len(token) > policy.max_token_bytes:
        raise TokenRefused("too_long", f"longer than {policy.max_token_bytes} bytes")
    raw = token.encode("ascii", "replace") if isinstance(token, str) else token
    if not _TOKEN.fullmatch(raw):
        raise TokenRefused("malformed", "not a token: it has other characters than RFC 6750 allows")
    return raw


def _keep(kept: OrderedDict[bytes, Kept], digest: bytes, value: Kept, most: int) -> None:
    kept[digest] = value
    kept.move_to_end(digest)
    if len(kept) > most:
        kept.popitem(last=False)
