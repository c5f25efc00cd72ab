"""What trusted proxies say of a request: who sent it, by which scheme, and to which host.

Both dialects are read: `X-Forwarded-For`, `-Proto` and `-Host`, and where a request has no
`X-Forwarded-For`, the `Forwarded` of RFC 7239. They are read from the right, since what stands
further left was written by whoever sent it. A proxy must set or remove the dialect that it writes.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import NamedTuple

from holdfast.communication import is_host
from holdfast.contract.http import HeaderList

HOPS_MAX = 32  # proxies in a row; what stands further left is not looked at
_V4_PORT = re.compile(r"([0-9.]+):[0-9]{1,5}")
_V6 = re.compile(r"\[([^\]]*)\](?::[0-9]{1,5})?")
_PAIR = re.compile(
    r"""[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)="""  # a token
    r"""(?:([!#$%&'*+.^_`|~0-9A-Za-z:\[\]-]+)|"((?:[^"\\]|\\.)*)")"""  # or a quoted string
    r"""[ \t]*(?=[,;]|$)"""
)
_SEPARATOR = re.compile(r"[ \t]*([,;]|$)")
_QUOTED_PAIR = re.compile(r"\\(.)")


class Forwarded(NamedTuple):
    """Where a request came from; `scheme` and `host` are "" where no proxy said them."""

    client: str
    scheme: str = ""
    host: str = ""


class _Hop(NamedTuple):
    """What one proxy said of what it received; "" for what it did not say."""

    client: str
    scheme: str
    host: str


@lru_cache(maxsize=4_096)
def address_of(node: str) -> str:
    """Return the IP address of a forwarded node in its one spelling, or "" if it names none.

    `203.0.113.7:4711`, `[2001:db8::7]:4711`, `fe80::7%eth0` and `::ffff:203.0.113.7` are addresses
    with something beside them, which must not make one sender many. `unknown` and the obfuscated
    `_gazonk` of RFC 7239 name nobody.
    """
    text = node.strip(' \t"')
    found = _V4_PORT.fullmatch(text) or _V6.fullmatch(text)
    try:
        address = ip_address((found[1] if found else text).partition("%")[0])
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


class Proxies:
    """The addresses and networks whose word is taken."""

    __slots__ = ("_known", "_networks")

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ip_network(network) for network in networks]
        self._known = lru_cache(maxsize=1_024)(self._look)

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: str) -> bool:
        return self._known(address) if self._networks else False

    def _look(self, address: str) -> bool:
        normal = address_of(address)
        if not normal:
            return False
        parsed = ip_address(normal)
        return any(parsed in network for network in self._networks)


def origin_of(peer: str, headers: HeaderList, trusted: Proxies) -> Forwarded:
    """Return where a request came from: the peer says it, or the proxies that are trusted.

    The client is the last address that no trusted proxy has. Where a proxy hides whom it served,
    the proxy counts as the client; otherwise a name that it makes up anew for each request would
    give each a rate of its own.
    """
    address = address_of(peer) or peer
    if address not in trusted:
        return Forwarded(address)
    said = Forwarded(address)
    for hop in _hops(headers):
        said = Forwarded(
            hop.client or said.client, hop.scheme or said.scheme, hop.host or said.host
        )
        if not hop.client or hop.client not in trusted:
            break
    return said


def _hops(headers: HeaderList) -> Sequence[_Hop]:
    """Return what proxies said, the nearest one first."""
    listed = {
        name: _list_of(headers, name)
        for name in (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
    }
    clients, schemes, hosts = listed.values()
    if not clients:
        forwarded = _forwarded(b",".join(v for name, v in headers if name == b"forwarded"))
        if forwarded:
            return forwarded
    return [
        _Hop(
            address_of(clients[n]) if n < len(clients) else "",
            _scheme(_at(schemes, n)),
            _host(_at(hosts, n)),
        )
        for n in range(max(len(clients), 1))
    ]


def _at(values: list[str], n: int) -> str:
    """Return what the n-th proxy said; many set one value for the whole way."""
    return values[min(n, len(values) - 1)] if values else ""


def _list_of(headers: HeaderList, name: bytes) -> list[str]:
    """Return the members of a list header, the last one first."""
    joined = b",".join(value for key, value in headers if key == name)
    members = joined.decode("latin-1").rsplit(",", HOPS_MAX)[-HOPS_MAX:] if joined else []
    return [member.strip() for member in reversed(members) if member.strip()]


def _forwarded(value: bytes) -> list[_Hop]:
    """Return the elements of a `Forwarded` header, the last one first; none if it is malformed."""
    text = value.decode("latin-1")
    elements: list[dict[str, str]] = [{}]
    at = 0
    while at < len(text):
        if found := _SEPARATOR.match(text, at):
            if found[1] == ",":
                elements.append({})
        elif (found := _PAIR.match(text, at)) is None or found[1].lower() in elements[-1]:
            return []
        else:
            name, token, quoted = found.groups()
            elements[-1][name.lower()] = token or _QUOTED_PAIR.sub(r"\1", quoted)
        at = found.end()
    return [
        _Hop(
            address_of(pairs.get("for", "")),
            _scheme(pairs.get("proto", "")),
            _host(pairs.get("host", "")),
        )
        for pairs in reversed(elements[-HOPS_MAX:])
        if pairs
    ]


def _scheme(value: str) -> str:
    lower = value.lower()
    return lower if lower in ("http", "https") else ""


def _host(value: str) -> str:
    return value if value and is_host(value.encode("latin-1")) else ""
