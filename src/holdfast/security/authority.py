"""An authority of one system: issues short-lived certificates to its workloads.

Keys are ECDSA on P-256, which every server takes; what signs tokens has Ed25519. Nothing here
reads a clock or writes a file.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from holdfast.contract.spiffe import SIGNER, spiffe_id

LIFE_S = 3600.0
AUTHORITY_LIFE_S = 10 * 365 * 86_400.0
_SKEW_S = 60.0  # clocks of two machines differ: a certificate is valid a little before it was made

PrivateKey = EllipticCurvePrivateKey | Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key, as PEM; `repr` shows neither.

    Attributes:
        ends_s: seconds since 1970, when it is of no use any more.
    """

    name: str
    ends_s: float
    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return f"Issued(name={self.name!r}, ends_s={self.ends_s:.0f})"


class Authority:
    """Issues certificates of one system.

    Attributes:
        certificate: its own, as PEM: what whoever trusts it needs.
    """

    def __init__(
        self, system: str, certificate: x509.Certificate, key: EllipticCurvePrivateKey
    ) -> None:
        self.system = system
        self._own, self._key = certificate, key
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM)

    @classmethod
    def new(cls, system: str, *, now_s: float, life_s: float = AUTHORITY_LIFE_S) -> "Authority":
        """Make an authority with a key of its own; `now_s` is in seconds since 1970."""
        key = generate_private_key(SECP256R1())
        name = _name(f"{system} authority")
        trust = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{system}")])
        own = (
            _begin(name, name, key, now_s - _SKEW_S, now_s + life_s)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(trust, critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(system, own, key)

    @classmethod
    def from_pem(cls, system: str, certificate: bytes, key: bytes) -> "Authority":
        """Read one that `certificate` and `key_pem` wrote. Raises ValueError."""
        found = serialization.load_pem_private_key(key, password=None)
        if not isinstance(found, EllipticCurvePrivateKey):
            raise ValueError("the key of the authority is not one on P-256")
        return cls(system, x509.load_pem_x509_certificate(certificate), found)

    def key_pem(self) -> bytes:
        """Return the private key; whoever reads it can be anybody in the system."""
        return _key_pem(self._key)

    def issue(
        self,
        name: str,
        *,
        now_s: float,
        life_s: float = LIFE_S,
        dns: Sequence[str] = (),
        addresses: Sequence[str] = (),
    ) -> Issued:
        """Issue a certificate for a workload.

        Args:
            now_s: seconds since 1970.
            dns: further names by which it is reached, beside its own.
            addresses: by which it is reached, of a server whose clients look for that; whoever has
                such a certificate can stand in for everything at that address.
        """
        key: PrivateKey
        key = Ed25519PrivateKey.generate() if name == SIGNER else generate_private_key(SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(name)] if "/" not in name else []
        names += [x509.DNSName(one) for one in dns]
        names += [x509.IPAddress(ip_address(one)) for one in addresses]
        names.append(x509.UniformResourceIdentifier(spiffe_id(self.system, name)))
        ends_s = min(now_s + life_s, self._own.not_valid_after_utc.timestamp())
        uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        own_key = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
            self._own.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        )
        builder = (
            _begin(_name(name), self._own.subject, key, now_s - _SKEW_S, ends_s)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(own_key, critical=False)
        )
        if name != SIGNER:
            builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        leaf = builder.sign(self._key, hashes.SHA256())
        pem = leaf.public_bytes(serialization.Encoding.PEM)
        return Issued(name, ends_s, pem, _key_pem(key))


def _begin(
    subject: x509.Name, issuer: x509.Name, key: PrivateKey, begins_s: float, ends_s: float
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_moment(begins_s))
        .not_valid_after(_moment(ends_s))
    )


def _moment(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
