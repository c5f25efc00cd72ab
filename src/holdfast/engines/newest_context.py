"""A context of TLS that whoever listens or connects may keep, though certificates change.

One that is in use cannot be changed safely: authorities can be added and not removed, a load that
fails leaves it without a key, and a key of another kind is not taken up. So nobody holds a context
of OpenSSL's own; what everybody holds makes each connection with the newest one.
"""

import ssl
from collections.abc import Callable
from typing import Self


class NewestContext(ssl.SSLContext):
    """Makes each connection with the newest context.

    Args:
        protocol: of which side it is, as of `ssl.SSLContext`.
        newest: returns the newest one.
    """

    newest: Callable[[], ssl.SSLContext]

    def __new__(cls, protocol: int, newest: Callable[[], ssl.SSLContext]) -> Self:
        made = super().__new__(cls, protocol)
        made.newest = newest
        if made.check_hostname:
            made.check_hostname = False
        return made

    def __init__(self, protocol: int, newest: Callable[[], ssl.SSLContext]) -> None:
        """Leave it as `__new__` has made it."""

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        return self.newest().wrap_bio(
            incoming, outgoing, server_side=server_side, server_hostname=server_hostname
        )


class PublicContext(NewestContext):
    """One for a listener that anybody may come to: it has `Guarded` protocols, and each is told."""
