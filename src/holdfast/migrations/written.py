"""Writes revisions by comparing tables, and says what is wrong with those that are written.

Tables are compared in a new SQLite database in memory, which all revisions have run on.
"""

import contextlib
import io
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import StaticPool

from holdfast.errors import Invalid
from holdfast.migrations.breaking import breaking
from holdfast.migrations.history import FRAMEWORK, History, ours
from holdfast.migrations.upgrade import over, revisions, run


def write(history: History, message: str) -> Path:
    """Write the next revision of a service; return its file.

    Raises:
        Invalid: the service has no `migrations=`, or its tables have not changed.
    """
    name, folder = history.service.name, history.folder
    if folder is None:
        raise Invalid(
            f"{name} has no folder for revisions; add "
            f'`migrations="package:migrations"` to Service({name!r})'
        )
    folder.mkdir(parents=True, exist_ok=True)
    own = [line for line in history.lineages() if not line[0].revision.startswith(FRAMEWORK)]
    count = len(own[0]) if own else 0
    with _scratch(history) as connection:
        if count and not _changes(history, connection):
            raise Invalid(f"the tables of {name} are those of {own[0][0].revision}")
        config = history.config()
        config.attributes["connection"] = connection
        with contextlib.redirect_stdout(io.StringIO()):
            script = command.revision(
                config,
                message,
                autogenerate=True,
                rev_id=f"{name.replace('-', '_')}_{count + 1:04d}",
                head=own[0][0].revision if own else "base",
                version_path=str(folder),
                branch_label=None if own else name,
            )
    assert script is not None and not isinstance(script, list)
    return Path(script.path)


async def problems_of(history: History, url: str) -> list[str]:
    """Return what is wrong with the revisions that a database lacks, one line each.

    Args:
        url: of a database at the version that is running; a SQLite file may be missing, then all
            revisions are looked at.
    """
    new = url.startswith("sqlite:") and not os.path.exists(url.removeprefix("sqlite:///"))  # noqa: ASYNC240
    at: frozenset[str] = frozenset() if new else await over(url, history, revisions)
    pending = [s for s in history.pending(at) if not s.revision.startswith(FRAMEWORK)]
    problems = [f"{history.service.name}: {problem}" for problem in breaking(pending)]
    if history.managed:
        with _scratch(history) as connection:
            problems += [
                f"{history.service.name}: no revision makes this change of its tables: {change}; "
                f"run `holdfast migrate {history.system} --service {history.service.name} --new …`"
                for change in _changes(history, connection)
            ]
    return problems


@contextlib.contextmanager
def _scratch(history: History) -> Generator[Connection]:
    with create_engine("sqlite://", poolclass=StaticPool).connect() as connection:
        run(history, connection)
        yield connection


def _changes(history: History, connection: Connection) -> list[Any]:
    options = {"include_name": ours, "compare_type": True}
    context = MigrationContext.configure(connection, opts=options)
    tables: Any = list(history.service.metadata)  # its types know only one
    found: list[Any] = compare_metadata(context, tables)
    connection.rollback()
    return found
