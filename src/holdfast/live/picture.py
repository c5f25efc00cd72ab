"""The graph with what its processes say: a pure function of two looks at them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from holdfast.live.ask import Said
from holdfast.live.sample import Runs, Sample
from holdfast.observability import catalogue
from holdfast.system import GraphEdge, System
from holdfast.system.objectives import MOUNT_METHOD, Objective

_BREAKERS = ("closed", "half-open", "open")
_LETTERS = ("command", "undo", "event")


class LiveEdge(msgspec.Struct):
    """An edge of the graph at this moment; None is what is not measured.

    Attributes:
        rate: a second. errors: the share that went wrong. p99_ms: 99 of 100 took no longer.
        backlog: letters on their way from this sender to this receiver, without an answer.
        breaker: its state, of a call.
    """

    sender: str
    receiver: str
    kind: str
    message: str
    rate: float | None = None
    errors: float | None = None
    p99_ms: float | None = None
    backlog: int | None = None
    breaker: str | None = None


class LiveService(msgspec.Struct):
    """A service at this moment.

    Attributes:
        state: `ready`, `draining`, `down`, or `ill` with what its health checks say.
        processes: that serve it.
        rate, errors, p99_ms: of its routes, as the gateway sees them.
        waits: letters to others without an answer, `oldest_s` the age of the oldest; `due`:
            letters of others that are due here.
        needs: dead letters, parked sagas and letters that fail for ever: they need a person.
        budget: what is left of its SLO with the least left, since its processes started: 1 is all
            of it, below 0 the promise is broken; `of` names the SLO. None: nothing happened yet.
    """

    name: str
    state: str
    processes: int
    rate: float | None
    errors: float | None
    p99_ms: float | None
    waits: int
    oldest_s: float
    due: int
    needs: int
    budget: float | None
    of: str = ""
    why: str = ""


class LiveGraph(msgspec.Struct):
    """A system at this moment, measured over some `seconds`."""

    system: str
    seconds: float
    services: list[LiveService]
    edges: list[LiveEdge]
    silent: list[str]
    """Processes that do not answer."""


def picture(
    system: System, before: Sequence[Said], now: Sequence[Said], seconds: float
) -> LiveGraph:
    """Return the live graph. A process that was started again since is measured from its start."""
    looks = _Looks(_alike(before, now), [said.sample for said in now], seconds)
    return LiveGraph(
        system.name,
        seconds,
        [_service(system, service.name, now, looks) for service in system.services],
        [_edge(edge, looks) for edge in system.graph().edges],
        [said.name for said in now if not said.status],
    )


def _alike(before: Sequence[Said], now: Sequence[Said]) -> list[Sample]:
    """Return the earlier samples of processes that still run, in any order."""
    born = {said.name: said.sample.total(catalogue.PROCESS_START.name) for said in now}
    return [
        said.sample
        for said in before
        if born.get(said.name) == said.sample.total(catalogue.PROCESS_START.name)
    ]


@dataclass(frozen=True, slots=True)
class _Looks:
    before: Sequence[Sample]
    now: Sequence[Sample]
    seconds: float

    def runs(self, name: str, **labels: str) -> Runs:
        """Return what happened between the looks."""
        found = self.ever(name, **labels)
        for sample in self.before:
            found.add(sample, name, -1, **labels)
        return found

    def ever(self, name: str, **labels: str) -> Runs:
        """Return what happened since the processes were started."""
        found = Runs()
        for sample in self.now:
            found.add(sample, name, 1, **labels)
        return found

    def total(self, name: str, **labels: str) -> float:
        """Return the sum over all processes."""
        return sum(sample.total(name, **labels) for sample in self.now)

    def more(self, name: str, **labels: str) -> float:
        """Return by how much a counter has grown between the looks."""
        before = sum(sample.total(name, **labels) for sample in self.before)
        return self.total(name, **labels) - before

    def top(self, name: str, **labels: str) -> float:
        """Return the most that any process says: of a service's tables each says the same."""
        return max((sample.total(name, **labels) for sample in self.now), default=0.0)


