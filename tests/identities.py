"""Identities for tests: a local authority, and what it issues, good and bad."""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from holdfast.engines.identity_files import IdentityFiles
from holdfast.engines.machine import MachineClock
from holdfast.engines.mutual_tls import TlsIdentity
from holdfast.runtime.local_authority import LocalAuthority

SYSTEM = "bakery"


@dataclass
class Refused:
    """Keeps what an identity tells of peers that it refused."""

    told: list[tuple[str, str]]

    def __call__(self, reason: str, why: str) -> None:
        self.told.append((reason, why))

    @property
    def reasons(self) -> list[str]:
        return [reason for reason, _ in self.told]


class Identities:
    """An authority, and workloads whose certificates it has issued."""

    def __init__(self, folder: Path, system: str = SYSTEM) -> None:
        self.system = system
        self.authority = LocalAuthority(folder, system, MachineClock())

    def of(self, name: str) -> tuple[TlsIdentity, Refused]:
        """Return a workload, and what it will refuse."""
        return self.read(self.authority.issue(name))

    def read(self, files: IdentityFiles) -> tuple[TlsIdentity, Refused]:
        """Return a workload by its files."""
        refused = Refused([])
        named = replace(files, variables=("CERT", "KEY", "CA"))
        return TlsIdentity(named, self.system, MachineClock(), refused), refused


def forge(
    folder: Path,
    *,
    uris: Sequence[str] = (f"spiffe://{SYSTEM}/oven",),
    begins_s: float = -60,
    ends_s: float = 3600,
    change: Callable[[x509.CertificateBuilder], x509.CertificateBuilder] = lambda made: made,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | None = None,
) -> IdentityFiles:
    """Write a certificate that the authority of a folder would never issue.

    Args:
        begins_s, ends_s: from now.
    """
    own = x509.load_pem_x509_certificate((folder / "own.crt").read_bytes())
    signer = load_pem_private_key((folder / "own.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "oven")]))
        .issuer_name(own.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(seconds=begins_s))
        .not_valid_after(now + datetime.timedelta(seconds=ends_s))
    )
    if uris:
        names = [x509.UniformResourceIdentifier(uri) for uri in uris]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    made = change(builder).sign(signer, hashes.SHA256())
    at = folder / f"forged-{made.serial_number:x}"
    at.mkdir()
    files = IdentityFiles(at / "tls.crt", at / "tls.key", at / "ca.crt")
    files.certificate.write_bytes(made.public_bytes(Encoding.PEM))
    files.key.touch(mode=0o600)
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files.trusted.write_bytes((folder / "ca.crt").read_bytes())
    return files
