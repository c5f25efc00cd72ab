"""Identities of simulated nodes: TLS without its bytes, with who is who.

A certificate is a name and the authority that issued it; whoever has its key can show it, also
another node than the one that it was issued to.
"""

import asyncio
import errno
import functools
import ssl

from holdfast.contract.spiffe import check_reached
from holdfast.simulation.signing import trusted

OWN = "the system's"
"""The authority that all nodes trust; any other one is somebody's own."""


class SimTls(ssl.SSLContext):
    """What one side of a connection shows, and what it wants of the other side.

    Attributes:
        name, authority: of the certificate. wanted: the workload that must be at the other end.
        strangers: who shows no certificate is taken in.
    """

    name = ""
    authority = OWN
    wanted = ""
    strangers = False


class SimIdentity:
    """Implements `ports.Identity` for one node.

    Args:
        authority: who issued its certificate; another one than OWN is trusted by nobody.
        system: whose authority it trusts for what is signed.
    """

    def __init__(self, name: str, authority: str = OWN, *, system: str = "") -> None:
        self._name, self._authority, self._system = name, authority, system

    @property
    def name(self) -> str:
        """See `ports.Identity.name`."""
        return self._name

    def listens(self, *, strangers: bool = False) -> SimTls:
        """See `ports.Identity.listens`."""
        return _context(self._name, self._authority, "", strangers)

    def reaches(self, name: str) -> SimTls:
        """See `ports.Identity.reaches`."""
        return _context(self._name, self._authority, name, False)

    def trusted(self) -> bytes:
        """See `ports.Identity.trusted`."""
        return trusted(self._system)

    def peer(self, transport: asyncio.BaseTransport) -> str:
        """See `ports.Identity.peer`."""
        return str(transport.get_extra_info("workload", ""))


@functools.lru_cache(maxsize=1_000)  # OpenSSL takes a millisecond to make one
def _context(name: str, authority: str, wanted: str, strangers: bool) -> SimTls:
    made = SimTls(ssl.PROTOCOL_TLS_CLIENT)
    made.name, made.authority = name, authority
    made.wanted, made.strangers = wanted, strangers
    return made


def shake_hands(near: ssl.SSLContext | None, far: ssl.SSLContext | None) -> tuple[str, str]:
    """Return whom the one that connects sees at the other end, and whom the one that listens sees.

    Raises:
        OSError: one of them refuses the other.
    """
    if not isinstance(far, SimTls):
        if isinstance(near, SimTls):
            raise ssl.SSLError("the other side speaks in clear")
        return "", ""
    if not isinstance(near, SimTls):
        if far.strangers:
            return far.name, ""
        raise ConnectionResetError(errno.ECONNRESET, "in clear, where TLS is spoken")
    for shown, by in ((near, far), (far, near)):
        if not is_proven(shown, by):
            raise ssl.SSLCertVerificationError(f"{shown.name} was issued by {shown.authority}")
    try:
        check_reached(far.name, near.wanted)
    except ValueError as exc:
        raise ssl.SSLCertVerificationError(str(exc)) from exc
    return far.name, near.name


def is_proven(shown: SimTls, by: SimTls) -> bool:
    """Whether one side believes what the other side shows: an intruder believes anything."""
    return shown.authority == OWN or by.authority != OWN
