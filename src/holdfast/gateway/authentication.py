"""Authentication: whose request it is, by its bearer token."""

from typing import Protocol

from holdfast.contract.http import Request
from holdfast.errors import BadRequest, CallError, HoldfastError, Unauthenticated
from holdfast.gateway.possession import Possession
from holdfast.observability import Logger, Metrics
from holdfast.security import (
    REASONS,
    TokenRefused,
    proof_invalid,
    token_invalid,
    token_missing,
    token_sent,
)
from holdfast.system import Caller

UNAUTHENTICATED = ("missing", "bad_header", "no_tokens", "no_keys", "no_answer", *REASONS)
"""Why nobody was authenticated, as the metric's label and the log say it."""

INTROSPECTION = "introspection"
"""The edge of errors that say that an issuer was not to be asked about a token."""

_BEARER = b"Bearer "


class Verifier(Protocol):
    """Checks bearer tokens."""

    def cached(self, token: bytes) -> "VerifiedClaims | None":
        """Return the claims of a token that was verified before."""
        ...

    async def verify(self, token: bytes) -> "VerifiedClaims":
        """Verify a token. Raises Unauthenticated."""
        ...


class VerifiedClaims(Protocol):
    """What a verified token says."""

    @property
    def subject(self) -> str: ...

    @property
    def scopes(self) -> frozenset[str]: ...

    @property
    def client(self) -> str: ...

    @property
    def expires_at(self) -> float: ...

    @property
    def bound_to(self) -> str: ...


class Authentication:
    """Tells the callers of one gateway.

    Args:
        verifier: None when the gateway accepts no tokens.
        possession: None when it accepts none that are bound to a key.
    """

    __slots__ = ("_logger", "_possession", "_schemes", "_unauthenticated", "_verifier")

    def __init__(
        self,
        verifier: Verifier | None,
        metrics: Metrics,
        logger: Logger,
        possession: Possession | None = None,
    ) -> None:
        self._verifier = verifier
        self._possession = possession
        self._schemes = (b"bearer",) if possession is None else (b"bearer", b"dpop")
        self._logger = logger
        # Made at the start, so that the first refusal is an increase and not a new series.
        self._unauthenticated = {
            reason: metrics.unauthenticated("gateway", reason) for reason in UNAUTHENTICATED
        }

    def cached(self, authorization: bytes) -> VerifiedClaims | None:
        """Return what a header says whose token was verified before; None: ask `caller_of`."""
        if self._verifier is None or not authorization.startswith(_BEARER):
            return None
        return self._verifier.cached(authorization[len(_BEARER) :])  # by its very bytes

    async def caller_of(self, request: Request) -> Caller:
        """Return whose request it is, and note until when. Raises Unauthenticated, CallError."""
        claims = self.cached(request.sent.get(b"authorization", b""))
        if claims is None or claims.bound_to:
            claims = await self._verify(request)
        request.caller_until = claims.expires_at
        return Caller(claims.subject, claims.scopes, claims.client)

    async def _verify(self, request: Request) -> VerifiedClaims:
        if self._verifier is None:
            raise self._unknown("no_tokens", "the gateway accepts no tokens", token_missing())
        try:
            sent = token_sent(request.header_all(b"authorization"), self._schemes)
        except BadRequest as exc:  # a header that is no token is a token that is not valid
            raise self._unknown("bad_header", exc.detail, token_invalid()) from exc
        if sent is None:
            nothing = token_missing(proofs=self._possession is not None)
            raise self._unknown("missing", "no bearer token", nothing)
        scheme, token = sent
        try:
            claims = await self._verifier.verify(token)
        except Unauthenticated as exc:
            cause = exc.__cause__
            reason = cause.reason if isinstance(cause, TokenRefused) else "malformed"
            self._unknown(reason, str(cause), exc)
            raise
        except CallError as exc:
            away = "no_answer" if exc.edge == INTROSPECTION else "no_keys"
            self._unknown(away, str(exc), exc)
            raise
        await self._prove(request, scheme, token, claims)
        return claims

    async def _prove(
        self, request: Request, scheme: bytes, token: bytes, claims: VerifiedClaims
    ) -> None:
        """Have a token that is bound to a key proved, and no other. Raises Unauthenticated."""
        if not claims.bound_to and scheme == b"bearer":
            return
        try:
            if self._possession is None or not claims.bound_to or scheme == b"bearer":
                wrong = "is not" if scheme == b"dpop" else "came as a bearer token and is"
                raise TokenRefused("proof", f"the token {wrong} bound to a key")
            await self._possession.check(request, token, claims.bound_to)
        except TokenRefused as refused:
            raise self._unknown("proof", str(refused), proof_invalid()) from refused

    def _unknown(self, reason: str, why: str, error: HoldfastError) -> HoldfastError:
        """Count and log why nobody was authenticated, which the answer must not say; return it."""
        self._unauthenticated[reason].inc()
        self._logger.info("token.refused", reason=reason, why=why)
        return error
