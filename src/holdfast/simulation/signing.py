"""What signs transaction tokens in a simulation: real keys and certificates, always the same ones.

Each run of a seed has the same bytes on the wire, so nothing here is drawn or read from a clock.
"""

import datetime
import functools

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePublicKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from holdfast.contract.spiffe import SIGNER, spiffe_id
from holdfast.security import TransactionSigner

_AUTHORITY = derive_private_key(2_026, SECP256R1())
_BEGINS = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_ENDS = datetime.datetime(2120, 1, 1, tzinfo=datetime.UTC)


@functools.cache
def trusted(system: str) -> bytes:
    """Return the authority that all nodes of a system trust, as PEM."""
    name, key = _name(f"{system} authority"), _AUTHORITY.public_key()
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    made = (
        _begun(name, name, key, 1)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )
    return _signed(made).public_bytes(Encoding.PEM)


@functools.cache
def sim_signer(system: str) -> TransactionSigner:
    """Return what signs for the gateway nodes of a system."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    names = [x509.UniformResourceIdentifier(spiffe_id(system, SIGNER))]
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(_AUTHORITY.public_key())
    made = (
        _begun(_name(SIGNER), _name(f"{system} authority"), key.public_key(), 2)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(authority, critical=False)
    )
    return TransactionSigner(system, key, [_signed(made)])


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: Ed25519PublicKey | EllipticCurvePublicKey,
    serial: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(_BEGINS)
        .not_valid_after(_ENDS)
    )


def _signed(made: x509.CertificateBuilder) -> x509.Certificate:
    return made.sign(_AUTHORITY, hashes.SHA256(), ecdsa_deterministic=True)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
