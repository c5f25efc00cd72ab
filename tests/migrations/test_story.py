"""A column is replaced by another in four releases, on both kinds of database."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, inspect

from holdfast import Service
from holdfast.errors import Invalid
from holdfast.migrations import Revisions, upgrade
from holdfast.migrations.upgrade import over
from holdfast.migrations.verdict import verdict
from holdfast.migrations.written import write

Make = Callable[[], Awaitable[str]]


def release(folder: Path, *columns: Column[Any]) -> Revisions:
    """Return the revisions as one release's code sees it."""
    metadata = MetaData()
    Table("customer", metadata, Column("id", Integer, primary_key=True), *columns)
    return Revisions("crm", Service("crm", tables=metadata, migrations=folder))


def name() -> Column[Any]:
    """The column that goes."""
    return Column("name", String(80), nullable=False, index=True)


def full_name() -> Column[Any]:
    """The column that comes."""
    return Column("full_name", String(200))


def columns(revisions: Revisions, connection: Connection) -> dict[str, bool]:
    """Return {column: whether it may be NULL}."""
    found = inspect(connection).get_columns("customer")
    return {column["name"]: column["nullable"] for column in found}


async def test_expand_and_contract_passes_its_own_check(database: Make, folder: Path) -> None:
    """Each release is checked beside the one that is running, and without a database."""
    (folder / "shelf_0001.py").unlink()
    url = await database()
    seen: list[dict[str, bool]] = []
    for text, contract, kept in (
        ("first", False, [name()]),
        ("expand", False, [name(), full_name()]),
        ("without name", False, [full_name()]),
        ("contract", True, [full_name()]),
    ):
        written = write(release(folder, *kept), text, contract=contract)
        revisions = release(folder, *[c._copy() for c in kept])
        beside, alone = await verdict(revisions, url), await verdict(revisions, None)
        await upgrade(revisions, url)
        seen.append(await over(url, revisions, columns))

        assert (beside.problems, alone.problems, written.left) == ([], [], [])

    assert seen == [
        {"id": False, "name": False},
        {"id": False, "name": False, "full_name": True},
        {"id": False, "name": True, "full_name": True},
        {"id": False, "full_name": True},
    ]


async def test_a_hurried_contract_is_refused(database: Make, folder: Path) -> None:
    """Retired and dropped within one release: the running version still uses it."""
    (folder / "shelf_0001.py").unlink()
    url = await database()
    write(release(folder, name()), "first")
    await upgrade(release(folder, name()), url)
    write(release(folder), "without name")
    write(release(folder), "contract", contract=True)
    told = (await verdict(release(folder), url)).problems

    assert len(told) == 1
    assert "crm_0003: customer.name is dropped: the running version uses it" in told[0]


async def test_what_is_retired_must_let_rows_in(folder: Path) -> None:
    """The new code's rows have no value for it."""
    (folder / "shelf_0001.py").unlink()
    write(release(folder, name()), "first")
    path = write(release(folder), "without name").path
    path.write_text(path.read_text().replace("nullable=True", "nullable=False"))
    told = (await verdict(release(folder), None)).problems

    assert any(
        "retires customer.name, which is NOT NULL without a server_default" in t for t in told
    )


async def test_what_is_retired_is_not_in_the_code(folder: Path) -> None:
    """Somebody retired the wrong column."""
    (folder / "shelf_0001.py").unlink()
    path = write(release(folder, name()), "first").path
    path.write_text(path.read_text() + 'retires = ("customer.name",)\n')
    told = (await verdict(release(folder, name()), None)).problems

    assert told == ["crm: crm_0001 retires customer.name, which the code still has"]


def test_nothing_is_dropped_unasked(folder: Path) -> None:
    """Neither a column nor a table; the revision says what the code no longer has."""
    (folder / "shelf_0001.py").unlink()
    write(release(folder, name()), "first")
    gone = Revisions("crm", Service("crm", tables=MetaData(), migrations=folder))
    written = write(gone, "no customers")

    assert written.retires == ("customer",)
    assert "op.drop" not in written.path.read_text()


@pytest.mark.parametrize("contract", [False, True])
def test_without_a_change_nothing_is_written(folder: Path, contract: bool) -> None:
    """An empty revision would only be in the way."""
    (folder / "shelf_0001.py").unlink()
    write(release(folder, name()), "first")

    with pytest.raises(Invalid, match="the tables of crm are those of crm_0001"):
        write(release(folder, name()), "nothing", contract=contract)
