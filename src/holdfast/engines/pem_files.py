"""Certificates and keys in PEM files: read whole, and judged, with the variable that named them."""

import stat
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from holdfast.contract.certificate import UNREADABLE, fits
from holdfast.errors import SettingError

CHAIN_MAX = 8
FILE_BYTES_MAX = 262_144
_READABLE_BY_ALL = stat.S_IROTH
_BEGIN, _END = b"-----BEGIN ", b"-----END "


def certificates_in(variable: str, path: Path) -> list[x509.Certificate]:
    """Return the certificates of a file, at least one. Raises SettingError."""
    content = _read(variable, path)
    try:
        found = x509.load_pem_x509_certificates(content)
    except UNREADABLE as exc:
        why = _unreadable(content, "certificates", exc)
        raise SettingError([f"{variable}={path}: {why}"]) from exc
    if len(found) > CHAIN_MAX:
        raise SettingError(
            [f"{variable}={path}: {len(found)} certificates, over {CHAIN_MAX}; leave out others"]
        )
    return found


def check_time(variable: str, path: Path, leaf: x509.Certificate, now_s: float) -> None:
    """Refuse a certificate that is not good at this time.

    Raises:
        SettingError: it is not any more, or not yet.
    """
    ends, begins = leaf.not_valid_after_utc, leaf.not_valid_before_utc
    if now_s >= ends.timestamp():
        raise SettingError([f"{variable}={path}: it expired at {ends}; issue it again"])
    if now_s < begins.timestamp():
        why = f"it is not valid before {begins}; look at this machine's clock"
        raise SettingError([f"{variable}={path}: {why}"])


def _read(variable: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as exc:
        why = f"{exc.strerror}; set it to a file that this user may read"
        raise SettingError([f"{variable}={path}: {why}"]) from exc
    if len(content) > FILE_BYTES_MAX:
        raise SettingError([f"{variable}={path}: it has more than {FILE_BYTES_MAX} bytes"])
    return content


def _unreadable(content: bytes, wanted: str, exc: Exception) -> str:
    """Return what is wrong with a file in which `wanted` was not found, and the remedy."""
    begun = content.count(_BEGIN)
    if not begun:
        return f"no {wanted} in PEM; name a file that has a line -----BEGIN …-----"
    if begun != content.count(_END):
        return f"no {wanted} in PEM: it is half written; write it whole, or issue it again"
    return f"no {wanted} in PEM: {exc}; issue it again"


def check_key(variable: str, path: Path, leaf: x509.Certificate) -> None:
    """Refuse a key that others may read, that is none, or that is of another certificate.

    Raises:
        SettingError: it is no good.
    """
    content = _read(variable, path)
    if path.stat().st_mode & _READABLE_BY_ALL:
        raise SettingError([f"{variable}={path}: every user may read it; run `chmod o= {path}`"])
    try:
        its_own = fits(load_pem_private_key(content, password=None), leaf)
    except TypeError as exc:
        why = "it is encrypted, and nobody is asked for its password; store it without one"
        raise SettingError([f"{variable}={path}: {why}"]) from exc
    except UNREADABLE as exc:
        why = _unreadable(content, "private key", exc)
        raise SettingError([f"{variable}={path}: {why}"]) from exc
    if not its_own:
        raise SettingError(
            [f"{variable}={path}: it is not the key of the certificate; the two go together"]
        )
