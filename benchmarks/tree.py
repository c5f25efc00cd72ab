"""The files of another commit, unpacked for a while, to measure it beside those here.

What is run there are its own servers (`benchmarks.ours`), with this interpreter and what is
installed beside it; the load is that of this tree. What `benchmarks` did not have then is taken
from here, as far as it fits.
"""

import contextlib
import io
import shutil
import subprocess
import tarfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process import ROOT, disk_folder

HERE = "this tree"


class NoSuchCommit(Exception):
    """The repository has no such commit, or this is no repository."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The files of a commit.

    Attributes:
        name: what the report calls it.
    """

    name: str
    path: Path


@contextlib.contextmanager
def unpacked(ref: str, *, repository: Path = ROOT) -> Generator[Tree, None, None]:
    """Yield the files of a commit in a folder that is removed afterwards. Raises NoSuchCommit.

    It is an archive and no `git worktree`: nothing is left in the repository, whatever happens.
    """
    commit = _git(repository, "rev-parse", "--verify", "--short", f"{ref}^{{commit}}").decode()
    archive = _git(repository, "archive", commit.strip())
    with disk_folder() as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        lend(repository / "benchmarks", folder / "benchmarks")
        yield Tree(commit.strip(), folder)


def lend(source: Path, target: Path) -> None:
    """Copy the modules that are in `source` and not in `target`."""
    for module in sorted(source.rglob("*.py")):
        copy = target / module.relative_to(source)
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(module, copy)


def _git(repository: Path, *words: str) -> bytes:
    done = subprocess.run(["git", *words], cwd=repository, capture_output=True)
    if done.returncode:
        raise NoSuchCommit(done.stderr.decode(errors="replace").strip())
    return done.stdout
