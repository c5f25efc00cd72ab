"""A transaction over SQLite in memory and an outside with given answers, to call handlers with."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import MetaData, create_engine, select
from sqlalchemy import Table as SqlTable

from holdfast import Event, ExternalAnswer, Query


class FakeTx:
    """Implements `Tx` and `Read`; writes happen at once."""

    def __init__(self, metadata: MetaData) -> None:
        self._engine = create_engine("sqlite://")
        self._connection = self._engine.connect()
        metadata.create_all(self._connection)
        self.published: list[Event] = []
        self.started: list[tuple[Any, Any]] = []
        self._ids = 0
        self.now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    async def execute(self, statement: Any, parameters: Any = None) -> Any:
        return self._connection.execute(statement, parameters)

    def insert(self, table: SqlTable, /, **values: Any) -> None:
        self._connection.execute(table.insert(), values)

    def update(self, table: SqlTable, key: Any, /, **values: Any) -> None:
        (column, *others) = table.primary_key
        assert not others
        changed = self._connection.execute(table.update().where(column == key), values)
        assert changed.rowcount == 1

    def publish(self, event: Event) -> None:
        self.published.append(event)

    def start(self, saga: Any, input: Any, *, key: str | None = None) -> UUID:
        self.started.append((saga, input))
        return self.new_id()

    def send(self, command: Any, *, delay: Any = None) -> None:
        raise NotImplementedError

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        with self._connection.begin_nested():
            yield

    def new_id(self) -> UUID:
        self._ids += 1
        return UUID(int=self._ids)

    def rows(self, table: SqlTable) -> list[dict[str, Any]]:
        """Return all rows of a table, by primary key."""
        found = self._connection.execute(select(table).order_by(*table.primary_key))
        return [dict(row) for row in found.mappings()]

    def close(self) -> None:
        self._connection.close()
        self._engine.dispose()


class FakeOutside:
    """Implements `Outside`.

    Args:
        answers: {(method, path): (status, JSON)} of Externals, or {query class: reply}.
    """

    def __init__(self, answers: Mapping[Any, Any] | None = None) -> None:
        self._answers = answers or {}
        self.sent: list[tuple[str, str, Any]] = []
        self.audited: list[tuple[str, str, str]] = []
        self.ran: list[tuple[Any, tuple[Any, ...]]] = []

    async def ask(self, query: Query[Any]) -> Any:
        return self._answers[type(query)]

    async def request(
        self, method: str, external: Any, path: str, *, json: Any = None, headers: Any = None
    ) -> ExternalAnswer:
        self.sent.append((method, path, json))
        status, fields = self._answers[method, path]
        return ExternalAnswer(status, {}, _json(fields), external.name)

    async def get(self, external: Any, path: str, *, headers: Any = None) -> ExternalAnswer:
        return await self.request("GET", external, path)

    async def post(
        self, external: Any, path: str, *, json: Any = None, headers: Any = None
    ) -> ExternalAnswer:
        return await self.request("POST", external, path, json=json)

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.ran.append((function, args))
        return function(*args, **kwargs)

    def audit(
        self, what: str, *, who: str, authority: str = "", on: str = "", outcome: str = "done"
    ) -> None:
        self.audited.append((what, who, outcome))


def _json(fields: Any) -> bytes:
    return json.dumps(fields).encode()
