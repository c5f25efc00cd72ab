"""The shop's revisions make the tables that its code declares, on both databases."""

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from holdfast import Service
from holdfast.migrations import Revisions, upgrade
from holdfast.migrations.revisions import ours
from holdfast.migrations.upgrade import over
from holdfast.migrations.verdict import verdict
from shop.system import shop
from tests.servers import Postgres


def changes(revisions: Revisions, connection: Connection) -> Any:
    """Return what the tables of the code have that those of the database do not."""
    options = {"include_name": ours, "compare_type": True, "compare_server_default": True}
    tables: Any = list(revisions.service.metadata)
    return compare_metadata(MigrationContext.configure(connection, opts=options), tables)


@pytest.mark.parametrize("service", shop.services, ids=lambda service: service.name)
async def test_no_change_is_without_a_revision(service: Service) -> None:
    """And none of them breaks the version before."""
    assert (await verdict(Revisions("shop", service), None)).problems == []


@pytest.mark.parametrize("service", shop.services, ids=lambda service: service.name)
async def test_the_tables_on_postgres_are_those_of_the_code(
    service: Service, postgres: Postgres
) -> None:
    """Types and defaults, too."""
    revisions, url = Revisions("shop", service), await postgres.database()
    await upgrade(revisions, url)

    assert await over(url, revisions, changes) == []
