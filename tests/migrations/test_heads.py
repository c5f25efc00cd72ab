"""What is read of revisions without Alembic is what Alembic reads, or is left to it."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from holdfast import Service
from holdfast.errors import OldSchema
from holdfast.migrations import Revisions
from holdfast.migrations.heads import heads_of
from shop.system import shop
from tests.migrations.conftest import FIRST, SECOND

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("service", shop.services, ids=lambda service: service.name)
def test_the_shop_is_read_as_alembic_reads_it(service: Service) -> None:
    """Each of its services, with the framework's own."""
    revisions = Revisions("shop", service)
    ours = Path(import_module("holdfast.engines.versions").__path__[0])
    folders = [ours, *([revisions.folder] if revisions.folder else [])]

    assert heads_of(folders) == set(revisions.scripts.get_heads())


@pytest.mark.parametrize(
    ("second", "heads"),
    [
        (SECOND, {"shelf_0002"}),
        ('revision: str = "b"\ndown_revision: str | None = "shelf_0001"\n', {"b"}),
        ('revision = "b"\ndown_revision = None\n', {"b", "shelf_0001"}),
    ],
)
def test_plain_files_are_read(folder: Path, second: str, heads: set[str]) -> None:
    """In each form in which people and Alembic's templates write them, and as Alembic does."""
    (folder / "second.py").write_text(second)
    revisions = Revisions("library", shop.services[0])
    config = revisions.config()
    config.set_main_option("version_locations", str(folder).replace("%", "%%"))
    alembic = import_module("alembic.script").ScriptDirectory.from_config(config)

    assert heads_of([folder]) == heads == set(alembic.get_heads())


@pytest.mark.parametrize(
    "second",
    [
        'revision = "b"\ndown_revision = "nobody"\n',
        'revision = "b"\n',
        'revision = "b"\ndown_revision = ("shelf_0001",)\n',
        'down_revision = "shelf_0001"\n',
        'NAME = "b"\nrevision = NAME\ndown_revision = "shelf_0001"\n',
        'revision = "b"\ndown_revision = "shelf_0001"\nif True:\n    revision = "c"\n',
        'revision = "shelf_0001"\ndown_revision = None\n',
        "from elsewhere import revision, down_revision\n",
        "revision, down_revision = made()\n",
        'revision = "b\n',
        "revision = 1\ndown_revision = None\n",
    ],
)
def test_what_is_not_plain_is_left_to_alembic(folder: Path, second: str) -> None:
    """It is not guessed at."""
    (folder / "second.py").write_text(second)

    assert heads_of([folder]) is None


def test_a_database_that_is_old_or_of_two_histories_is_not_taken_for_new(
    folder: Path, revisions: Revisions
) -> None:
    """Nor is one in which only the framework's tables are."""
    revisions.check(frozenset({"holdfast_1", "shelf_0001"}))
    for at in ({"holdfast_1"}, {"shelf_0001"}, set[str]()):
        with pytest.raises(OldSchema, match="lacks"):
            Revisions("library", revisions.service).check(frozenset(at))

    (folder / "shelf_0002.py").write_text(SECOND)
    with pytest.raises(OldSchema, match="lacks shelf_0002"):
        Revisions("library", revisions.service).check(frozenset({"holdfast_1", "shelf_0001"}))
    (folder / "other.py").write_text(
        FIRST.replace("shelf_0001", "other", 1).replace('("shelf",)', "None")
    )
    with pytest.raises(OldSchema, match="two newest revisions"):
        Revisions("library", revisions.service).check(
            frozenset({"holdfast_1", "shelf_0002", "other"})
        )


AGAIN = """
import asyncio, sys
from holdfast.migrations import Revisions, make
from shop.system import shop
revisions = Revisions("shop", shop.service("orders"))
asyncio.run(make(revisions, sys.argv[1]))
print("alembic" in sys.modules)
"""


def test_who_finds_nothing_to_do_does_not_load_alembic(tmp_path: Path) -> None:
    """The first start makes the tables with it; the second one only looks."""
    command = [sys.executable, "-c", AGAIN, f"sqlite:///{tmp_path / 'orders.db'}"]

    first, second = (
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    )
    assert (first, second) == ("True\n", "False\n")
