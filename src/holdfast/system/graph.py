"""The graph: who sends what to whom. Everything kept by hand elsewhere is derived from it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

EdgeKind = Literal["route", "mount", "command", "undo", "query", "event", "external"]


@dataclass(frozen=True, slots=True, order=True)
class GraphEdge:
    """One edge. For a route, `message` is its method and path and `sender` is the gateway.

    For a mounted app, `message` is the path below which it serves.
    """

    sender: str
    receiver: str
    kind: EdgeKind
    message: str


@dataclass(frozen=True, slots=True)
class Graph:
    """A system as a graph; edges are sorted, so that two renderings of one system are equal."""

    system: str
    services: tuple[str, ...]
    externals: tuple[str, ...]
    edges: tuple[GraphEdge, ...]

    def senders_to(self, service: str) -> tuple[str, ...]:
        """Return the services that send letters to `service`, sorted; itself too if it does."""
        kinds = ("command", "undo", "event")
        return tuple(
            sorted({e.sender for e in self.edges if e.receiver == service and e.kind in kinds})
        )

    def receivers_of(self, service: str) -> tuple[str, ...]:
        """Return the services to which `service` sends letters, sorted; itself too if it does."""
        kinds = ("command", "undo", "event")
        return tuple(
            sorted({e.receiver for e in self.edges if e.sender == service and e.kind in kinds})
        )

    def subscribers(self, sender: str, event: str) -> tuple[str, ...]:
        """Return who hears an event of `sender`, sorted."""
        return tuple(
            e.receiver
            for e in self.edges
            if e.sender == sender and e.kind == "event" and e.message == event
        )

    def to_json(self) -> dict[str, Any]:
        """Return the graph as JSON types."""
        return {
            "system": self.system,
            "services": list(self.services),
            "externals": list(self.externals),
            "edges": [asdict(edge) for edge in self.edges],
        }

    def to_mermaid(self) -> str:
        """Return the graph as a Mermaid flowchart; routes are joined into one arrow a service."""
        return "\n".join(["flowchart LR", *self._mermaid_lines()]) + "\n"

    def _mermaid_lines(self) -> Iterator[str]:
        yield '  gateway(["gateway"])'
        for service in self.services:
            yield f'  {_node(service)}["{service}"]'
        for external in self.externals:
            yield f'  {_node(external)}{{{{"{external}"}}}}'
        grouped: dict[tuple[str, str, str], list[str]] = {}
        for edge in self.edges:
            grouped.setdefault((edge.sender, edge.receiver, edge.kind), []).append(edge.message)
        for (sender, receiver, kind), messages in grouped.items():
            if kind == "undo":
                continue  # an undo follows its command; drawn twice it hides the rest
            arrow = "-.->" if kind == "event" else "==>" if kind == "external" else "-->"
            count = f"{len(messages)} route{'s' * (len(messages) > 1)}"
            label = count if kind == "route" else ", ".join(messages)
            text = f'|"{label}"|' if kind != "external" else ""
            yield f"  {_node(sender)} {arrow}{text} {_node(receiver)}"


def _node(name: str) -> str:
    """Return a Mermaid id: never a word of Mermaid's own, such as `end`, and without a dash."""
    return name if name == "gateway" else f"n_{name.replace('-', '_')}"
