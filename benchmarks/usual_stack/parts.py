"""The outbox that is polled, and the consumer that handles each message once."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from nats.aio.msg import Msg
from nats.errors import TimeoutError as NothingNew
from nats.js import JetStreamContext
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

POLL_S = 0.01
BATCH = 64
CONNECTIONS = 6
Handler = Callable[[AsyncSession, Any], Awaitable[None]]


class Service:
    """One service: its database, what it publishes and what it hears.

    Args:
        base: its declarative base. outbox, inbox: its two tables.
        handlers: {subject: handler}.
    """

    def __init__(
        self, name: str, url: str, base: Any, outbox: Any, inbox: Any, handlers: dict[str, Handler]
    ) -> None:
        self.name = name
        self.engine = create_async_engine(url, pool_size=CONNECTIONS, max_overflow=0)
        self.session = async_sessionmaker(self.engine, expire_on_commit=False)
        self._base, self._outbox, self._inbox = base, outbox, inbox
        self._handlers = handlers

    async def start(self, stream: JetStreamContext) -> None:
        """Make the tables, and begin to publish and to hear."""
        async with self.engine.begin() as connection:
            await connection.run_sync(self._base.metadata.create_all)
        self._stream = stream
        self._tasks = [asyncio.create_task(self._publish())]
        for subject in self._handlers:
            durable = f"{self.name}-{subject.replace('.', '-')}"
            found = await stream.pull_subscribe(subject, durable)
            self._tasks.append(asyncio.create_task(self._hear(subject, found)))

    def send(self, session: AsyncSession, subject: str, **body: object) -> None:
        """Publish with the transaction."""
        session.add(self._outbox(subject=subject, body=json.dumps(body)))

    async def _publish(self) -> None:
        """Publish what is in the outbox, oldest first; delete what the broker has acknowledged."""
        waiting = (
            select(self._outbox)
            .order_by(self._outbox.number)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        )
        while True:
            async with self.session.begin() as session:
                rows = list(await session.scalars(waiting))
                if rows:
                    await asyncio.gather(*(self._put(row) for row in rows))
                    numbers = [row.number for row in rows]
                    await session.execute(
                        delete(self._outbox).where(self._outbox.number.in_(numbers))
                    )
            if len(rows) < BATCH:
                await asyncio.sleep(POLL_S)

    async def _put(self, row: Any) -> None:
        headers = {"Nats-Msg-Id": str(row.id)}
        await self._stream.publish(row.subject, row.body.encode(), headers=headers)

    async def _hear(self, subject: str, subscription: Any) -> None:
        handler = self._handlers[subject]
        while True:
            try:
                messages = await subscription.fetch(BATCH, timeout=5)
            except NothingNew:
                continue
            await asyncio.gather(*(self._handle(handler, message) for message in messages))

    async def _handle(self, handler: Handler, message: Msg) -> None:
        assert message.headers is not None
        id_ = UUID(message.headers["Nats-Msg-Id"])
        try:
            async with self.session.begin() as session:
                new = await session.execute(
                    insert(self._inbox).values(id=id_).on_conflict_do_nothing()
                )
                if new.rowcount:  # type: ignore[attr-defined]  # a CursorResult
                    await handler(session, json.loads(message.data))
        except Exception as exc:  # the root of a message: it comes again
            print(f"{self.name}: {type(exc).__name__}: {exc}", file=sys.stderr)
            await message.nak(delay=1)
        else:
            await message.ack()
