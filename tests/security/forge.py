"""Makes tokens by hand, good and bad, without any of the code that is to judge them."""

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from holdfast import Tokens
from holdfast.runtime.keys import token_policy
from holdfast.security import Jwks, TokenPolicy, read_jwks

NOW_S = 1_800_000_000
ISSUER, AUDIENCE = "https://issuer.example", "https://api.example"
POLICY = TokenPolicy(ISSUER, AUDIENCE)
KIDS = {"EdDSA": "ed", "ES256": "ec", "RS256": "rs"}

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Dialect:
    """How the tokens of one issuer differ from those of RFC 9068, and the policy that takes them.

    `header` and `claims` are changes to the good ones; None removes a member. `names` are claims
    that stand elsewhere: {where the attacks look for it: where this issuer puts it}.
    """

    policy: TokenPolicy = POLICY
    header: Mapping[str, object] = field(default_factory=dict[str, object])
    claims: Mapping[str, object] = field(default_factory=dict[str, object])
    names: Mapping[str, str] = field(default_factory=dict[str, str])


PLAIN = Dialect()
_dialect: ContextVar[Dialect] = ContextVar("dialect", default=PLAIN)


@contextmanager
def speaking(dialect: Dialect) -> Iterator[Dialect]:
    """Let good headers and claims be those of a dialect."""
    kept = _dialect.set(dialect)
    try:
        yield dialect
    finally:
        _dialect.reset(kept)


def _of(tokens: Tokens, **changes: Any) -> Dialect:
    """Return a preset's dialect, widened to every algorithm that the attacks know.

    They forge the issuer's name too, so that it is the one that they know.
    """
    wide = replace(tokens, algorithms=("EdDSA", "ES256", "RS256"), issuer=ISSUER)
    return Dialect(token_policy(wide), **changes)


JWT: dict[str, object] = {"typ": "JWT"}
DIALECTS: dict[str, Dialect] = {
    "keycloak": _of(
        Tokens.keycloak(ISSUER, AUDIENCE),
        header=JWT,
        claims={"typ": "Bearer", "azp": "web", "realm_access": {"roles": ["clerk"]}},
    ),
    "auth0": _of(
        Tokens.auth0("shop.eu.auth0.com", AUDIENCE),
        header=JWT,
        claims={"azp": "web", "jti": None, "permissions": ["read:orders"]},
    ),
    "entra": _of(
        Tokens.entra("0d0d0d0d-0000-0000-0000-000000000000", AUDIENCE),
        header=JWT,
        claims={"azp": "web", "ver": "2.0", "jti": None, "uti": "x", "roles": ["Clerk"]},
        names={"scope": "scp"},
    ),
    "cognito": _of(
        Tokens.cognito("eu-west-1_AbCdEfGhI", AUDIENCE),
        header={"typ": None},
        claims={"token_use": "access", "cognito:groups": ["clerks"]},
        names={"aud": "client_id"},
    ),
    "google": _of(
        Tokens.google(AUDIENCE, hosted_domain="shop.example"),
        header=JWT,
        claims={"hd": "shop.example", "azp": AUDIENCE, "jti": None, "scope": None},
    ),
    "every knob open": Dialect(
        TokenPolicy(
            (ISSUER, "https://old.example"),
            (AUDIENCE, "https://old.example"),
            typ=("at+jwt", "JWT", ""),
            required=(),
            fractional_times=True,
            kid_required=False,
            scope_claims=("scope", "scp", "roles", ("realm_access", "roles")),
            scope_form="either",
        )
    ),
}


@dataclass
class ManualClock:
    """A clock that stands still until a test moves it."""

    wall_s: float = NOW_S
    monotonic_s: float = 1000.0

    def now(self) -> float:
        return self.wall_s

    def monotonic(self) -> float:
        return self.monotonic_s

    def advance(self, seconds: float) -> None:
        self.wall_s += seconds
        self.monotonic_s += seconds


@dataclass
class RotatingKeys:
    """A key source whose set a test replaces; counts how often a newer one was asked for."""

    jwks: Jwks
    refreshes: int = 0
    calls: int = field(default=0)

    async def keys(self, *, refresh: bool) -> Jwks:
        self.calls += 1
        self.refreshes += refresh
        return self.jwks


