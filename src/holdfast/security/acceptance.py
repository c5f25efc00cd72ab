"""Which tokens are accepted, and the reasons for which one is not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from holdfast.security.bearer import DEFAULT_REALM, is_quotable

Algorithm = Literal["EdDSA", "ES256", "RS256"]
ALGORITHMS: frozenset[Algorithm] = frozenset(get_args(Algorithm))
TYPES = ("at+jwt", "JWT", "")
Binding = Literal["accepted", "required"]

Reason = Literal[
    "too_long",
    "malformed",
    "header",
    "algorithm",
    "kid",
    "typ",
    "signature",
    "issuer",
    "audience",
    "expired",
    "not_yet",
    "lifetime",
    "claim",
    "scope",
    "inactive",
    "proof",
]
REASONS: tuple[Reason, ...] = get_args(Reason)
"""Why a token can be refused: the values of a metric's label, so there are few of them."""


class TokenRefused(ValueError):
    """Why a token was refused; for our own logs, as the cause of `Unauthenticated`.

    Attributes:
        reason: the kind of the refusal. The text says more, and is bounded.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Reason = reason


@dataclass(frozen=True, slots=True)
class TokenPolicy:
    """Which tokens are accepted. Everything is pinned; nothing is taken from the token's word.

    Attributes:
        issuer: `iss`, compared as text; one of them, if there are several.
        audience: the value of `audience_claim`, or one of its values; one of them, if there are
            several.
        algorithms: signatures that are accepted; each key still takes only its own one.
        typ: the `typ` header, or those that will do. Access tokens say "at+jwt" (RFC 9068), so
            that an ID token of the same issuer cannot pass for one; "JWT" and "" (no `typ`) are
            for issuers that do not. Pin another claim then, so that ID tokens stay out.
        leeway_s: how far the issuer's clock may be off, 0..600.
        max_token_bytes: longer tokens are refused unread.
        max_lifetime_s: the longest `exp - iat`; it bounds how long a stolen token is of use.
            Without `iat` it is the longest `exp - now`.
        realm: names this API in WWW-Authenticate.
        required: claims without which a token is refused, beside `iss`, `exp`, the audience and
            the subject. A token of typ "at+jwt" needs a `jti` too (RFC 9068).
        fractional_times: accept times with a fraction (RFC 7519 allows them).
        kid_required: refuse tokens that do not name their key, and leave out published keys
            without a name. Otherwise every published key that fits is tried.
        audience_claim: where the audience is.
        subject_claim: who calls.
        subject_prefix: what the subject is known by here begins with it, so that subjects of two
            issuers are not the same.
        client_claims: which application calls; the first one that is there.
        scope_claims: where scopes are; a tuple of names is a path into objects.
        scope_form: texts of scopes separated by single spaces, lists of texts, or either.
        claims: {claim: its value, or the values that will do}, for texts.
        dpop: whether tokens may, or must, be bound to a key (RFC 9449). None: `cnf` is not read.
    """

    issuer: str | tuple[str, ...]
    audience: str | tuple[str, ...]
    algorithms: frozenset[Algorithm] = ALGORITHMS
    typ: str | tuple[str, ...] = "at+jwt"
    leeway_s: int = 5
    max_token_bytes: int = 8192
    max_lifetime_s: int = 86_400
    realm: str = DEFAULT_REALM
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

    dpop: Binding | None = None

    def __post_init__(self) -> None:
        if not (_named(self.issuer) and _named(self.audience)):
            raise ValueError("issuer and audience must not be empty: every token would do")
        if not self.algorithms or not self.algorithms <= ALGORITHMS:
            raise ValueError(f"algorithms must be some of {sorted(ALGORITHMS)}")
        types = one_or_more(self.typ)
        if not types or not set(types) <= set(TYPES):
            raise ValueError(f'typ must be "at+jwt", "JWT" or "" (none), got {self.typ!r}')
        if not 0 <= self.leeway_s <= 600:
            raise ValueError(f"leeway_s must be 0..600, got {self.leeway_s}")
        if self.max_token_bytes < 1 or self.max_lifetime_s < 1:
            raise ValueError("max_token_bytes and max_lifetime_s must be >= 1")
        if not is_quotable(self.realm):
            raise ValueError(f"realm must be printable ASCII without quotes, got {self.realm!r}")
        if not self.audience_claim or not self.subject_claim:
            raise ValueError("audience_claim and subject_claim must name a claim")
        if not self.subject_prefix.isprintable():
            raise ValueError(f"subject_prefix must be printable, got {self.subject_prefix!r}")
        if not all(_named(value) for value in self.claims.values()):
            raise ValueError("claims must give each claim a value")


def one_or_more(value: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return a text as a tuple of one, and a tuple as it is."""
    return (value,) if isinstance(value, str) else value


def _named(value: str | tuple[str, ...]) -> bool:
    """Say whether there is a text, and no empty one."""
    values = one_or_more(value)
    return bool(values) and all(values)
