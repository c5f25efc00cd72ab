"""Checks of what a service names: itself, its tables, jobs, providers and third parties."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from holdfast.contract.messages import Command, Event, Message, Query, undone_by
from holdfast.contract.spiffe import NOT_SERVICES
from holdfast.system.checks.reading import Reading, where
from holdfast.system.checks.secrets import secret_problems
from holdfast.system.external import External
from holdfast.system.rhythm import Every
from holdfast.system.service import Service
from holdfast.system.signature import EMPTY, Source, read_signature
from holdfast.system.tables import provided_type

NAME_CHARS_MAX = 40
_TRAPS = frozenset({"broker", "redis", "database", "gateway-keys"})
"""Third parties whose `<NAME>_URL` would be a variable of Holdfast's own."""
_NOT_NAMES = ("gateway", "http")
_NAME = re.compile(rf"[a-z][a-z0-9-]{{0,{NAME_CHARS_MAX - 1}}}")


def service_problems(reading: Reading) -> Iterator[str]:
    """Yield what is wrong with the services themselves."""
    for name, count in Counter(s.name for s in reading.services).items():
        if count > 1:
            yield f"two services are named {name!r}; rename one"
        yield from name_problems("Service", name)
    for service in reading.services:
        yield from _lists(service)
        yield from _jobs(service)
        yield from _providers(service)
        yield from secret_problems(service)
        names = (name for saga in service.sagas for name in (saga.name, *saga.was))
        for name, count in Counter(names).items():
            if count > 1:
                yield f"{service.name}: two sagas are named {name}; rename one"
    yield from _externals(reading)
    yield from _shared_tables(reading)
    for service in reading.services:
        yield from _columns(service)


def name_problems(kind: str, name: str) -> Iterator[str]:
    """Yield what is wrong with the name of a system, a service or an External."""
    if not _NAME.fullmatch(name) or name in _NOT_NAMES:
        yield (
            f"{kind}({name!r}): a name is 1..{NAME_CHARS_MAX} of a-z, 0-9 and -, begins with a "
            "letter and is not gateway or http, because hosts and subjects are named after it; "
            "rename it"
        )
    elif kind == "Service" and name in NOT_SERVICES:
        yield (
            f"{kind}({name!r}): {', '.join(sorted(NOT_SERVICES))} are workloads of every system, "
            "with rights of their own; rename it"
        )


def _lists(service: Service) -> Iterator[str]:
    """Yield what does not belong into `calls`, `publishes` and `policies`."""
    place = f"Service({service.name!r})"
    for message in _others(service.calls, Command, Query):
        undone = undone_by(message)
        remedy = f"write {undone.__name__}, which brings its undo" if undone else "remove it"
        yield f"{place}: calls names {message.__name__}, no command and no query; {remedy}"
    for message in _others(service.publishes, Event):
        yield f"{place}: publishes names {message.__name__}, which is no event; remove it"
    for query in service.policies:
        if query not in service.calls:
            name = query.__name__
            yield f"{place}: policies tunes {name}; add {name} to `calls=[…]`, or remove it"


def _others(messages: Iterable[type[Message]], *wanted: type[Message]) -> list[type[Message]]:
    return [message for message in messages if not issubclass(message, wanted)]


def _jobs(service: Service) -> Iterator[str]:
    for job in service.jobs:
        if isinstance(job.rhythm, Every) and job.rhythm.seconds <= 0:
            yield (
                f"{service.name}: job {job.name} ({where(job.function)}) runs every "
                f"{job.rhythm.seconds:g} s; a period is longer than 0"
            )
    for name, count in _job_names(service).items():
        if count > 1:
            yield f"{service.name}: two jobs are named {name}; rename one"
        if name in service.gone:
            yield f"{service.name}: the job {name} is there, and gone; remove it from `gone=[…]`"


