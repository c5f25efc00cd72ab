"""The revisions that a service's database goes through, and where it must be."""

import os
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.engines.tables import REVISION
from holdfast.errors import OldSchema
from holdfast.migrations.heads import heads_of
from holdfast.system import Service

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import Script, ScriptDirectory

_HERE = Path(__file__).parent
_OURS = _HERE.parent / "engines" / "versions"
FRAMEWORK = "holdfast_"  # begins the names of the framework's revisions


@dataclass(frozen=True)
class Revisions:
    """The revisions of one service's database: the framework's, and the service's own.

    Attributes:
        system: what `holdfast migrate` is given: its name and, unless it is the usual one, its
            data folder.
    """

    system: str
    service: Service

    @property
    def command(self) -> str:
        """What is typed to migrate this service's database."""
        return f"holdfast migrate {self.system} --service {self.service.name}"

    @property
    def managed(self) -> bool:
        """Whether revisions make the service's tables; without, its first start makes them."""
        return self.service.migrations is not None

    @property
    def folder(self) -> Path | None:
        """Where the service's own revisions are."""
        given = self.service.migrations
        if isinstance(given, str) and ":" in given:
            package, _, path = given.partition(":")
            return Path(import_module(package).__path__[0]) / path
        return None if given is None else Path(given)

    def _folders(self) -> list[Path]:
        return [_OURS, *([self.folder] if self.folder else [])]

    def config(self) -> "Config":
        """Return Alembic's configuration."""
        from alembic.config import Config  # not for those who only ask for `managed`

        config = Config()
        options = {
            "script_location": str(_HERE),
            "version_locations": os.pathsep.join(map(str, self._folders())),
            "path_separator": "os",
            "file_template": "%(rev)s_%(slug)s",
        }
        for name, value in options.items():
            config.set_main_option(name, value.replace("%", "%%"))
        config.attributes["tables"] = list(self.service.metadata)
        return config

    @cached_property
    def scripts(self) -> "ScriptDirectory":
        """The revisions, as Alembic reads them."""
        from alembic.script import ScriptDirectory

        return ScriptDirectory.from_config(self.config())

    def lineages(self) -> "list[list[Script]]":
        """Return the revisions of each line of history, newest first.

        Raises:
            OldSchema: the service's own history has two ends.
        """
        found = [list(self.scripts.iterate_revisions(h, "base")) for h in self.scripts.get_heads()]
        own = [line[0].revision for line in found if not line[0].revision.startswith(FRAMEWORK)]
        if len(own) > 1:
            raise OldSchema(
                f"{self.service.name} has two newest revisions, {' and '.join(sorted(own))}; let "
                "the `down_revision` of one name the other"
            )
        return found

    def pending(self, at: frozenset[str]) -> "list[Script]":
        """Return the revisions that a database lacks, oldest first."""
        pending: list[Script] = []
        for line in self.lineages():
            names = [script.revision for script in line]
            ours = names[0].startswith(FRAMEWORK)
            here = {name for name in at if name.startswith(FRAMEWORK) == ours}
            known = here.intersection(names)
            if here and not known:  # a newer version of the code has made it so
                continue
            since = names.index(known.pop()) if known else len(names)
            pending += reversed(line[:since])
        return pending

    def check(self, at: frozenset[str]) -> None:
        """Refuse a database that is older than this code; one that is newer may be used.

        Args:
            at: the database's revisions; empty if it is new.
        Raises:
            OldSchema: with the command to run.
        """
        remedy = f"run `{self.command}`"
        if not self.managed and (not at or REVISION in at):
            return
        if self._is_newest(at):
            return
        if self.managed and len(self.lineages()) < 2 and self.service.metadata:
            raise OldSchema(
                f"{self.service.name} has tables and no revision in {self.folder}; run "
                f"`{self.command} --new first`"
            )
        if pending := self.pending(at):
            names = ", ".join(script.revision for script in pending)
            raise OldSchema(f"the database of {self.service.name} lacks {names}; {remedy}")

    def _is_newest(self, at: frozenset[str]) -> bool:
        """Whether a database is at the one end of each history, as far as their files tell."""
        own = [name for name in at if not name.startswith(FRAMEWORK)]
        return len(own) == self.managed and at == heads_of(self._folders())


def ours(name: str | None, kind: str, parents: object) -> bool:
    """Whether Alembic compares a table; the framework's have revisions of their own."""
    return kind != "table" or not (name or "").startswith((FRAMEWORK, "alembic_version"))
