"""URLs of servers: which of their parts is which must be plain, or a password is taken for a host.

Of `postgresql://ada:pass/word@db/shop` every parser makes something else: a host `ada`, a port
`pass`, a database. Then it is looked up, tried and printed. So what can be read in two ways is
refused before anybody reads it, and no refusal shows a part of it.
"""

import re
from urllib.parse import parse_qsl, unquote

_HOST = re.compile(r"(?:\[[^\[\]]*\]|[^\[\]:]*)(?::(\d*))?")
_PORT_MAX = 65_535


_ESCAPE = "in a user or password write %40 for @, %2F for /, %23 for #, %3F for ?"


def split(url: str) -> tuple[str, dict[str, str]]:
    """Return a URL without its query, and the query; several hosts are joined by commas.

    Raises:
        ValueError: another name comes twice, or its parts cannot be told apart.
    """
    bare, _, query = url.partition("?")
    check_authority(bare)
    if not all("=" in pair for pair in query.split("&") if pair):
        raise ValueError(f"what stands behind the ? is no name=value; {_ESCAPE}")
    found: dict[str, str] = {}
    for name, value in parse_qsl(query):
        if name in found and name not in ("host", "port"):
            raise ValueError(f"{name} is there twice")
        found[name] = f"{found[name]},{value}" if name in found else value
    return bare, found


def check_authority(url: str) -> None:
    """Refuse a URL, without its query, whose user, password, host and port are not plain.

    Raises:
        ValueError: with the remedy, and without any part of the URL.
    """
    rest = url.partition("//")[2]
    authority = re.split("[/#]", rest, maxsplit=1)[0]
    user, _, hosts = authority.rpartition("@")
    if "@" in user or "@" in rest[len(authority) :]:
        raise ValueError(f"there is an @ beside the one before the host; {_ESCAPE}")
    for host in hosts.split(","):
        found = _HOST.fullmatch(host)
        if found is None or int(found[1] or 0) > _PORT_MAX:
            raise ValueError(f"what stands behind the host is no port, 1..{_PORT_MAX}; {_ESCAPE}")


def parts_of(bare: str) -> tuple[str, str, str]:
    """Return user, password and hosts of a URL that `split` has let through.

    The library's parser refuses a password with a bracket, which is plain.
    """
    authority = re.split("[/#]", bare.partition("//")[2], maxsplit=1)[0]
    who, _, hosts = authority.rpartition("@")
    user, _, password = who.partition(":")
    return unquote(user), unquote(password), hosts


def scheme_of(url: str) -> str:
    """Return what a URL begins with, for a refusal: the rest may hold a password."""
    scheme, found, _ = url.partition("://")
    return f"{scheme}://" if found and scheme.replace("+", "").isalnum() else "no scheme"
