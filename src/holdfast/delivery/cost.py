"""Cost: what a system costs in a month, by what its pods request.

It is read from the manifests themselves, so that what is counted is what would run. Nodes have to
be paid that are not full, and so has what a cloud takes for a cluster, a load balancer and logs:
that is not in it. The migration, which runs for seconds, is not either.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from holdfast.delivery.kubernetes import manifests
from holdfast.delivery.kustomize import Manifest, objects_of
from holdfast.delivery.parts import Rendering
from holdfast.delivery.plan import GATEWAY
from holdfast.delivery.prices import Prices
from holdfast.delivery.quantity import number_of
from holdfast.delivery.values import values_of
from holdfast.system import Environment

HOURS: Final = 730.0
"""Of a month: 365 days * 24 / 12."""
BUSY: Final = 0.7
"""The share of what they request that pods use before there are more of them."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A number at its least, as it is expected, and at its most."""

    least: float
    typical: float
    most: float

    def __add__(self, other: "Spread") -> "Spread":
        return Spread(
            self.least + other.least, self.typical + other.typical, self.most + other.most
        )

    def times(self, factor: float) -> "Spread":
        """Return each of the three, multiplied."""
        return Spread(self.least * factor, self.typical * factor, self.most * factor)


NOTHING: Final = Spread(0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one thing of an environment costs in a month.

    Attributes:
        pods: how many there are; a part of one is there a part of the time. None: it has none.
    """

    environment: str
    what: str
    pods: Spread | None
    month: Spread


def costs_of(rendering: Rendering, prices: Prices) -> list[Cost]:
    """Return what everything costs, environment by environment, each ended by its total.

    At their least and most are the replicas; typical is what the load of the prices needs, and the
    least where none is given. Work that may wait has pods only as long as there is some.
    """
    found: list[Cost] = []
    for environment in rendering.system.deploy.environments:
        rows = list(_Bill(rendering, environment, prices).rows())
        total = sum((row.month for row in rows), NOTHING)
        found += [*rows, Cost(environment.name, "total", None, total)]
    return found


class _Bill:
    """What one environment costs."""

    def __init__(self, rendering: Rendering, environment: Environment, prices: Prices) -> None:
        self._rendering, self._environment, self._prices = rendering, environment, prices
        self._values = values_of(rendering.plan, environment, rendering.images)
        self._bulk = {w.name for w in rendering.plan.workloads if w.pods.bulk}
        self._load = prices.load
        self._per_second = (
            None if prices.load is None else prices.load.per_second.get(environment.name)
        )

    def rows(self) -> Iterator[Cost]:
        """Yield each thing, in the order of the manifests."""
        found = objects_of(manifests(self._rendering, self._values))
        for (_, kind, _, name), manifest in found.items():
            if kind not in ("Deployment", "StatefulSet", "Cluster"):
                continue
            spec = manifest["spec"]
            pod = {"containers": [spec]} if kind == "Cluster" else spec["template"]["spec"]
            pods = self._pods(name, spec, pod)
            yield Cost(
                self._environment.name, name, pods, pods.times(self._month(pod, _disk(spec)))
            )
            if (
                name == GATEWAY
                and (egress := self._egress(pods.most * _requested(pod, "cpu"))) is not None
            ):
                yield Cost(self._environment.name, "egress", None, egress)
        if self._values["databases"]["managed"] and self._rendering.plan.migrate is not None:
            month = self._prices.databases[self._environment.size]
            yield Cost(
                self._environment.name, "managed database", None, Spread(month, month, month)
            )

    def _pods(self, name: str, spec: Manifest, pod: Manifest) -> Spread:
        """Return how many pods there are of one thing."""
        declared = self._values["pods"].get(name)
        if declared is None:
            always: int = spec.get("instances") or spec.get("replicas", 1)
            return Spread(always, always, always)
        least, most = declared["least"], declared["most"]
        if self._load is None or self._per_second is None:
            return Spread(least, least, most)
        work = self._per_second.get(name, 0.0) * self._load.cpu_ms / 1000
        needed = work / (_requested(pod, "cpu") * BUSY)
        typical = needed if name in self._bulk else math.ceil(needed)
        return Spread(least, min(max(typical, least), most), most)

    def _month(self, pod: Manifest, disk_gib: float) -> float:
        """Return what one pod costs in a month."""
        cores, gib = _requested(pod, "cpu"), _requested(pod, "memory")
        hour = cores * self._prices.cpu_hour + gib * self._prices.gib_hour
        return hour * HOURS + disk_gib * self._prices.storage_gib_month

    def _egress(self, cores_most: float) -> Spread | None:
        """Return what answers cost: none, those of the load, and all that the gateway can give."""
        if self._load is None or self._per_second is None:
            return None
        typical = self._per_second.get(GATEWAY, 0.0)
        most = cores_most * BUSY / (self._load.cpu_ms / 1000)
        gib = HOURS * 3600 * self._load.answer_kib * 2.0**-20
        return Spread(0.0, typical, max(typical, most)).times(gib * self._prices.egress_gib)


def _disk(spec: Manifest) -> float:
    """Return the GiB of the disks that each pod of a thing has."""
    own = spec.get("storage", {}).get("size", "0")
    claims = [c["spec"]["resources"]["requests"] for c in spec.get("volumeClaimTemplates", ())]
    return number_of(own) + sum(number_of(claim["storage"]) for claim in claims)


def _requested(pod: Manifest, what: str) -> float:
    """Return the cores, or the GiB of memory, that a pod requests."""
    return sum(number_of(each["resources"]["requests"][what]) for each in pod["containers"])
