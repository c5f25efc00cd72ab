"""The files of another commit: where they come from, and what is lent to them."""

import subprocess
from pathlib import Path

import pytest

from benchmarks.tree import NoSuchCommit, lend, unpacked


def git(folder: Path, *words: str) -> None:
    """Run git as nobody in particular."""
    who = ("-c", "user.name=ada", "-c", "user.email=ada@example.org")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a repository whose second commit has another figure."""
    folder = tmp_path / "repository"
    (folder / "benchmarks").mkdir(parents=True)
    git(folder, "init", "--quiet")
    (folder / "benchmarks/old.py").write_text("then")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    git(folder, "tag", "first")
    (folder / "benchmarks/old.py").write_text("now")
    (folder / "benchmarks/new.py").write_text("now")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "second")
    return folder


def test_a_commit_is_unpacked_for_a_while(repository: Path) -> None:
    """Its own files are as they were, and the folder is gone afterwards."""
    with unpacked("first", repository=repository) as tree:
        found = (tree.path / "benchmarks/old.py").read_text()

    assert found == "then"
    assert not tree.path.exists()


def test_a_commit_without_a_figure_is_lent_it(repository: Path) -> None:
    """What it has not is taken from this tree."""
    with unpacked("first", repository=repository) as tree:
        assert (tree.path / "benchmarks/new.py").read_text() == "now"


def test_what_is_there_is_not_lent(tmp_path: Path) -> None:
    """A folder is made where there is none, and nothing is written over."""
    for folder, word in (("source", "ours"), ("target", "theirs")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "both.py").write_text(word)
    (tmp_path / "source/deep").mkdir()
    (tmp_path / "source/deep/one.py").write_text("ours")

    lend(tmp_path / "source", tmp_path / "target")

    assert (tmp_path / "target/both.py").read_text() == "theirs"
    assert (tmp_path / "target/deep/one.py").read_text() == "ours"


def test_a_commit_that_is_not_there_is_refused(repository: Path) -> None:
    """The message is git's own."""
    refused = pytest.raises(NoSuchCommit, match="Needed a single revision")
    with refused, unpacked("third", repository=repository):
        pass


def test_an_option_is_no_commit(repository: Path) -> None:
    """A name that begins with a dash is not handed on as an option."""
    refused = pytest.raises(NoSuchCommit)
    with refused, unpacked("--all", repository=repository):
        pass
