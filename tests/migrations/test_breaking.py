"""Which changes of a table the version that is running survives."""

import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from holdfast.migrations.breaking import breaking
from tests.servers import Postgres

HEAD = "import sqlalchemy as sa\nfrom alembic import op\n"


def problems(*bodies: str) -> list[str]:
    """Return what is wrong with revisions, each the body of an `upgrade`."""
    scripts: list[Any] = []
    for number, body in enumerate(bodies, 1):
        head, _, body = body.rpartition("---\n")
        names: dict[str, Any] = {}
        source = HEAD + head + "def upgrade():\n" + textwrap.indent(body, "    ")
        exec(compile(source, str(Path("revision")), "exec"), names)
        scripts.append(SimpleNamespace(revision=f"r{number}", module=SimpleNamespace(**names)))
    return breaking(scripts)


@pytest.mark.parametrize(
    "body",
    [
        "op.add_column('book', sa.Column('isbn', sa.Text()))",
        "op.add_column('book', sa.Column('n', sa.Integer(), nullable=False, server_default='0'))",
        "op.create_table('shelf', sa.Column('id', sa.Integer(), primary_key=True))",
        "op.create_index('book_title', 'book', ['title'])",
        "op.drop_index('book_title', 'book')",
        "op.alter_column('book', 'title', nullable=True)",
        "op.alter_column('book', 'title', existing_type=sa.String(9), type_=sa.String(20))",
        "op.alter_column('book', 'title', existing_type=sa.String(9), type_=sa.Text())",
        "op.execute(\"UPDATE book SET title = 'x' WHERE title IS NULL\")",
        "op.drop_constraint('book_author', 'book')",
        "with op.batch_alter_table('book') as b:\n    b.add_column(sa.Column('isbn', sa.Text()))",
    ],
)
def test_what_only_adds_is_fine(body: str) -> None:
    """The running version does not see it."""
    assert problems(body) == []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("op.drop_column('book', 'title')", "book.title is dropped"),
        ("op.drop_table('book')", "book is dropped or renamed"),
        ("op.rename_table('book', 'volume')", "book is dropped or renamed"),
        ("op.alter_column('book', 'title', new_column_name='name')", "is renamed to name"),
        ("op.alter_column('book', 'title', nullable=False)", "book.title becomes NOT NULL"),
        ("op.alter_column('book', 'n', server_default=None)", "book.n loses its server_default"),
        (
            "op.alter_column('book', 'n', existing_type=sa.Integer(), type_=sa.Text())",
            "book.n changes its type to Text()",
        ),
        (
            "op.alter_column('book', 't', existing_type=sa.String(9), type_=sa.String(5))",
            "book.t changes its type",
        ),
        (
            "op.add_column('book', sa.Column('isbn', sa.Text(), nullable=False))",
            "book.isbn is NOT NULL without a server_default",
        ),
        ("op.create_unique_constraint('u', 'book', ['title'])", "the constraint u on book refuses"),
        ("op.create_check_constraint('c', 'book', 'n > 0')", "the constraint c on book refuses"),
        (
            "op.create_foreign_key('f', 'book', 'author', ['a'], ['id'])",
            "the constraint f on book refuses",
        ),
        ("op.create_index('i', 'book', ['title'], unique=True)", "the unique index i on book"),
        ("op.execute('ALTER TABLE book DROP COLUMN title')", "may drop or change"),
        ("op.execute(sa.text('alter table book rename to volume'))", "may drop or change"),
        (
            "with op.batch_alter_table('book') as b:\n    b.drop_column('title')",
            "book.title is dropped",
        ),
    ],
)
def test_what_the_running_version_uses_is_kept(body: str, told: str) -> None:
    """The line names the revision and the column, and says what to do instead."""
    [problem] = problems(body)

    assert problem.startswith("r1: ")
    assert told in problem


def test_a_table_that_is_new_may_still_change() -> None:
    """The running version does not know it."""
    made = "op.create_table('shelf', sa.Column('id', sa.Integer(), primary_key=True))"

    assert problems(made, "op.drop_column('shelf', 'id')\nop.rename_table('shelf', 's')") == []


@pytest.mark.parametrize(
    "body",
    [
        "contracts = ('book.title',)\n---\nop.drop_column('book', 'title')",
        "contracts = ('book.title',)\n---\nop.alter_column('book', 'title', nullable=False)",
        "contracts = ('book',)\n---\nop.drop_table('book')",
        "contracts = ('book',)\n---\nop.create_unique_constraint('u', 'book', ['title'])",
    ],
)
def test_what_nobody_uses_any_more_may_go(body: str) -> None:
    """The revision says so by name."""
    assert problems(body) == []


FILL = "op.execute(\"UPDATE book SET title = '' WHERE title IS NULL\")\n"
HELD = [
    "op.execute('ALTER TABLE book ADD CONSTRAINT titled NOT NULL title NOT VALID')",
    "op.execute('alter table only public.\"book\" add not null title\\n not valid')",
    "op.execute('ALTER TABLE book ADD CONSTRAINT t CHECK (title IS NOT NULL) NOT VALID')",
    "op.create_check_constraint('titled', 'book', 'title > 0', postgresql_not_valid=True)",
]


@pytest.mark.parametrize("body", HELD)
@pytest.mark.parametrize("before", ["", "contracts = ('book',)\n---\n", FILL])
def test_not_valid_without_filled_rows_is_refused(body: str, before: str) -> None:
    """Nobody writes NULL any more, and yet rows of before could not be updated any more."""
    [problem] = problems(before + body)

    assert "is NOT VALID: a row of before that breaks it cannot be updated" in problem
    assert "op.execute that UPDATEs book before it" in problem


async def test_not_valid_stops_changes_of_other_columns(postgres: Postgres) -> None:
    """Why it is refused: the server looks at whole rows, and at those of before, too."""
    connection = await asyncpg.connect(await postgres.database())
    await connection.execute("CREATE TABLE book (title text, stock int)")
    await connection.execute("INSERT INTO book VALUES (NULL, 1)")
    await connection.execute("ALTER TABLE book ADD CHECK (title IS NOT NULL) NOT VALID")
    with pytest.raises(asyncpg.CheckViolationError, match="violates check constraint"):
        await connection.execute("UPDATE book SET stock = 2")
    await connection.execute("UPDATE book SET title = '' WHERE title IS NULL")
    changed = await connection.execute("UPDATE book SET stock = 2")
    await connection.close()

    assert changed == "UPDATE 1"


@pytest.mark.parametrize("body", HELD)
def test_not_valid_is_fine_where_rows_are_filled(body: str) -> None:
    """In the revision itself, or in one before that comes with the same release."""
    contracts = "contracts = ('book',)\n---\n"

    assert problems(contracts + FILL + body) == []
    assert problems(FILL, contracts + body) == []
    assert problems(FILL.replace("book", "author"), contracts + body) != []
    assert problems(contracts + body + "\n" + FILL) != [], "filled too late"


def test_not_valid_on_a_new_table_is_fine() -> None:
    """It has no rows of before."""
    made = "op.create_table('book', sa.Column('title', sa.Text()))\n"

    assert problems(made + HELD[0]) == []


def test_contracts_name_one_thing_only() -> None:
    """Another column of the same table is still guarded."""
    body = "contracts = ('book.title',)\n---\nop.drop_column('book', 'author')"

    assert problems(body) == [
        "r1: book.author is dropped: the running version uses it; let a release go out that does "
        'not, with retires = ("book.author",) in its revision, and do this in the one after'
    ]
