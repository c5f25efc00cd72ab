"""All files come into a folder or none, and nobody's own file is written over."""

from pathlib import Path

import pytest

from holdfast.delivery import differences, strangers, write
from holdfast.delivery.files import head
from holdfast.errors import DeclarationError

HEAD = head("shop", "observability")


def test_only_what_differs_is_written(tmp_path: Path) -> None:
    """The second time nothing is; a file that was changed by hand is as it should be again."""
    files = {"a/one.yml": f"{HEAD}1\n", "two.yml": f"{HEAD}2\n"}

    first, again = write(files, tmp_path), write(files, tmp_path)
    (tmp_path / "two.yml").write_text(f"{HEAD}changed\n")
    mended = write(files, tmp_path)

    assert (first, again, mended) == (["a/one.yml", "two.yml"], [], ["two.yml"])
    found = {p.relative_to(tmp_path).as_posix(): p.read_text() for p in tmp_path.rglob("*.yml")}
    assert found == files
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "two.yml"]  # nothing is left beside


@pytest.mark.parametrize("line", ["# holdfast: kept\n", '    "holdfast: kept",\n'])
def test_what_is_kept_stays(tmp_path: Path, line: str) -> None:
    """A line of its own says so, in JSON a tag; the head of a file, which explains it, does not."""
    mine = f"{HEAD}{line}mine\n"
    (tmp_path / "one.yml").write_text(mine)

    assert write({"one.yml": f"{HEAD}1\n"}, tmp_path) == []
    assert (tmp_path / "one.yml").read_text() == mine


def test_what_was_not_rendered_is_in_the_way(tmp_path: Path) -> None:
    """All of it is told, and nothing else is written."""
    (tmp_path / "one.yml").write_text("mine\n")
    (tmp_path / "two.yml").write_bytes(b"\xff")
    files = {name: f"{HEAD}{name}\n" for name in ("one.yml", "three.yml", "two.yml")}

    with pytest.raises(DeclarationError) as refused:
        write(files, tmp_path)

    one, two = refused.value.problems
    assert "one.yml is none that was rendered; move it away" in one
    assert "two.yml: it cannot be read" in two
    assert not (tmp_path / "three.yml").exists()
    assert (tmp_path / "one.yml").read_text() == "mine\n"


def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    """Such as one below a file."""
    (tmp_path / "file").write_text("")

    with pytest.raises(DeclarationError, match=r"render to another folder|move it away"):
        write({"one.yml": HEAD}, tmp_path / "file")


def test_what_is_declared_no_more_is_told(tmp_path: Path) -> None:
    """If it was rendered, and nobody keeps it."""
    keeps = f"{HEAD}# holdfast: kept\n"
    write({"a/old.yml": HEAD, "a/now.yml": HEAD, "a/kept.yml": keeps, "b/old.yml": HEAD}, tmp_path)
    (tmp_path / "a" / "mine.yml").write_text("mine\n")

    assert strangers({"a/now.yml": HEAD}, tmp_path) == ["a/old.yml"]


def test_a_kept_file_has_every_edge_that_is_declared(tmp_path: Path) -> None:
    """It may differ in all else."""
    rendered = f"{HEAD}# edge: a → b: query Q.v1\nport: 1\n    # edge: a → c: event E.v1\n"
    mine = f"{HEAD}# holdfast: kept\nport: 2\n  # edge: a → b: query Q.v1\n"
    write({"one.yml": rendered}, tmp_path)
    (tmp_path / "one.yml").write_text(mine)

    [lacking] = differences({"one.yml": rendered}, tmp_path)

    assert lacking == f"{tmp_path / 'one.yml'} is kept, and lacks `# edge: a → c: event E.v1`"
    (tmp_path / "one.yml").write_text(f"{mine}# edge: a → c: event E.v1\n")
    assert differences({"one.yml": rendered}, tmp_path) == []
