"""What one process runs on: the concrete classes behind the ports."""

import functools
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.communication import PORT, Origin
from holdfast.contract.spiffe import NATS, REDIS
from holdfast.dispatch.outside import Blocking
from holdfast.engines.machine import MachineClock, MachineIds, machine_random
from holdfast.engines.memory import MemoryBroker
from holdfast.engines.nats_names import IMPORTED, inbox_of
from holdfast.engines.near import NearBroker
from holdfast.engines.network import SystemNetwork
from holdfast.engines.postgres_url import read_postgres_url
from holdfast.engines.server_urls import scheme_of
from holdfast.engines.sqlite import SqliteDatabase
from holdfast.engines.tls import client_context, take_tls
from holdfast.errors import SettingError
from holdfast.ports import Broker, Clock, Identity, Ids, Limits, Network, Random
from holdfast.resilience import MemoryLimits
from holdfast.runtime.environ import Environ
from holdfast.runtime.threads import OnRoom, Threads
from holdfast.runtime.variables import (
    BROKER_COPIES,
    BROKER_URL,
    DATABASE_OWNER_URL,
    DATABASE_POOLED,
    DATABASE_URL,
    REDIS_URL,
    database_variable,
    owner_variable,
    url_variable,
)
from holdfast.security import TransactionSigner
from holdfast.storage import Database

if TYPE_CHECKING:
    from holdfast.engines.nats_connection import NatsProof, Servers


@dataclass(frozen=True, slots=True)
class Engines:
    """The engines of one process.

    Attributes:
        database: returns the database of a service, by its name.
        run: runs a blocking function. Raises PoolFull.
        discover: where the processes of a service listen for the others; None: all services are
            here, and nothing listens for them.
        limits: shared with other gateways; None: this process counts for itself.
        identity: who this process is inside the system; None: nobody there asks, and nothing is
            proved.
        signer: returns what signs transaction tokens now; None: this process forwards to nobody
            who asks for them.
    """

    clock: Clock
    ids: Ids
    random: Random
    network: Network
    broker: Broker
    database: Callable[[str], Database]
    run: Callable[[Blocking], Awaitable[object]]
    discover: Callable[[str], Sequence[Origin]] | None = None
    limits: Limits | None = None
    identity: Identity | None = None
    signer: Callable[[], TransactionSigner] | None = None


def embedded(
    files: Callable[[str], Path],
    *,
    threads: int,
    computing: int = 0,
    share_port: bool = False,
    on_room: OnRoom | None = None,
) -> Engines:
    """Return the engines that need nothing installed: SQLite files, a broker in memory.

    Args:
        files: returns the path of a service's database.
        threads, computing, on_room: see `Threads`. share_port: see `SystemNetwork`.
    """
    clock = MachineClock()
    return Engines(
        clock=clock,
        ids=MachineIds(),
        random=machine_random(),
        network=SystemNetwork(share_port=share_port),
        broker=MemoryBroker(),
        database=lambda service: SqliteDatabase(files(service), clock),
        run=Threads(threads, computing, on_room),
    )


def engines_of(
    system: str,
    services: Sequence[str],
    environ: Mapping[str, str],
    files: Callable[[str], Path],
    *,
    threads: int,
    computing: int = 0,
    share_port: bool = False,
    on_room: OnRoom | None = None,
    identity: Identity | None = None,
) -> Engines:
    """Return the engines that the environment names; embedded ones where it names none.

    `DATABASE_URL`, or `<SERVICE>_DATABASE_URL`, is where the databases are; `BROKER_URL` is what
    carries letters between processes, and with it `<SERVICE>_URL` is where a service's processes
    listen, `http://<service>:8000` by default; several are separated by commas. `REDIS_URL` is
    where gateways share their rate limits.

    Args:
        services: those that this process hosts.
        identity: who it is inside the system; with it others are reached by TLS alone.
    Raises:
        SettingError: a value does not fit, or needs a package that is not installed.
    """
    engines = embedded(
        files, threads=threads, computing=computing, share_port=share_port, on_room=on_room
    )
    engines = replace(engines, identity=identity)
    urls = {name: database_url(name, environ, alone=len(services) == 1) for name in services}
    if any(urls.values()):
        engines = replace(engines, database=_databases(urls, engines, environ))
    if url := environ.get(BROKER_URL):
        newest = newest_broker(environ, proven=identity is not None)
        copies = broker_copies(environ)
        broker = broker_of(system, url, copies=copies, identity=identity, newest=newest)
        if len(services) > 1:
            broker = NearBroker(broker)
        engines = replace(engines, broker=broker, discover=_discovery(environ, identity))
    if url := environ.get(REDIS_URL):
        come = isinstance(environ, Environ) and environ.file(REDIS_URL)
        now = functools.partial(environ.__getitem__, REDIS_URL) if come else None
        limits = _limits(system, url, engines.clock, identity, now)
        engines = replace(engines, limits=limits)
    return engines


