"""A running Postgres gets another identity, or trusts another authority: all of it, within a time.

It is told to read its files again, and then looked at: a file that it cannot use changes nothing
there, and is a line of its own log alone. Its sessions go on with what they were let in by, so
those that are older than what it trusts now are ended when their clients have had time to leave.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from ssl import PEM_cert_to_DER_cert

from holdfast.engines.postgres import CONNECTION_AGE_S, TRANSACTION_MS
from holdfast.engines.postgres_driver import DriverConnection
from holdfast.engines.postgres_transaction import DRIVER_ERRORS
from holdfast.engines.troubles import Troubles
from holdfast.runtime.postgres_identity import served_certificate
from holdfast.runtime.postgres_server import PostgresServer

SESSION_AGE_S = CONNECTION_AGE_S + TRANSACTION_MS / 1000
"""After so long nobody of ours has a session of before."""
READ_S = 10.0
LOOK_S = 0.05
_END = (
    "SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity a "
    "JOIN pg_stat_ssl s ON s.pid = a.pid WHERE s.ssl AND a.backend_start < to_timestamp($1::float8)"
)
_MARK = "-----END CERTIFICATE-----\n"


class PostgresRotation:
    """Sees a server's changes of identity through.

    Args:
        connect: as its administrator.

    Attributes:
        troubles: what does not go well with it; each is a line of the log, too.
        read_s: how long it may take to read its files.
        wait: lets so many seconds pass before old sessions are ended; see SESSION_AGE_S.
    """

    def __init__(
        self, server: PostgresServer, connect: Callable[[], Awaitable[DriverConnection]]
    ) -> None:
        self._server, self._connect = server, connect
        self.troubles = Troubles("postgres")
        self.read_s = READ_S
        self.wait: Callable[[float], Awaitable[object]] = asyncio.sleep
        self._looks, self._ends = set[asyncio.Task[None]](), set[asyncio.Task[None]]()

    def begin(self) -> None:
        """Its files have changed: hand them on, and see to it that they are used."""
        since_s = time.time()
        try:
            self._server.take_identity()
        except OSError as exc:
            self.troubles.begin("identity", f"it cannot be handed on: {exc}")
            return
        _run(self._look(since_s), self._looks)
        _run(self._end(since_s), self._ends)

    def stop(self) -> None:
        """See to nothing more."""
        for task in self._looks | self._ends:
            task.cancel()

    async def seen(self) -> None:
        """Wait until it was looked at after each change."""
        await asyncio.gather(*self._looks)

    async def finished(self) -> None:
        """Wait until the sessions of before are ended, too."""
        await asyncio.gather(*self._looks, *self._ends)

    async def _look(self, since_s: float) -> None:
        try:
            async with asyncio.timeout(self.read_s):
                while not await self._serves(since_s):  # noqa: ASYNC110  # it tells nobody
                    await asyncio.sleep(LOOK_S)
        except (OSError, *DRIVER_ERRORS) as exc:  # TimeoutError is one, too
            why = "it goes on with the one before, and its log says why"
            self.troubles.begin("identity", f"its newest one is not in use; {why}: {exc!r}")
        else:
            self.troubles.end("identity")

    async def _serves(self, since_s: float) -> bool:
        """Whether it has read its files since, and shows what is in them."""
        identity = self._server.identity
        assert identity is not None
        shown = await asyncio.to_thread(identity.certificate.read_text)
        leaf = PEM_cert_to_DER_cert(shown.partition(_MARK)[0] + _MARK)
        if await served_certificate(self._server.port) != leaf:
            return False
        return bool(
            await self._ask("SELECT extract(epoch FROM pg_conf_load_time()) >= $1", since_s)
        )

    async def _end(self, since_s: float) -> None:
        await self.wait(SESSION_AGE_S)
        try:
            await self._ask(_END, since_s)
        except DRIVER_ERRORS as exc:  # it is being restarted, and has no sessions of before
            self.troubles.happen("identity", f"sessions of before were not ended: {exc!r}")

    async def _ask(self, sql: str, since_s: float) -> object:
        connection = await self._connect()
        try:
            return await connection.fetchval(sql, since_s)
        finally:
            await connection.close()


def _run(work: Coroutine[None, None, None], tasks: set[asyncio.Task[None]]) -> None:
    task = asyncio.create_task(work, name="rotation of Postgres")
    tasks.add(task)
    task.add_done_callback(tasks.discard)
