"""What the graph says of one service: its edges, and where its letters go. Pure functions."""

from holdfast.consistency.letters import Addresses
from holdfast.contract.envelope import HTTP, EdgeRow, Lane
from holdfast.contract.messages import Command, Undo
from holdfast.system import Graph, Service, System


def edges_of(service: str, graph: Graph) -> list[EdgeRow]:
    """Return the edges of one service's tables: in both lanes, to itself, and from HTTP."""
    edges = [
        EdgeRow(0, sender, service, lane)
        for sender in graph.senders_to(service)
        if sender != service
        for lane in Lane
    ]
    for receiver in graph.receivers_of(service):
        if receiver != service:
            heard = tuple(
                e.message
                for e in graph.edges
                if (e.sender, e.receiver, e.kind) == (service, receiver, "event")
            )
            edges.append(EdgeRow(0, service, receiver, Lane.WORK, heard))
            edges.append(EdgeRow(0, service, receiver, Lane.URGENT))
    return [*edges, EdgeRow(0, service, service, Lane.WORK), EdgeRow(0, HTTP, service, Lane.WORK)]


def addresses_of(service: Service, system: System, graph: Graph) -> Addresses:
    """Return what a service may send, and to whom."""
    handled = {
        wire: (name, handler.message)
        for name, handlers in system.handlers().items()
        for wire, handler in handlers.by_wire_name.items()
    }
    owners = {
        wire: name
        for wire, (name, message) in handled.items()
        if (issubclass(message, Command) and message in service.calls)
        or (issubclass(message, Undo) and message.undoes in service.calls)
    }
    subscribers = {
        event.wire_name(): graph.subscribers(service.name, event.wire_name())
        for event in service.publishes
    }
    return Addresses(owners, subscribers)
