"""Which services have had a database in a data folder, and whether it is one still.

A file that is missing or empty looks like that of a service that is new. Beside full ones it would
be a service that has forgotten what it has agreed with the others, and nobody would be told. So the
folder keeps a list of those that were begun; it is written once their tables are there.

For the same reason a folder has one kind of databases, its files or those of its own Postgres: with
the other kind the system would come up empty, and its customers' data would seem to be gone.
"""

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from holdfast.errors import DatabaseDamaged, DatabaseElsewhere

LOOKED_THROUGH_BYTES_MAX = 64 << 20  # larger files are not read from end to end at a start
SERVERS = "servers"  # the folder in it with what `--on` starts
_LIST = "services"
_OF_VALUES = ("NULL value", "CHECK constraint")  # which a revision may have left: no damage


class KnownDatabases:
    """The databases that a data folder is known to hold.

    Args:
        folder: whose owner this process is.
    """

    def __init__(self, folder: Path) -> None:
        self._list = folder / _LIST
        self._folder = folder

    def check(self, services: Iterable[str], *, read_through: bool = True) -> None:
        """Look at the files of services before anything is made in them.

        Args:
            read_through: those that are small, from end to end.
        Raises:
            DatabaseDamaged: one is none, or was begun and is missing or empty.
            DatabaseElsewhere: the folder has its databases in a Postgres.
        """
        self.refuse_on_postgres(services := tuple(services))
        begun, read_bytes = self._begun(), LOOKED_THROUGH_BYTES_MAX if read_through else 0
        for service in services:
            path = self._folder / f"{service}.db"
            why = self._damage(path, read_bytes, begun=service in begun)
            if why:
                raise DatabaseDamaged(
                    f"{path} {why}; {service} cannot go on without what was there. Put the file "
                    "back from a backup, with those of the other services, which are of the same "
                    f"moment; or, if nothing in {self._folder} is wanted, delete the folder. To "
                    f"let {service} alone begin anew, delete the file, and its line in {self._list}"
                )

    def refuse_on_postgres(self, services: Iterable[str]) -> None:
        """Refuse to make or miss files where there is a Postgres. Raises DatabaseElsewhere.

        A folder that has both, from before this was asked, keeps both.
        """
        if not (self._folder / SERVERS / "postgres" / "PG_VERSION").exists():
            return
        begun = self._begun()
        lacking = [name for name in services if name not in begun and not self._has_file(name)]
        if lacking:
            raise DatabaseElsewhere(
                f"{self._folder} keeps its databases in a Postgres of its own, and has no file of "
                f"{', '.join(lacking)}: add `--on postgres` where it is run or migrated (sagas and "
                "dead letters are looked at while it runs), or name another folder with --data"
            )

    def refuse_files(self) -> None:
        """Refuse to begin a Postgres where the databases are files. Raises DatabaseElsewhere."""
        if begun := self._begun():
            raise DatabaseElsewhere(
                f"{self._folder} keeps the databases of {', '.join(sorted(begun))} in files, and a "
                "Postgres would begin without what is in them: run it without `--on postgres`, or "
                "name another folder with --data"
            )

    def _has_file(self, service: str) -> bool:
        return (self._folder / f"{service}.db").exists()

    def keep(self, services: Iterable[str]) -> None:
        """Remember that services have a database here now."""
        before = self._begun()
        after = sorted(before.union(services))
        if len(after) == len(before):
            return
        fresh = self._list.with_suffix(".new")
        with open(fresh, "w") as file:
            file.write("".join(f"{name}\n" for name in after))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._list)

    def _begun(self) -> set[str]:
        return set(self._list.read_text().split()) if self._list.exists() else set()

    def _damage(self, path: Path, read_bytes: int, *, begun: bool) -> str:
        """Return what is wrong with a file, or ""."""
        if not path.exists():
            return "is missing" if begun else ""
        size = path.stat().st_size
        if size == 0 and not path.with_name(f"{path.name}-wal").exists():
            return "is empty" if begun else ""
        try:
            connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)
            try:
                return _look_through(connection, path, size <= read_bytes, begun=begun)
            finally:
                connection.close()
        except sqlite3.OperationalError as exc:
            if "locked" in str(exc):
                return ""  # another program reads it: it is a database
            return f"cannot be opened: {exc}"
        except sqlite3.DatabaseError as exc:
            return f"is damaged: {exc}"


def _look_through(
    connection: sqlite3.Connection, path: Path, read_through: bool, *, begun: bool
) -> str:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if begun and "holdfast_edge" not in tables:
        return "has lost its tables"
    if begun and not connection.execute("SELECT 1 FROM holdfast_edge LIMIT 1").fetchone():
        return "has lost its rows"
    if read_through:
        told = [found for (found,) in connection.execute("PRAGMA quick_check(20)")]
        wrong = [found for found in told if found != "ok" and not found.startswith(_OF_VALUES)]
        return f"is damaged: {' '.join(wrong[0].split())}" if wrong else ""
    _, logged, written = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    [pages] = connection.execute("PRAGMA page_count").fetchone()
    [page_bytes] = connection.execute("PRAGMA page_size").fetchone()
    if logged == written and path.stat().st_size < pages * page_bytes:
        return f"is shorter than the {pages * page_bytes:,} bytes that it says it has"
    return ""
