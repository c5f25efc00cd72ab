"""Introspection: opaque tokens, which only their issuer understands and is asked about."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from holdfast.resilience import EdgePolicy
from holdfast.system.tokens import Binding


@dataclass(frozen=True, slots=True)
class Introspection:
    """How a gateway asks an issuer about tokens that say nothing themselves (RFC 7662).

    It asks as a client of the issuer, whose secret is `GATEWAY_INTROSPECTION_SECRET` or in the file
    that `GATEWAY_INTROSPECTION_SECRET_FILE` names. Signed tokens are never sent there, unless
    `jwts` says so: another issuer's tokens are nobody's business.

    Attributes:
        issuer: whose tokens these are; where an answer has `iss`, it must equal it. Several: one.
        audience: must be in the answer's `aud`; several: one of them must. None leaves that to
            the issuer, which knows who asks.
        url: the introspection endpoint, `https://…`; `GATEWAY_INTROSPECTION_URL` replaces it.
        client_id: as which client the gateway asks; sent with its secret by HTTP Basic.
        jwts: also ask about signed tokens whose `iss` is this issuer, instead of verifying them.
        cache_s: how long an answer is believed, in seconds, and no longer than the token's `exp`:
            how long a token that its issuer revokes is still accepted, at most 3600.
        refused_cache_s: how long a refusal is believed, in seconds, at most 60.
        leeway_s: clock skew that is forgiven, in whole seconds, at most 60.
        required: members without which an answer is refused, beside `active` and the subject.
        subject_claim, subject_prefix, client_claims, scope_claims, scope_form: see `Tokens`.
        claims: {member: its value, or a tuple of those that will do}, for texts. Where an issuer
            also calls refresh or ID tokens active, pin what tells them apart.
        token_bytes_max: longer tokens are refused unread.
        dpop: see `Tokens`; what a token is bound to is in the answer.
        policy: time-out, retries, breaker and bulkhead of the way to the issuer.
    """

    issuer: str | tuple[str, ...]
    audience: str | tuple[str, ...] | None
    url: str
    client_id: str
    jwts: bool = False
    cache_s: float = 60.0
    refused_cache_s: float = 5.0
    leeway_s: float = 5.0
    required: tuple[str, ...] = ()
    subject_claim: str = "sub"
    subject_prefix: str = ""
    client_claims: tuple[str, ...] = ("client_id", "azp")
    scope_claims: tuple[str | tuple[str, ...], ...] = ("scope", "scp")
    scope_form: Literal["text", "list", "either"] = "either"
    claims: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict[str, str], hash=False)
    token_bytes_max: int = 8_192
    dpop: Binding | None = None
    policy: EdgePolicy = field(default_factory=EdgePolicy)
