"""Tokens: which bearer tokens a system accepts, and what well-known issuers send."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from holdfast.contract.messages import Query

Algorithm = Literal["EdDSA", "ES256", "RS256"]
Binding = Literal["accepted", "required"]
TokenType = Literal["at+jwt", "JWT", ""]

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Tokens:
    """Which bearer tokens are accepted. Everything is pinned; nothing is taken from the token.

    What is not said here is as RFC 9068 wants it. Where an issuer differs, its preset says how:
    `Tokens.keycloak(…)`, `auth0`, `entra`, `cognito`, `google`. To change one of their values:
    `dataclasses.replace(Tokens.auth0(…), max_lifetime_s=3600)`.

    Attributes:
        issuer: must equal `iss`; several: one of them must.
        audience: must be in `aud`; several: one of them must.
        keys: where the public keys (a JWKS) are: a query that a service of the system answers
            with the JWKS as JSON text, or a URL.
        algorithms: signatures that are accepted; each key takes only its own one.
        typ: the header `typ`, or those that will do; "" is a token that has none. With anything
            but "at+jwt" an ID token of the same issuer looks like an access token: pin what
            tells them apart with `claims` or `required`, as the presets do.
        leeway_s: clock skew that is forgiven, in whole seconds, at most 60.
        max_lifetime_s: the longest `exp - iat`, in seconds (without `iat`: `exp - now`). A token
            cannot be taken back; this is how long a stolen one is of use.
        required: claims without which a token is refused, beside `iss`, `exp`, the audience and
            the subject. Leave "iat" out for an issuer that does not send it.
        fractional_times: accept times with a fraction of a second.
        kid_required: refuse tokens that do not name their key. False tries every published key
            that fits, for issuers whose tokens or keys have no `kid`.
        audience_claim: where the audience is; `client_id` for Amazon Cognito.
        subject_claim: who calls, `Caller.subject`. For tokens of machines that have no `sub`:
            `client_id` or `azp`.
        subject_prefix: `Caller.subject` begins with it, so that subjects of several issuers are
            never the same.
        client_claims: which application calls, `Caller.client`; the first one that is there.
        scope_claims: where `Caller.scopes` come from, all of them together; `roles` or
            `permissions` elsewhere. A tuple of names is a path: `("realm_access", "roles")`.
        scope_form: a text of scopes separated by single spaces (RFC 9068), a list of texts, or
            either. What stands in a list is one scope, and is not split.
        claims: {claim: its value, or a tuple of those that will do}, for texts.
        token_bytes_max: longer tokens are refused unread.
        dpop: whether tokens may, or must, be bound to a key whose possession is proved with each
            request (RFC 9449). None: all are bearer tokens, whatever they say of a key.
    """

    issuer: str | tuple[str, ...]
    audience: str | tuple[str, ...]
    keys: type[Query[Any]] | str
    algorithms: tuple[Algorithm, ...] = ("EdDSA", "ES256", "RS256")
    typ: TokenType | tuple[TokenType, ...] = "at+jwt"
    leeway_s: float = 5.0
    max_lifetime_s: float = _DAY_S
    required: tuple[str, ...] = ("iat",)
    fractional_times: bool = False
    kid_required: bool = True
    audience_claim: str = "aud"
    subject_claim: str = "sub"
    subject_prefix: str = ""
    client_claims: tuple[str, ...] = ("client_id", "azp")
    scope_claims: tuple[str | tuple[str, ...], ...] = ("scope", "scp")
    scope_form: Literal["text", "list", "either"] = "either"
    claims: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict[str, str], hash=False)
    token_bytes_max: int = 8_192
    dpop: Binding | None = None

    @classmethod
    def keycloak(
        cls,
        realm_url: str,
        audience: str | tuple[str, ...],
        *,
        client_roles: str | None = None,
    ) -> "Tokens":
        """Return what a realm of Keycloak sends: RS256, the realm's roles beside `scope`.

        Its access tokens say `typ: Bearer` in a claim, which its ID and refresh tokens do not.
        The audience needs a mapper in the realm; without one `aud` is "account".

        Args:
            realm_url: `https://host/realms/name`, as `iss` says it.
            client_roles: a client whose roles are scopes too.
        """
        issuer = realm_url.rstrip("/")
        roles: tuple[tuple[str, ...], ...] = (("realm_access", "roles"),)
        if client_roles is not None:
            roles += (("resource_access", client_roles, "roles"),)
        return cls(
            issuer,
            audience,
            f"{issuer}/protocol/openid-connect/certs",
            algorithms=("RS256", "ES256", "EdDSA"),
            typ=("JWT", "at+jwt"),
            client_claims=("azp",),
            scope_claims=("scope", *roles),
            scope_form="either",
            claims={"typ": "Bearer"},
        )

    @classmethod
    def auth0(cls, domain: str, audience: str | tuple[str, ...]) -> "Tokens":
        """Return what a tenant of Auth0 sends: RS256, `permissions` beside `scope`, for a day.

        Args:
            domain: `name.eu.auth0.com`, or a domain of your own.
            audience: the identifier of the API. ID tokens name a client there, and are refused.
        """
        host = domain.removeprefix("https://").rstrip("/")
        return cls(
            f"https://{host}/",
            audience,
            f"https://{host}/.well-known/jwks.json",
            algorithms=("RS256",),
            typ=("JWT", "at+jwt"),
            client_claims=("azp", "client_id"),
            scope_claims=("scope", "permissions"),
            scope_form="either",
        )

    @classmethod
    def entra(cls, tenant: str, audience: str | tuple[str, ...], *, version: int = 2) -> "Tokens":
        """Return what Entra ID sends to one tenant's API: RS256, `scp` and `roles`.

        Only its access tokens name the calling application, which is therefore required: an ID
        token has the same `typ` and, in version 2, the same audience.

        Args:
            tenant: the tenant's id, a GUID: that is what `iss` says, whatever the URL says.
            audience: the application's id, or its `api://…` in version 1.
            version: `accessTokenAcceptedVersion` of the API's manifest, 1 or 2.
        Raises:
            ValueError: a tenant that stands for many, or another version.
        """
        if tenant in ("common", "organizations", "consumers"):
            raise ValueError(f"tenant={tenant!r} stands for many issuers; name the tenant's id")
        if version not in (1, 2):
            raise ValueError(f"version must be 1 or 2, got {version}")
        login = f"https://login.microsoftonline.com/{tenant}"
        client = "azp" if version == 2 else "appid"
        return cls(
            f"{login}/v2.0" if version == 2 else f"https://sts.windows.net/{tenant}/",
            audience,
            f"{login}/discovery/v2.0/keys" if version == 2 else f"{login}/discovery/keys",
            algorithms=("RS256",),
            typ="JWT",
            max_lifetime_s=28 * 3600.0,  # with continuous access evaluation; else 60..90 minutes
            required=("iat", client),
            client_claims=(client,),
            scope_claims=("scp", "roles"),
            scope_form="either",
            claims={"ver": f"{version}.0"},
            token_bytes_max=16_384,  # up to 200 groups
        )

    @classmethod
    def cognito(cls, pool: str, clients: str | tuple[str, ...]) -> "Tokens":
        """Return what a user pool of Amazon Cognito sends: RS256, no `typ`, groups as scopes.

        Its access tokens have no `aud`: the client that they were given to stands for it.

        Args:
            pool: the pool's id, `eu-west-1_AbCdEfGhI`.
            clients: the ids of the app clients whose tokens are accepted.
        Raises:
            ValueError: the pool's id does not begin with a region.
        """
        region, underscore, name = pool.partition("_")
        if not (region and underscore and name):
            raise ValueError(f"pool={pool!r}: write the pool's id, eu-west-1_AbCdEfGhI")
        issuer = f"https://cognito-idp.{region}.amazonaws.com/{pool}"
        return cls(
            issuer,
            clients,
            f"{issuer}/.well-known/jwks.json",
            algorithms=("RS256",),
            typ="",
            audience_claim="client_id",
            client_claims=("client_id",),
            scope_claims=("scope", "cognito:groups"),
            scope_form="either",
            claims={"token_use": "access"},
        )

    @classmethod
    def google(
        cls, clients: str | tuple[str, ...], *, hosted_domain: str | None = None
    ) -> "Tokens":
        """Return what Google sends: ID tokens with RS256, for an hour, without scopes.

        Google's access tokens are no JWTs and only Google can read them. An ID token says who
        somebody is and not what he may do, so routes that ask for a scope refuse it.

        Args:
            clients: the OAuth client ids whose tokens are accepted.
            hosted_domain: accept only accounts of this Workspace domain.
        """
        return cls(
            ("https://accounts.google.com", "accounts.google.com"),
            clients,
            "https://www.googleapis.com/oauth2/v3/certs",
            algorithms=("RS256",),
            typ="JWT",
            max_lifetime_s=3600.0,
            client_claims=("azp",),
            scope_claims=(),
            claims={} if hosted_domain is None else {"hd": hosted_domain},
        )
