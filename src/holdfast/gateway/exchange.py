"""The exchange of a caller's token for a transaction token, which says the same to one service.

A signature costs more than all else that the gateway does to a request, so one token serves the
requests that a caller sends to one route within a minute. Each of these requests was authenticated
by itself before: what is used again is only how the service is told.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from holdfast.errors import Forbidden, Overloaded
from holdfast.ports import Clock
from holdfast.security import Purpose, TransactionSigner
from holdfast.system import Caller

REUSE_S = 60
"""How long a transaction token is used again; it is good for as long again, on its way."""
KEPT_MAX = 10_000


@dataclass(frozen=True, slots=True)
class _Exchanged:
    """A token, and who signed it: what a new key has not signed is not used again."""

    token: bytes
    transaction: str
    signer: TransactionSigner
    until_s: float


class Exchange:
    """Gives transaction tokens for callers.

    It keeps up to `kept_max` of them; the one that was used least recently goes first.

    Args:
        signer: returns what signs now; another one once its key was rotated.
    """

    def __init__(
        self, signer: Callable[[], TransactionSigner], clock: Clock, kept_max: int = KEPT_MAX
    ) -> None:
        self._signer, self._now, self._kept_max = signer, clock.now, kept_max
        self._kept: OrderedDict[tuple[Caller, float, Purpose], _Exchanged] = OrderedDict()

    def __call__(
        self, caller: Caller, until_s: float, purpose: Purpose, transaction: str
    ) -> tuple[bytes, str]:
        """Return a token for a caller at a route, and the correlation id that is in it.

        Args:
            until_s: seconds since 1970, when the caller's own token is good no more.
            transaction: the correlation id of the request.
        Raises:
            Overloaded: what signs has lost its certificate. Forbidden: the token would be too long.
        """
        now_s, signer = self._now(), self._signer()
        wanted = (caller, until_s, purpose)
        kept = self._kept.get(wanted)
        if kept is None or now_s >= kept.until_s or kept.signer is not signer:
            kept = self._signed(signer, wanted, transaction, now_s)
            self._kept[wanted] = kept
            if len(self._kept) > self._kept_max:
                self._kept.popitem(last=False)
        self._kept.move_to_end(wanted)
        return kept.token, kept.transaction

    def _signed(
        self,
        signer: TransactionSigner,
        wanted: tuple[Caller, float, Purpose],
        transaction: str,
        now_s: float,
    ) -> _Exchanged:
        caller, until_s, purpose = wanted
        if now_s >= signer.ends_s:
            raise Overloaded(
                "the gateway has no certificate to tell services who calls",
                headers={"Retry-After": "5"},
            )
        try:
            token = signer.sign(
                caller, purpose, transaction=transaction, now_s=now_s, until_s=until_s
            )
        except ValueError as exc:
            raise Forbidden(f"the caller cannot be told to a service: {exc}") from exc
        return _Exchanged(token, transaction, signer, min(now_s + REUSE_S, until_s, signer.ends_s))
