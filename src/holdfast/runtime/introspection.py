"""How a gateway asks an issuer about an opaque token: one POST, as a client with a secret."""

import asyncio
import base64
import math
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote_plus

from holdfast.communication import ClientPool, origin_and_path
from holdfast.contract.http import Request
from holdfast.errors import BadAnswer, SettingError
from holdfast.ports import Clock
from holdfast.resilience import Edge
from holdfast.runtime.variables import (
    INTROSPECTION_SECRET,
    INTROSPECTION_URL,
    file_variable,
)
from holdfast.security import AnswersKept, OpaqueVerifier, TokenPolicy
from holdfast.system import Introspection

ANSWER_S: Final = 3.0
"""How long an answer may take, with all tries."""
_ANY_LIFE_S: Final = 2**40  # an opaque token can be taken back: `exp` may be as late as it likes


class IntrospectionClient:
    """Asks one issuer. The secret is looked up for each question, since it may have changed.

    Raises:
        SettingError: there is no secret.
    """

    def __init__(
        self,
        declared: Introspection,
        environ: Mapping[str, str],
        pool: ClientPool,
        edge: Edge,
    ) -> None:
        self._client_id = declared.client_id
        self._url = environ.get(INTROSPECTION_URL) or declared.url
        self._environ = environ
        self._pool = pool
        self._edge = edge
        if not environ.get(INTROSPECTION_SECRET):
            raise SettingError(
                [
                    f"{INTROSPECTION_SECRET} is not set: Introspection(client_id="
                    f"{declared.client_id!r}) asks with that client's secret; set it, or "
                    f"{file_variable(INTROSPECTION_SECRET)} to a file that has it"
                ]
            )

    async def ask(self, token: bytes) -> bytes:
        """Return what the issuer answers about a token. Raises CallError."""

        async def post(timeout_s: float) -> bytes:
            return await self._post(token, timeout_s)

        deadline = asyncio.get_running_loop().time() + ANSWER_S
        return await self._edge.call(post, deadline=deadline, idempotent=True)

    async def _post(self, token: bytes, timeout_s: float) -> bytes:
        origin, path = origin_and_path(self._url)
        secret = self._environ.get(INTROSPECTION_SECRET, "")
        # Both parts are form-encoded before they are joined: RFC 6749, section 2.3.1.
        client = f"{quote_plus(self._client_id)}:{quote_plus(secret)}".encode()
        headers = [
            (b"accept", b"application/json"),
            (b"authorization", b"Basic " + base64.b64encode(client)),
            (b"content-type", b"application/x-www-form-urlencoded"),
        ]
        body = f"token={quote_plus(token)}&token_type_hint=access_token".encode()
        request = Request("POST", path, headers=headers, body=body)
        response = await self._pool.request(origin, request, deadline_s=timeout_s)
        if response.status != 200:
            said = " (are client_id and secret right?)" if response.status in (401, 403) else ""
            raise BadAnswer(f"{self._url} answered {response.status}{said}", edge="introspection")
        return response.body


def opaque_verifier(
    declared: Introspection, client: IntrospectionClient, clock: Clock
) -> OpaqueVerifier:
    """Return who judges the opaque tokens that are declared."""
    policy = TokenPolicy(
        declared.issuer,
        declared.audience or declared.client_id,
        typ="",
        leeway_s=math.ceil(declared.leeway_s),
        max_token_bytes=declared.token_bytes_max,
        max_lifetime_s=_ANY_LIFE_S,
        required=declared.required,
        fractional_times=True,
        subject_claim=declared.subject_claim,
        subject_prefix=declared.subject_prefix,
        client_claims=declared.client_claims,
        scope_claims=declared.scope_claims,
        scope_form=declared.scope_form,
        claims=declared.claims,
        dpop=declared.dpop,
    )
    return OpaqueVerifier(
        policy,
        client.ask,
        clock,
        kept=AnswersKept(declared.cache_s, declared.refused_cache_s),
        any_audience=declared.audience is None,
        takes_signed=declared.jwts,
    )
