"""Writes revisions by comparing what they make with what the code declares."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from holdfast.errors import Invalid
from holdfast.migrations.breaking import named
from holdfast.migrations.revisions import FRAMEWORK, Revisions
from holdfast.migrations.rewrite import Rewrite
from holdfast.migrations.schema import Schema, differences, schema_of
from holdfast.migrations.scratch import declared, scratch
from holdfast.migrations.upgrade import run

if TYPE_CHECKING:
    from alembic.script import Script


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision that was written.

    Attributes:
        retires: what the code no longer has, and the database keeps.
        left: what it does not do of what the tables have changed, for whoever reads it.
    """

    path: Path
    retires: Sequence[str]
    left: Sequence[str]


def write(revisions: Revisions, message: str, *, contract: bool = False) -> Revision:
    """Write the next revision of a service.

    What the code no longer has is not dropped: it is retired, as the version that is running uses
    it still.

    Args:
        contract: write the revision that drops what earlier ones have retired.
    Raises:
        Invalid: the service has no `migrations=`, or there is nothing to write.
    """
    name, folder = revisions.service.name, revisions.folder
    if folder is None:
        raise Invalid(
            f"{name} has no folder for revisions; add "
            f'`migrations="package:migrations"` to Service({name!r})'
        )
    folder.mkdir(parents=True, exist_ok=True)
    own = own_scripts(revisions)
    retired = retired_by(own)
    made, wanted = made_by(revisions), declared_by(revisions)
    open_ = differences(made, wanted, retired=() if contract else retired)
    if own and not open_:
        raise Invalid(f"the tables of {name} are those of {own[-1].revision}")
    rewrite = Rewrite(made, wanted, retired, contract)

    def make(connection: Connection) -> None:
        run(revisions, connection)
        config = revisions.config()
        config.attributes.update(connection=connection, rewrite=rewrite)
        with contextlib.redirect_stdout(io.StringIO()):
            paths.append(_revision(config, revisions, own, message, folder))

    paths: list[Path] = []
    with scratch(make):
        pass
    after = Revisions(revisions.system, revisions.service)
    scripts = own_scripts(after)
    left = differences(made_by(after), wanted, retired=retired_by(scripts))
    return Revision(paths[0], named(scripts[-1], "retires"), left)


def _revision(
    config: Config, revisions: Revisions, own: "Sequence[Script]", message: str, folder: Path
) -> Path:
    name = revisions.service.name
    script = command.revision(
        config,
        message,
        autogenerate=True,
        rev_id=f"{name.replace('-', '_')}_{len(own) + 1:04d}",
        head=own[-1].revision if own else "base",
        version_path=str(folder),
        branch_label=None if own else name,
    )
    assert script is not None and not isinstance(script, list)
    return Path(script.path)


def own_scripts(revisions: Revisions) -> "list[Script]":
    """Return the service's own revisions, oldest first."""
    lines = [x for x in revisions.lineages() if not x[0].revision.startswith(FRAMEWORK)]
    return list(reversed(lines[0])) if lines else []


def retired_by(scripts: "Sequence[Script]") -> frozenset[str]:
    """Return what revisions say that the code no longer has, `table.column` or `table`."""
    return frozenset(name for script in scripts for name in named(script, "retires"))


def made_by(revisions: Revisions) -> Schema:
    """Return what all revisions make, in a new database."""
    with scratch(lambda connection: run(revisions, connection)) as connection:
        return schema_of(connection)


def declared_by(revisions: Revisions) -> Schema:
    """Return what the code declares."""
    with scratch(declared(list(revisions.service.metadata))) as connection:
        return schema_of(connection)
