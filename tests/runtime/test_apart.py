"""Where the revisions of a first start run: in a child process, which takes Alembic with it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVE = """
import asyncio, io, sys, threading
from pathlib import Path
from sqlalchemy import Column, Integer, MetaData, Table, Text
from holdfast import Service, System
from holdfast.engines.machine import MachineClock
from holdfast.observability import Logger
from holdfast.runtime.options import Options
from holdfast.runtime.serve import serve

class Signals:
    def on_stop(self, callback):
        self.stop = callback

def ready(process):
    print("serves", "alembic" in sys.modules)
    signals.stop()

metadata, folder = MetaData(), Path(sys.argv[1])
Table("book", metadata, Column("id", Integer, primary_key=True))
shelf = Service("shelf", tables=metadata, migrations=folder / "revisions")
library = System("library", services=[shelf])
signals, logger = Signals(), Logger(io.BytesIO(), MachineClock(), "library")
if sys.argv[2:]:
    threading.Thread(target=threading.Event().wait, daemon=True).start()
options = Options(folder / "data", port=0, ops_port=0)
asyncio.run(serve(library, options, logger, signals, ready))
"""
REVISION = """
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "shelf_0001", None, ("shelf",), None
def upgrade():
    op.create_table("book", sa.Column("id", sa.Integer(), primary_key=True))
"""


def first_start(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Serve the system in a process of its own, until it is ready."""
    command = [sys.executable, "-c", SERVE, str(folder), *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a system, with a revision that makes its table."""
    (tmp_path / "revisions").mkdir()
    (tmp_path / "revisions" / "shelf_0001.py").write_text(REVISION)
    return tmp_path


def test_a_first_start_does_not_keep_alembic(folder: Path) -> None:
    """What it loads is 11 MB for as long as the process lives."""
    done = first_start(folder)

    assert done.stdout == "serves False\n", done.stderr


def test_where_threads_run_nothing_forks(folder: Path) -> None:
    """A child would have their locks and not them; so the process makes its tables itself."""
    done = first_start(folder, "with a thread")

    assert done.stdout == "serves True\n", done.stderr


def test_what_fails_in_the_child_is_told_by_the_process(folder: Path) -> None:
    """The error is the revision's own, told once, and the next start finds nothing half made."""
    revision = folder / "revisions" / "shelf_0001.py"
    revision.write_text(REVISION + "    raise RuntimeError('the shelf broke')\n")
    failed = first_start(folder)
    revision.write_text(REVISION)
    again = first_start(folder)

    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.count("RuntimeError: the shelf broke") == 1
    assert again.stdout.startswith("serves"), again.stderr
