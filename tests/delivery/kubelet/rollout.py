"""Roll-outs: which pods of a workload come and go next."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from tests.delivery.kubelet.manifests import Object
from tests.delivery.kubelet.quantities import share


@dataclass(frozen=True, slots=True)
class Member:
    """A pod of a workload that is not being ended.

    Attributes:
        template: `template_hash` of what it was made from.
    """

    name: str
    template: str
    ready: bool


@dataclass(frozen=True, slots=True)
class Step:
    """What to do now; later pods change it."""

    create: int = 0
    delete: tuple[str, ...] = ()


def template_hash(template: Object) -> str:
    """Return a name for what pods are made from: another template, another name."""
    text = json.dumps(template, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def deployment_step(
    spec: Object, replicas: int, members: Sequence[Member], ending: int = 0
) -> Step:
    """Return the next step of a Deployment.

    New pods are made as far as `maxSurge` lets them; old ones go, those that are not ready first,
    as far as `maxUnavailable` lets them.

    Args:
        ending: how many pods are still being ended; `Recreate` waits for them.
    """
    wanted = template_hash(spec["template"])
    new = [member for member in members if member.template == wanted]
    old = [member for member in members if member.template != wanted]
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate" and old:
        return Step(delete=tuple(member.name for member in old))
    if strategy.get("type") == "Recreate" and ending and not new:
        return Step()
    rolling = strategy.get("rollingUpdate") or {}
    surge = share(rolling.get("maxSurge", "25%"), replicas, up=True)
    missing = share(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    if not surge and not missing:
        missing = 1
    create = max(0, min(replicas - len(new), replicas + surge - len(members)))
    spare = sum(member.ready for member in members) - (replicas - missing)
    leaving: list[str] = []
    too_many = max(0, len(new) - replicas)
    for member in sorted([*old, *new[replicas - len(new) :][:too_many]], key=lambda m: m.ready):
        if not member.ready:
            leaving.append(member.name)
        elif spare > 0:
            leaving.append(member.name)
            spare -= 1
    return Step(create, tuple(leaving))


def stateful_step(spec: Object, replicas: int, members: Sequence[Member]) -> Step:
    """Return the next step of a StatefulSet, whose pods end in their ordinal.

    They come in order and each waits for the one before, unless `Parallel` is asked for; they are
    replaced from the last one on, each when all others are ready.
    """
    wanted = template_hash(spec["template"])
    by_ordinal = {int(member.name.rsplit("-", 1)[1]): member for member in members}
    too_many = [member.name for n, member in by_ordinal.items() if n >= replicas]
    if too_many:
        return Step(delete=(too_many[-1],))
    gone = replicas - len(by_ordinal)
    all_ready = all(member.ready for member in members)
    if gone:
        at_once = spec.get("podManagementPolicy") == "Parallel"
        return Step(create=gone if at_once else int(all_ready))
    for _, member in sorted(by_ordinal.items(), reverse=True):
        if member.template != wanted:
            return Step(delete=(member.name,)) if all_ready or not member.ready else Step()
    return Step()
