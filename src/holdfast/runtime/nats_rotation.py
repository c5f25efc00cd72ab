"""A running nats-server gets another certificate, or trusts another authority: and it is seen to.

It is told to read its files again. One that it cannot use changes nothing there, and is a line of
its own log alone; so it is asked when it has last read them, and what it shows now.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from cryptography.x509 import load_pem_x509_certificate
from nats.errors import Error as NatsError

from holdfast.engines.nats_servers import Figures
from holdfast.engines.troubles import Troubles
from holdfast.errors import Unreachable

READ_S = 10.0
LOOK_S = 0.1


class NatsRotation:
    """Sees the changes of a server's identity through.

    Args:
        certificate: its file. tell: has the server read its files.
        figures: returns what the server tells of itself.

    Attributes:
        troubles: what does not go well with it.
        read_s: how long it may take to read its files.
    """

    def __init__(
        self,
        certificate: Path,
        tell: Callable[[], None],
        figures: Callable[[], Awaitable[Sequence[Figures]]],
    ) -> None:
        self._certificate, self._tell, self._figures = certificate, tell, figures
        self.troubles = Troubles("nats")
        self.read_s = READ_S
        self._looks = set[asyncio.Task[None]]()

    def begin(self) -> None:
        """Its files have changed: have them read, and see to it that they are used."""
        since_s = time.time()
        self._tell()
        task = asyncio.create_task(self._look(since_s), name="rotation of NATS")
        self._looks.add(task)
        task.add_done_callback(self._looks.discard)

    def stop(self) -> None:
        """See to nothing more."""
        for task in self._looks:
            task.cancel()

    async def seen(self) -> None:
        """Wait until it was looked at after each change."""
        await asyncio.gather(*self._looks)

    async def _look(self, since_s: float) -> None:
        try:
            async with asyncio.timeout(self.read_s):
                while not await self._serves(since_s):  # noqa: ASYNC110  # it tells nobody
                    await asyncio.sleep(LOOK_S)
        except (OSError, ValueError, NatsError, Unreachable) as exc:  # TimeoutError is one, too
            why = "it goes on with the one before, and its log says why"
            self.troubles.begin("identity", f"its newest one is not in use; {why}: {exc!r}")
        else:
            self.troubles.end("identity")

    async def _serves(self, since_s: float) -> bool:
        """Whether it has read its files since, and shows what is in them."""
        pem = await asyncio.to_thread(self._certificate.read_bytes)
        ends = load_pem_x509_certificate(pem).not_valid_after_utc
        return all(
            one.config_load_time.timestamp() >= since_s and one.tls_cert_not_after == ends
            for one in await self._figures()
        )
