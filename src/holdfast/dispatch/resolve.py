"""Fills the parameters of handlers, by their types."""

import contextlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from holdfast.errors import DeclarationError, SettingError
from holdfast.system import Service, Settings
from holdfast.system.checks import where
from holdfast.system.settings import read_settings, variable_name
from holdfast.system.signature import Parameter, Signature, Source, read_signature
from holdfast.system.tables import provided_types


@dataclass(slots=True)
class Work:
    """What one run of one handler has at hand."""

    message: object = None
    tx: object = None
    read: object = None
    outside: object = None
    caller: object = None
    values: dict[str, object] = field(default_factory=dict[str, object], repr=False)


@dataclass(slots=True)
class _Group:
    """A group of settings, and the texts of its variables that it was read from."""

    names: tuple[str, ...]
    texts: tuple[str | None, ...] = field(repr=False)
    value: Settings


Providers = Mapping[object, Callable[..., object]]
Getter = Callable[[Work], object]

_FROM_WORK: dict[Source, Getter] = {
    Source.MESSAGE: attrgetter("message"),
    Source.TX: attrgetter("tx"),
    Source.READ: attrgetter("read"),
    Source.OUTSIDE: attrgetter("outside"),
    Source.CALLER: attrgetter("caller"),
}


class Provided:
    """The values that a service's providers and settings make, once per process."""

    def __init__(
        self, service: Service, environ: Mapping[str, str], notice: Callable[..., None]
    ) -> None:
        self._service = service
        self._environ = environ
        self._notice = notice
        self._settings: dict[type[Settings], _Group] = {}
        self._values: dict[object, Any] = {}
        self._exits = contextlib.AsyncExitStack()

    async def make(self) -> None:
        """Run every provider; each gets its own parameters first. Raises SettingError."""
        providers = provided_types(self._service)
        for kind in providers:
            await self._value(kind, providers, ())

    async def _value(self, kind: object, providers: Providers, path: tuple[object, ...]) -> object:
        if kind in self._values:
            return self._values[kind]
        if kind in path:
            names = " → ".join(getattr(k, "__name__", str(k)) for k in (*path, kind))
            raise DeclarationError([f"{self._service.name}: providers need each other: {names}"])
        provider = providers[kind]
        arguments: dict[str, object] = {}
        for parameter in read_signature(provider, provided=providers).parameters:
            if parameter.source is Source.PROVIDED:
                arguments[parameter.name] = await self._value(
                    parameter.kind, providers, (*path, kind)
                )
            elif parameter.source is Source.SETTINGS:
                arguments[parameter.name] = self.settings(parameter.kind)
            else:
                raise DeclarationError(
                    [
                        f"{self._service.name}: provider {provider.__name__} ({where(provider)}): "
                        f"parameter {parameter.name!r}: a provider takes Settings and provided "
                        "types"
                    ]
                )
        self._values[kind] = await self._run(provider, arguments)
        return self._values[kind]

    async def _run(self, provider: Callable[..., object], arguments: dict[str, object]) -> object:
        if inspect.isasyncgenfunction(provider):
            manager = contextlib.asynccontextmanager(provider)(**arguments)
            return await self._exits.enter_async_context(manager)
        made = provider(**arguments)
        return await made if inspect.isawaitable(made) else made

    def settings(self, kind: type[Settings]) -> Settings:
        """Return a group of settings; read anew where a variable's file has another text now.

        A new text that does not fit leaves the group as it was, and is told once.

        Raises:
            SettingError: what there is at the first time does not fit.
        """
        found = self._settings.get(kind)
        if found is None:
            name = self._service.name
            names = tuple(variable_name(name, field) for field in kind.model_fields)
            texts = self._texts(names)
            found = _Group(names, texts, read_settings(kind, name, self._environ))
            self._settings[kind] = found
        elif (texts := self._texts(found.names)) != found.texts:
            found.texts = texts
            try:
                found.value = read_settings(kind, self._service.name, self._environ)
            except SettingError as exc:
                self._notice("settings.refused", problems=list(exc.problems))
        return found.value

    def _texts(self, names: tuple[str, ...]) -> tuple[str | None, ...]:
        return tuple(map(self._environ.get, names))

    def getter(self, parameter: Parameter) -> Getter:
        """Return what fills one parameter."""
        if parameter.source in _FROM_WORK:
            return _FROM_WORK[parameter.source]
        if parameter.source is Source.SETTINGS:
            kind = parameter.kind
            self.settings(kind)  # a wrong one is refused at start-up
            return lambda work: self.settings(kind)
        if parameter.source is Source.PROVIDED:
            value = self._values[parameter.kind]
            return lambda work: value
        name = parameter.name
        return lambda work: work.values[name]

    def arguments(self, signature: Signature) -> Callable[[Work], dict[str, object]]:
        """Return what fills all parameters of a handler."""
        getters = [(p.name, self.getter(p)) for p in signature.parameters]

        def fill(work: Work) -> dict[str, object]:
            found: dict[str, object] = {}
            for name, get in getters:
                found[name] = get(work)
            return found

        return fill

    async def close(self) -> None:
        """Clean up after the providers, newest first."""
        await self._exits.aclose()
