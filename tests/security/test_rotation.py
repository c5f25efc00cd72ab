"""Leaf, key and authority change while requests are under way: nobody notices.

Every connection between the processes serves one request, so that each request is a handshake.
"""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from holdfast.runtime import hop
from holdfast.testing import Client
from tests.security.matrix import Doors, doors
from tests.simulation.scenarios.intruders import mint

BETWEEN = 6  # answers, between two steps of a rotation
AT_ONCE = 3


@dataclass
class Load:
    """Customers who bring bars without a pause.

    Attributes:
        answers: {status: how many}. came: set at each answer.
    """

    client: Client
    answers: Counter[int] = field(default_factory=Counter[int])
    came: asyncio.Event = field(default_factory=asyncio.Event)
    brought: int = 0

    async def bring(self) -> None:
        """Bring one bar after the other."""
        while True:
            self.brought += 1
            answer = await self.client.post("/v1/bars", json={"number": self.brought})
            self.answers[answer.status] += 1
            self.came.set()

    async def answered(self, count: int = BETWEEN) -> None:
        """Wait for some more answers."""
        wanted = self.answers.total() + count
        while self.answers.total() < wanted:
            self.came.clear()
            await self.came.wait()

    @property
    def failed(self) -> int:
        """How many were answered by anything but 202."""
        return self.answers.total() - self.answers[202]


@asynccontextmanager
async def under_load(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Doors, Load]]:
    """Run the mint, and bring bars to it."""
    monkeypatch.setattr(hop, "AGE_S", 0.0)
    async with doors(mint, folder) as found:
        load = Load(Client(found.processes["gateway"].url))
        bringing = [asyncio.create_task(load.bring()) for _ in range(AT_ONCE)]
        try:
            await load.answered()
            yield found, load
            await load.answered()
        finally:
            for task in bringing:
                task.cancel()
            await asyncio.gather(*bringing, return_exceptions=True)
            await load.client.close()


def weighed_in(folder: Path) -> int:
    """Return how many bars were weighed; the number of each is a key."""
    with closing(sqlite3.connect(folder / "clerk.db")) as database:
        [count] = database.execute("SELECT count(*) FROM weighed").fetchone()
    return int(count)


async def look(found: Doors, load: Load) -> None:
    """Let the processes see new files, one after the other: some have them, and some have not."""
    for name in found.processes:
        assert found.identities[name].look()
        await load.answered()


async def test_a_rotation_of_leaf_key_and_authority_fails_no_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old and new side by side at each step; in the end the old authority is trusted by nobody."""
    async with under_load(tmp_path, monkeypatch) as (found, load):
        authority = found.authority
        steps: list[Callable[[], object]] = [
            lambda: [authority.issue(name) for name in found.processes],
            authority.announce,
            authority.switch,
            authority.forget,
        ]
        serials = {found.identities[name].certificate.serial for name in found.processes}
        for step in steps:
            step()
            await load.answered()
            await look(found, load)
            serials |= {found.identities[name].certificate.serial for name in found.processes}
        opened = found.handshakes()

    assert load.failed == 0
    assert len(serials) == 3 * len(found.processes)
    assert opened > load.answers[202] > BETWEEN * 16


async def test_what_was_ordered_meanwhile_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every bar that was taken in is weighed, once."""
    async with under_load(tmp_path, monkeypatch) as (found, load):
        for name in found.processes:
            found.authority.issue(name)
        await look(found, load)

    async with doors(mint, tmp_path), asyncio.timeout(300):
        while weighed_in(tmp_path) < load.answers[202]:
            await asyncio.sleep(0.02)

    assert load.failed == 0
    assert load.answers[202] <= weighed_in(tmp_path) <= load.brought


async def test_a_rotation_in_one_step_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next authority issues before everybody trusts it: requests fail, and the load sees it."""
    async with under_load(tmp_path, monkeypatch) as (found, load):
        found.authority.announce()
        found.authority.switch()
        assert found.identities["scale"].look()
        await load.answered()
        failed = load.failed
        for name in found.processes:
            found.identities[name].look()
        await load.answered(AT_ONCE)

    assert failed > 0
