"""A table changes: a revision is written, checked and run, and an old database is refused."""

import asyncio
import sqlite3
from collections.abc import Callable

import asyncpg
import pytest

from holdfast import Service, System
from holdfast.runtime.servers import Servers
from tests.cli.conftest import Cli, Server

NOTES = """
from sqlalchemy import Column, Integer, MetaData, Table, Text
from holdfast import Gateway, Service, System
tables = MetaData()
Table("note", tables, Column("id", Integer, primary_key=True){more})
notes = Service("notes", tables=tables{migrations})
system = System("notes", services=[notes], gateway=Gateway())
"""
MIGRATIONS = ', migrations="revisions"'


def declare(cli: Cli, more: str = "", migrations: str = MIGRATIONS) -> None:
    """Write the system `notes`, with more columns than its first version."""
    source = NOTES.replace("{more}", more).replace("{migrations}", migrations)
    (cli.folder / "notes.py").write_text(source)


def columns(cli: Cli) -> list[str]:
    """Return the columns of its table."""
    with sqlite3.connect(cli.folder / ".holdfast" / "notes" / "notes.db") as connection:
        return [row[1] for row in connection.execute("PRAGMA table_info(note)")]


def test_a_table_gets_a_column(cli: Cli, serve: Callable[..., Server]) -> None:
    """The commands of a developer's day, in their order."""
    declare(cli)
    first = cli.quick("migrate", "notes", "--service", "notes", "--new", "first")
    serve("run", "notes").stop()
    declare(cli, ', Column("text", Text)')
    drift = cli.quick("migrate", "notes", "--check")
    second = cli.quick("migrate", "notes", "--service", "notes", "--new", "add text")
    refused = cli.quick("run", "notes", "--port", "0")
    checked = cli.quick("migrate", "notes", "--check")
    migrated = cli("migrate", "notes")
    again = cli.quick("migrate", "notes")
    code = serve("run", "notes").stop()

    assert "revisions/notes_0001_first.py is written" in first.out
    assert (drift.code, "no revision changes that" in drift.err) == (1, True)
    assert "revisions/notes_0002_add_text.py is written" in second.out
    told = "lacks notes_0002; run `holdfast migrate notes --service notes`"
    assert (refused.code, refused.out) == (1, "")  # not a word in the log of what was not begun
    assert refused.err == f"holdfast: the database of notes {told}\n"
    assert (checked.code, checked.err) == (0, "")
    assert checked.out == (
        "notes: 1 of 2 revisions, which the database lacks, and the tables in the code: no "
        "problems\n"
    )
    assert migrated.out == "notes: notes_0002\n"
    assert again.out == "notes: nothing to do\n"
    assert (columns(cli), code) == (["id", "text"], 0)


def test_a_revision_that_breaks_the_running_version_is_refused(cli: Cli) -> None:
    """`--check` looks at what the database lacks; nothing is changed."""
    declare(cli, ', Column("text", Text)')
    cli.quick("migrate", "notes", "--service", "notes", "--new", "first")
    cli.quick("migrate", "notes")
    declare(cli)
    retired = cli.quick("migrate", "notes", "--service", "notes", "--new", "retire text")
    cli.quick("migrate", "notes", "--service", "notes", "--new", "drop text", "--contract")
    done = cli.quick("migrate", "notes", "--check")

    assert "note.text stays for the version that is running" in retired.out
    assert done.code == 1
    assert "notes: notes_0003: note.text is dropped: the running version uses it" in done.err
    assert columns(cli) == ["id", "text"]


def test_the_command_to_run_names_the_data_folder(cli: Cli, serve: Callable[..., Server]) -> None:
    """It is run as it is told; it stamps what was simply made, and the next one runs."""
    declare(cli, migrations="")
    serve("run", "notes", "--data", "my data").stop()
    declare(cli)
    cli.quick("migrate", "notes", "--service", "notes", "--new", "first")
    refused = cli.quick("run", "notes", "--port", "0", "--data", "my data")
    again = cli.quick("migrate", "notes", "--service", "notes", "--data", "my data")
    noted = cli.quick("migrate", "notes", "--service", "notes", "--data", "my data", "--baseline")
    code = serve("run", "notes", "--data", "my data").stop()

    command = "`holdfast migrate notes --data 'my data' --service notes"
    assert (refused.code, f"run {command}`" in refused.err) == (1, True)
    assert (again.code, f"run {command} --baseline`" in again.err) == (1, True)
    assert noted.out == "notes: its tables are at notes_0001\n"
    assert code == 0


def test_options_that_exclude_each_other_are_told(cli: Cli) -> None:
    """One thing at a time."""
    declare(cli)

    assert "are one each" in cli.quick("migrate", "notes", "--check", "--baseline").err
    assert "are one each" in cli.quick("migrate", "notes", "--contract").err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--service", "books"), "there is no service 'books' in notes; there are notes"),
        (("--service", "notes", "--new", "x"), "notes has no folder for revisions; add `migration"),
        (("--on", "oracle"), "there is no oracle"),
    ],
)
def test_what_does_not_fit_is_one_line(cli: Cli, options: tuple[str, ...], told: str) -> None:
    """It says what to add."""
    declare(cli, migrations="")
    done = cli.quick("migrate", "notes", *options)

    assert done.code in (1, 2)
    assert told in done.err
    assert len(done.err.splitlines()) == 1


