"""Where a Postgres is and how it is spoken to, from a URL as libpq and its docs write it."""

import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from holdfast.engines.server_urls import parts_of, split
from holdfast.engines.short_passwords import PARAMETERS as SHORT
from holdfast.engines.short_passwords import short_password
from holdfast.engines.tls import PARAMETERS, RenewedContext, client_context
from holdfast.engines.troubles import Troubles
from holdfast.errors import SettingError

_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_DEMANDS = ("require", "verify-ca", "verify-full")
_KEPT = {
    *("host", "port", "user", "password", "database", "passfile", "target_session_attrs"),
    *("krbsrvname", "gsslib", "command_timeout", "prepared_statement_cache_size"),
}
"""What the driver reads itself."""
_WITHOUT = {"channel_binding": ("disable", "prefer"), "gssencmode": ("disable", "prefer")}
"""What the driver cannot do, and with which values nobody asks for it."""
Options = dict[str, Any]
Fresh = dict[str, Callable[[], object]]
"""{argument of the driver's `connect`: what makes it anew}."""
_HUNG_UP = "closed in the middle of"  # the driver's words
_OWN = ("sslmode", "sslnegotiation", "connect_timeout", "application_name")


@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """A URL that was read.

    Attributes:
        url: for SQLAlchemy. options: further arguments of the driver's `connect`.
        demands_tls: nothing may be said in clear.
        fresh: returns arguments that are made anew for each connection: secrets change.
        shown: the URL without passwords, for messages.
        user, password: as whom; empty if it does not say.
        certificate: the file of the one that is shown; empty: none is.
    """

    url: str = field(repr=False)
    options: Options
    demands_tls: bool
    shown: str
    user: str
    password: str = field(repr=False)
    fresh: Callable[[], Options] = field(default=dict, compare=False)
    certificate: str = ""

    def why_not(self, error: BaseException) -> str:
        """Say why there is no connection.

        A server that does not take a certificate says so after the handshake of TLS 1.3, to nobody
        who listens: it looks like one that went away.
        """
        hung_up = isinstance(error, ssl.SSLError | ConnectionError) or _HUNG_UP in str(error)
        ours = isinstance(error, ssl.SSLCertVerificationError | ConnectionRefusedError)
        if not self.certificate or not hung_up or ours:
            return f"{self.shown}: {type(error).__name__}: {error}"
        return (
            f"{self.shown}: it hung up while the connection was made; if that lasts, it does not "
            f"take sslcert={self.certificate}: is that one of its authority, and not expired?"
        )


def read_postgres_url(text: str) -> PostgresUrl:
    """Read `postgresql://user:password@host:port/database?sslmode=verify-full&…`.

    Raises:
        ValueError: a parameter is not known, has no such value, or cannot be kept; with the remedy.
    """
    bare, query = split(text)
    known = {*_KEPT, *_WITHOUT, *_OWN, *PARAMETERS, *SHORT}
    if unknown := sorted(set(query) - known):
        raise ValueError(f"{unknown[0]} is not known; known are {', '.join(sorted(known))}")
    for name, values in _WITHOUT.items():
        if query.get(name, values[0]) not in values:
            raise ValueError(f"{name}={query[name]}: the driver has none; leave it out")
    user, password = _user_and_password(bare, query)
    options, fresh = _tls_options(bare, query)
    fresh |= _short_password(bare, query, user)
    if "connect_timeout" in query:
        options["timeout"] = _seconds(query["connect_timeout"])
    if "application_name" in query:
        options["server_settings"] = {"application_name": query["application_name"]}
    kept = {name: value for name, value in query.items() if name in _KEPT}
    url = re.sub(r"^postgres(ql)?://", "postgresql+asyncpg://", bare)
    return PostgresUrl(
        f"{url}?{urlencode(kept)}" if kept else url,
        options,
        query.get("sslmode") in _DEMANDS,
        re.sub(r"//[^@/]*@", "//", bare),
        user,
        password,
        lambda: {name: make() for name, make in fresh.items()},
        query.get("sslcert", ""),
    )


def _user_and_password(bare: str, query: Mapping[str, str]) -> tuple[str, str]:
    user, password, _ = parts_of(bare)
    return query.get("user") or user, query.get("password") or password


def renewed_by(read: PostgresUrl, newest: Callable[[], str]) -> PostgresUrl:
    """Return a URL whose password is, for each connection, the one of the newest URL.

    One that cannot be read leaves the last password in use, and is told in the log. The rest of a
    newer URL counts after a restart.
    """
    troubles, last = Troubles("postgres"), [read.password]

    def fresh() -> Options:
        try:
            last[0] = _user_and_password(*split(newest()))[1]
            troubles.end("url")
        except (ValueError, SettingError) as exc:
            troubles.begin("url", f"the last password stays in use: {exc}")
        return ({"password": last[0]} if last[0] else {}) | read.fresh()

    return replace(read, fresh=fresh)


def _tls_options(bare: str, query: dict[str, str]) -> tuple[Options, Fresh]:
    mode = query.get("sslmode")
    direct = query.get("sslnegotiation", "postgres")
    if mode is not None and mode not in _MODES:
        raise ValueError(f"sslmode={mode}: there is {', '.join(_MODES)}")
    if direct not in ("postgres", "direct"):
        raise ValueError(f"sslnegotiation={direct}: there is postgres and direct")
    given = {name: query[name] for name in PARAMETERS if name in query}
    if mode not in _DEMANDS:
        if given or direct == "direct":
            name = next(iter(given), "sslnegotiation")
            raise ValueError(f"{name} needs sslmode={', '.join(_DEMANDS[:-1])} or {_DEMANDS[-1]}")
        return ({} if mode is None else {"ssl": False if mode == "disable" else mode}), {}
    authority = bare.partition("//")[2].partition("/")[0]
    if query.get("host", "").startswith("/") or (
        authority[-1:] in ("", "@") and "host" not in query
    ):
        raise ValueError(f"sslmode={mode}: a Unix socket has no TLS; leave it out")
    if given.get("sslrootcert") == "system" and mode != "verify-full":
        raise ValueError("sslrootcert=system needs sslmode=verify-full: anybody has a certificate")
    verify = mode != "require" or "sslrootcert" in given  # as libpq does

    def make() -> ssl.SSLContext:
        hostname = mode == "verify-full"
        return client_context(given, verify=verify, hostname=hostname, alpn=("postgresql",))

    context = RenewedContext(given, make, Troubles("postgres"))
    return ({"direct_tls": True} if direct == "direct" else {}), {"ssl": context}


def _short_password(bare: str, query: dict[str, str], user: str) -> Fresh:
    """Return what gives a password that does not last, if the parameters ask for one."""
    given = {name: query[name] for name in SHORT if name in query}
    if not given:
        return {}
    _, password, hosts = parts_of(bare)
    if password or "password" in query:
        raise ValueError(f"{next(iter(given))} is there beside a password; leave one out")
    place, ports = query.get("host") or hosts, query.get("port", "")
    if "," in place + ports:
        raise ValueError(f"{next(iter(given))} is for one host; several are there")
    host, _, port = place.rpartition(":") if re.search(r":\d*$", place) else (place, "", "")
    host, port = host.strip("[]"), ports or port or "5432"
    short = short_password(given, user=user, host=host, port=int(port))
    if "passwordfrom" in given and query.get("sslmode") != "verify-full":
        raise ValueError("passwordfrom needs sslmode=verify-full: it is shown to whoever answers")
    return {} if short is None else {"password": lambda: short}


def _seconds(text: str) -> float:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"connect_timeout={text}: write seconds, 1 or more")
    return float(text)
