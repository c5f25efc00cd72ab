"""Who is who inside a system: the names of workloads, as SPIFFE IDs and in certificates.

A certificate names its workload three times: the URI SAN is what we and NATS go by, Postgres takes
the common name, and whoever looks for host names finds the first DNS SAN.

Source: SPIFFE-ID and X509-SVID, spiffe.io.
"""

import ssl
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

GATEWAY: Final = "gateway"
OPERATOR: Final = "operator"
MIGRATOR: Final = "migrator"
PROVISIONER: Final = "provisioner"
MONITORING: Final = "monitoring"
"""What reads the metrics."""
ALL: Final = "all"
"""A process that hosts all services, and the gateway."""
NATS: Final = "nats"
REDIS: Final = "redis"
SERVERS: Final = (NATS, "postgres", REDIS)
NOT_SERVICES: Final = frozenset(
    (GATEWAY, OPERATOR, MIGRATOR, PROVISIONER, MONITORING, ALL, *SERVERS)
)
"""The workloads that are no services; no service may have one of these names."""
SIGNER: Final = f"{GATEWAY}/tokens"
"""Whose key signs transaction tokens: the gateway's, but not the one that it speaks TLS with."""

_SCHEME = "spiffe://"


class Certificate(NamedTuple):
    """What a certificate says, as far as it is looked at.

    Attributes:
        name: its workload. serial: in hexadecimal; finds it in the authority's books.
        begins_s, ends_s: seconds since 1970, between which it is valid.
    """

    name: str
    serial: str
    begins_s: float
    ends_s: float


def spiffe_id(system: str, name: str) -> str:
    """Return the SPIFFE ID of a workload."""
    return f"{_SCHEME}{system}/{name}"


def workload_of(uris: list[str], system: str) -> str:
    """Return the workload that the URIs of a certificate name.

    Raises:
        ValueError: there is not exactly one, or it is of another system.
    """
    if len(uris) != 1:
        raise ValueError(f"its URI SANs must be one SPIFFE ID, and are {len(uris)}: {uris}")
    domain, found, name = uris[0].removeprefix(_SCHEME).partition("/")
    if not uris[0].startswith(_SCHEME) or not found or not name:
        raise ValueError(f"its URI SAN {uris[0]!r} is no SPIFFE ID, {_SCHEME}{system}/<name>")
    if domain != system:
        raise ValueError(f"its URI SAN {uris[0]!r} is of another trust domain than {system!r}")
    return name


def check_reached(found: str, wanted: str) -> None:
    """Refuse who is not whom a connection was to reach; "" wants anybody. Raises ValueError."""
    if wanted and found != wanted:
        raise ValueError(f"it is {found}, and {wanted} was to be reached")


def certificate_of(shown: Mapping[str, object] | None, system: str) -> Certificate:
    """Return what a verified certificate says, as `SSLObject.getpeercert` shows it.

    Raises:
        ValueError: there is none, or it names no workload of the system.
    """
    if not shown:
        raise ValueError("there is no certificate")
    told = cast(Mapping[str, Any], shown)
    uris = [str(value) for kind, value in told.get("subjectAltName", ()) if kind == "URI"]
    return Certificate(
        workload_of(uris, system),
        str(told.get("serialNumber", "")),
        float(ssl.cert_time_to_seconds(told["notBefore"])),
        float(ssl.cert_time_to_seconds(told["notAfter"])),
    )
