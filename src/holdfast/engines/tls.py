"""TLS to servers, as their URLs ask for it: the same parameters for Postgres, NATS and Redis.

They are libpq's, because its URLs are the ones that people get: `sslrootcert` (a file of
authorities, or `system`), `sslcert` and `sslkey` (this process's own), `sslpassword`,
`ssl_min_protocol_version`.
"""

import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlencode

from holdfast.engines.followed import Followed
from holdfast.engines.server_urls import split
from holdfast.engines.troubles import Troubles

PARAMETERS = ("sslrootcert", "sslcert", "sslkey", "sslpassword", "ssl_min_protocol_version")
_FILES = ("sslrootcert", "sslcert", "sslkey")
_VERSIONS = {
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}


def take_tls(url: str) -> tuple[str, dict[str, str]]:
    """Return a URL without the parameters of TLS, and those. Raises ValueError."""
    bare, query = split(url)
    given = {name: query.pop(name) for name in PARAMETERS if name in query}
    return (f"{bare}?{urlencode(query)}" if query else bare), given


class RenewedContext:
    """A context for each new connection, made anew when the files of its parameters have changed.

    What cannot be read, such as a certificate whose key is not written yet, leaves the last good
    one in use; it is tried again for the next connection.

    Args:
        given: parameters of a URL. make: what makes a context of them; raises ValueError.
        troubles: who is told what cannot be read.
    """

    def __init__(
        self, given: Mapping[str, str], make: Callable[[], ssl.SSLContext], troubles: Troubles
    ) -> None:
        files = [Path(given[name]) for name in _FILES if given.get(name, "system") != "system"]
        self._followed, self._troubles = Followed(files, make), troubles

    def __call__(self) -> ssl.SSLContext:
        """Return one that is as the files are now."""
        self._followed.look()
        if why := self._followed.trouble:
            self._troubles.begin("tls", why)
        else:
            self._troubles.end("tls")
        return self._followed.value


def client_context(
    given: Mapping[str, str],
    *,
    verify: bool = True,
    hostname: bool = True,
    alpn: Sequence[str] = (),
) -> ssl.SSLContext:
    """Return what speaks TLS as the parameters say.

    Args:
        verify: the server's certificate must come from an authority. hostname: and name the host.
        alpn: what is spoken inside, for servers that ask.
    Raises:
        ValueError: a file cannot be read, or a value is not known; with the parameter's name.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = verify and hostname
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    version = given.get("ssl_min_protocol_version", "TLSv1.2")
    if version not in _VERSIONS:
        raise ValueError(f"ssl_min_protocol_version={version}: write {' or '.join(_VERSIONS)}")
    context.minimum_version = _VERSIONS[version]
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if verify:
        _trust(context, given.get("sslrootcert", "system"))
    if "sslcert" in given or "sslkey" in given:
        _show(context, given)
    return context


def _trust(context: ssl.SSLContext, authorities: str) -> None:
    if authorities == "system":
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return
    try:
        context.load_verify_locations(cafile=authorities)
    except OSError as exc:
        raise ValueError(f"sslrootcert={authorities}: {exc.strerror or exc}") from exc


def _show(context: ssl.SSLContext, given: Mapping[str, str]) -> None:
    if "sslcert" not in given:
        raise ValueError("sslkey is there without sslcert, the certificate that it belongs to")
    password = given.get("sslpassword", "")  # never asked for at a terminal
    try:
        context.load_cert_chain(given["sslcert"], given.get("sslkey"), lambda: password)
    except OSError as exc:
        files = f"sslcert={given['sslcert']}, sslkey={given.get('sslkey', 'in the same file')}"
        raise ValueError(f"{files}: {exc.strerror or exc}") from exc
