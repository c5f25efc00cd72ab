"""Public keys of a token issuer: one key, a set of them (JWKS), and where a set comes from."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, cast

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from holdfast.errors import BadAnswer
from holdfast.security._jose import decode_base64url, read_object
from holdfast.security.acceptance import Algorithm

JWKS_BYTES_MAX = 262_144
JWKS_KEYS_MAX = 100
RSA_BITS_MIN, RSA_BITS_MAX = 2048, 8192  # NIST SP 800-131A; above: a way to burn our time

_SECRET_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_COORDINATE_BYTES = 32


class _Kind(NamedTuple):
    """A kind of key: the algorithm that it stands for, and the members that it is made of."""

    algorithm: Algorithm
    key: type[OKPKey] | type[ECKey] | type[RSAKey]
    members: tuple[str, ...]


_KINDS: dict[tuple[object, object], _Kind] = {
    ("OKP", "Ed25519"): _Kind("EdDSA", OKPKey, ("x",)),
    ("EC", "P-256"): _Kind("ES256", ECKey, ("x", "y")),
    ("RSA", None): _Kind("RS256", RSAKey, ("n", "e")),
}


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key that checks signatures of one algorithm, the one that its type stands for.

    The algorithm belongs to the key and not to the token: that is what makes algorithm confusion
    impossible. Two keys are equal when kid and key material are.
    """

    kid: str
    algorithm: Algorithm
    thumbprint: str
    public: OKPKey | ECKey | RSAKey = field(compare=False, repr=False)

    def matches(self, signed: bytes, signature: bytes) -> bool:
        """Say whether `signature` was made over `signed` by the holder of this key."""
        # Not through `get_alg`, which warns at each call that EdDSA has a newer name.
        return JWSRegistry.algorithms[self.algorithm].verify(signed, signature, self.public)


@dataclass(frozen=True, slots=True)
class Jwks:
    """The keys that an issuer signs with.

    Attributes:
        keys: {kid: the keys of that name}, at most 100 in all; under "" are those without a name,
            which only a policy without `kid_required` uses.
        left_out: one line for each published key that is not used, and why; for logs.
        fresh_until_s: monotonic clock, when the source wants to be asked again.
    """

    keys: Mapping[str, tuple[VerifyingKey, ...]]
    left_out: tuple[str, ...] = ()
    fresh_until_s: float = math.inf

    def candidates(self, kid: str) -> tuple[VerifyingKey, ...]:
        """Return the keys that a token may be signed with; without a kid every key may be it."""
        if kid:
            return self.keys.get(kid) or self.keys.get("", ())
        return tuple(key for keys in self.keys.values() for key in keys)


class KeySource(Protocol):
    """Where a verifier gets the issuer's keys."""

    async def keys(self, *, refresh: bool) -> Jwks:
        """Return the keys; `refresh` asks for a newer set, because a token names an unknown key.

        Raises:
            Unreachable: there is no set that may still be used.
        """
        ...


class FixedKeys:
    """A key source that never changes: keys that came with the deployment."""

    def __init__(self, jwks: Jwks) -> None:
        self._jwks = jwks

    async def keys(self, *, refresh: bool) -> Jwks:
        """Return the set; there is never a newer one."""
        return self._jwks


def read_jwks(
    document: bytes | Mapping[str, object],
    *,
    fresh_until_s: float = math.inf,
    kid_required: bool = True,
) -> Jwks:
    """Return the usable keys of a published JWKS.

    A key that must not verify anything (symmetric, private, weak, for encryption, of a kind that
    we do not know) is left out, and the rest still counts. This way an issuer that published a
    private key by accident makes that key worthless here, instead of freezing us on the set before.
    A name may stand for several keys: only those that may sign count, and they are told apart by
    their algorithm and, at the worst, by trying.

    Args:
        kid_required: leave out keys without a kid.
    Raises:
        BadAnswer: not a JWKS, too large, more than 100 keys, or no usable key.
    """
    try:
        members = _read_set(document)
    except ValueError as error:
        raise BadAnswer(f"not a usable JWKS: {error}", edge="jwks") from error
    keys: dict[str, tuple[VerifyingKey, ...]] = {}
    left_out: list[str] = []
    for member in members:
        is_object = isinstance(member, Mapping)
        jwk: Mapping[str, object] = cast(Mapping[str, object], member) if is_object else {}
        try:
            key = read_key(jwk, kid_required=kid_required)
        except ValueError as error:
            left_out.append(f"{jwk.get('kid')!r:.80}: {error}")
        else:
            same = keys.get(key.kid, ())
            keys[key.kid] = same if key in same else (*same, key)
    if not keys:
        raise BadAnswer(f"no usable key in the JWKS: {'; '.join(left_out)}", edge="jwks")
    return Jwks(keys, tuple(left_out), fresh_until_s)


