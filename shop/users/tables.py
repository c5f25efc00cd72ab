"""The tables of users."""

import secrets

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    Uuid,
    event,
    insert,
)

from holdfast.security import SigningKey
from shop.columns import Moment

metadata = MetaData()

user_table = Table(
    "user_account",  # `user` is a reserved word in SQL
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("email", String(254), nullable=False, unique=True),  # lower case
    Column("name", String(100), nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
)

signing_key_table = Table(
    "signing_key",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("jwk", Text, nullable=False),
)


@event.listens_for(signing_key_table, "after_create")
def make_signing_key(table: Table, connection: Connection, **_: object) -> None:
    """Make the key of a shop that was given none, together with the table; replicas share it.

    Whoever reads this database can sign tokens. In production USERS_SIGNING_KEY is set, and this
    key signs nothing.
    """
    key = SigningKey(secrets.token_bytes(32))
    connection.execute(insert(table).values(id=1, jwk=key.to_json()))
