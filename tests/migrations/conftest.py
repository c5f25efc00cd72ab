"""A service with a history, and databases to run it on."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text

from holdfast import Service
from holdfast.migrations import Revisions
from tests.servers import Postgres

FIRST = """
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "shelf_0001", None, ("shelf",), None
def upgrade():
    op.create_table("book", sa.Column("id", sa.Integer(), primary_key=True))
"""
SECOND = """
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "shelf_0002", "shelf_0001", None, None
def upgrade():
    op.add_column("book", sa.Column("title", sa.Text()))
"""


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Awaitable[str]]:
    """Returns the URL of a new database."""

    async def make() -> str:
        if request.param == "postgres":
            server: Postgres = request.getfixturevalue("postgres")
            return await server.database()
        return f"sqlite:///{tmp_path / 'shelf.db'}"

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the service's revisions, with the first one in it."""
    folder = tmp_path / "100% ours"
    folder.mkdir()
    (folder / "shelf_0001.py").write_text(FIRST)
    return folder


@pytest.fixture
def revisions(folder: Path) -> Revisions:
    """The revisions of the service `shelf`."""
    metadata = MetaData()
    Table("book", metadata, Column("id", Integer, primary_key=True), Column("title", Text))
    return Revisions("library", Service("shelf", tables=metadata, migrations=folder))
