"""The router: finds what serves a method and a path."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from holdfast.contract.http import Request, Response
from holdfast.contract.path import loosest_reading
from holdfast.dispatch.inputs import decode_segment
from holdfast.errors import BadRequest, MethodNotAllowed, NotFound
from holdfast.resilience import RoutePlaces
from holdfast.system.checks import PATH_NAME

Serve = Callable[[Request, dict[str, str]], Awaitable[Response]]


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """What serves a route, and what its door asks for; `mount`: an app below a prefix.

    Attributes:
        places: its requests that are inside.
    """

    service: str
    template: str
    serve: Serve
    public: bool
    scope: str | None
    mount: bool = False
    places: RoutePlaces = field(default_factory=RoutePlaces)


@dataclass(slots=True)
class _Pattern:
    """Templates that differ in their names alone; `names`: {template: its names, in order}."""

    regex: "re.Pattern[str]"
    methods: dict[str, Target]
    names: dict[str, list[str]]


@dataclass(slots=True)
class Router:
    """Routes by path and method; the most special template that serves the method wins."""

    _static: dict[str, dict[str, Target]] = field(default_factory=dict[str, dict[str, Target]])
    _patterns: dict[int, list[_Pattern]] = field(default_factory=dict[int, list[_Pattern]])
    _mounts: list[tuple[str, Target]] = field(default_factory=list[tuple[str, Target]])

    def add(self, method: str, target: Target) -> None:
        """Add a route."""
        names = PATH_NAME.findall(target.template)
        if not names:
            self._static.setdefault(target.template, {})[method] = target
            return
        pieces = PATH_NAME.split(target.template)
        text = "".join("([^/]+)" if n % 2 else re.escape(p) for n, p in enumerate(pieces))
        group = self._patterns.setdefault(target.template.count("/"), [])
        pattern = next((p for p in group if p.regex.pattern == text), None)
        if pattern is None:
            pattern = _Pattern(re.compile(text), {}, {})
            any_path = PATH_NAME.sub("\0", target.template)  # of this one; which others fit it?
            fits = (n for n, other in enumerate(group) if other.regex.fullmatch(any_path))
            group.insert(next(fits, len(group)), pattern)
        pattern.methods[method] = target
        pattern.names[target.template] = names

    def mount(self, prefix: str, target: Target) -> None:
        """Add an app that serves everything below a prefix; the longest prefix wins."""
        self._mounts.append((prefix, replace(target, mount=True)))
        self._mounts.sort(key=lambda mount: -len(mount[0]))

    def find(self, method: str, path: str) -> tuple[Target, dict[str, str]]:
        """Return what serves a request, and its path parameters.

        An app below a prefix reads its path itself, and may forgive more than the router. It gets
        one that is escaped, or has empty segments, only if nothing else would serve what it may
        read there: neither `/a%2Fb` nor `//a/b` is for an app when `/a/b` is a route.

        Raises:
            NotFound: no route has this path.
            MethodNotAllowed: some have, with other methods.
            BadRequest: a mounted app would get a NUL.
        """
        methods = self._static.get(path)
        if methods is not None and method in methods:  # as most paths are
            return methods[method], {}
        target, parameters = self._look(method, path)
        if target.mount and ("%" in path or "//" in path):
            read = loosest_reading(path)
            if read is not None and "\0" in read:
                raise BadRequest("the path holds the character NUL")
            if read is None or self._look(method, read)[0] is not target:
                raise NotFound(f"there is no route {path}")
        return target, parameters

    def quick(self, method: str, path: str) -> tuple[Target, dict[str, str]] | None:
        """Return what `find` does where that is a route and sure; None: ask `find`."""
        methods = self._static.get(path)
        if methods is not None:
            target = methods.get(method)
            return None if target is None else (target, {})
        if "%" in path:
            return None
        for pattern in self._patterns.get(path.count("/"), ()):
            match = pattern.regex.fullmatch(path)
            if match is not None and (target := pattern.methods.get(method)) is not None:
                pairs = zip(pattern.names[target.template], match.groups(), strict=True)
                return target, dict(pairs)
        return None

    def _look(self, method: str, path: str) -> tuple[Target, dict[str, str]]:
        allowed: set[str] = set()
        methods = self._static.get(path)
        if methods is not None:
            target = _by_method(methods, method)
            if target is not None:
                return target, {}
            allowed |= methods.keys()
        for pattern in self._patterns.get(path.count("/"), ()):
            match = pattern.regex.fullmatch(path)
            if match is None:
                continue
            target = _by_method(pattern.methods, method)
            if target is not None:
                pairs = zip(pattern.names[target.template], match.groups(), strict=True)
                return target, {name: decode_segment(raw, name) for name, raw in pairs}
            allowed |= pattern.methods.keys()
        if allowed:
            raise _not_allowed(allowed, method, path)
        for prefix, target in self._mounts:
            if path == prefix or path.startswith(f"{prefix}/"):
                return target, {}
        raise NotFound(f"there is no route {path}")


def _by_method(methods: dict[str, Target], method: str) -> Target | None:
    return methods.get(method) or (methods.get("GET") if method == "HEAD" else None)


def _not_allowed(allowed: set[str], method: str, path: str) -> MethodNotAllowed:
    """Return the refusal, with the methods of every template that the path fits."""
    known = allowed | ({"HEAD"} if "GET" in allowed else set[str]())
    headers = {"Allow": ", ".join(sorted(known))}
    return MethodNotAllowed(f"{path} does not serve {method}", headers=headers)
