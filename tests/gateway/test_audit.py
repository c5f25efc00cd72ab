"""What the gateway and the inner door refuse stands in the audit log."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from holdfast.observability.chain import AuditEntry
from holdfast.testing import Running, running, virtual_time
from tests.auditing import entries_in
from tests.gateway.test_door import Desk, token


@asynccontextmanager
async def desk() -> AsyncIterator[Running]:
    """Yield a running desk."""
    async with running(Desk().system) as system:
        yield system


def refusals(system: Running) -> list[AuditEntry]:
    """Return the entries so far."""
    found = entries_in(system.log.getvalue())
    return [entry for entry in found if entry.what == "request.refused"]


@virtual_time
async def test_a_request_that_may_not_is_written_with_who_and_why() -> None:
    """No token, one that is none, one without the scope; not one that may, nor a 404."""
    async with desk() as system:
        client = system.client
        now = system.process._engines.clock.now()  # pyright: ignore[reportPrivateUsage]
        ada = token("ada", now=now)
        assert (await client.get("/v1/me")).status == 401
        assert (await client.get("/v1/me", token="secret.token.text")).status == 401
        forbidden = await client.post("/v1/notes", json={"text": "a"}, token=ada)
        assert forbidden.status == 403
        assert (await client.get("/v1/me", token=ada)).status == 200
        assert (await client.get("/v1/nowhere", token=ada)).status == 404

        entries = refusals(system)
        told = [(e.who.split()[0], e.authority, e.on, e.outcome) for e in entries]
        assert told == [
            ("address", "", "GET /v1/me", "refused: unauthenticated"),
            ("address", "", "GET /v1/me", "refused: malformed"),
            ("caller", "token of first-party", "POST /v1/notes", "refused: 403"),
        ]
        assert entries[2].who == "caller ada"
        assert entries[2].correlation_id == forbidden.headers["x-correlation-id"]
        assert not any("secret" in repr(entry) for entry in entries)


@virtual_time
async def test_a_flood_of_refusals_does_not_fill_the_disk() -> None:
    """A thousand requests without a token are one entry, until the minute is over."""
    async with desk() as system:
        for _ in range(1_000):
            assert (await system.client.get("/v1/me")).status == 401

        assert len(refusals(system)) == 1
        assert system.process.audit.lost == 0
