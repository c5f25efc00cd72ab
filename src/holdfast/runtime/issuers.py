"""Who judges the tokens of a gateway's callers: a verifier for each issuer that it accepts."""

from collections.abc import Mapping

from holdfast.communication import ClientPool
from holdfast.dispatch.outside import Asks
from holdfast.ports import Clock, Random
from holdfast.resilience import Edge, EdgePolicy
from holdfast.runtime.keys import KeyFetcher, token_policy
from holdfast.runtime.variables import keys_variable
from holdfast.security import CachedKeys, Issuers, TokenVerifier
from holdfast.system import Gateway, Tokens


class TokenVerifiers:
    """The verifiers of one gateway, and the keys that they keep.

    Attributes:
        verifier: None when the gateway accepts no tokens.
    """

    def __init__(
        self,
        gateway: Gateway,
        environ: Mapping[str, str],
        pool: ClientPool,
        asks: Asks,
        *,
        clock: Clock,
        random: Random,
    ) -> None:
        self._keys: list[CachedKeys] = []
        verifiers: list[TokenVerifier] = []
        for number, tokens in enumerate(gateway.issuers, 1):
            edge = Edge(_edge_name(number), EdgePolicy(), clock, random)
            where = environ.get(keys_variable(number)) or tokens.keys
            keys = CachedKeys(
                KeyFetcher(where, pool, asks, edge).fetch, clock, kid_required=tokens.kid_required
            )
            self._keys.append(keys)
            verifiers.append(_verifier(tokens, keys, clock))
        self.verifier = (
            None if not verifiers else verifiers[0] if len(verifiers) == 1 else Issuers(verifiers)
        )

    async def close(self) -> None:
        """Cancel what is being fetched."""
        for keys in self._keys:
            await keys.close()


def _verifier(tokens: Tokens, keys: CachedKeys, clock: Clock) -> TokenVerifier:
    return TokenVerifier(token_policy(tokens), keys, clock)


def _edge_name(number: int) -> str:
    return "gateway→keys" if number == 1 else f"gateway→keys-{number}"