def _limits(
    system: str,
    url: str,
    clock: Clock,
    identity: Identity | None,
    newest: Callable[[], str] | None,
) -> Limits:
    try:
        from holdfast.engines.redis import RedisLimits  # only where it is wanted
    except ModuleNotFoundError as exc:
        raise SettingError([f"{REDIS_URL} needs `pip install holdfast[redis]`: {exc}"]) from exc
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise SettingError([f"{REDIS_URL}: write it as redis://host:6379, not {scheme_of(url)}"])
    proof = None if identity is None else identity.reaches(REDIS)
    try:
        return RedisLimits(
            url, clock, MemoryLimits(clock), system=system, proof=proof, newest=newest
        )
    except ValueError as exc:
        raise SettingError([f"{REDIS_URL}: {exc}"]) from exc


def database_url(service: str, environ: Mapping[str, str], *, alone: bool) -> str:
    """Return where a service's database is; empty: in the data folder.

    Args:
        alone: no other service asks.
    Raises:
        SettingError: it is no URL of Postgres, or one database for several services.
    """
    return _url_of(service, environ, database_variable(service), DATABASE_URL, alone=alone)


def owner_url(service: str, environ: Mapping[str, str], *, alone: bool) -> tuple[str, str]:
    """Return where a service's database is for its owner, and the role that serves.

    Both are empty where nobody but the role that serves is named.

    Raises:
        SettingError: as `database_url`, or it is not said who serves.
    """
    own = owner_variable(service)
    url = _url_of(service, environ, own, DATABASE_OWNER_URL, alone=alone)
    if not url:
        return "", ""
    serves = database_url(service, environ, alone=alone)
    role, owner = (read_postgres_url(u).user if u else "" for u in (serves, url))
    if not role:
        variable = own if environ.get(own) else DATABASE_OWNER_URL
        raise SettingError(
            [
                f"{variable} is set, and {database_variable(service)} names no user; name there "
                "the role that serves, which is granted what it needs"
            ]
        )
    return url, "" if role == owner else role


def _url_of(service: str, environ: Mapping[str, str], own: str, shared: str, *, alone: bool) -> str:
    url = _text_of(service, environ, own, shared, alone=alone)
    try:
        if url:
            read_postgres_url(url)
    except ValueError as exc:
        variable = own if environ.get(own) else shared
        raise SettingError([f"{variable}: {exc}"]) from exc
    return url


def _text_of(
    service: str, environ: Mapping[str, str], own: str, shared: str, *, alone: bool
) -> str:
    """Return a URL as it is said, for a service; what is in it has not been read."""
    url = environ.get(own) or environ.get(shared) or ""
    if url and not url.startswith(("postgresql://", "postgres://")):
        raise SettingError([f"{own}: write it as postgresql://user:password@host/database"])
    if url and own not in environ and "{service}" not in url and not alone:
        raise SettingError(
            [
                f"{shared} names one database for several services; put {{service}} into it, "
                f"or set {own}"
            ]
        )
    return url.replace("{service}", service)


def _databases(
    urls: Mapping[str, str], engines: Engines, environ: Mapping[str, str]
) -> Callable[[str], Database]:
    try:
        from holdfast.engines.postgres import PostgresDatabase  # only where it is wanted
    except ModuleNotFoundError as exc:
        raise SettingError(
            [f"{DATABASE_URL} needs `pip install holdfast[postgres]`: {exc}"]
        ) from exc
    pooled = environ.get(DATABASE_POOLED, "") not in ("", "0", "false")

    def database(service: str) -> Database:
        url = urls[service]
        if not url:
            return engines.database(service)
        newest = _newest(service, environ, alone=len(urls) == 1)
        return PostgresDatabase(url, engines.clock, pooled=pooled, newest=newest)

    return database


def broker_copies(environ: Mapping[str, str]) -> int:
    """Return how many of the broker's servers keep each letter. Raises SettingError."""
    copies = environ.get(BROKER_COPIES) or "1"
    if copies not in ("1", "3", "5"):
        raise SettingError([f"{BROKER_COPIES}={copies!r}: write 1, 3 or 5"])
    return int(copies)


def _newest(service: str, environ: Mapping[str, str], *, alone: bool) -> Callable[[], str] | None:
    """Return what reads a service's URL again, if it came as a file.

    It is asked for each connection, so only a text that is another one than before is judged:
    that makes a context of TLS, which takes tens of milliseconds.
    """
    own = database_variable(service)
    variable = own if environ.get(own) else DATABASE_URL
    if not (isinstance(environ, Environ) and environ.file(variable)):
        return None
    judged = [""]

    def newest() -> str:
        text = _text_of(service, environ, own, DATABASE_URL, alone=alone)
        if text != judged[0]:
            judged[0] = database_url(service, environ, alone=alone)
        return judged[0]

    return newest