def _job_names(service: Service) -> Counter[str]:
    """Count names, and those under which ticks are kept."""
    jobs = service.jobs
    return Counter(job.name for job in jobs) | Counter(job.kept_as for job in jobs)


def _providers(service: Service) -> Iterator[str]:
    makers: dict[object, Callable[..., object]] = {}
    for provider in service.providers:
        place = f"{service.name}: provider {provider.__name__} ({where(provider)})"
        try:
            kind = provided_type(provider)
        except (NameError, TypeError) as exc:
            yield f"{place}: its annotations cannot be read: {exc}; import what they name"
            continue
        if kind is EMPTY or kind is None or kind is type(None):
            yield f"{place}: it does not say what it makes; write `-> TheType`"
        elif kind in makers:
            name = getattr(kind, "__name__", kind)
            yield f"{place}: {makers[kind].__name__} makes a {name} too; remove one"
        else:
            makers[kind] = provider
    for kind, provider in makers.items():
        place = f"{service.name}: provider {provider.__name__} ({where(provider)})"
        if _needs(kind, kind, makers, frozenset()):
            yield f"{place}: it needs what needs itself; break the circle"
        for parameter in read_signature(provider, provided=makers).parameters:
            if parameter.source not in (Source.SETTINGS, Source.PROVIDED):
                yield (
                    f"{place}: parameter {parameter.name!r}: a provider takes Settings and what "
                    "other providers make; remove it, or provide its type"
                )


def _needs(
    kind: object,
    wanted: object,
    makers: dict[object, Callable[..., object]],
    seen: frozenset[object],
) -> bool:
    """Whether making `kind` needs a `wanted`, directly or not."""
    parameters = read_signature(makers[kind], provided=makers).of(Source.PROVIDED)
    needed = {p.kind for p in parameters} - seen
    return wanted in needed or any(_needs(k, wanted, makers, seen | needed) for k in needed)


def _externals(reading: Reading) -> Iterator[str]:
    names = {service.name for service in reading.services}
    known: dict[str, tuple[External, Service]] = {}
    for service in reading.services:
        for external in service.reaches:
            first, other = known.setdefault(external.name, (external, service))
            if first is not external and first != external:
                yield (
                    f"{other.name} and {service.name} each reach another External"
                    f"({external.name!r}); share one object, or rename one"
                )
            elif first is external and other is service:
                yield from _external(external, names)


def _external(external: External, services: set[str]) -> Iterator[str]:
    place = f"External({external.name!r})"
    if external.name in services:
        yield f"{place}: a service has this name; rename one, because settings are named after it"
    yield from name_problems("External", external.name)
    if external.name in _TRAPS or external.name in {f"{name}-database" for name in services}:
        yield (
            f"{place}: its address would be read from a variable that says where something of "
            "Holdfast's own is; rename it"
        )
    parts = urlsplit(external.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        yield f"{place}: url={external.url!r}; write `https://host` or `https://host:port`"
    if external.key_life_s <= 0:
        yield f"{place}: key_life_s={external.key_life_s:g}; without keys write `idempotent=False`"


def _columns(service: Service) -> Iterator[str]:
    """Yield columns of which the two kinds of database keep different things."""
    for metadata in service.metadata:
        for table in metadata.sorted_tables:
            for column in table.columns:
                type_: Any = column.type
                if type_.__visit_name__.lower() == "time" and type_.timezone:
                    yield (
                        f"{service.name}: {table.name}.{column.name} is a time of day with a zone, "
                        "which cannot be compared without a date; keep a DateTime(timezone=True), "
                        "or a Time beside the name of its zone"
                    )


def _shared_tables(reading: Reading) -> Iterator[str]:
    owners: dict[int, str] = {}
    for service in reading.services:
        for metadata in service.metadata:
            other = owners.setdefault(id(metadata), service.name)
            if other != service.name:
                yield (
                    f"{other} and {service.name} share one MetaData; each service owns its "
                    "tables: give each a MetaData of its own"
                )
