"""Networks: where nodes, load balancers and databases of one environment are, as CIDRs.

Where databases are is declared, since network policies let them answer from there alone; the rest
is laid around it.
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from holdfast.errors import DeclarationError
from holdfast.system import Environment

ZONES: Final = 3
_WHOLE_BITS: Final = 16
_PART_BITS: Final = 20
_PUBLIC_BITS: Final = 24
_LONGEST_BITS: Final = 28
"""The smallest subnet that AWS makes."""


@dataclass(frozen=True, slots=True)
class Networks:
    """The network of an environment, in parts that do not overlap.

    Attributes:
        whole: all of them are in it, a /16.
        private: where nodes and pods are, a /20 for each zone.
        public: where load balancers and NAT gateways are, a /24 for each zone.
        databases: one for each zone, within `Environment.database_networks`; empty where databases
            are in the cluster.
        peered: the declared network, or the first of them: Google keeps databases in one.
    """

    whole: str
    private: tuple[str, ...]
    public: tuple[str, ...]
    databases: tuple[str, ...]
    peered: str


def networks_of(environment: Environment) -> Networks:
    """Lay out the network of an environment.

    Raises:
        DeclarationError: databases are declared to be where they cannot be.
    """
    taken = _taken(environment)
    whole = taken[0].supernet(new_prefix=_WHOLE_BITS)
    parts = [
        part
        for part in whole.subnets(new_prefix=_PART_BITS)
        if not any(part.overlaps(network) for network in taken)
    ]
    if len(parts) <= ZONES:
        raise DeclarationError([_problem(environment, f"leave no room in {whole}")])
    public = list(parts[ZONES].subnets(new_prefix=_PUBLIC_BITS))[:ZONES]
    databases = _split(taken) if environment.databases == "managed" else ()
    return Networks(
        str(whole),
        tuple(map(str, parts[:ZONES])),
        tuple(map(str, public)),
        tuple(map(str, databases)),
        str(taken[0]),
    )


def _taken(environment: Environment) -> list[ipaddress.IPv4Network]:
    """Return where databases are declared to be."""
    declared = environment.database_networks or ("10.0.48.0/20",)
    networks = [n for n in map(ipaddress.ip_network, declared) if isinstance(n, _V4)]
    if len(networks) < len(declared) or not all(n.is_private for n in networks):
        raise DeclarationError([_problem(environment, "are not all private, of IPv4")])
    if any(n.prefixlen <= _WHOLE_BITS for n in networks):
        raise DeclarationError([_problem(environment, f"are wider than a /{_WHOLE_BITS + 1}")])
    if len({n.supernet(new_prefix=_WHOLE_BITS) for n in networks}) > 1:
        raise DeclarationError([_problem(environment, f"are not in one /{_WHOLE_BITS}")])
    parts = _split(networks)
    if any(n.prefixlen > _LONGEST_BITS for n in parts):
        raise DeclarationError([_problem(environment, f"give a zone less than a /{_LONGEST_BITS}")])
    return networks


_V4: Final = ipaddress.IPv4Network


def _split(networks: list[ipaddress.IPv4Network]) -> tuple[ipaddress.IPv4Network, ...]:
    """Return one for each zone."""
    return tuple(_halved(networks))[:ZONES]


def _halved(networks: list[ipaddress.IPv4Network]) -> Iterator[ipaddress.IPv4Network]:
    bits = {1: 2, 2: 1}.get(len(networks), 0)
    for network in networks:
        room = min(bits, network.max_prefixlen - network.prefixlen)
        yield from network.subnets(prefixlen_diff=room)


def _problem(environment: Environment, what: str) -> str:
    return (
        f"{environment.at}: Environment({environment.name!r}): database_networks "
        f"{', '.join(environment.database_networks)} {what}; write one private network, "
        "as 10.0.48.0/20"
    )
