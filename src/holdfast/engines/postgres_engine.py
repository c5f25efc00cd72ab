"""SQLAlchemy's engine of a Postgres: each connection is made with what is fresh."""

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from holdfast.engines.postgres_url import Options, PostgresUrl


def engine_of(read: PostgresUrl, arguments: Options, *, autocommit: bool = False) -> AsyncEngine:
    """Return SQLAlchemy's engine of a URL, whose connections are made with what is fresh.

    Args:
        arguments: further ones of the driver's `connect`.
        autocommit: transactions are begun by hand.
    """
    engine = create_async_engine(
        read.url,
        poolclass=NullPool,
        connect_args=arguments | read.options,
        **({"isolation_level": "AUTOCOMMIT"} if autocommit else {}),
    )

    @event.listens_for(engine.sync_engine, "do_connect")
    def freshen(dialect: object, record: object, args: object, parameters: Options) -> None:
        parameters |= read.fresh()

    return engine
