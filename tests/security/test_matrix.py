"""Default deny: of everybody with everything at every door, what the graph declares succeeds.

Processes of two systems with identities, on real connections; the cells come from the graph.
"""

from pathlib import Path

import msgspec
import pytest

from holdfast.contract.http import Response
from holdfast.contract.spiffe import MONITORING, OPERATOR
from holdfast.system import System
from shop.system import shop
from tests.ablations.off import off
from tests.security.matrix import FOREIGNER, STRANGER, Cell, Doors, doors
from tests.simulation.scenarios.intruders import mint

BOTH = pytest.mark.parametrize("system", [shop, mint], ids=lambda system: system.name)


async def let_in(found: Doors) -> tuple[set[Cell], int]:
    """Return the cells that succeed, and how many there are."""
    cells = list(found.cells())
    return {cell for cell in cells if is_let_in(await found.knock(cell))}, len(cells)


def is_let_in(answer: Response | None) -> bool:
    """Whether a door looked at what was wanted; a refusal says why, and nothing else."""
    if answer is None:
        return False
    if answer.status != 403:
        assert answer.status < 500 or answer.status == 503, answer
        return True
    said: dict[str, str] = msgspec.json.decode(answer.body)
    assert (
        "for the gateway alone" in said["detail"]
        or "name of another" in said["detail"]
        or ("add " in said["detail"])
    ), said
    return False


@BOTH
async def test_what_the_graph_declares_succeeds_and_nothing_else(
    system: System, tmp_path: Path
) -> None:
    """Every caller, in every name, for every query and route, at every door."""
    async with doors(system, tmp_path) as found:
        succeeded, count = await let_in(found)

        assert succeeded == found.declared()
        assert count > 15 * len(succeeded) > 0


@pytest.mark.parametrize(
    ("switch", "more"),
    [
        ("asker_is_the_peer", Cell("guest", "clerk", "scale", "GetFineness.v1")),
        ("declared_queries", Cell("guest", "guest", "scale", "GetFineness.v1")),
        ("routes_for_the_gateway", Cell("guest", "guest", "clerk", "POST /v1/bars")),
    ],
)
async def test_the_matrix_finds_a_safeguard_that_is_off(
    switch: str, more: Cell, tmp_path: Path
) -> None:
    """Cells succeed that nobody has declared; but strangers stay outside."""
    with off(switch):
        async with doors(mint, tmp_path) as found:
            succeeded, _ = await let_in(found)

            assert succeeded > found.declared()
            assert more in succeeded
            assert not any(cell.caller in (STRANGER, FOREIGNER) for cell in succeeded)


@BOTH
async def test_operations_tell_strangers_whether_it_lives_and_no_more(
    system: System, tmp_path: Path
) -> None:
    """Whoever reads the metrics, and operators, see all; a foreign certificate is not taken in."""
    full: set[tuple[str, str]] = set()
    async with doors(system, tmp_path) as found:
        for caller in found.callers:
            for name in found.processes:
                metrics = await found.look(caller, name, "/metrics")
                probes = [await found.look(caller, name, f"/health/{one}") for one in PROBES]
                if caller == FOREIGNER:
                    assert [metrics, *probes] == [None] * 3
                    continue
                assert metrics is not None
                assert [probe is not None and probe.status for probe in probes] == [200, 200]
                if metrics.status == 200:
                    full.add((caller, name))
                    assert all(
                        probe is not None and b"checks" in probe.body for probe in probes[1:]
                    )
                else:
                    assert (metrics.status, metrics.body) == (403, b"")

        wanted = {(reader, name) for reader in (MONITORING, OPERATOR) for name in found.processes}
        assert full == wanted


PROBES = ("live", "ready")