def read_key(jwk: Mapping[str, object], *, kid_required: bool = True) -> VerifyingKey:
    """Return the key that a public JWK describes (RFC 7517, RFC 7518 section 6, RFC 8037).

    Its kid is "" if it has none, and that is allowed.

    Raises:
        ValueError: it must not be used to verify tokens.
    """
    if _SECRET_MEMBERS & jwk.keys():
        raise ValueError("it holds secret material")
    kid = jwk.get("kid")
    if "kid" not in jwk and not kid_required:
        kid = ""
    elif not isinstance(kid, str) or not kid:
        raise ValueError("it has no kid")
    if jwk.get("use", "sig") != "sig":
        raise ValueError("its use is not sig")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise ValueError("its key_ops do not have verify")
    kty, crv = jwk.get("kty"), jwk.get("crv")
    kind = _KINDS.get((kty, crv)) if isinstance(kty, str) and isinstance(crv, str | None) else None
    if kind is None:
        raise ValueError(f"kty {kty!r:.40} with crv {crv!r:.40} is not taken")
    # RFC 9864 calls EdDSA over this curve Ed25519; in a JWK both name the same key.
    names = (kind.algorithm, "Ed25519") if kind.algorithm == "EdDSA" else (kind.algorithm,)
    if jwk.get("alg", kind.algorithm) not in names:
        raise ValueError(f"its alg is not {kind.algorithm}")
    return _made(kind, kid, jwk)


def _made(kind: _Kind, kid: str, jwk: Mapping[str, object]) -> VerifyingKey:
    """Return the key of a JWK that may verify; joserfc reads what is left of it."""
    texts = {name: _text(jwk, name) for name in kind.members}
    numbers = {name: decode_base64url(text.encode("ascii")) for name, text in texts.items()}
    if kind.key is ECKey and any(len(number) != _COORDINATE_BYTES for number in numbers.values()):
        raise ValueError("its x or y is not 32 bytes")  # RFC 7518, section 6.2.1.2
    if kind.key is RSAKey:
        _check_rsa(numbers["n"], numbers["e"])
    crv = {} if kind.key is RSAKey else {"crv": str(jwk["crv"])}
    try:
        public = kind.key.import_key({"kty": kind.key.key_type, **crv, **texts})
    except JoseError as error:
        raise ValueError(str(error)) from error
    return VerifyingKey(kid, kind.algorithm, public.thumbprint(), public)


def _check_rsa(modulus: bytes, exponent: bytes) -> None:
    bits = int.from_bytes(modulus, "big").bit_length()
    if not RSA_BITS_MIN <= bits <= RSA_BITS_MAX:
        raise ValueError(f"it has {bits} bits, not {RSA_BITS_MIN}..{RSA_BITS_MAX}")
    if int.from_bytes(exponent, "big").bit_length() > 32:
        raise ValueError("its exponent is longer than 32 bits")


def _read_set(document: bytes | Mapping[str, object]) -> list[object]:
    if isinstance(document, bytes):
        if len(document) > JWKS_BYTES_MAX:
            raise ValueError(f"more than {JWKS_BYTES_MAX} bytes")
        document = read_object(document)
    keys = document.get("keys")
    if not isinstance(keys, list):
        raise ValueError("no list of keys")
    members = cast(list[object], keys)
    if len(members) > JWKS_KEYS_MAX:
        raise ValueError(f"more than {JWKS_KEYS_MAX} keys")
    return members


def _text(jwk: Mapping[str, object], name: str) -> str:
    value = jwk.get(name)
    if not isinstance(value, str) or not value.isascii():
        raise ValueError(f"its {name} is missing or not base64url")
    return value
