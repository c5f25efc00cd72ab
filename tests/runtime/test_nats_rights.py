"""Each workload × each subject, on a real server: what the graph declares is let through alone."""

import asyncio
from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path

import pytest
from nats.errors import Error as NatsError

from holdfast import Command, Event, Service, System, Undo
from holdfast.contract.envelope import Lane
from holdfast.contract.spiffe import ALL, NOT_SERVICES, PROVISIONER
from holdfast.system import Graph
from shop.system import shop
from tests.guarded_nats import GuardedNats, guarded


class Bake(Command[None]):
    """Bake bread."""


class Unbake(Undo[Bake]):
    """Take it back."""


class Baked(Event):
    """There is bread."""


oven = Service("oven", publishes=[Baked])
counter = Service("counter", calls=[Bake])
street = Service("street")  # hears what is baked, and has nothing to say
cellar = Service("cellar")  # has to do with nobody


@oven.handles
async def bake(command: Bake) -> None:
    """Bake."""


@oven.handles
async def unbake(undo: Unbake) -> None:
    """Take it back."""


@street.handles
async def smell(event: Baked) -> None:
    """Smell it."""


BAKERY = System("bakery", services=[oven, counter, street, cellar])
GRAPHS = {"shop": shop.graph(), "bakery": BAKERY.graph()}
VERBS = (
    *("STREAM.CREATE", "STREAM.UPDATE", "STREAM.DELETE", "STREAM.PURGE", "STREAM.INFO"),
    *("STREAM.MSG.GET", "STREAM.MSG.DELETE", "STREAM.SNAPSHOT", "STREAM.LEADER.STEPDOWN"),
    *("CONSUMER.LIST", "CONSUMER.NAMES", "CONSUMER.CREATE", "DIRECT.GET"),
)
OF_CONSUMERS = (
    *("CONSUMER.CREATE", "CONSUMER.DURABLE.CREATE", "CONSUMER.DELETE", "CONSUMER.INFO"),
    *("CONSUMER.MSG.NEXT", "CONSUMER.PAUSE", "CONSUMER.UNPIN"),
)


def streams(graph: Graph) -> list[tuple[str, str]]:
    """Return (service, stream) of all streams."""
    return [(s, f"{graph.system}_{s}_{lane}") for s, lane in product(graph.services, Lane)]


def written(graph: Graph) -> list[str]:
    """Return every subject that somebody may want to publish to."""
    system, found = graph.system, list[str]()
    workloads = [*graph.services, *sorted(NOT_SERVICES)]
    for service, lane in product(graph.services, Lane):
        bare = f"{system}.{service}.{lane}"
        found += [bare, f"{bare}.{service}.x", *(f"{bare}.{sender}" for sender in workloads)]
    for _, stream in streams(graph):
        for api in ("$JS.API", "_js"):
            found += [f"{api}.{verb}.{stream}" for verb in VERBS]
            found += [f"{api}.{verb}.{stream}.{stream}" for verb in OF_CONSUMERS]
        found += [f"$JS.ACK.{stream}.{stream}.1.1.1.1.0"]
        found += [f"$JS.ACK._.hash.{stream}.{stream}.1.1.1.1.0"]
    for name in workloads:
        found += [f"_INBOX_{system}_{name}.guess", f"_provision.{system}.{name}"]
    found += ["$SYS.REQ.SERVER.PING", "$SYS.REQ.USER.INFO", "$JS.API.INFO", "_INBOX.guess"]
    found += [
        "_server.CONNZ",
        "_server.VARZ",
        "_server.KICK.X",
        "_server.RELOAD.X",
        "_server.SUBSZ",
    ]
    found += [f"$SYS.REQ.SERVER.{one}" for one in ("PING.CONNZ", "PING.VARZ", "X.KICK", "X.RELOAD")]
    found += ["$SYS.REQ.ACCOUNT.PING.CONNZ", "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.x.x"]
    return [*found, f"_provision.other.{graph.services[0]}", f"other.{graph.services[0]}.work.x"]


def read(graph: Graph) -> list[str]:
    """Return every subject that somebody may want to listen to."""
    system, found = graph.system, [">", "*", "*.>", f"{graph.system}.>", "_INBOX.>", "_js.>"]
    for service, lane in product(graph.services, Lane):
        found += [f"{system}.{service}.{lane}", f"{system}.{service}.{lane}.*"]
    for name in (*graph.services, *sorted(NOT_SERVICES)):
        found += [f"_INBOX_{system}_{name}.>", f"_provision.{system}.{name}"]
    found += ["_server.>", "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.*.*"]
    found += [
        "$SYS.>",
        "$JS.>",
        "$JS.EVENT.>",
        "$JS.EVENT.ADVISORY.>",
        "$JS.ACK.>",
        "$JS.API.>",
        f"_provision.{system}.*",
    ]
    return found


