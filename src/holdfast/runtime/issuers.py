"""Who judges the tokens of a gateway's callers: a verifier for each issuer that it accepts."""

from collections.abc import Mapping

from holdfast.communication import ClientPool
from holdfast.dispatch.outside import Asks
from holdfast.errors import SettingError
from holdfast.ports import Clock, Random
from holdfast.resilience import Edge, EdgePolicy
from holdfast.runtime.introspection import IntrospectionClient, opaque_verifier
from holdfast.runtime.keys import KeyFetcher, token_policy
from holdfast.runtime.variables import ORIGINS, keys_variable
from holdfast.security import CachedKeys, Issuers, OpaqueVerifier, TokenVerifier, proof_url
from holdfast.system import Gateway, Tokens


class TokenVerifiers:
    """The verifiers of one gateway, and the keys that they keep.

    Attributes:
        verifier: None when the gateway accepts no tokens.
    Raises:
        SettingError: an issuer is to be asked about tokens, and the secret for that is not set.
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
        self._opaque: OpaqueVerifier | None = None
        if (asked := gateway.introspection) is not None:
            edge = Edge("gateway→introspection", asked.policy, clock, random)
            client = IntrospectionClient(asked, environ, pool, edge)
            self._opaque = opaque_verifier(asked, client, clock)
        self.verifier: TokenVerifier | Issuers | None = None
        if self._opaque is None and len(verifiers) == 1:
            self.verifier = verifiers[0]
        elif self._opaque is not None or verifiers:
            self.verifier = Issuers(verifiers, self._opaque)

    async def close(self) -> None:
        """Cancel what is being fetched."""
        for keys in self._keys:
            await keys.close()
        if self._opaque is not None:
            await self._opaque.close()


def origins_of(gateway: Gateway, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return where clients reach a gateway. Raises SettingError."""
    told = environ.get(ORIGINS, "")
    origins = tuple(part.strip() for part in told.split(",") if part.strip()) or gateway.origins
    for origin in origins:
        if proof_url(origin) != f"{origin}/":
            raise SettingError([f"{ORIGINS}={told!r}: {origin!r} is no origin; write https://host"])
    return origins


def _verifier(tokens: Tokens, keys: CachedKeys, clock: Clock) -> TokenVerifier:
    return TokenVerifier(token_policy(tokens), keys, clock)


def _edge_name(number: int) -> str:
    return "gateway→keys" if number == 1 else f"gateway→keys-{number}"
