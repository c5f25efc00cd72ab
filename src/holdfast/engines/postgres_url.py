"""Where a Postgres is and how it is spoken to, from a URL as libpq and its docs write it."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

from holdfast.engines.server_urls import split
from holdfast.engines.tls import PARAMETERS, client_context

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
_OWN = ("sslmode", "sslnegotiation", "connect_timeout", "application_name")


@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """A URL that was read.

    Attributes:
        url: for SQLAlchemy. options: further arguments of the driver's `connect`.
        demands_tls: nothing may be said in clear.
        shown: the URL without passwords, for messages.
        user: as whom; empty if it does not say.
    """

    url: str
    options: Options
    demands_tls: bool
    shown: str
    user: str


def read_postgres_url(text: str) -> PostgresUrl:
    """Read `postgresql://user:password@host:port/database?sslmode=verify-full&…`.

    Raises:
        ValueError: a parameter is not known, has no such value, or cannot be kept; with the remedy.
    """
    bare, query = split(text)
    known = {*_KEPT, *_WITHOUT, *_OWN, *PARAMETERS}
    if unknown := sorted(set(query) - known):
        raise ValueError(f"{unknown[0]} is not known; known are {', '.join(sorted(known))}")
    for name, values in _WITHOUT.items():
        if query.get(name, values[0]) not in values:
            raise ValueError(f"{name}={query[name]}: the driver has none; leave it out")
    options = _tls_options(bare, query)
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
        query.get("user") or unquote(urlsplit(bare).username or ""),
    )


def _tls_options(bare: str, query: dict[str, str]) -> Options:
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
        return {} if mode is None else {"ssl": False if mode == "disable" else mode}
    authority = bare.partition("//")[2].partition("/")[0]
    if query.get("host", "").startswith("/") or (
        authority[-1:] in ("", "@") and "host" not in query
    ):
        raise ValueError(f"sslmode={mode}: a Unix socket has no TLS; leave it out")
    if given.get("sslrootcert") == "system" and mode != "verify-full":
        raise ValueError("sslrootcert=system needs sslmode=verify-full: anybody has a certificate")
    verify = mode != "require" or "sslrootcert" in given  # as libpq does
    context = client_context(
        given, verify=verify, hostname=mode == "verify-full", alpn=("postgresql",)
    )
    return {"ssl": context} | ({"direct_tls": True} if direct == "direct" else {})


def _seconds(text: str) -> float:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"connect_timeout={text}: write seconds, 1 or more")
    return float(text)
