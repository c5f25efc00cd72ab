"""Whose request a service serves: what the gateway has signed, for this very route, or nobody."""

import functools
from collections.abc import Callable
from typing import Protocol

from holdfast.contract.http import Request, is_preflight
from holdfast.dispatch.inner_headers import CALLER, TOKEN
from holdfast.dispatch.router import Target
from holdfast.errors import Forbidden, Unauthenticated
from holdfast.security import Purpose, TransactionClaims, TransactionReason, TransactionRefused
from holdfast.system import Caller
from holdfast.system.checks import PATH_NAME


class Transactions(Protocol):
    """Verifies transaction tokens."""

    def verify(self, token: bytes) -> TransactionClaims:
        """Return what a token says. Raises TransactionRefused."""
        ...


class SignedCallers:
    """Tells the callers of what other processes forward, by transaction tokens alone.

    Args:
        refused: told of each that is refused: the request, its reason, and why.
    """

    def __init__(
        self,
        transactions: Transactions,
        refused: Callable[[Request, TransactionReason, str], None],
    ) -> None:
        self._transactions, self._refused = transactions, refused

    def caller_of(self, request: Request, target: Target) -> Caller | None:
        """Return whose request it is; None: nobody's, and it needs nobody.

        Raises:
            Unauthenticated: nothing proves it. Forbidden: what proves it is for another route.
        """
        try:
            return self._caller_of(request, target)
        except TransactionRefused as exc:
            self._refused(request, exc.reason, str(exc))
            told = f"the transaction token is refused: {exc.reason}"
            if exc.reason == "route":
                raise Forbidden(told) from exc
            raise Unauthenticated(told) from exc

    def _caller_of(self, request: Request, target: Target) -> Caller | None:
        if CALLER in request.sent:
            raise TransactionRefused("unsigned", f"{CALLER.decode()} is nobody's signature")
        sent = request.header_all(TOKEN)
        if not sent:
            if target.public or (target.mount and is_preflight(request)):
                return None
            raise TransactionRefused("missing", f"there is no {TOKEN.decode()}")
        if len(sent) > 1:
            raise TransactionRefused("several", f"there are {len(sent)} of {TOKEN.decode()}")
        claims = self._transactions.verify(sent[0])
        wanted = purpose_of(target.service, request.method, target.template)
        if claims.purpose != wanted:
            good_for = " ".join(claims.purpose)[:200]
            raise TransactionRefused("route", f"it is for {good_for}, not for {' '.join(wanted)}")
        return claims.caller


@functools.lru_cache(maxsize=4_096)
def purpose_of(service: str, method: str, template: str) -> Purpose:
    """Return what a request of one route is for; what its parameters are called is not told.

    So a service of another release, which calls them otherwise, knows its route.
    """
    return Purpose(service, method, PATH_NAME.sub("{}", template))
