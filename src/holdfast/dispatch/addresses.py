"""What the graph says of one service: its edges, and where its letters go. Pure functions."""

from holdfast.consistency.letters import Addresses
from holdfast.consistency.senders import Senders, Sent
from holdfast.consistency.unknown import KnownWork
from holdfast.contract.envelope import HTTP, EdgeRow, Kind, Lane
from holdfast.contract.messages import Command, Undo
from holdfast.system import Graph, Service, System
from holdfast.system.tables import known_letters, known_sagas


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


def known_of(service: Service, graph: Graph) -> KnownWork:
    """Return what this version of a service knows of what its database may hold."""
    sends = frozenset(
        (edge.receiver, edge.message)
        for edge in graph.edges
        if edge.sender == service.name and edge.kind in _KINDS
    )
    return KnownWork(known_sagas(service), known_letters(service), sends)


def senders_of(service: Service, graph: Graph) -> Senders:
    """Return who may send a service what; who may send a command may withdraw it."""
    may_send: dict[str, set[Sent]] = {
        sender: set() for sender in graph.senders_to(service.name) if sender != service.name
    }
    for edge in graph.edges:
        if edge.receiver == service.name and edge.sender in may_send and edge.kind in _KINDS:
            may_send[edge.sender] |= {(kind, edge.message) for kind in _KINDS[edge.kind]}
    found = {sender: frozenset(sent) for sender, sent in may_send.items()}
    return Senders(service.name, found, known_letters(service))


_KINDS = {
    "command": (Kind.COMMAND, Kind.WITHDRAW),
    "undo": (Kind.UNDO,),
    "event": (Kind.EVENT,),
}


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
