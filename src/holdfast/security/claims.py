"""What a token must say to be accepted, and what we take from it; signatures are elsewhere."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from holdfast.security.bearer import DEFAULT_REALM, is_quotable

Algorithm = Literal["EdDSA", "ES256", "RS256"]
ALGORITHMS: frozenset[Algorithm] = frozenset(get_args(Algorithm))

_SCOPES = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")


class TokenRefused(ValueError):
    """Why a token was refused; for our own logs, as the cause of `Unauthenticated`."""


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """Which tokens are accepted. Everything is pinned; nothing is taken from the token's word.

    Attributes:
        issuer: `iss`, compared as text.
        audience: must be `aud`, or be in it.
        algorithms: signatures that are accepted; each key still takes only its own one.
        typ: the `typ` header. Access tokens say "at+jwt" (RFC 9068), so that an ID token of the
            same issuer cannot pass for one; "JWT" is for issuers that do not.
        leeway_s: how far the issuer's clock may be off, 0..60.
        max_token_bytes: longer tokens are refused unread.
        max_lifetime_s: the longest `exp - iat`; it bounds how long a stolen token is of use.
        realm: names this API in WWW-Authenticate.
    """

    issuer: str
    audience: str
    algorithms: frozenset[Algorithm] = ALGORITHMS
    typ: Literal["at+jwt", "JWT"] = "at+jwt"
    leeway_s: int = 5
    max_token_bytes: int = 8192
    max_lifetime_s: int = 3600
    realm: str = DEFAULT_REALM

    def __post_init__(self) -> None:
        if not self.issuer or not self.audience:
            raise ValueError("issuer and audience must not be empty: every token would do")
        if not self.algorithms or not self.algorithms <= ALGORITHMS:
            raise ValueError(f"algorithms must be some of {sorted(ALGORITHMS)}")
        if self.typ not in ("at+jwt", "JWT"):
            raise ValueError(f'typ must be "at+jwt" or "JWT", got {self.typ!r}')
        if not 0 <= self.leeway_s <= 60:
            raise ValueError(f"leeway_s must be 0..60, got {self.leeway_s}")
        if self.max_token_bytes < 1 or self.max_lifetime_s < 1:
            raise ValueError("max_token_bytes and max_lifetime_s must be >= 1")
        if not is_quotable(self.realm):
            raise ValueError(f"realm must be printable ASCII without quotes, got {self.realm!r}")


@dataclass(frozen=True, slots=True)
class Claims:
    """Who calls, and what for; made only from a token whose signature and claims were checked.

    Attributes:
        expires_at: seconds since 1970, as the token says, without leeway.
        token_id: `jti`; "" if a token of typ "JWT" has none.
    """

    subject: str
    scopes: frozenset[str]
    issuer: str
    expires_at: int
    token_id: str


def read_claims(payload: Mapping[str, object], policy: TokenPolicy, now_s: float) -> Claims:
    """Return what a payload claims, if the policy accepts it at `now_s` (seconds since 1970).

    Raises:
        TokenRefused: a claim that is missing, of the wrong type or not acceptable.
    Source: RFC 7519, section 4.1; RFC 8725; RFC 9068, section 4.
    """
    if payload.get("iss") != policy.issuer:
        raise TokenRefused("iss is not the issuer")
    _check_audience(payload.get("aud"), policy.audience)
    expires_at = _check_times(payload, policy, now_s)
    token_id = ""
    if policy.typ == "at+jwt" or "jti" in payload:
        token_id = _text(payload, "jti")
    return Claims(
        subject=_text(payload, "sub"),
        scopes=read_scopes(payload.get("scope", "")),
        issuer=policy.issuer,
        expires_at=expires_at,
        token_id=token_id,
    )


def read_scopes(scope: object) -> frozenset[str]:
    """Return the scopes in a text, separated by single spaces (RFC 6749, section 3.3).

    Raises:
        TokenRefused: not a text (a list is not what RFC 9068 says), or not of that form.
    """
    if scope == "":
        return frozenset()
    if not isinstance(scope, str) or not _SCOPES.fullmatch(scope):
        raise TokenRefused("scope is not a text of scopes")
    return frozenset(scope.split(" "))


def _check_audience(audience: object, wanted: str) -> None:
    names = cast(list[object], audience) if isinstance(audience, list) else [audience]
    if not all(isinstance(name, str) for name in names) or wanted not in names:
        raise TokenRefused("aud does not name us")


def _check_times(payload: Mapping[str, object], policy: TokenPolicy, now_s: float) -> int:
    expires_at, issued_at = _seconds(payload, "exp"), _seconds(payload, "iat")
    if now_s >= expires_at + policy.leeway_s:
        raise TokenRefused("exp has passed")
    if issued_at > now_s + policy.leeway_s:
        raise TokenRefused("iat is in the future")
    if not 0 < expires_at - issued_at <= policy.max_lifetime_s:
        raise TokenRefused(f"exp - iat is not 1..{policy.max_lifetime_s} s")
    if "nbf" in payload and _seconds(payload, "nbf") > now_s + policy.leeway_s:
        raise TokenRefused("nbf is in the future")
    return expires_at


def _seconds(payload: Mapping[str, object], name: str) -> int:
    value = payload.get(name)
    # Whole seconds only. RFC 7519 allows fractions, but no issuer of note sends them, and floats
    # bring infinities and rounding. `type` and not isinstance, because True is an int.
    if type(value) is not int or value < 0:
        raise TokenRefused(f"{name} is not a number of seconds")
    return value


def _text(payload: Mapping[str, object], name: str) -> str:
    value = payload.get(name)
    # Printable, because subjects and token ids end up in logs, headers and keys.
    if not isinstance(value, str) or not value or not value.isprintable():
        raise TokenRefused(f"{name} is not a printable text")
    return value
