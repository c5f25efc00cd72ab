"""Where the gateway's public keys come from: a service of the system, or a URL."""

import asyncio
import math

from holdfast.communication import ClientPool, origin_and_path
from holdfast.contract.cause import NO_CAUSE
from holdfast.contract.http import Request
from holdfast.contract.messages import Query
from holdfast.dispatch.outside import Asks
from holdfast.errors import BadAnswer
from holdfast.resilience import Edge
from holdfast.security import TokenPolicy
from holdfast.system import Tokens

FETCH_S = 3.0
"""How long fetching the keys may take."""


def token_policy(tokens: Tokens) -> TokenPolicy:
    """Return what a token must satisfy, as the gateway declares it."""
    return TokenPolicy(
        tokens.issuer,
        tokens.audience,
        frozenset(tokens.algorithms),
        typ=tokens.typ,
        leeway_s=math.ceil(tokens.leeway_s),
        max_token_bytes=tokens.token_bytes_max,
        max_lifetime_s=int(tokens.max_lifetime_s),
        required=tokens.required,
        fractional_times=tokens.fractional_times,
        kid_required=tokens.kid_required,
        audience_claim=tokens.audience_claim,
        subject_claim=tokens.subject_claim,
        subject_prefix=tokens.subject_prefix,
        client_claims=tokens.client_claims,
        scope_claims=tokens.scope_claims,
        scope_form=tokens.scope_form,
        claims=tokens.claims,
        dpop=tokens.dpop,
    )


class KeyFetcher:
    """Fetches the JWKS of one issuer.

    Args:
        keys: its URL, or a query that a service of the system answers with it.
        edge: tries again: without keys nobody gets in.
    """

    def __init__(
        self, keys: type[Query[object]] | str, pool: ClientPool, asks: Asks, edge: Edge
    ) -> None:
        self._edge = edge
        self._keys = keys
        self._pool = pool
        self._asks = asks

    async def fetch(self) -> bytes:
        """Return the JWKS as JSON. Raises CallError."""
        deadline = asyncio.get_running_loop().time() + FETCH_S
        return await self._edge.call(self._fetch, deadline=deadline, idempotent=True)

    async def _fetch(self, timeout_s: float) -> bytes:
        if isinstance(self._keys, str):
            return await self._get(self._keys, timeout_s)
        query = self._keys()
        deadline = asyncio.get_running_loop().time() + timeout_s
        reply = await self._asks.ask(query, sender="gateway", deadline=deadline, cause=NO_CAUSE)
        if not isinstance(reply, str):
            raise BadAnswer(
                f"{query.name} answered a {type(reply).__name__}; it answers a JWKS as JSON text"
            )
        return reply.encode()

    async def _get(self, url: str, timeout_s: float) -> bytes:
        origin, path = origin_and_path(url)
        response = await self._pool.request(origin, Request("GET", path), deadline_s=timeout_s)
        if response.status != 200:
            raise BadAnswer(f"{url} answered {response.status}")
        return response.body
