"""Transaction tokens: what the gateway has found out about a caller, signed, for one route.

A service takes nobody's word for whose request it serves: neither its peer's, nor its own. What
it takes is a token that only the gateway can have made, for this service, this method and this
route, a moment ago.

Source: draft-ietf-oauth-transaction-tokens-10, with the key in `x5c` (RFC 7515, section 4.1.6).
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, get_args

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_pem_private_key,
)

from holdfast.contract.certificate import fits, uris_of
from holdfast.contract.spiffe import GATEWAY, SIGNER, spiffe_id, workload_of
from holdfast.security._jose import encode_base64url
from holdfast.security.acceptance import Reason
from holdfast.security.claims import fits_text
from holdfast.system import Caller

TYPE: Final = "txntoken+jwt"
ALGORITHM: Final = "EdDSA"
LIFE_S: Final = 120
"""How long a transaction token is good at most; it is judged when a request comes, not later."""
LEEWAY_S: Final = 600
"""How far the clocks of gateway and service may differ: a clock that jumps must not shut a service.
A token is of use together with the gateway's certificate alone, so minutes more cost little."""
TOKEN_BYTES_MAX: Final = 16_384
X5C_MAX: Final = 4
"""Certificates that a token may bring, with its own: it is not the place of a long chain."""

TransactionReason = Reason | Literal["missing", "several", "unsigned", "signer", "route"]
TRANSACTION_REASONS: tuple[TransactionReason, ...] = (
    *("missing", "several", "unsigned", "too_long", "malformed", "header", "algorithm", "typ"),
    *("signer", "signature", "issuer", "audience", "expired", "not_yet", "lifetime", "claim"),
    *("scope", "route"),
)
"""Why a transaction token can be refused: the values of a metric's label."""
assert set(TRANSACTION_REASONS) <= {*get_args(Reason), *get_args(get_args(TransactionReason)[-1])}


class TransactionRefused(ValueError):
    """Why a transaction token was refused; for our own logs.

    Attributes:
        reason: the kind of the refusal. The text says more, and is bounded.
    """

    def __init__(self, reason: TransactionReason, detail: str) -> None:
        super().__init__(detail)
        self.reason: TransactionReason = reason


class Purpose(NamedTuple):
    """What a transaction token is good for.

    Attributes:
        service: who serves it.
        method, route: of the request, and the template of the route.
    """

    service: str
    method: str
    route: str


@dataclass(frozen=True, slots=True)
class TransactionClaims:
    """What a verified transaction token says.

    Attributes:
        transaction: the correlation id of the request that it was made for; others of the same
            caller may have come with it since.
        expires_at: seconds since 1970, without leeway.
    """

    caller: Caller
    purpose: Purpose
    transaction: str
    expires_at: int


def trust_domain(system: str) -> str:
    """Return what a system calls itself in tokens, as their issuer and their audience."""
    return f"spiffe://{system}"


class TransactionSigner:
    """Signs what the gateway has found out, with a key of its own.

    Args:
        chain: the certificate of the key, and those that lead to an authority.
    Attributes:
        ends_s: seconds since 1970, when its certificate ends.
    Raises:
        ValueError: it is no key, and no certificate, of what signs for this system.
    """

    def __init__(
        self, system: str, key: Ed25519PrivateKey, chain: Sequence[x509.Certificate]
    ) -> None:
        leaf = chain[0]
        if not fits(key, leaf):
            raise ValueError("the key is not that of the certificate")
        if len(chain) > X5C_MAX:
            raise ValueError(f"{len(chain)} certificates, over {X5C_MAX}: leave out others")
        name = workload_of(uris_of(leaf), system)
        if name != SIGNER:
            raise ValueError(f"its URI SAN names {name}, not {SIGNER}: it may not sign")
        self._key = key
        self.ends_s = leaf.not_valid_after_utc.timestamp()
        self._fixed = {
            "iss": trust_domain(system),
            "aud": trust_domain(system),
            "req_wl": spiffe_id(system, GATEWAY),
        }
        x5c = [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in chain]
        header = msgspec.json.encode({"typ": TYPE, "alg": ALGORITHM, "x5c": x5c})
        self._header = encode_base64url(header).encode() + b"."

    @classmethod
    def from_pem(cls, system: str, certificates: bytes, key: bytes) -> "TransactionSigner":
        """Read one from its files. Raises ValueError."""
        found = load_pem_private_key(key, password=None)
        if not isinstance(found, Ed25519PrivateKey):
            raise ValueError("its key is not of Ed25519: issue one with that algorithm")
        return cls(system, found, x509.load_pem_x509_certificates(certificates))

    def sign(
        self, caller: Caller, purpose: Purpose, *, transaction: str, now_s: float, until_s: float
    ) -> bytes:
        """Return a token for a caller at one route.

        Args:
            transaction: the correlation id of the request.
            now_s, until_s: seconds since 1970; it is good no longer than the caller's own token.
        Raises:
            ValueError: it would be longer than a service takes, or the certificate has ended.
        """
        issued_at = int(now_s)
        if now_s >= self.ends_s:
            raise ValueError("the certificate of what signs transaction tokens has ended")
        expires_at = int(min(now_s + LIFE_S, until_s, self.ends_s))
        texts = {scope for scope in caller.scopes if fits_text(scope)}
        claims: dict[str, object] = {
            **self._fixed,
            "iat": issued_at,
            "exp": max(expires_at, issued_at + 1),
            "txn": transaction,
            "sub": caller.subject,
            "scope": " ".join(sorted(texts)),
            "tctx": purpose._asdict(),
        }
        if caller.client:
            claims["client_id"] = caller.client
        if len(texts) < len(caller.scopes):  # roles with spaces: in a text they would be others
            claims["scopes"] = sorted(caller.scopes - texts)
        signed = self._header + encode_base64url(msgspec.json.encode(claims)).encode()
        token = signed + b"." + encode_base64url(self._key.sign(signed)).encode()
        if len(token) > TOKEN_BYTES_MAX:
            raise ValueError(f"it has {len(token)} bytes, over {TOKEN_BYTES_MAX}: too many scopes")
        return token
