"""Simulated nodes know who is at the other end, and an intruder among them gets nothing."""

import asyncio
import random
import ssl

import pytest

from holdfast.simulation.faults import AnyFault, Takeover, draw_takeover
from holdfast.simulation.identity import SimIdentity, shake_hands
from holdfast.simulation.network import SimNetwork
from holdfast.simulation.node import Node
from holdfast.simulation.run import run
from holdfast.simulation.world import Setup
from tests.ablations.off import off
from tests.simulation.scenarios.intruders import mint
from tests.virtual_loop import run_virtual

GUEST, SCALE = SimIdentity("guest"), SimIdentity("scale")
STRANGER = SimIdentity("gateway", "his own")


def test_each_side_sees_the_certificate_of_the_other() -> None:
    """Which need not be that of the node: whoever has a key can show it."""
    wire = SimNetwork.seeded("who")

    async def main() -> None:
        seen: list[str] = []

        class Server(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                seen.append(SCALE.peer(transport))

        here, there = wire.of(Node("thief", "thief")), wire.of(Node("scale-1", "scale"))
        wire.names = lambda name: ["scale-1"]
        await there.listen(Server, "", 8000, tls=SCALE.listens())
        tls = GUEST.reaches("scale")
        transport, _ = await here.connect(asyncio.Protocol, "scale", 8000, tls=tls)
        await asyncio.sleep(1)
        assert (GUEST.peer(transport), seen) == ("scale", ["guest"])

    run_virtual(main())


def test_who_cannot_prove_who_he_is_is_refused() -> None:
    """By either side: in clear, by an authority of his own, or where another one was wanted."""
    inside = SCALE.listens()
    with pytest.raises(ConnectionResetError, match="in clear"):
        shake_hands(None, inside)
    with pytest.raises(ssl.SSLError, match="speaks in clear"):
        shake_hands(GUEST.reaches("scale"), None)
    with pytest.raises(ssl.SSLCertVerificationError, match="issued by his own"):
        shake_hands(STRANGER.reaches("scale"), inside)
    with pytest.raises(ssl.SSLCertVerificationError, match="issued by his own"):
        shake_hands(GUEST.reaches("gateway"), STRANGER.listens())
    with pytest.raises(ssl.SSLCertVerificationError, match="it is scale, and clerk was"):
        shake_hands(GUEST.reaches("clerk"), inside)

    assert shake_hands(None, SCALE.listens(strangers=True)) == ("scale", "")
    assert shake_hands(None, None) == ("", "")


def test_without_its_safeguard_anybody_makes_his_own_certificate() -> None:
    """And is the gateway."""
    with off("proven_peers"):
        assert shake_hands(STRANGER.reaches("scale"), SCALE.listens()) == ("scale", "gateway")


def test_a_taken_over_service_tries_all_that_it_must_not_get() -> None:
    """Routes, queries, letters and answers, as itself and as others; it gets nothing."""
    setup = Setup(size=2)

    outcome = run(mint, 1, setup, [Takeover(service="guest", attempts=99)])
    with off("asker_is_the_peer", "routes_for_the_gateway"):
        open_doors = run(mint, 1, setup, [Takeover(service="guest", attempts=99)])

    assert outcome.violations == []
    found = {violation.invariant for violation in open_doors.violations}
    assert found == {"nobody_gets_what_no_edge_allows"}


def test_what_is_drawn_for_an_intruder_changes_no_other_fault() -> None:
    """Some of all seeds have one; at times he stands where another service should be."""
    drawn: list[AnyFault] = []
    for seed in range(200):
        drawn += draw_takeover(random.Random(f"{seed} intruder"), ["a", "b", "c"])

    takeovers = [fault for fault in drawn if isinstance(fault, Takeover)]
    assert 20 < len(takeovers) == len(drawn) < 80
    assert any(one.poses for one in takeovers)
    assert all(one.poses != one.service for one in takeovers)
    assert draw_takeover(random.Random(1), ["alone"]) == []
