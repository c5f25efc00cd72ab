"""Who may do what on NATS, derived from the graph; everything else is denied.

A service may publish letters along its own edges and answers to those who send it letters, under
its own name; pull and acknowledge what its own streams hold; and listen in its own inbox. Only the
provisioner makes streams; it may publish no letter, but what a stream does with those that come is
its to say. It may ask the servers who is connected, and have a connection ended. The gateway, the
operator and the migrator have no business there.

The streams are in an account of their own, and each workload in another one, which imports what it
may publish and nothing else. For a server publishes in its own name where a request says that its
answer shall go; within one account that could be a subject to which the asker has no right.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.contract.envelope import Lane
from holdfast.contract.spiffe import ALL, PROVISIONER
from holdfast.engines.nats_names import (
    API,
    IMPORTED,
    OF_SERVERS,
    TERMINATED,
    inbox_of,
    provision_of,
    pull_of,
    stream_of,
    subject_of,
)
from holdfast.system import Graph

_NEVER = ("$SYS.>", f"{API}.>")


@dataclass(frozen=True, slots=True)
class NatsRights:
    """What one workload may publish and subscribe to; what is not allowed is denied.

    Attributes:
        denied, unheard: of what is denied, what a server's settings say in so many words.
        answers: it may answer whoever asks it, each question once.
    """

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    denied: tuple[str, ...] = ()
    unheard: tuple[str, ...] = ()
    answers: bool = False


def nats_rights(graph: Graph) -> dict[str, NatsRights]:
    """Return {workload: its rights}; who is not there may not even connect."""
    found = {service: _of_service(graph, service) for service in graph.services}
    inbox = f"{inbox_of(graph.system, ALL)}.>"
    everything = (one for rights in found.values() for one in rights.publish)
    denied = _NEVER
    unheard = ("$SYS.>", "$JS.>", f"{graph.system}.>")
    found[ALL] = NatsRights(_sorted(everything), (inbox,), denied, unheard)
    found[PROVISIONER] = _of_provisioner(graph)
    return found


def _of_service(graph: Graph, service: str) -> NatsRights:
    system, others = graph.system, [name for name in graph.services if name != service]
    receivers = [name for name in graph.receivers_of(service) if name != service]
    asking = [name for name in graph.senders_to(service) if name != service]
    publish = {subject_of(system, name, lane, service) for name in receivers for lane in Lane}
    publish |= {subject_of(system, name, Lane.URGENT, service) for name in asking}  # answers
    for lane in Lane:
        stream = stream_of(system, service, lane)
        publish |= {
            subject_of(system, service, lane, service),  # proofs, and time-outs to itself
            f"{IMPORTED}.CONSUMER.INFO.{stream}.{stream}",
            pull_of(system, service, lane, api=IMPORTED),
            f"$JS.ACK.{stream}.{stream}.>",
            f"$JS.ACK.*.*.{stream}.{stream}.>",  # as newer servers spell it
        }
    publish.add(provision_of(system, service))
    strangers = [name for name in others if name not in {*receivers, *asking}]
    denied = (*_NEVER, *(f"{system}.{name}.>" for name in strangers))
    unheard = ("$SYS.>", "$JS.>", f"{system}.>", f"{provision_of(system, '>')}")
    inbox = f"{inbox_of(system, service)}.>"
    return NatsRights(_sorted(publish), (inbox,), denied, unheard)


def _of_provisioner(graph: Graph) -> NatsRights:
    system = graph.system
    publish: set[str] = set(OF_SERVERS)
    for service in graph.services:
        for lane in Lane:
            stream = stream_of(system, service, lane)
            publish |= {
                *(f"{API}.STREAM.{verb}.{stream}" for verb in ("CREATE", "UPDATE", "DELETE")),
                f"{API}.CONSUMER.DURABLE.CREATE.{stream}.{stream}",
            }
    reading = ("$JS.ACK.>", f"{API}.CONSUMER.MSG.>", f"{API}.STREAM.MSG.>", f"{API}.DIRECT.>")
    taking = (f"{API}.STREAM.PURGE.>", f"{API}.STREAM.SNAPSHOT.>", f"{API}.STREAM.RESTORE.>")
    inbox = f"{inbox_of(system, PROVISIONER)}.>"
    subscribe = (provision_of(system, "*"), inbox, f"{TERMINATED}.*.*")
    return NatsRights(
        _sorted(publish),
        subscribe,
        denied=("$SYS.>", *reading, *taking, f"{system}.>"),
        unheard=("$SYS.>", "$JS.ACK.>", f"{API}.>", f"{system}.>"),
        answers=True,
    )


def _sorted(subjects: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(subjects)))
