#!/usr/bin/env bash
# cryptography 50.0.2, Python 3.11.
#
# Expected: `x509.verification` takes Ed25519 (RFC 8410) where it stands in a chain or nowhere: for
#   the key of a leaf, for the key of an authority and for the signature of either, as OpenSSL does
#   in TLS 1.3.
# Behaves: a leaf with an Ed25519 key that an authority on P-256 has issued is good. The same leaf
#   issued by an authority with an Ed25519 key is refused: "Forbidden public key algorithm". OpenSSL,
#   on the same files, takes both.
#
# Exits with 0 while that is so, with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cryptography==50.0.2
cat >"$folder/chains.py" <<'PYTHON'
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

NOW = datetime.now(UTC)


def named(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def usage(**given):
    names = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**(dict.fromkeys(names, False) | given))


def issue(subject, issuer, key, signer, authority):
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(hours=1))
        .not_valid_after(NOW + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(
            usage(key_cert_sign=True) if authority else usage(digital_signature=True), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if not authority:
        names = [x509.UniformResourceIdentifier("spiffe://example/one")]
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    algorithm = SHA256() if isinstance(signer, ec.EllipticCurvePrivateKey) else None
    return builder.sign(signer, algorithm)


def judged(leaf, authority):
    verifier = PolicyBuilder().store(Store([authority])).time(NOW).build_client_verifier()
    try:
        verifier.verify(leaf, [])
    except VerificationError as exc:
        return str(exc)
    return "good"


def openssl(leaf, authority):
    for name, certificate in (("leaf", leaf), ("authority", authority)):
        Path(name).write_bytes(certificate.public_bytes(Encoding.PEM))
    words = ["openssl", "verify", "-CAfile", "authority", "leaf"]
    return subprocess.run(words, capture_output=True, text=True).returncode == 0


changed = 0
for kind, key, wanted in (
    ("P-256", ec.generate_private_key(ec.SECP256R1()), "good"),
    ("Ed25519", ed25519.Ed25519PrivateKey.generate(), "Forbidden public key algorithm"),
):
    authority = issue("authority", "authority", key, key, authority=True)
    own = ed25519.Ed25519PrivateKey.generate()
    leaf = issue("one", "authority", own, key, authority=False)
    said, taken = judged(leaf, authority), openssl(leaf, authority)
    print(f"issued by an authority on {kind}: cryptography: {said}; openssl takes it: {taken}")
    changed += wanted not in said or not taken
sys.exit(1 if changed else 0)
PYTHON
cd "$folder" && "$folder/venv/bin/python" chains.py
