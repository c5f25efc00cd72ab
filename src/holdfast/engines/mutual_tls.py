"""TLS in which both sides prove who they are, by certificates that change while it runs.

Who the peer is, is looked at in the handshake itself: before the first byte of a request, on
either side, whatever library speaks. A refusal in it is told, which no event loop does.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Literal, cast, get_args

from holdfast.contract.spiffe import Certificate, certificate_of, check_reached
from holdfast.engines.followed import Followed
from holdfast.engines.identity_files import IdentityFiles, Material, read_identity
from holdfast.engines.newest_context import NewestContext
from holdfast.ports import Clock

Refusal = Literal[
    "clear_text", "expired", "no_certificate", "not_yet_valid", "other", "unknown_authority", "who"
]
"""Why a peer was refused."""
REFUSALS: tuple[Refusal, ...] = get_args(Refusal)

_Use = Literal["server", "open", "client"]
_USES: tuple[_Use, ...] = get_args(_Use)
Refused = Callable[[Refusal, str], None]
"""Told of each: the reason, and what is known of the peer."""

_BY_CODE: dict[int, Refusal] = {9: "not_yet_valid", 10: "expired"}  # x509_vfy.h
_UNKNOWN_AUTHORITY = (2, 18, 19, 20, 21)
_BY_REASON: dict[str, Refusal] = {
    "HTTP_REQUEST": "clear_text",
    "HTTPS_PROXY_REQUEST": "clear_text",
    "WRONG_VERSION_NUMBER": "clear_text",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no_certificate",
}


class TlsIdentity:
    """Implements `ports.Identity` by the files of a certificate, its key and the authorities.

    Args:
        system: the trust domain. refused: told of each peer that was refused.
    Raises:
        SettingError: the files are no identity of this system.
    """

    def __init__(self, files: IdentityFiles, system: str, clock: Clock, refused: Refused) -> None:
        self._files, self._system, self._clock = files, system, clock
        self._refused = refused
        self._followed = Followed(files.all, self._made)
        self.look = self._followed.look

    @property
    def trouble(self) -> str | None:
        """What is wrong with newer files; None: nothing."""
        return self._followed.trouble

    @property
    def serial(self) -> str:
        """The serial number of the certificate that is shown now."""
        return self.certificate.serial

    @property
    def name(self) -> str:
        """Return the name of its workload."""
        return self.certificate.name

    @property
    def certificate(self) -> Certificate:
        """The one that is shown now."""
        return self._followed.value[0].certificate

    def listens(self, *, strangers: bool = False) -> ssl.SSLContext:
        """See `ports.Identity.listens`."""
        found: _Use = "open" if strangers else "server"
        made = _Newest(ssl.PROTOCOL_TLS_SERVER, lambda: self._followed.value[1][found])
        made.wanted = ""
        return made

    def reaches(self, name: str) -> ssl.SSLContext:
        """See `ports.Identity.reaches`."""
        followed = self._followed
        made = _Newest(ssl.PROTOCOL_TLS_CLIENT, lambda: followed.value[1]["client"])
        made.wanted = name
        return made

    def peer(self, transport: asyncio.BaseTransport) -> str:
        """See `ports.Identity.peer`."""
        found: object = transport.get_extra_info("ssl_object")
        return found.peer_name if isinstance(found, _Contact) else ""

    def trusted(self) -> bytes:
        """See `ports.Identity.trusted`."""
        return self._followed.value[0].trusted

    def expires_s(self) -> float:
        """Return how many seconds the certificate is still good; negative: it is not any more."""
        return self.certificate.ends_s - self._clock.now()

    def life_s(self) -> float:
        """Return how long the certificate is good in all, in seconds."""
        return self.certificate.ends_s - self.certificate.begins_s

    def _made(self) -> tuple[Material, dict[_Use, "_Inside"]]:
        material = read_identity(self._files, self._system, self._clock.now())
        contexts: dict[_Use, _Inside] = {
            use: self._context(material, server=use != "client") for use in _USES
        }
        contexts["open"].verify_mode = ssl.CERT_OPTIONAL
        return material, contexts

    def _context(self, material: Material, *, server: bool) -> "_Inside":
        context = _Inside(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.system, context.refused = self._system, self._refused
        context.check_hostname = False  # the SPIFFE ID says who it is, wherever it listens
        context.verify_mode = ssl.CERT_REQUIRED
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.options |= ssl.OP_NO_TICKET  # who resumes a session is not verified again
        if server:
            context.num_tickets = 0
        material.load(context)
        context.sslobject_class = _Contact
        return context


class _Inside(ssl.SSLContext):
    """A context of OpenSSL's own, and what its connections need to judge their peers."""

    system: str
    refused: Refused


class _Newest(NewestContext):
    """A context whose connections know whom they want to reach."""

    wanted: str

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        made = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        cast(_Contact, made).wanted = self.wanted
        return made


class _Contact(ssl.SSLObject):
    """One connection: its handshake is over when it is known who the peer is.

    Attributes:
        wanted: the workload that the peer must be; "": any of the system.
        peer_name: the workload that it is, once that is known.
    """

    wanted = ""
    peer_name = ""

    def do_handshake(self) -> None:
        inside = cast(_Inside, self.context)
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as exc:
            inside.refused(_reason(exc), str(exc.reason or exc))
            raise
        try:
            shown = self.getpeercert()
            if not shown and inside.verify_mode is ssl.CERT_OPTIONAL:
                return  # nobody
            found = certificate_of(shown, inside.system)
            check_reached(found.name, self.wanted)
        except ValueError as exc:
            inside.refused("who", str(exc))
            raise ssl.SSLCertVerificationError(f"the peer is refused: {exc}") from exc
        self.peer_name = found.name


def _reason(error: ssl.SSLError) -> Refusal:
    code = getattr(error, "verify_code", 0)
    if code:
        fallback: Refusal = "unknown_authority" if code in _UNKNOWN_AUTHORITY else "other"
        return _BY_CODE.get(code, fallback)
    return _BY_REASON.get(error.reason or "", "other")