def _edge(edge: GraphEdge, looks: _Looks) -> LiveEdge:
    live = LiveEdge(edge.sender, edge.receiver, edge.kind, edge.message)
    if edge.kind in ("route", "mount"):
        method, _, path = edge.message.rpartition(" ")
        route = path if edge.kind == "route" else f"{path.rstrip('/')}/"
        of = {"http_request_method": method} if method else {}
        runs = looks.runs(catalogue.SERVED.name, service="gateway", http_route=route, **of)
        _tell(live, runs, looks.seconds)
    elif edge.kind in _LETTERS:
        name = edge.message.partition(".")[0]
        to = {"messaging_destination_name": f"{edge.receiver}.{name}"}
        runs = looks.runs(catalogue.PROCESSED.name, **to)
        runs.bad = looks.more(catalogue.HANDLER_ERRORS.name, **to)  # a declared failure is none
        _tell(live, runs, looks.seconds)
        lane = "urgent" if edge.kind == "undo" else "work"
        sides = {"service": edge.sender, "receiver": edge.receiver, "lane": lane}
        live.backlog = round(looks.total(catalogue.IN_FLIGHT.name, **sides))
    else:
        named = f"{edge.sender}→{edge.receiver}"
        states = [n for s in looks.now for _, n in s.of(catalogue.BREAKER.name, edge=named)]
        live.breaker = _BREAKERS[round(max(states))] if states else None
    return live


def _tell(live: LiveEdge | LiveService, runs: Runs, seconds: float) -> None:
    live.rate = runs.count / seconds if seconds else None
    if runs.count > 0:
        live.errors = runs.bad / runs.count
        p99_s = runs.quantile_s(0.99)
        live.p99_ms = None if p99_s in (None, float("inf")) else round((p99_s or 0) * 1000, 3)


def _service(system: System, name: str, now: Sequence[Said], looks: _Looks) -> LiveService:
    serving = [said for said in now if said.status and _hosts(said, name)]
    troubles = {f"{what}: {why}" for said in serving for what, why in said.troubles.items() if why}
    ready = [said for said in serving if said.status == "ready"]
    state = "down" if not serving else "draining" if not ready else "ill" if troubles else "ready"
    of = {"service": name}
    needs = (catalogue.DEAD_LETTERS, catalogue.FAILING_LETTERS, catalogue.PARKED_SAGAS)
    runs = _of_routes(system, name, looks)
    least = min(_budgets(system, name, looks), default=(None, ""))
    live = LiveService(
        *(name, state, len(serving), None, None, None),
        waits=round(looks.top(catalogue.OUTBOX_ROWS.name, **of)),
        oldest_s=round(looks.top(catalogue.OUTBOX_OLDEST.name, **of), 3),
        due=round(looks.top(catalogue.INBOX_ROWS.name, **of)),
        needs=round(sum(looks.top(metric.name, **of) for metric in needs)),
        budget=least[0],
        of=least[1],
        why="; ".join(sorted(troubles)),
    )
    _tell(live, runs, looks.seconds)
    return live


def _hosts(said: Said, name: str) -> bool:
    """Whether a process serves a service; of other machines' its metrics tell."""
    if said.services:
        return name in said.services
    return any(True for _ in said.sample.of(catalogue.OUTBOX_ROWS.name, service=name))


def _of_routes(system: System, name: str, looks: _Looks) -> Runs:
    routes = [r for o in system.objectives() if o.service == name for r in o.routes]
    found = Runs()
    for method, route in routes:
        _join(found, looks.runs(catalogue.SERVED.name, **_labels(method, route)))
    return found


def _labels(method: str, route: str) -> dict[str, str]:
    of = {} if method == MOUNT_METHOD else {"http_request_method": method}
    return {"service": "gateway", "http_route": route, **of}


def _join(into: Runs, more: Runs) -> None:
    into.count += more.count
    into.bad += more.bad
    for bound, number in more.buckets.items():
        into.buckets[bound] = into.buckets.get(bound, 0.0) + number


def _budgets(system: System, name: str, looks: _Looks) -> Iterator[tuple[float, str]]:
    """Yield what is left of each promise of a service, and which it is."""
    for objective in system.objectives():
        if objective.service == name:
            yield from (
                (left, f"{objective.name} {what}") for left, what in _left(objective, looks)
            )


def _left(objective: Objective, looks: _Looks) -> Iterator[tuple[float, str]]:
    slo = objective.slo
    if objective.saga is not None:
        of = {"service": objective.service, "saga": objective.saga}
        ends = [
            looks.ever(catalogue.SAGA_DURATION.name, **of, outcome=outcome)
            for outcome in ("completed", "failed", "parked")
        ]
        all_ = sum(end.count for end in ends)
        good = sum(end.within(float(slo.settled_s)) for end in ends[:2])  # a parked one has not
        yield from _spent(all_ - good, all_, slo.share, "settled")
        return
    runs = Runs()
    for method, route in objective.routes:
        _join(runs, looks.ever(catalogue.SERVED.name, **_labels(method, route)))
    yield from _spent(runs.bad, runs.count, slo.availability, "available")
    slow = runs.count - runs.within(slo.latency_s)
    yield from _spent(slow, runs.count, slo.latency_share, "in time")


def _spent(bad: float, all_: float, share: float, what: str) -> Iterable[tuple[float, str]]:
    if all_ > 0 and share < 1:
        yield round(1 - bad / (all_ * (1 - share)), 3), what
