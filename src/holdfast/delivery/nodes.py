"""Nodes: how many machines of a cluster the pods of a system want, from what they request."""

import math
from dataclasses import dataclass
from typing import Final

from holdfast.delivery.plan import Plan
from holdfast.delivery.quantity import number_of
from holdfast.delivery.values import pods_of
from holdfast.system import Environment

CORES: Final = 3.2
"""What a node of four cores has left for pods, after what each node runs itself."""
MEMORY_GIB: Final = 12.7
"""Likewise, of 16 GiB."""
BESIDE_CORES, BESIDE_GIB = 3.0, 6.0
"""What stands beside the services: NATS, Redis, collectors, and the controllers of a cluster."""


@dataclass(frozen=True, slots=True)
class Nodes:
    """How many nodes, between which an autoscaler decides."""

    least: int
    most: int


def nodes_of(plan: Plan, environment: Environment) -> Nodes:
    """Return how many nodes hold all pods, at their least and at their most.

    One node more than that at the most, so that one can be emptied; and never less than one in each
    zone, or two where the environment is small.
    """
    floor = 2 if environment.size == "small" else 3
    least = max(floor, _holding(plan, environment, "least"))
    return Nodes(least, max(least, _holding(plan, environment, "most")) + 1)


def _holding(plan: Plan, environment: Environment, bound: str) -> int:
    cores, memory = BESIDE_CORES, BESIDE_GIB
    for workload in plan.everything:
        pods = pods_of(workload, environment)
        cores += pods[bound] * number_of(pods["cpu"])
        memory += pods[bound] * number_of(pods["memory"])
    return math.ceil(max(cores / CORES, memory / MEMORY_GIB))
