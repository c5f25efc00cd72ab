"""Issuing short-lived access tokens (RFC 9068), signed with Ed25519."""

from collections.abc import Iterable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import OKPKey

from holdfast.security._jose import (
    decode_base64url,
    encode_base64url,
    read_object,
    write_object,
)
from holdfast.security.claims import read_scopes

SEED_BYTES = 32


class SigningKey:
    """An Ed25519 private key. Its kid is the thumbprint of its public half, so it names itself.

    Only `to_json` gives the secret away; `repr` shows the kid.
    """

    def __init__(self, seed: bytes) -> None:
        """Make the key that `seed` stands for: 32 bytes of `secrets.token_bytes(32)`."""
        if len(seed) != SEED_BYTES:
            raise ValueError(f"the seed of a key must be {SEED_BYTES} bytes, got {len(seed)}")
        self._seed = seed
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        x = encode_base64url(self._private.public_key().public_bytes_raw())
        self._public = {"kty": "OKP", "crv": "Ed25519", "x": x}
        self.kid = OKPKey.import_key({**self._public}).thumbprint()

    def __repr__(self) -> str:
        return f"SigningKey(kid={self.kid!r})"

    @classmethod
    def from_json(cls, text: str) -> "SigningKey":
        """Return the key of a private JWK that `to_json` wrote.

        Raises:
            ValueError: not a private Ed25519 JWK, or its public half is not that of its secret.
        """
        jwk = read_object(text.encode("utf-8"))
        secret = jwk.get("d")
        if (jwk.get("kty"), jwk.get("crv")) != ("OKP", "Ed25519") or not isinstance(secret, str):
            raise ValueError("not a private Ed25519 JWK")
        key = cls(decode_base64url(secret.encode("utf-8")))
        if jwk.get("x") != key._public["x"]:
            raise ValueError("x is not the public half of d")
        return key

    def to_json(self) -> str:
        """Return the private JWK; whoever reads it can issue tokens."""
        return write_object({**self.public_jwk(), "d": encode_base64url(self._seed)}).decode()

    def public_jwk(self) -> dict[str, str]:
        """Return what verifiers need of this key."""
        return {**self._public, "kid": self.kid, "alg": "EdDSA", "use": "sig"}

    def sign(self, message: bytes) -> bytes:
        """Return the signature over a message, 64 bytes; the same message gives the same one."""
        return self._private.sign(message)


def public_jwks(keys: Iterable[SigningKey]) -> dict[str, object]:
    """Return the JWKS to publish.

    To rotate: publish the next key beside the old one, sign with it once every verifier has
    fetched the set, and drop the old one when its last token has expired.
    """
    return {"keys": [key.public_jwk() for key in keys]}


class TokenSigner:
    """Issues access tokens of one issuer, for one audience.

    Args:
        client_id: which OAuth client the tokens are given to; RFC 9068 wants one in each token.
        max_lifetime_s: `sign` refuses longer lifetimes. A token cannot be taken back, so this is
            how long a stolen one is of use.
    """

    def __init__(
        self,
        key: SigningKey,
        *,
        issuer: str,
        audience: str,
        client_id: str = "first-party",
        max_lifetime_s: int = 3600,
    ) -> None:
        if not issuer or not audience or not client_id:
            raise ValueError("issuer, audience and client_id must not be empty")
        self._key = key
        self._fixed = {"iss": issuer, "aud": audience, "client_id": client_id}
        self._max_lifetime_s = max_lifetime_s
        header = write_object({"alg": "EdDSA", "typ": "at+jwt", "kid": key.kid})
        self._header = encode_base64url(header).encode("ascii") + b"."

    def sign(
        self, subject: str, scopes: Iterable[str], *, now: float, lifetime_s: int, token_id: str
    ) -> str:
        """Return a token for `subject`, good from `now` (seconds since 1970) for `lifetime_s`.

        Args:
            token_id: unique for each token, such as `await outside.run(secrets.token_hex, 16)`; it
                finds the token in logs.
        Raises:
            ValueError: a verifier would not accept such a token.
        """
        if not 1 <= lifetime_s <= self._max_lifetime_s:
            raise ValueError(f"lifetime_s must be 1..{self._max_lifetime_s}, got {lifetime_s}")
        for text in (subject, token_id):
            if not text or not text.isprintable():
                raise ValueError(f"subject and token_id must be printable, got {text!r}")
        names = sorted(set(scopes))
        scope = " ".join(names)
        if read_scopes(scope) != frozenset(names):
            raise ValueError(f"a scope has no spaces and is not empty, got {names}")
        issued_at = int(now)
        claims = {
            **self._fixed,
            "sub": subject,
            "scope": scope,
            "iat": issued_at,
            "exp": issued_at + lifetime_s,
            "jti": token_id,
        }
        signed = self._header + encode_base64url(write_object(claims)).encode("ascii")
        return f"{signed.decode('ascii')}.{encode_base64url(self._key.sign(signed))}"
