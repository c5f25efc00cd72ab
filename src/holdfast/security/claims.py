"""What a token must say to be accepted, and what we take from it; signatures are elsewhere."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from holdfast.security.acceptance import TokenPolicy, TokenRefused, one_or_more

_SCOPES = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")
_FRACTION_MAX = 2.0**53  # above, a float does not know its seconds


@dataclass(frozen=True, slots=True)
class Claims:
    """Who calls, and what for; made only from a token whose signature and claims were checked.

    Attributes:
        expires_at: seconds since 1970, as the token says, without leeway.
        token_id: `jti`; "" if a token that is not of typ "at+jwt" has none.
        client: the application that calls; "" if the token names none.
        bound_to: the thumbprint of the key that its sender must prove to hold; "" if it is a bearer
            token.
    """

    subject: str
    scopes: frozenset[str]
    issuer: str
    expires_at: int
    token_id: str
    client: str = ""
    bound_to: str = ""


def read_claims(
    payload: Mapping[str, object], policy: TokenPolicy, now_s: float, *, typ: str = "at+jwt"
) -> Claims:
    """Return what a payload claims, if the policy accepts it at `now_s` (seconds since 1970).

    Args:
        typ: what the token's header says that it is; "at+jwt" must have a `jti`.
    Raises:
        TokenRefused: a claim that is missing, of the wrong type or not acceptable.
    Source: RFC 7519, section 4.1; RFC 8725; RFC 9068, section 4.
    """
    issuer = payload.get("iss")
    if not isinstance(issuer, str) or issuer not in one_or_more(policy.issuer):
        raise TokenRefused("issuer", f"iss is not the issuer: {_shown(issuer)}")
    _check_audience(payload.get(policy.audience_claim), policy)
    expires_at = _check_times(payload, policy, now_s)
    _check_pinned(payload, policy)
    token_id = ""
    if typ == "at+jwt" or "jti" in payload:
        token_id = _text(payload, "jti")
    scopes: set[str] = set()
    for claim in policy.scope_claims:
        scopes |= _scopes_at(payload, claim, policy.scope_form)
    return Claims(
        subject=policy.subject_prefix + _text(payload, policy.subject_claim),
        scopes=frozenset(scopes),
        issuer=issuer,
        expires_at=expires_at,
        token_id=token_id,
        client=next((_text(payload, name) for name in policy.client_claims if name in payload), ""),
        bound_to=_bound_to(payload, policy),
    )


def read_scopes(scope: object, name: str = "scope") -> frozenset[str]:
    """Return the scopes in a text, separated by single spaces (RFC 6749, section 3.3).

    Raises:
        TokenRefused: not a text (a list is not what RFC 9068 says), or not of that form.
    """
    if scope == "":
        return frozenset()
    if not isinstance(scope, str) or not _SCOPES.fullmatch(scope):
        raise TokenRefused("scope", f"{name} is not a text of scopes: {_shown(scope)}")
    return frozenset(scope.split(" "))


def fits_text(scope: str) -> bool:
    """Say whether a text of scopes can hold this one, and mean it."""
    return " " not in scope and _SCOPES.fullmatch(scope) is not None


def _scopes_at(
    payload: Mapping[str, object],
    claim: str | tuple[str, ...],
    form: Literal["text", "list", "either"],
) -> frozenset[str]:
    """Return the scopes that one claim names; none if it is not there."""
    name = ".".join(one_or_more(claim))
    value: object = dict(payload)
    for step in one_or_more(claim):
        members = _object(value)
        if members is None:
            raise TokenRefused("scope", f"{name} is not where it should be: no object above {step}")
        if step not in members:
            return frozenset()
        value = members[step]
    if form == "text" or (form == "either" and isinstance(value, str)):
        return read_scopes(value, name)
    # An entry of a list is one scope, whatever is in it: it is compared as a whole, never split.
    scopes: set[str] = set()
    entries = _list(value)
    for entry in [None] if entries is None else entries:
        if not isinstance(entry, str) or not entry or not entry.isprintable():
            raise TokenRefused("scope", f"{name} is not a list of printable texts: {_shown(value)}")
        scopes.add(entry)
    return frozenset(scopes)


def _object(value: object) -> dict[str, object] | None:
    return cast(dict[str, object], value) if isinstance(value, dict) else None


def _list(value: object) -> list[object] | None:
    return cast(list[object], value) if isinstance(value, list) else None


def _check_audience(audience: object, policy: TokenPolicy) -> None:
    names = _list(audience)
    if names is None:
        names = [audience]
    wanted = one_or_more(policy.audience)
    if not all(isinstance(name, str) for name in names) or not any(w in names for w in wanted):
        name = policy.audience_claim
        raise TokenRefused("audience", f"{name} does not name us: {_shown(audience)}")


def _bound_to(payload: Mapping[str, object], policy: TokenPolicy) -> str:
    """Return the thumbprint of the key that a token is bound to. Source: RFC 9449, section 6.1."""
    if policy.dpop is None:
        return ""
    if "cnf" not in payload:
        if policy.dpop == "required":
            raise TokenRefused("proof", "cnf is missing: the token is bound to no key")
        return ""
    bound = _object(payload["cnf"])
    thumbprint = None if bound is None else bound.get("jkt")
    if not isinstance(thumbprint, str) or not _THUMBPRINT.fullmatch(thumbprint):
        raise TokenRefused("proof", f"cnf has no jkt that can be checked: {_shown(thumbprint)}")
    return thumbprint


def _check_times(payload: Mapping[str, object], policy: TokenPolicy, now_s: float) -> int:
    expires_at = _seconds(payload, "exp", policy)
    # What is not there cannot be in the future; the lifetime is then reckoned from now.
    issued_at = int(now_s)
    if "iat" in payload or "iat" in policy.required:
        issued_at = _seconds(payload, "iat", policy)
    if now_s >= expires_at + policy.leeway_s:
        raise TokenRefused("expired", f"exp has passed, {now_s - expires_at:.0f} s ago")
    if issued_at > now_s + policy.leeway_s:
        raise TokenRefused("not_yet", f"iat is in the future, at {_shown(issued_at)}")
    shortest = 1 if "iat" in payload else -policy.leeway_s  # it may just have passed
    if not shortest <= expires_at - issued_at <= policy.max_lifetime_s:
        lifetime = _shown(expires_at - issued_at)
        raise TokenRefused("lifetime", f"exp - iat is not 1..{policy.max_lifetime_s} s: {lifetime}")
    if "nbf" in payload:
        begins_at = _seconds(payload, "nbf", policy)
        if begins_at > now_s + policy.leeway_s:
            raise TokenRefused("not_yet", f"nbf is in the future, at {_shown(begins_at)}")
    return expires_at


def _check_pinned(payload: Mapping[str, object], policy: TokenPolicy) -> None:
    for name in policy.required:
        if payload.get(name) is None:
            raise TokenRefused("claim", f"{name} is missing")
    for name, wanted in policy.claims.items():
        value = payload.get(name)
        if not isinstance(value, str) or value not in one_or_more(wanted):
            raise TokenRefused("claim", f"{name} is not {wanted!r}: {_shown(value)}")


def _seconds(payload: Mapping[str, object], name: str, policy: TokenPolicy) -> int:
    value = payload.get(name)
    # `type` and not isinstance, because True is an int.
    if type(value) is int and value >= 0:
        return value
    if policy.fractional_times and type(value) is float and 0 <= value <= _FRACTION_MAX:
        # To the safe side: it ends no later and begins no earlier than it says. For `iat` that
        # makes its lifetime up to a second longer, which may only get it refused.
        return math.ceil(value) if name == "nbf" else math.floor(value)
    raise TokenRefused("claim", f"{name} is not a number of seconds: {_shown(value)}")


def _text(payload: Mapping[str, object], name: str) -> str:
    value = payload.get(name)
    # Printable, because subjects and token ids end up in logs, headers and keys.
    if not isinstance(value, str) or not value or not value.isprintable():
        raise TokenRefused("claim", f"{name} is not a printable text: {_shown(value)}")
    return value


def _shown(value: object) -> str:
    """Return what a log may show of a claim: the beginning of how Python writes it."""
    if type(value) is int and value.bit_length() > 256:
        return f"a number of {value.bit_length()} bits"  # writing it out takes time, or is refused
    return "missing" if value is None else ascii(value)[:100]
