"""The environment of a process: what it was told, and what it was told to read from files.

Secrets come as files where everybody who may list processes may read their variables: Compose and
Kubernetes mount them. `<VARIABLE>_FILE` says where one is.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from holdfast.errors import SettingError
from holdfast.runtime.environ import Environ
from holdfast.runtime.secret_file import SecretFile
from holdfast.runtime.settings import ProcessSettings
from holdfast.runtime.trace_settings import OtelSettings
from holdfast.runtime.variables import (
    BROKER_COPIES,
    BROKER_URL,
    DATABASE_OWNER_URL,
    DATABASE_POOLED,
    DATABASE_URL,
    INTROSPECTION_SECRET,
    INTROSPECTION_URL,
    KEYS_URL,
    ORIGINS,
    OTEL,
    OURS,
    REDIS_URL,
    database_variable,
    file_variable,
    keys_variable,
    owner_variable,
    url_variable,
)
from holdfast.system import System
from holdfast.system.settings import variable_name
from holdfast.system.tables import settings_of

_ALWAYS: Final = (
    *(DATABASE_URL, DATABASE_POOLED, BROKER_URL, BROKER_COPIES, REDIS_URL, KEYS_URL),
    *(variable_name(OURS, field) for field in ProcessSettings.model_fields),
    *(variable_name(OTEL, field) for field in OtelSettings.model_fields),
)


def environment(
    system: System, services: Collection[str] | None = None, *, owners: bool = False
) -> Environ:
    """Return the environment of this process; nothing else reads it.

    Args:
        services: those whose own settings and databases it needs; None: all.
        owners: it needs the roles that own the databases, too: it migrates.
    Raises:
        SettingError: each file that cannot be read, with its variable.
    """
    names = variables_read(system, services)
    if owners:
        names += (DATABASE_OWNER_URL, *(owner_variable(s.name) for s in system.services))
    return from_files(os.environ, names)


def variables_read(system: System, services: Collection[str] | None = None) -> tuple[str, ...]:
    """Return the variables that a process reads for some services; None: for all."""
    return tuple(dict.fromkeys((*_ALWAYS, *_of_system(system, services))))


def _of_system(system: System, services: Collection[str] | None) -> Iterator[str]:
    if system.gateway.proves:
        yield ORIGINS
    if system.gateway.introspection is not None:
        yield from (INTROSPECTION_URL, INTROSPECTION_SECRET)
    yield from (keys_variable(number + 1) for number in range(len(system.gateway.issuers)))
    for service in system.services:
        yield url_variable(service.name)
        if services is not None and service.name not in services:
            continue
        yield database_variable(service.name)
        yield from (url_variable(external.name) for external in service.reaches)
        for kind in settings_of(service):
            yield from (variable_name(service.name, field) for field in kind.model_fields)


def from_files(environ: Mapping[str, str], names: Collection[str]) -> Environ:
    """Return an environment in which `<NAME>_FILE` is replaced by NAME with what the file has.

    One line break at its end is not part of the value. A variable that is one of `names` itself
    is no other's file, whatever it is called. A file that is written anew is read anew.

    Args:
        names: the variables that may be in files; others are left as they are.
    Raises:
        SettingError: each that is set twice, or whose file cannot be read or has nothing.
    """
    found, files, problems = dict(environ), dict[str, SecretFile](), list[str]()
    for name in names:
        variable = file_variable(name)
        path = found.get(variable, "")
        if not path or variable in names:
            continue
        if found.get(name):
            problems.append(f"{name} and {variable} are both set; unset one of them")
            continue
        try:
            files[name] = SecretFile(path)
        except (OSError, ValueError) as exc:
            said = getattr(exc, "strerror", None) or exc
            problems.append(
                f"{variable}={path!r}: {said}; set it to a file that can be read and has the value "
                f"of {name}"
            )
            continue
        found.pop(name, None)
        del found[variable]
    if problems:
        raise SettingError(problems)
    return Environ(found, files)
