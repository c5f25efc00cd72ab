"""TLS towards clients: it proves whose host this is, asks nobody who he is, and is renewed.

HTTP/1.1 is what is spoken in it. Nothing of a session is kept for the next one (no tickets): the
key that opens them would live as long as the process.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path

from holdfast.contract.certificate import UNREADABLE
from holdfast.engines.followed import Followed
from holdfast.engines.newest_context import PublicContext
from holdfast.engines.pem_files import certificates_in, check_key, check_time
from holdfast.errors import SettingError
from holdfast.ports import Clock


@dataclass(frozen=True, slots=True)
class PublicFiles:
    """Where the certificate of a host is, with those that lead to its authority, and its key.

    Attributes:
        variables: that said where they are, for errors.
    """

    certificate: Path
    key: Path
    variables: tuple[str, str] = ("certificate", "key")


@dataclass(frozen=True, slots=True)
class _Made:
    context: ssl.SSLContext
    serial: str
    begins_s: float
    ends_s: float


class PublicTls:
    """What the gateway's port speaks with clients, by the files of its certificate.

    Raises:
        SettingError: what is wrong with which file, and the remedy.
    """

    def __init__(self, files: PublicFiles, clock: Clock) -> None:
        self._files, self._clock = files, clock
        self._followed = Followed((files.certificate, files.key), self._read)
        self.look = self._followed.look

    @property
    def trouble(self) -> str | None:
        """What is wrong with newer files; None: nothing."""
        return self._followed.trouble

    @property
    def serial(self) -> str:
        """The serial number of the certificate that is shown now."""
        return self._followed.value.serial

    def listens(self) -> ssl.SSLContext:
        """Return what a listener speaks: each handshake shows the newest certificate."""
        return PublicContext(ssl.PROTOCOL_TLS_SERVER, lambda: self._followed.value.context)

    def expires_s(self) -> float:
        """Return how many seconds the certificate is still good; negative: it is not any more."""
        return self._followed.value.ends_s - self._clock.now()

    def life_s(self) -> float:
        """Return how long the certificate is good in all, in seconds."""
        return self._followed.value.ends_s - self._followed.value.begins_s

    def _read(self) -> _Made:
        files = self._files
        certificate_variable, key_variable = files.variables
        leaf = certificates_in(certificate_variable, files.certificate)[0]
        try:
            check_time(certificate_variable, files.certificate, leaf, self._clock.now())
            check_key(key_variable, files.key, leaf)
        except UNREADABLE as exc:
            at = f"{certificate_variable}={files.certificate}"
            raise SettingError([f"{at}: it cannot be read: {exc}; issue it again"]) from exc
        return _Made(
            self._context(),
            f"{leaf.serial_number:X}",
            leaf.not_valid_before_utc.timestamp(),
            leaf.not_valid_after_utc.timestamp(),
        )

    def _context(self) -> ssl.SSLContext:
        files = self._files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        context.num_tickets = 0
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(files.certificate, files.key, lambda: "")
        except OSError as exc:  # an ssl.SSLError is one: a key that is too short, or of a rare kind
            at = f"{files.variables[0]}={files.certificate}"
            why = "issue it with a key of ECDSA P-256, or of RSA with 2,048 bits"
            raise SettingError([f"{at}: TLS does not take it: {exc}; {why}"]) from exc
        return context
