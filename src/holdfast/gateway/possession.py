"""Possession: a token that is bound to a key is good only with a fresh proof of it (RFC 9449)."""

from collections.abc import Collection

from holdfast.contract.http import Request
from holdfast.ports import Clock, Limits
from holdfast.security import PROOF_LEEWAY_S, PROOF_LIFE_S, TokenRefused, proof_url, read_proof

_HEADER = b"dpop"
# A proof is good from its leeway before `iat` until its life and leeway after, and a second is for
# buckets, which take a token that is a thousandth short of whole.
_SEEN_S = PROOF_LIFE_S + 2 * PROOF_LEEWAY_S + 1


class Possession:
    """Checks that who sends a bound token holds its key, once for each proof.

    Args:
        origins: where clients reach the gateway, `https://api.example`. A proof names its URL, and
            must name one of these: what a request says of its host is its sender's word, and who
            got a token and a proof for another place could say that place here.
        own: remembers the proofs that this process has seen.
        shared: remembers those of all gateways; None: there is no such store.
    """

    def __init__(
        self, origins: Collection[str], clock: Clock, *, own: Limits, shared: Limits | None = None
    ) -> None:
        self._origins = tuple(origin.rstrip("/") for origin in origins)
        self._clock = clock
        self._seen = [own] if shared is None else [own, shared]

    async def check(self, request: Request, token: bytes, bound_to: str) -> None:
        """Check the proof that a request brings for its token.

        Raises:
            TokenRefused: there is none, it is not good, or it was seen before.
        """
        proofs = request.header_all(_HEADER)
        if len(proofs) != 1:
            raise TokenRefused("proof", f"{len(proofs)} DPoP headers with a token that needs one")
        urls = [proof_url(f"{origin}{request.path}") for origin in self._origins]
        name = read_proof(
            proofs[0],
            method=request.method,
            urls=[url for url in urls if url is not None],
            token=token,
            bound_to=bound_to,
            now_s=self._clock.now(),
        )
        for seen in self._seen:  # a bucket of one: it is taken, and full again when nobody asks
            if not (await seen.try_take(f"proof:{name}", 1 / _SEEN_S, 1)).allowed:
                raise TokenRefused("proof", "the proof was seen before")
