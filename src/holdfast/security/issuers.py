"""Tokens of several issuers: what a token says of its issuer chooses who judges it, and no more."""

import base64
from collections.abc import Sequence

from holdfast.security._jose import decode_base64url, read_object
from holdfast.security.acceptance import TokenRefused, one_or_more
from holdfast.security.bearer import token_invalid
from holdfast.security.claims import Claims
from holdfast.security.introspection import OpaqueVerifier
from holdfast.security.tokens import TokenVerifier


class Issuers:
    """Verifies tokens of several issuers, each with keys and a policy of its own.

    `iss` is read before any signature was checked. It selects a verifier, which then pins it again
    with everything else: a token that names another issuer than its own meets that one's keys.

    Args:
        opaque: who judges tokens that say nothing themselves.
    Raises:
        ValueError: two verifiers are for the same issuer.
    """

    def __init__(
        self, verifiers: Sequence[TokenVerifier], opaque: OpaqueVerifier | None = None
    ) -> None:
        self._opaque = opaque
        self._verifiers: list[TokenVerifier | OpaqueVerifier] = [*verifiers]
        if opaque is not None:
            self._verifiers.append(opaque)
        self._of: dict[str, TokenVerifier | OpaqueVerifier] = {}
        for verifier in self._verifiers:
            if isinstance(verifier, OpaqueVerifier) and not verifier.takes_signed:
                continue
            for issuer in one_or_more(verifier.policy.issuer):
                if issuer in self._of:
                    raise ValueError(f"two policies are for the issuer {issuer!r}; merge them")
                self._of[issuer] = verifier
        self._bytes_max = max(judge.policy.max_token_bytes for judge in self._verifiers)

    def cached(self, token: bytes | str) -> Claims | None:
        """Return the claims of a token that was verified before; None: ask `verify`."""
        for verifier in self._verifiers:
            if (claims := verifier.cached(token)) is not None:
                return claims
        return None

    async def verify(self, token: bytes | str) -> Claims:
        """Return the claims of a token, after every check of the issuer that it names.

        Raises:
            Unauthenticated: it is refused, or names none of the issuers.
            IssuerAway: that issuer cannot be asked.
        """
        if self._opaque is not None and not is_signed(token):
            return await self._opaque.verify(token)
        try:
            issuer = said_issuer(token, self._bytes_max)
            verifier = self._of.get(issuer)
            if verifier is None:
                raise TokenRefused("issuer", f"iss is not an issuer: {ascii(issuer)[:100]}")
        except TokenRefused as refused:
            raise token_invalid() from refused
        return await verifier.verify(token)


def is_signed(token: bytes | str) -> bool:
    """Say whether a token begins like one that is signed or encrypted: with a header in JSON.

    Such a token was made for whoever checks it himself, so it is no issuer's to be asked about.
    """
    raw = token.encode("ascii", "replace") if isinstance(token, str) else token
    header, dot, _ = raw.partition(b".")
    if not dot:
        return False
    try:
        text = base64.urlsafe_b64decode(header + b"=" * (-len(header) % 4))
    except ValueError:
        return False
    return text.lstrip(b" \t\r\n\xef\xbb\xbf").startswith(b"{")


def said_issuer(token: bytes | str, bytes_max: int) -> str:
    """Return what a token says of its issuer; nothing of it was checked.

    Raises:
        TokenRefused: too long, not three parts, or no claims with an issuer.
    """
    if len(token) > bytes_max:
        raise TokenRefused("too_long", f"longer than {bytes_max} bytes")
    try:
        raw = token.encode("ascii") if isinstance(token, str) else token
        _, payload, _ = raw.split(b".")
        issuer = read_object(decode_base64url(payload)).get("iss")
    except ValueError as error:
        raise TokenRefused("malformed", f"not a signed token: {error}") from error
    if not isinstance(issuer, str):
        raise TokenRefused("issuer", "iss is not a text")
    return issuer