@cache
def private_key(algorithm: str, number: int = 0) -> PrivateKey:
    """Return the same key for the same arguments, because making RSA keys is slow."""
    match algorithm:
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.from_private_bytes(bytes([number + 1]) * 32)
        case "ES256":
            return ec.derive_private_key(number + 1_000_003, ec.SECP256R1())
        case "RS256":
            return rsa.generate_private_key(65537, 2048)
        case "weak RS256":
            return rsa.generate_private_key(65537, 1024)
        case _:
            raise ValueError(algorithm)


def b64(data: bytes | str) -> str:
    raw = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def b64_int(number: int, size: int | None = None) -> str:
    return b64(number.to_bytes(size or (number.bit_length() + 7) // 8, "big"))


def jwk_id(value: object) -> str:
    """Name a case of a test by a key without the modulus, which is another one in each process."""
    if isinstance(value, dict):
        value = {name: member for name, member in value.items() if name != "n"}
    return str(value)[:60]


def public_jwk(key: PrivateKey, kid: str) -> dict[str, Any]:
    match key.public_key():
        case ed25519.Ed25519PublicKey() as public:
            return {"kty": "OKP", "crv": "Ed25519", "x": b64(public.public_bytes_raw()), "kid": kid}
        case ec.EllipticCurvePublicKey() as public:
            point = public.public_numbers()
            x, y = b64_int(point.x, 32), b64_int(point.y, 32)
            return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid}
        case rsa.RSAPublicKey() as public:
            numbers = public.public_numbers()
            return {"kty": "RSA", "n": b64_int(numbers.n), "e": b64_int(numbers.e), "kid": kid}


def signature(key: PrivateKey, message: bytes) -> bytes:
    match key:
        case ed25519.Ed25519PrivateKey():
            return key.sign(message)
        case ec.EllipticCurvePrivateKey():
            r, s = decode_dss_signature(key.sign(message, ec.ECDSA(SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        case rsa.RSAPrivateKey():
            return key.sign(message, padding.PKCS1v15(), SHA256())


def header(algorithm: str = "EdDSA", **changes: object) -> dict[str, Any]:
    """Return a good header; a change to None removes the member."""
    good = {"alg": algorithm, "typ": "at+jwt", "kid": KIDS.get(algorithm, "ed")}
    return _changed(_changed(good, _dialect.get().header), changes)


def claims(**changes: object) -> dict[str, Any]:
    """Return good claims; a change to None removes the member."""
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "user-1",
        "scope": "orders:read orders:write",
        "iat": NOW_S,
        "exp": NOW_S + 600,
        "jti": "token-1",
    }
    dialect = _dialect.get()
    good = {dialect.names.get(name, name): value for name, value in good.items()}
    changes = {dialect.names.get(name, name): value for name, value in changes.items()}
    return _changed(_changed(good, dialect.claims), changes)


def signed(head: str | bytes, body: str | bytes, key: PrivateKey) -> str:
    """Return a token over any two texts, with a signature that is right for them."""
    message = f"{b64(head)}.{b64(body)}"
    return f"{message}.{b64(signature(key, message.encode()))}"


def token(
    head: Mapping[str, object] | None = None,
    body: Mapping[str, object] | None = None,
    key: PrivateKey | None = None,
) -> str:
    """Return a token that is good wherever the arguments do not say otherwise."""
    head = header() if head is None else head
    body = claims() if body is None else body
    algorithm = str(head.get("alg"))
    key = key or private_key(algorithm if algorithm in KIDS else "EdDSA")
    return signed(json.dumps(head), json.dumps(body), key)


@cache
def issuer_jwks() -> Jwks:
    """Return the set with one key of each algorithm."""
    jwks = [public_jwk(private_key(algorithm), kid) for algorithm, kid in KIDS.items()]
    return read_jwks({"keys": jwks})


def _changed(good: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, Any]:
    merged = {**good, **changes}
    return {name: value for name, value in merged.items() if value is not None}
