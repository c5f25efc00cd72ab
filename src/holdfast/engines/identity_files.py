"""The files of an identity: read whole, and judged before anybody else judges them."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from holdfast.contract.certificate import UNREADABLE, uris_of
from holdfast.contract.spiffe import Certificate, workload_of
from holdfast.engines.pem_files import certificates_in, check_key, check_time
from holdfast.errors import SettingError


@dataclass(frozen=True, slots=True)
class IdentityFiles:
    """Where an identity is.

    Attributes:
        certificate, key: its own. trusted: the authorities.
        variables: that said where they are, for errors.
    """

    certificate: Path
    key: Path
    trusted: Path
    variables: tuple[str, str, str] = ("certificate", "key", "authorities")

    @property
    def all(self) -> tuple[Path, Path, Path]:
        """The three of them."""
        return self.certificate, self.key, self.trusted


@dataclass(frozen=True, slots=True)
class Material:
    """An identity that was read and is sound: what contexts are made of.

    Attributes:
        trusted: the authorities, as PEM, and nothing else.
    """

    certificate: Certificate
    files: IdentityFiles
    trusted: bytes

    def load(self, context: ssl.SSLContext) -> None:
        """Give it to a context. Raises OSError: the files have changed, or are gone."""
        files = self.files
        context.load_cert_chain(files.certificate, files.key, lambda: "")
        context.load_verify_locations(files.trusted)


def read_identity(files: IdentityFiles, system: str, now_s: float) -> Material:
    """Read an identity.

    Args:
        now_s: seconds since 1970.
    Raises:
        SettingError: what is wrong with which file, and the remedy.
    """
    certificate_variable, key_variable, trusted_variable = files.variables
    chain = certificates_in(certificate_variable, files.certificate)
    trusted = certificates_in(trusted_variable, files.trusted)
    leaf = chain[0]
    at = f"{certificate_variable}={files.certificate}"
    begins_s, ends_s = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    check_time(certificate_variable, files.certificate, leaf, now_s)
    try:
        name = workload_of(uris_of(leaf), system)
    except UNREADABLE as exc:
        raise SettingError([f"{at}: {exc}; issue one with that URI SAN"]) from exc
    check_key(key_variable, files.key, leaf)
    if not _is_issued(chain, trusted):
        wanted = f"{trusted_variable}={files.trusted}"
        raise SettingError([f"{at}: no authority of {wanted} has issued it; these two go together"])
    found = Certificate(name, f"{leaf.serial_number:X}", begins_s, ends_s)
    return Material(found, files, b"".join(one.public_bytes(Encoding.PEM) for one in trusted))


def _is_issued(chain: list[x509.Certificate], trusted: list[x509.Certificate]) -> bool:
    """Whether the first of a chain goes back to what is trusted, each issued by the next one."""
    at = chain[0]
    for between in [*chain[1:], None]:
        if any(_has_issued(authority, at) for authority in trusted):
            return True
        if between is None or not _has_issued(between, at):
            return False
        at = between
    return False


def _has_issued(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (TypeError, InvalidSignature, *UNREADABLE):
        return False
    return True
