"""Access tokens: a signed JWT in, who calls out. What was verified is remembered until it ends.

Only the compact form with a signature is read (RFC 7515). Encrypted tokens, JSON serialisation,
keys or key addresses in the header, and extensions are refused, not ignored.
"""

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256

from holdfast.ports import Clock
from holdfast.security._jose import decode_base64url, read_object
from holdfast.security.acceptance import TokenPolicy, TokenRefused, one_or_more
from holdfast.security.bearer import token_invalid
from holdfast.security.claims import Claims, read_claims
from holdfast.security.keys import Jwks, KeySource, VerifyingKey

KEYS_TRIED_MAX = 16
"""How many keys a token that names none, or a name of several, may cost; more: it is refused."""

# Members that say where a key is, bring one along, or change what the bytes mean.
_REFUSED_MEMBERS = frozenset(
    {"jku", "jwk", "x5u", "x5c", "crit", "b64", "cty", "enc", "zip", "epk", "p2s", "p2c"}
)


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A token taken apart; nothing in it is to be believed yet.

    Attributes:
        digest: SHA-256 of the whole token.
        kid: the name of its key; "" if it names none.
        typ: what it says that it is, as the policy writes it.
        signed: the bytes that the signature is over.
    """

    digest: bytes
    algorithm: str
    kid: str
    typ: str
    signed: bytes
    payload: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class VerifierStats:
    """What a verifier did so far; `remembered` is how many tokens it knows now."""

    hits: int
    verified: int
    refused: int
    remembered: int


@dataclass(frozen=True, slots=True)
class _Remembered:
    claims: Claims
    key: VerifyingKey
    until_s: float  # wall clock


def take_apart(token: bytes | str, policy: TokenPolicy) -> SignedToken:
    """Return the parts of a token whose header the policy accepts.

    Raises:
        TokenRefused: too long, not three parts of strict base64url, or a header that is not ours.
    """
    if len(token) > policy.max_token_bytes:
        raise TokenRefused("too_long", f"longer than {policy.max_token_bytes} bytes")
    try:
        raw = token.encode("ascii") if isinstance(token, str) else token
        first, second, third = raw.split(b".")
        header = read_object(decode_base64url(first))
        payload, signature = decode_base64url(second), decode_base64url(third)
    except ValueError as error:
        raise TokenRefused("malformed", f"not a signed token: {error}") from error
    algorithm, kid, typ = _check_header(header, policy)
    signed = raw[: len(first) + 1 + len(second)]
    return SignedToken(sha256(raw).digest(), algorithm, kid, typ, signed, payload, signature)


class TokenVerifier:
    """Verifies tokens of one issuer, by one policy.

    It remembers up to `cache_max` verified tokens by their SHA-256, the least recently used one
    goes first. A remembered token is believed until it expires, or until its key is no longer in
    the issuer's set.
    """

    def __init__(
        self, policy: TokenPolicy, keys: KeySource, clock: Clock, cache_max: int = 10_000
    ) -> None:
        if cache_max < 1:
            raise ValueError(f"cache_max must be >= 1, got {cache_max}")
        self.policy = policy
        self._keys = keys
        self._now, self._monotonic = clock.now, clock.monotonic
        self._cache_max = cache_max
        self._token_bytes_max = policy.max_token_bytes
        self._jwks = Jwks({}, fresh_until_s=float("-inf"))
        self._fresh_until_s = self._jwks.fresh_until_s
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()
        self._hits = self._verified = self._refused = 0

    def cached(self, token: bytes | str) -> Claims | None:
        """Return the claims of a token that was verified before; None: ask `verify`.

        None also comes when the issuer's keys are due to be looked at again.
        """
        if len(token) > self._token_bytes_max:
            return None
        # Written out here, because it runs for every request and should take a microsecond.
        # "replace" writes "?", which is in no verified token: such a text matches nothing.
        raw = token.encode("ascii", "replace") if isinstance(token, str) else token
        digest = sha256(raw).digest()
        remembered = self._remembered.get(digest)
        if remembered is None or self._monotonic() >= self._fresh_until_s:
            return None
        if self._now() >= remembered.until_s:
            del self._remembered[digest]
            return None
        self._remembered.move_to_end(digest)
        self._hits += 1
        return remembered.claims

    async def verify(self, token: bytes | str) -> Claims:
        """Return the claims of a token, after every check.

        Raises:
            Unauthenticated: the token is refused; the same answer for every reason, which is in
                `__cause__`.
            Unreachable: the issuer's keys are not available; the token may be good.
        """
        if (claims := self.cached(token)) is not None:
            return claims
        try:
            parts = take_apart(token, self.policy)
            key = await self._key(parts)
            claims = self._check(parts)
        except TokenRefused as refused:
            self._refused += 1
            raise token_invalid(self.policy.realm) from refused
        self._verified += 1
        self._remember(parts.digest, claims, key)
        return claims

    def stats(self) -> VerifierStats:
        """Return how many tokens were known, verified and refused."""
        return VerifierStats(self._hits, self._verified, self._refused, len(self._remembered))

    async def _key(self, parts: SignedToken) -> VerifyingKey:
        """Return the key that signed; a newer set is asked for if it may be one of that."""
        self._adopt(await self._keys.keys(refresh=False))
        known = self._jwks.keys
        try:
            return self._signed_by(parts)
        except TokenRefused:
            if parts.kid and parts.kid in known:
                raise  # a bad signature under a known name is a forgery, and no reason to ask
            self._adopt(await self._keys.keys(refresh=True))
            if self._jwks.keys is known:
                raise
        return self._signed_by(parts)

    def _signed_by(self, parts: SignedToken) -> VerifyingKey:
        named = self._jwks.candidates(parts.kid)
        if not named:
            raise TokenRefused("kid", f"kid is not a key of the issuer: {ascii(parts.kid)[:80]}")
        keys = [key for key in named if key.algorithm == parts.algorithm]
        if not keys:
            raise TokenRefused("algorithm", "alg is not the algorithm of the key")
        if len(keys) > KEYS_TRIED_MAX:
            raise TokenRefused("kid", f"kid leaves {len(keys)} keys, over {KEYS_TRIED_MAX}")
        for key in keys:
            if key.matches(parts.signed, parts.signature):
                return key
        raise TokenRefused("signature", "the signature does not match")

    def _adopt(self, jwks: Jwks) -> None:
        if jwks is self._jwks:
            return
        if jwks.keys != self._jwks.keys:
            gone = [
                digest
                for digest, remembered in self._remembered.items()
                if remembered.key not in jwks.keys.get(remembered.key.kid, ())
            ]
            for digest in gone:
                del self._remembered[digest]
        self._jwks, self._fresh_until_s = jwks, jwks.fresh_until_s

    def _check(self, parts: SignedToken) -> Claims:
        try:
            payload = read_object(parts.payload)
        except ValueError as error:
            raise TokenRefused("malformed", f"the payload is not claims: {error}") from error
        return read_claims(payload, self.policy, self._now(), typ=parts.typ)

    def _remember(self, digest: bytes, claims: Claims, key: VerifyingKey) -> None:
        until_s = claims.expires_at + self.policy.leeway_s
        self._remembered[digest] = _Remembered(claims, key, until_s)
        if len(self._remembered) > self._cache_max:
            self._remembered.popitem(last=False)


def _check_header(header: dict[str, object], policy: TokenPolicy) -> tuple[str, str, str]:
    if refused := _REFUSED_MEMBERS & header.keys():
        raise TokenRefused("header", f"the header has {sorted(refused)}")
    algorithm, kid, typ = header.get("alg"), header.get("kid"), header.get("typ", "")
    if not isinstance(algorithm, str) or algorithm not in policy.algorithms:
        raise TokenRefused("algorithm", f"alg is not accepted: {ascii(algorithm)[:40]}")
    if "kid" not in header and not policy.kid_required:
        kid = ""
    elif not isinstance(kid, str) or not kid:
        raise TokenRefused("kid", "kid is missing")
    # Media types are compared without case and without "application/" (RFC 7515, section 4.1.9).
    said = typ.lower().removeprefix("application/") if isinstance(typ, str) else None
    for wanted in one_or_more(policy.typ):
        if said == wanted.lower() and bool(wanted) == ("typ" in header):
            return algorithm, kid, wanted
    raise TokenRefused("typ", f"typ is not {policy.typ}: {ascii(header.get('typ'))[:40]}")
