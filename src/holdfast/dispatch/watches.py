"""What is shown of one service: its letters, its sagas, what it writes, and its edges."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from holdfast.consistency.core import Core
from holdfast.consistency.schedule import floors_lag_ms
from holdfast.consistency.senders import NotTaken
from holdfast.contract.envelope import HTTP
from holdfast.observability import Metrics, catalogue
from holdfast.observability.catalogue import Metric
from holdfast.resilience import BreakerState, Edge
from holdfast.storage import Backlog, SagasOpen
from holdfast.system.service import SagaDeclaration

_BREAKER_STATES: dict[BreakerState, int] = {"closed": 0, "half_open": 1, "open": 2}

_BACKLOG: dict[Metric, Callable[[Backlog], float]] = {
    catalogue.OUTBOX_ROWS: lambda backlog: backlog.out_rows,
    catalogue.OUTBOX_OLDEST: lambda backlog: backlog.oldest_ms / 1000,
    catalogue.INBOX_ROWS: lambda backlog: backlog.in_rows,
    catalogue.INBOX_OLDEST: lambda backlog: backlog.in_oldest_ms / 1000,
    catalogue.WAITING_LETTERS: lambda backlog: backlog.waiting,
    catalogue.DEAD_LETTERS: lambda backlog: backlog.dead,
    catalogue.FAILING_LETTERS: lambda backlog: backlog.failing,
}


def watch_core(
    metrics: Metrics, service: str, core: Core, sagas: Iterable[SagaDeclaration]
) -> None:
    """Show what waits in a service's tables, and what this process does about it.

    Tables are measured by the housekeeping; what is read here is its last result.
    """
    outbox, leases, writer = core.outbox, core.leases, core.writer
    for metric, of in _BACKLOG.items():
        metrics.watch(metric, partial(_measured, core, of), service=service)
    here: dict[Metric, Callable[[], float]] = {
        catalogue.SENT: lambda: outbox.stats().sent,
        catalogue.RESENT: lambda: outbox.stats().resent,
        catalogue.PARCELS_LEFT_OUT: lambda: outbox.stats().left_out,
        catalogue.LEASES_HELD: lambda: leases.stats().held,
        catalogue.LEASES_RENEWED: lambda: leases.stats().renewed,
        catalogue.LEASES_LOST: lambda: leases.stats().lost,
        catalogue.WRITES_WAITING: lambda: writer.stats().waiting,
        catalogue.TRANSACTIONS_LOST: lambda: writer.stats().lost,
    }
    for metric, read in here.items():
        metrics.watch(metric, read, service=service)
    for reason in NotTaken:
        refused = partial(core.inbox.refused.__getitem__, reason)
        metrics.watch(catalogue.LETTERS_REFUSED, refused, service=service, reason=reason.value)
    for saga in sagas:
        _watch_saga(metrics, service, core, saga)
    _watch_lanes(metrics, service, core)


def _measured(core: Core, of: Callable[[Backlog], float]) -> float:
    return of(core.high_water.backlog)


def _watch_saga(metrics: Metrics, service: str, core: Core, saga: SagaDeclaration) -> None:
    names = (saga.name, *saga.was)

    def found(*, parked: bool) -> Sequence[SagasOpen]:
        sagas = core.high_water.backlog.sagas
        return [one for one in sagas if one.type in names and one.parked == parked]

    def count(*, parked: bool) -> int:
        return sum(one.count for one in found(parked=parked))

    def oldest() -> float:
        return max((one.oldest_ms for one in found(parked=False)), default=0) / 1000

    labels = {"service": service, "saga": saga.name}
    metrics.watch(catalogue.OPEN_SAGAS, partial(count, parked=False), **labels)
    metrics.watch(catalogue.PARKED_SAGAS, partial(count, parked=True), **labels)
    metrics.watch(catalogue.OLDEST_SAGA, oldest, **labels)


def _watch_lanes(metrics: Metrics, service: str, core: Core) -> None:
    lag_ms = floors_lag_ms(core.ledger.schedule)

    def lag_s(edge: int) -> float:
        return max(0, core.high_water.backlog.floors_ms.get(edge, 0) - lag_ms) / 1000

    for edge in core.ledger.edges.values():
        lane = edge.lane.value
        if edge.receiver == service and edge.sender not in (service, HTTP):
            if edge.id not in core.ledger.declared:
                continue  # taken out of the code: its sender announces nothing any more
            labels = {"service": service, "sender": edge.sender, "lane": lane}
            ignored = partial(core.received.ignored_below_floor.__getitem__, edge.id)
            metrics.watch(catalogue.LETTERS_IGNORED, ignored, **labels)
            metrics.watch(catalogue.FLOOR_LAG, partial(lag_s, edge.id), **labels)
        elif edge.sender == service and edge.receiver != service:
            labels = {"service": service, "receiver": edge.receiver, "lane": lane}
            metrics.watch(catalogue.IN_FLIGHT, partial(core.outbox.in_flight, edge.id), **labels)


def watch_edge(metrics: Metrics, edge: Edge) -> None:
    """Show the defences of an edge; those that its policy leaves out are not shown."""

    def retries() -> int:
        stats = edge.stats()
        return max(0, stats.tries - stats.calls)

    metrics.watch(catalogue.RETRIES, retries, edge=edge.name)
    metrics.watch(catalogue.BREAKER, lambda: _breaker_state(edge), edge=edge.name)
    stats = edge.stats()
    reads: dict[Metric, Callable[[], float]] = {}
    if stats.breaker is not None:
        reads[catalogue.BREAKER_REFUSED] = lambda: _of(edge.stats().breaker, "refused")
    if stats.budget is not None:
        reads[catalogue.BUDGET_LEFT] = lambda: _of(edge.stats().budget, "left")
        reads[catalogue.BUDGET_REFUSED] = lambda: _of(edge.stats().budget, "refused")
    if stats.bulkhead is not None:
        reads[catalogue.BULKHEAD_RUNNING] = lambda: _of(edge.stats().bulkhead, "under_way")
        reads[catalogue.BULKHEAD_WAITING] = lambda: _of(edge.stats().bulkhead, "waiting")
        reads[catalogue.BULKHEAD_REFUSED] = lambda: _of(edge.stats().bulkhead, "refused")
    for metric, read in reads.items():
        metrics.watch(metric, read, edge=edge.name)


def _breaker_state(edge: Edge) -> int:
    breaker = edge.stats().breaker
    return _BREAKER_STATES[breaker.state] if breaker else 0


def _of(stats: object, name: str) -> float:
    found: float = getattr(stats, name)
    return found
