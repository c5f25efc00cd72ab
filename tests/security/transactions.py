"""Makes transaction tokens by hand, good and bad, without any of the code that is to judge them."""

import datetime
import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from holdfast.security import Authority, TransactionSigner, TransactionVerifier
from tests.security.forge import NOW_S, ManualClock, b64

SYSTEM = "bakery"
SIGNER = f"spiffe://{SYSTEM}/gateway/tokens"
Key = ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey | ec.EllipticCurvePrivateKey

CLAIMS: dict[str, object] = {
    "iss": f"spiffe://{SYSTEM}",
    "aud": f"spiffe://{SYSTEM}",
    "req_wl": f"spiffe://{SYSTEM}/gateway",
    "iat": NOW_S,
    "exp": NOW_S + 120,
    "txn": "f81d4fae7dec11d0a76500a0c91e6bf6",
    "sub": "ada",
    "scope": "bread:eat bread:read",
    "tctx": {"service": "oven", "method": "GET", "route": "/v1/bread/{}"},
    "client_id": "web",
}


@dataclass
class Forge:
    """An authority, what it trusts to sign, and everything that it would never issue."""

    authority: Authority = field(default_factory=lambda: Authority.new(SYSTEM, now_s=NOW_S - 3600))
    key: ed25519.Ed25519PrivateKey = field(default_factory=ed25519.Ed25519PrivateKey.generate)

    @property
    def trusted(self) -> bytes:
        """The authority, as PEM."""
        return self.authority.certificate

    @property
    def own(self) -> x509.Certificate:
        """The authority's certificate."""
        return x509.load_pem_x509_certificate(self.trusted)

    def certificate(
        self,
        *uris: str,
        key: Key | None = None,
        dns: Sequence[str] = (),
        begins_s: float = NOW_S - 60,
        ends_s: float = NOW_S + 3600,
        by: tuple[x509.Certificate, Key] | None = None,
        change: Callable[[x509.CertificateBuilder], x509.CertificateBuilder] = lambda made: made,
    ) -> x509.Certificate:
        """Issue any certificate, by the authority or by somebody else."""
        if by is None:
            found = load_pem_private_key(self.authority.key_pem(), None)
            assert isinstance(found, ec.EllipticCurvePrivateKey)
            by = self.own, found
        issuer, signer = by
        names = [
            *(x509.DNSName(name) for name in dns),
            *(x509.UniformResourceIdentifier(uri) for uri in uris),
        ]
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gateway/tokens")]))
            .issuer_name(issuer.subject)
            .public_key((key or self.key).public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.datetime.fromtimestamp(begins_s, datetime.UTC))
            .not_valid_after(datetime.datetime.fromtimestamp(ends_s, datetime.UTC))
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False
            )
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        hashed = hashes.SHA256() if isinstance(signer, ec.EllipticCurvePrivateKey) else None
        return change(builder).sign(signer, hashed)

    def signer(self) -> TransactionSigner:
        """Return what signs for the gateway; `token` does it by hand."""
        return TransactionSigner(SYSTEM, self.key, [self.good()])

    def verifier(self) -> TransactionVerifier:
        """Return what a service verifies with, at the time of these tests."""
        trusted = self.trusted
        return TransactionVerifier(SYSTEM, lambda: trusted, ManualClock())

    def good(self) -> x509.Certificate:
        """Issue what the authority issues to what signs."""
        return self.certificate(SIGNER)

    def token(
        self,
        header: Mapping[str, Any] | None = None,
        claims: Mapping[str, Any] | None = None,
        *,
        chain: Sequence[x509.Certificate] | None = None,
        key: Key | None = None,
    ) -> bytes:
        """Return a good token, but for what is changed; None removes a member."""
        chain = [self.good()] if chain is None else chain
        x5c = [der(one) for one in chain]
        head = changed({"typ": "txntoken+jwt", "alg": "EdDSA", "x5c": x5c}, header or {})
        return self.signed(
            json.dumps(head).encode(), json.dumps(changed(CLAIMS, claims or {})).encode(), key=key
        )

    def signed(self, header: bytes, payload: bytes, *, key: Key | None = None) -> bytes:
        """Sign any bytes as a token."""
        message = f"{b64(header)}.{b64(payload)}".encode()
        signer = key or self.key
        if isinstance(signer, ec.EllipticCurvePrivateKey):
            signature = signer.sign(message, ec.ECDSA(hashes.SHA256()))
        else:
            signature = signer.sign(message)
        return message + b"." + b64(signature).encode()


def der(certificate: x509.Certificate) -> str:
    """Return a certificate as `x5c` has it."""
    return b64encode(certificate.public_bytes(Encoding.DER)).decode()


def changed(members: Mapping[str, object], changes: Mapping[str, Any]) -> dict[str, object]:
    """Return members with changes; None removes one."""
    return {name: v for name, v in {**members, **changes}.items() if v is not None}
