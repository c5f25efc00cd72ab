"""Authentication: whose request it is, by its bearer token."""

from collections.abc import Sequence
from typing import Protocol

from holdfast.contract.http import Request
from holdfast.errors import BadRequest, CallError, HoldfastError, Unauthenticated
from holdfast.observability import Logger, Metrics
from holdfast.security import REASONS, TokenRefused, bearer_token, token_invalid, token_missing
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


class Authentication:
    """Tells the callers of one gateway.

    Args:
        verifier: None when the gateway accepts no tokens.
    """

    __slots__ = ("_logger", "_unauthenticated", "_verifier")

    def __init__(self, verifier: Verifier | None, metrics: Metrics, logger: Logger) -> None:
        self._verifier = verifier
        self._logger = logger
        # Made at the start, so that the first refusal is an increase and not a new series.
        self._unauthenticated = {
            reason: metrics.unauthenticated("gateway", reason) for reason in UNAUTHENTICATED
        }

    async def caller_of(self, request: Request) -> Caller:
        """Return whose request it is, and note until when. Raises Unauthenticated, CallError."""
        sent = request.sent.get(b"authorization", b"")
        claims = None
        if self._verifier is not None and sent.startswith(_BEARER):
            claims = self._verifier.cached(sent[len(_BEARER) :])  # by its very bytes
        if claims is None:
            claims = await self._verify(request.header_all(b"authorization"))
        request.caller_until = claims.expires_at
        return Caller(claims.subject, claims.scopes, claims.client)

    async def _verify(self, sent: Sequence[bytes]) -> VerifiedClaims:
        if self._verifier is None:
            raise self._unknown("no_tokens", "the gateway accepts no tokens", token_missing())
        try:
            token = bearer_token(sent)
        except BadRequest as exc:  # a header that is no token is a token that is not valid
            raise self._unknown("bad_header", exc.detail, token_invalid()) from exc
        if token is None:
            raise self._unknown("missing", "no bearer token", token_missing())
        try:
            return await self._verifier.verify(token)
        except Unauthenticated as exc:
            cause = exc.__cause__
            reason = cause.reason if isinstance(cause, TokenRefused) else "malformed"
            self._unknown(reason, str(cause), exc)
            raise
        except CallError as exc:
            away = "no_answer" if exc.edge == INTROSPECTION else "no_keys"
            self._unknown(away, str(exc), exc)
            raise

    def _unknown(self, reason: str, why: str, error: HoldfastError) -> HoldfastError:
        """Count and log why nobody was authenticated, which the answer must not say; return it."""
        self._unauthenticated[reason].inc()
        self._logger.info("token.refused", reason=reason, why=why)
        return error
