"""Checks of routes and mounted apps: each path is served once, and its door is clear."""

from collections import Counter
from collections.abc import Iterator

from holdfast.system.checks.reading import PATH_NAME, Declared, Reading
from holdfast.system.signature import Source


def route_problems(reading: Reading) -> Iterator[str]:
    """Yield what is wrong with the paths of the system."""
    seen: dict[tuple[str, str], Declared] = {}
    for declared in reading.functions:
        route = declared.route
        if route is None:
            continue
        yield from (f"{declared.place}: {problem}" for problem in _path(route.path))
        first = seen.setdefault((route.method, PATH_NAME.sub("{}", route.path)), declared)
        if first is not declared:
            yield (
                f"{declared.label} is served twice: {first.place} and {declared.place}; "
                "change one path"
            )
        if route.public and route.scope:
            yield (
                f"{declared.place}: it is public and asks for the scope {route.scope!r}; "
                "remove one of the two"
            )
        if route.public and declared.signature is not None:
            for parameter in declared.signature.of(Source.CALLER):
                yield (
                    f"{declared.place}: it is public, so that nobody is authenticated and "
                    f"`{parameter.name}` would be None; remove one of the two"
                )
        if not 200 <= route.status_code <= 299:
            yield (
                f"{declared.place}: status_code={route.status_code} says that it failed or "
                "redirects; write one of 200..299, and raise a Failure for a refusal"
            )
    yield from _mounts(reading)


def _path(path: str) -> Iterator[str]:
    if not path.startswith("/"):
        yield f"a path begins with /; write {'/' + path!r}"
    if set("{}?#") & set(PATH_NAME.sub("", path)):
        yield f"{path!r} has a brace, ? or # that is no part of a `{{name}}`; remove it"
    for name, count in Counter(PATH_NAME.findall(path)).items():
        if count > 1:
            yield f"the path has {{{name}}} twice; rename one"


def _mounts(reading: Reading) -> Iterator[str]:
    owners: dict[str, str] = {}
    for service in reading.services:
        for mount in service.mounts:
            shown = mount.path or "/"
            if mount.path and not mount.path.startswith("/"):
                yield f"{service.name}: mount {shown}: a path begins with /; write '/{shown}'"
            if mount.path in owners:
                yield (
                    f"{owners[mount.path]} and {service.name} both mount an app at {shown}; "
                    "change one path"
                )
            owners.setdefault(mount.path, service.name)
