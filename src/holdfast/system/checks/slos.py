"""Checks of SLOs: promises that can be kept, and broken."""

import math
from collections.abc import Iterator

from holdfast.system.checks.reading import Reading, where
from holdfast.system.slo import Slo

_SHARES = (0.94, 0.99999)
"""Below it an alert at 14.4 times the budget could never fire: 14.4 * (1 - 0.93) is over 1."""
_SECONDS = (0.01, 30 * 86_400)
THRESHOLDS_MAX = 16


def slo_problems(slo: Slo, reading: Reading) -> Iterator[str]:
    """Yield what is wrong with the SLOs of a system, its services, routes and sagas."""
    declared = list(_declared(slo, reading))
    fit: list[Slo] = []
    for place, given in declared:
        problems = list(_values(given))
        yield from (f"{place}: {problem}" for problem in problems)
        fit += [] if problems else [given]
    for name in ("latency_ms", "settled_s"):
        found = {getattr(given, name) for given in fit}
        if len(found) > THRESHOLDS_MAX:
            yield (
                f"the SLOs have {len(found)} values of {name}, and each is a bucket of every "
                f"histogram; share some, so that there are at most {THRESHOLDS_MAX}"
            )


def _declared(slo: Slo, reading: Reading) -> Iterator[tuple[str, Slo]]:
    """Yield each SLO with its place."""
    yield "System(slo=…)", slo
    for service in reading.services:
        if service.slo is not None:
            yield f"Service({service.name!r}, slo=…)", service.slo
    for function in reading.functions:
        if function.route is not None and function.route.slo is not None:
            yield function.place, function.route.slo
    for service in reading.services:
        for saga in service.sagas:
            if saga.slo is not None:
                yield f"{service.name}: saga {saga.name} ({where(saga.function)})", saga.slo


def _values(slo: Slo) -> Iterator[str]:
    if not isinstance(slo, Slo):  # pyright: ignore[reportUnnecessaryIsInstance]  # from a user
        yield f"it is {slo!r}, which is no Slo; write `Slo(availability=0.999, …)`"
        return
    low, high = _SHARES
    for name in ("availability", "latency_share", "share"):
        value = getattr(slo, name)
        if not _within(value, _SHARES):
            yield (
                f"Slo({name}={value!r}): with less than {low:g} nothing could alert, with more "
                f"than {high:.5f} there is no budget; write a share between, 0.999 for 99.9 %"
            )
    if not _within(slo.latency_ms, (1, 3_600_000)):
        yield f"Slo(latency_ms={slo.latency_ms!r}): that is no time to answer in; write 1..3600000"
    if not _within(slo.settled_s, _SECONDS):
        yield (
            f"Slo(settled_s={slo.settled_s!r}): that is no time to settle in; write "
            f"{_SECONDS[0]:g}..{_SECONDS[1]} seconds, which are 30 days"
        )


def _within(value: object, bounds: tuple[float, float]) -> bool:
    low, high = bounds
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return low <= value <= high
