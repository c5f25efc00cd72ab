"""Slo: how well a service is to do, as those who use it see it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slo:
    """What is promised over 30 days, of a system, a service, a route or a saga; the nearest wins.

    It wins as a whole: `dataclasses.replace(shop_slo, latency_ms=2_000)` changes one value of
    another. What is left of a promise until it is broken is its *budget*; `holdfast render` writes
    the alerts that tell how fast it is spent.

    Attributes:
        availability: the share of requests at the gateway that do not end in a 5xx.
        latency_ms, latency_share: so many of those that do not are answered within `latency_ms`.
        settled_s, share: so many sagas have ended within `settled_s` of their start, done or
            undone; a parked one has not. For one that waits for somebody, say how long that may
            take.
    """

    availability: float = 0.999
    latency_ms: float = 300
    latency_share: float = 0.99
    settled_s: float = 30
    share: float = 0.99

    @property
    def latency_s(self) -> float:
        """`latency_ms` in seconds, as the bound of a bucket."""
        return self.latency_ms / 1000