def may_write(graph: Graph, who: str, subject: str) -> bool:
    """Say in so many words whether a workload may publish to a subject."""
    if who == ALL:
        return any(may_write(graph, service, subject) for service in graph.services)
    parts, system = subject.split("."), graph.system
    if parts[0] == system and len(parts) == 4:
        _, to, lane, sender = parts
        kinds = {
            (e.kind, e.sender, e.receiver)
            for e in graph.edges
            if e.kind in ("command", "undo", "event")
        }
        sends = any((kind, who, to) in kinds for kind in ("command", "undo", "event"))
        answers = any((kind, to, who) in kinds for kind in ("command", "undo", "event"))
        own = who == to and who in graph.services
        return sender == who and (sends or own or (answers and lane == "urgent"))
    if parts[0] == "_server":
        return who == PROVISIONER and parts[1] in ("CONNZ", "VARZ", "KICK")
    if parts[0] == "_provision":
        return parts[1:] == [system, who] and who in graph.services
    for service, stream in streams(graph):
        if who == service and (
            subject in (f"_js.CONSUMER.{verb}.{stream}.{stream}" for verb in ("MSG.NEXT", "INFO"))
            or (subject.startswith("$JS.ACK.") and f".{stream}.{stream}." in subject)
        ):
            return True
        if who == PROVISIONER and subject in (
            *(f"$JS.API.STREAM.{verb}.{stream}" for verb in ("CREATE", "UPDATE", "DELETE")),
            f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{stream}",
        ):
            return True
    return False


def may_read(graph: Graph, who: str, subject: str) -> bool:
    """Say whether a workload may listen to a subject: in its own inbox, and the provisioner."""
    lost = "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.*.*"
    provides = who == PROVISIONER and (
        subject.startswith(f"_provision.{graph.system}.") or subject == lost
    )
    return subject == f"_INBOX_{graph.system}_{who}.>" or provides


@pytest.fixture(params=sorted(GRAPHS))
async def nats(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[GuardedNats]:
    """The server of one of the systems."""
    async with guarded(GRAPHS[request.param], tmp_path) as server:
        yield server


def known(graph: Graph) -> list[str]:
    """Return the workloads that may connect."""
    return [*graph.services, ALL, PROVISIONER]


async def test_each_workload_publishes_what_the_graph_declares(nats: GuardedNats) -> None:
    """Every subject by everybody's certificate: exactly the declared cells are not refused."""
    graph, wrong, cells = nats.graph, list[str](), 0
    for who in known(graph):
        async with nats.visitor(who) as visitor:
            for subject in written(graph):
                await visitor.client.publish(subject, b"not a parcel")
            refused = await visitor.refusals()
            for subject in written(graph):
                let = f'permissions violation for publish to "{subject.lower()}"' not in refused
                cells += 1
                if let is not may_write(graph, who, subject):
                    wrong.append(f"{who} {'may' if let else 'may not'} publish to {subject}")

    assert wrong == []
    assert cells > 1_000


async def test_each_workload_hears_its_own_inbox_alone(nats: GuardedNats) -> None:
    """Nobody listens to letters, deliveries, acknowledgements or the server's own."""
    graph, wrong = nats.graph, list[str]()
    for who in known(graph):
        async with nats.visitor(who) as visitor:
            for subject in read(graph):
                await visitor.client.subscribe(subject)
            refused = await visitor.refusals()
            for subject in read(graph):
                let = not any(f'subscription to "{subject.lower()}"' in one for one in refused)
                if let is not may_read(graph, who, subject):
                    wrong.append(f"{who} {'may' if let else 'may not'} listen to {subject}")

    assert wrong == []


@pytest.mark.parametrize("who", sorted(NOT_SERVICES - {ALL, PROVISIONER}))
async def test_who_has_no_business_there_may_not_connect(nats: GuardedNats, who: str) -> None:
    """The gateway, operators, what migrates, and the other servers are no users."""
    with pytest.raises(NatsError, match="Authorization Violation"):
        async with asyncio.timeout(20), nats.visitor(who):
            pass


async def test_a_declared_letter_arrives_in_its_receivers_stream(nats: GuardedNats) -> None:
    """And in no other: the server says which, and refuses every undeclared one."""
    graph, wrong = nats.graph, list[str]()
    for who, to, lane in product(graph.services, graph.services, Lane):
        subject = f"{graph.system}.{to}.{lane}.{who}"
        if not may_write(graph, who, subject):
            continue
        async with nats.visitor(who) as visitor:
            answer = await visitor.client.request(subject, b"not a parcel", timeout=10)
            if f'"stream":"{graph.system}_{to}_{lane}"'.encode() not in answer.data:
                wrong.append(f"{subject}: {answer.data!r}")

    assert wrong == []
