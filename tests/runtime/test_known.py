"""A database that was here is not begun anew behind everybody's back."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table

from holdfast import Service, System, Tx
from holdfast.errors import DatabaseDamaged, DatabaseElsewhere
from holdfast.runtime import known
from holdfast.runtime.servers import Servers
from holdfast.runtime.strangers import strangers_in
from holdfast.testing import running


def one(name: str) -> Service:
    """Return a service that keeps something."""
    things = MetaData()
    thing = Table("thing", things, Column("id", Integer, primary_key=True), Column("t", String))
    service = Service(name, tables=things)

    @service.post(f"/v1/{name}", public=True)
    async def keep(tx: Tx) -> None:
        for _ in range(40):
            tx.insert(thing, t="x" * 900)

    return service


def pair(*names: str) -> System:
    """Return a system of such services."""
    return System("pair", services=[one(name) for name in names])


async def used(folder: Path, *names: str) -> None:
    """Run a system, and let each service keep something."""
    async with running(pair(*names), data=folder) as world:
        for name in names:
            assert (await world.client.post(f"/v1/{name}")).status < 300


def remove(path: Path) -> None:
    """Remove it."""
    path.unlink()


def empty(path: Path) -> None:
    """Leave nothing in it."""
    path.write_bytes(b"")


def cut(path: Path) -> None:
    """Leave the first half of it."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwrite(path: Path) -> None:
    """Let it be something else."""
    path.write_bytes(b"this is no database" * 1_000)


def drop(path: Path) -> None:
    """Leave a database without tables."""
    path.unlink()
    path.touch(mode=0o600)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (x)")
    connection.close()


def clear(path: Path) -> None:
    """Leave the tables, and nothing in them."""
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM holdfast_edge")
    connection.commit()
    connection.close()


def scratch(path: Path) -> None:
    """Write over pages in the middle."""
    held = bytearray(path.read_bytes())
    held[len(held) // 2 : len(held) // 2 + 8_192] = b"\xff" * 8_192
    path.write_bytes(bytes(held))


DAMAGES = [remove, empty, cut, overwrite, drop, clear, scratch]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("large", [False, True])
async def test_a_damaged_database_beside_a_full_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None], large: bool
) -> None:
    """By its name, with what to do; and nothing is made in its place."""
    if large and damage is scratch:
        return  # a large file is not read from end to end
    if large:
        monkeypatch.setattr(known, "LOOKED_THROUGH_BYTES_MAX", 0)
    await used(tmp_path, "one", "two")
    path = tmp_path / "two.db"
    damage(path)
    before = path.read_bytes() if path.exists() else None

    with pytest.raises(DatabaseDamaged, match=r"two\.db .*; two cannot go on .* backup"):
        await used(tmp_path, "one", "two")

    assert (path.read_bytes() if path.exists() else None) == before


async def test_a_service_that_is_new_is_begun(tmp_path: Path) -> None:
    """A folder without a list is older than lists; a file that is empty may be anybody's."""
    await used(tmp_path, "one")
    (tmp_path / "services").unlink()
    (tmp_path / "two.db").touch(mode=0o600)
    await used(tmp_path, "one", "two")

    assert (tmp_path / "services").read_text() == "one\ntwo\n"


async def test_what_is_not_hosted_is_not_missed(tmp_path: Path) -> None:
    """A service that has gone keeps its line; one that is to begin anew loses it."""
    await used(tmp_path, "one", "two")
    (tmp_path / "two.db").unlink()
    await used(tmp_path, "one")
    assert (tmp_path / "services").read_text() == "one\ntwo\n"
    (tmp_path / "services").write_text("one\n")
    await used(tmp_path, "one", "two")

    assert (tmp_path / "two.db").exists()


def put_postgres(folder: Path) -> None:
    """Leave what says that a Postgres was begun here."""
    cluster = folder / known.SERVERS / "postgres"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("16\n")


async def test_no_files_are_begun_where_the_databases_are_in_a_postgres(tmp_path: Path) -> None:
    """Empty ones would look like the loss of everything; to look there is refused, too."""
    put_postgres(tmp_path)
    system = pair("one", "two")

    with pytest.raises(DatabaseElsewhere, match=r"no file of one, two: add `--on postgres`"):
        await used(tmp_path, "one", "two")
    with pytest.raises(DatabaseElsewhere, match="no file of one, two"):
        await strangers_in(system, tmp_path, {})

    assert not list(tmp_path.glob("*.db"))


async def test_a_folder_that_has_had_both_goes_on_with_both(tmp_path: Path) -> None:
    """It was so before anybody asked; only what would begin anew there is refused."""
    await used(tmp_path, "one")
    put_postgres(tmp_path)

    await used(tmp_path, "one")
    with pytest.raises(DatabaseElsewhere, match="no file of two"):
        await used(tmp_path, "one", "two")


async def test_no_postgres_is_begun_beside_files(tmp_path: Path) -> None:
    """Before anything is made; other servers are no database."""
    await used(tmp_path, "one")
    servers = Servers(tmp_path / known.SERVERS, ["postgres"], pair("one"))

    with pytest.raises(DatabaseElsewhere, match="databases of one in files"):
        await servers.start()

    assert not (tmp_path / known.SERVERS).exists()
