"""Certificates of a host for clients: issued, spoilt, and swapped as Kubernetes does it."""

import datetime
import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

HOST = "localhost"
DAY_S = 86_400.0
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes
    serial: str


@dataclass
class PublicAuthority:
    """Issues certificates for a host; `trusting` is a client who knows it."""

    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1()), repr=False
    )

    def __post_init__(self) -> None:
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        self._own = (
            self._builder(self.key, self._name, -DAY_S, DAY_S)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    def issue(
        self, *, begins_s: float = -60, ends_s: float = 30 * DAY_S, key: Key | None = None
    ) -> Pair:
        """Return a pair that is good from and until then, in seconds from now."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
        made = (
            self._builder(key, subject, begins_s, ends_s)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Pair(made.public_bytes(Encoding.PEM), pem, f"{made.serial_number:X}")

    def trusting(self) -> ssl.SSLContext:
        """Return what a client speaks who checks authority and name."""
        return ssl.create_default_context(cadata=self._own.public_bytes(Encoding.PEM).decode())

    def _builder(
        self, key: Key, subject: x509.Name, begins_s: float, ends_s: float
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(seconds=begins_s))
            .not_valid_after(now + datetime.timedelta(seconds=ends_s))
        )


class Mounted:
    """A Secret as Kubernetes mounts it: links to `..data`, which is a link that is swapped.

    Attributes:
        environ: what a process is told of it.
    """

    def __init__(self, folder: Path, pair: Pair) -> None:
        self._folder, self._turn = folder, 0
        folder.mkdir()
        self.swap(pair)
        for name in ("tls.crt", "tls.key"):
            (folder / name).symlink_to(Path("..data", name))
        self.certificate, self.key = folder / "tls.crt", folder / "tls.key"
        self.environ = {
            "HOLDFAST_TLS_CERT": str(self.certificate),
            "HOLDFAST_TLS_KEY": str(self.key),
        }

    def swap(self, pair: Pair) -> None:
        """Put another pair in the place of the one before, in one step."""
        self._turn += 1
        made = self._folder / f"..{self._turn}"
        made.mkdir()
        (made / "tls.crt").write_bytes(pair.certificate)
        (made / "tls.key").touch(0o600)
        (made / "tls.key").write_bytes(pair.key)
        link = self._folder / "..data_tmp"
        link.symlink_to(made.name)
        os.replace(link, self._folder / "..data")