def test_nothing_is_new_without_a_change(cli: Cli) -> None:
    """An empty revision would only be in the way."""
    declare(cli)
    cli.quick("migrate", "notes", "--service", "notes", "--new", "first")
    done = cli.quick("migrate", "notes", "--service", "notes", "--new", "nothing")

    assert (done.code, done.err) == (2, "holdfast: the tables of notes are those of notes_0001\n")


def test_a_folder_in_use_is_left_alone(cli: Cli, serve: Callable[..., Server]) -> None:
    """Whoever serves it has read what its tables are."""
    declare(cli)
    cli.quick("migrate", "notes", "--service", "notes", "--new", "first")
    server = serve("run", "notes")
    done = cli.quick("migrate", "notes")

    assert (done.code, "is in use by process" in done.err) == (1, True)
    assert server.stop() == 0


def test_a_database_on_a_server_is_migrated_there(cli: Cli, serve: Callable[..., Server]) -> None:
    """A new one is made when its server is started here; an old one waits for the command."""
    declare(cli)
    cli.quick("migrate", "notes", "--service", "notes", "--new", "first")
    serve("run", "notes", "--on", "postgres").stop()
    declare(cli, ', Column("text", Text)')
    cli.quick("migrate", "notes", "--service", "notes", "--new", "add text")
    refused = cli.quick("run", "notes", "--on", "postgres", "--port", "0")
    migrated = cli.quick("migrate", "notes", "--on", "postgres")
    code = serve("run", "notes", "--on", "postgres").stop()

    assert (refused.code, "`holdfast migrate notes --on postgres" in refused.err) == (1, True)
    assert (migrated.out, code) == ("notes: notes_0002\n", 0)


async def test_an_owner_migrates_and_another_role_serves(cli: Cli) -> None:
    """Who serves reads and writes rows of what was made, and cannot make it himself."""
    declare(cli)
    cli.quick("migrate", "notes", "--service", "notes", "--new", "first")
    system = System("notes", services=[Service("notes")])
    servers = Servers(cli.folder / "elsewhere", ["postgres"], system)
    await servers.start(new_tables=False)
    serves, owns = servers.environ["NOTES_DATABASE_URL"], servers.owners["notes"]
    try:
        alone = {"NOTES_DATABASE_URL": serves}
        both = alone | {"NOTES_DATABASE_OWNER_URL": owns}
        refused = await asyncio.to_thread(cli, "migrate", "notes", **alone)
        unnamed = await asyncio.to_thread(cli, "migrate", "notes", NOTES_DATABASE_OWNER_URL=owns)
        migrated = await asyncio.to_thread(cli, "migrate", "notes", **both)
        again = await asyncio.to_thread(cli, "migrate", "notes", **both)
        connection = await asyncpg.connect(serves)
        wrote = await connection.execute("INSERT INTO note DEFAULT VALUES")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("ALTER TABLE note ADD COLUMN more int")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("UPDATE alembic_version SET version_num = 'other'")
        await connection.close()
    finally:
        await servers.stop()

    assert (refused.code, refused.out) == (1, "")
    assert refused.err == (
        "holdfast: notes was not migrated: permission denied for schema public; migrate as the "
        "role that owns its database; NOTES_DATABASE_OWNER_URL is for its URL\n"
    )
    assert (unnamed.code, "NOTES_DATABASE_URL names no user" in unnamed.err) == (1, True)
    assert migrated.out == "notes: holdfast_1, notes_0001\n"
    assert (again.out, wrote) == ("notes: nothing to do\n", "INSERT 0 1")


BOTH = """
from sqlalchemy import Column, Integer, MetaData, Table
from holdfast import Service, System

def keeping(name):
    tables = MetaData()
    Table(name, tables, Column("id", Integer, primary_key=True))
    return Service(name, tables=tables, migrations=f"revisions/{name}")

system = System("both", services=[keeping("left"), keeping("right")])
"""


def test_all_that_a_start_lacks_is_said_at_once(cli: Cli) -> None:
    """A line for each service, with what to type; following them, nothing more is lacking."""
    (cli.folder / "both.py").write_text(BOTH)
    refused = cli.quick("run", "both", "--port", "0")
    typed = [line.split("`")[1] for line in refused.err.splitlines()]
    written = [cli.quick(*line.split()[1:]) for line in typed]
    migrated = [cli.quick(*done.out.split("`")[1].split()[1:]) for done in written]

    assert typed == [f"holdfast migrate both --service {n} --new first" for n in ("left", "right")]
    assert [done.code for done in (*written, *migrated)] == [0, 0, 0, 0]
    assert "right: right_0001" in migrated[1].out