def broker_of(
    system: str,
    url: str,
    *,
    copies: int = 1,
    identity: Identity | None = None,
    newest: "Callable[[], Servers] | None" = None,
) -> Broker:
    """Return the broker that BROKER_URL names.

    Args:
        identity: by which it knows who this process is, and lets it do what is its own.
        newest: see `newest_broker`.
    Raises:
        SettingError: the URL does not fit, or a package is missing.
    """
    try:
        from holdfast.engines.nats import NatsBroker  # only where it is wanted
    except ModuleNotFoundError as exc:
        raise SettingError([f"{BROKER_URL} needs `pip install holdfast[nats]`: {exc}"]) from exc
    servers, tls = broker_servers(url, proven=identity is not None)
    proof = None if identity is None else nats_proof(system, identity)
    return NatsBroker(system, servers, copies=copies, tls=tls, proof=proof, newest=newest)


def newest_broker(environ: Mapping[str, str], *, proven: bool) -> "Callable[[], Servers] | None":
    """Return what reads BROKER_URL again, if it came as a file."""
    if not (isinstance(environ, Environ) and environ.file(BROKER_URL)):
        return None
    read: dict[str, Servers] = {}  # of the last text alone: a context is not made anew for each

    def newest() -> "Servers":
        text = environ[BROKER_URL]
        if text not in read:
            servers, tls = broker_servers(text, proven=proven)
            read.clear()
            read[text] = servers.split(","), tls
        return read[text]

    return newest


def nats_proof(system: str, identity: Identity, *, api: str = IMPORTED) -> "NatsProof | None":
    """Return how a process proves to NATS who it is; None: its identity speaks no TLS.

    Args:
        api: what JetStream's requests begin with in its account.
    """
    from holdfast.engines.nats_connection import NatsProof  # only where it is wanted

    context = identity.reaches(NATS)
    return None if context is None else NatsProof(context, inbox_of(system, identity.name), api)


def broker_servers(url: str, *, proven: bool) -> tuple[str, ssl.SSLContext | None]:
    """Return the servers of BROKER_URL, and what verifies them where no identity does.

    Args:
        proven: this process has an identity, which is shown and asked for.
    Raises:
        SettingError: the URL does not fit.
    """
    if not url.startswith(("nats://", "tls://")):
        raise SettingError([f"{BROKER_URL}: write it as nats://host:4222, not {scheme_of(url)}"])
    try:
        return _proven_servers(url) if proven else _broker_tls(url)
    except ValueError as exc:
        raise SettingError([f"{BROKER_URL}: {exc}"]) from exc


def _proven_servers(urls: str) -> tuple[str, None]:
    for url in urls.split(","):
        bare, given = take_tls(url.strip())
        if not bare.startswith("tls://"):
            raise ValueError(
                f"this process has an identity, to be shown by TLS alone: write it as tls://host:"
                f"4222, not {scheme_of(bare)}"
            )
        if given:
            raise ValueError(f"{next(iter(given))}: this process has an identity; leave it out")
    return urls, None


def _broker_tls(urls: str) -> tuple[str, ssl.SSLContext | None]:
    """Return the servers without the parameters of TLS, and what verifies them.

    One `tls://` is a demand on all servers, for the client tells it to any.
    """
    read = [take_tls(url.strip()) for url in urls.split(",")]
    if not all(url.startswith(("nats://", "tls://")) for url, _ in read):
        raise ValueError(
            "write each server as nats://host:4222; in a password write %2C for a comma"
        )
    given: dict[str, str] = {}
    for _, some in read:
        given |= some
    servers = ",".join(url for url, _ in read)
    if "tls://" in servers:
        return servers, client_context(given)
    if given:
        raise ValueError(f"{next(iter(given))} needs tls://host:4222")
    return servers, None


def _discovery(
    environ: Mapping[str, str], identity: Identity | None
) -> Callable[[str], Sequence[Origin]]:
    """Return what names the processes of a service."""
    scheme = "http" if identity is None else "https"
    known: dict[str, Sequence[Origin]] = {}

    def discover(service: str) -> Sequence[Origin]:
        if service not in known:
            variable = url_variable(service)
            urls = environ.get(variable) or f"{scheme}://{service}:{PORT}"
            try:
                origins = [Origin.parse(url.strip()) for url in urls.split(",")]
                if identity is not None:
                    origins = [_proven(origin, service) for origin in origins]
                known[service] = origins
            except ValueError as exc:
                raise SettingError([f"{variable}: {exc}"]) from exc
        return known[service]

    return discover


def _proven(origin: Origin, service: str) -> Origin:
    """Return where a service is, if it has to prove that it is it. Raises ValueError."""
    if not origin.tls and origin.path is None:
        raise ValueError(f"{origin} is in clear, and this process has an identity: write https://")
    return replace(origin, tls=True, workload=service)
