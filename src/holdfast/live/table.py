"""A live graph for a terminal."""

from collections.abc import Callable
from typing import Literal

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from holdfast.live.picture import LiveEdge, LiveGraph, LiveService

_STATES = {"ready": "green", "down": "bold red", "ill": "yellow", "draining": "yellow"}
_FOLDED = ("service", "edge", "what")


def drawn(graph: LiveGraph) -> Group:
    """Return both tables: services, then edges with the busiest ones of each kind in place."""
    services = _table("service state procs req/s errors p99 waits oldest due needs budget")
    for one in graph.services:
        services.add_row(*_service(one))
    edges = _table("edge what /s errors p99 backlog breaker")
    for edge in graph.edges:
        edges.add_row(*_edge(edge))
    notes = [
        *(f"{one.name}: {one.why}" for one in graph.services if one.why),
        *(_spent(one) for one in graph.services if one.budget is not None and one.budget < 1),
        *(f"{name} does not answer" for name in graph.silent),
    ]
    title = Text(f"{graph.system}, over {graph.seconds:.1f} s", style="bold")
    return Group(title, "", services, "", edges, "", *map(Text, notes))


def _table(columns: str) -> Table:
    """Return a table that fits into 80 columns: what is long is folded, numbers never are."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    for number, name in enumerate(columns.split()):
        folded = name in _FOLDED
        side: Literal["left", "right"] = "left" if number < 2 else "right"
        table.add_column(name, justify=side, overflow="fold", no_wrap=not folded)
    return table


def _spent(one: LiveService) -> str:
    broken = " is broken" if (one.budget or 0) < 0 else ""
    return f"{one.name}: the promise of {one.of}{broken}, {one.budget:.0%} of its budget is left"


def _service(one: LiveService) -> list[Text]:
    budget = "-" if one.budget is None else f"{one.budget:.0%}"
    return [
        Text(one.name),
        Text(one.state, style=_STATES[one.state]),
        Text(str(one.processes)),
        *_run(one),
        Text(str(one.waits)),
        Text(f"{one.oldest_s:.0f} s" if one.waits else "-"),
        Text(str(one.due)),
        Text(str(one.needs), style="bold red" if one.needs else ""),
        Text(budget, style="bold red" if (one.budget or 1) < 0 else ""),
    ]


def _edge(edge: LiveEdge) -> list[Text]:
    breaker = edge.breaker or "-"
    return [
        Text(f"{edge.sender} → {edge.receiver}"),
        Text(f"{edge.kind} {edge.message}".rstrip()),
        *_run(edge),
        Text("-" if edge.backlog is None else str(edge.backlog)),
        Text(breaker, style="" if breaker in ("-", "closed") else "bold red"),
    ]


def _run(one: LiveEdge | LiveService) -> list[Text]:
    return [
        _number(one.rate, lambda rate: f"{rate:.1f}"),
        _number(one.errors, lambda errors: f"{errors:.1%}", bad=bool(one.errors)),
        _number(one.p99_ms, lambda ms: f"≤ {ms:g} ms"),
    ]


def _number(number: float | None, told: Callable[[float], str], *, bad: bool = False) -> Text:
    return Text("-" if number is None else told(number), style="red" if bad else "")
