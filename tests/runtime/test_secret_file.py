"""A file with a secret: the newest text, for the price of a look."""

import os
import time
from pathlib import Path

import pytest

from holdfast.runtime import secret_file
from holdfast.runtime.secret_file import SecretFile


def old(path: Path) -> None:
    """Have a file look as if it had been written long ago."""
    long_ago = time.time() - 60
    os.utime(path, (long_ago, long_ago))


def test_a_file_that_stays_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After that it is looked at, some microseconds."""
    path = tmp_path / "key"
    path.write_text("a")
    old(path)
    file = SecretFile(str(path))
    monkeypatch.setattr(secret_file, "read_text", lambda path: pytest.fail("read again"))

    assert [file.text() for _ in range(3)] == ["a"] * 3


def test_a_file_written_twice_in_one_tick_is_read_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that is told of it may be the same: what was written just now is not believed to stay."""
    path = tmp_path / "key"
    path.write_text("a")
    now = time.time_ns()
    monkeypatch.setattr(secret_file, "_stamp", lambda path: (now, now, 1, 1, 1))
    file = SecretFile(str(path))

    path.write_text("b")

    assert file.text() == "b"


def test_a_file_that_is_swapped_is_read(tmp_path: Path) -> None:
    """As Kubernetes does: the folder that a link leads to is another one."""
    for name, text in (("1", "a"), ("2", "b")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_text(text)
        old(tmp_path / name / "key")
    link = tmp_path / "data"
    link.symlink_to("1")
    file = SecretFile(str(link / "key"))
    before = file.text()

    (tmp_path / "new").symlink_to("2")
    (tmp_path / "new").rename(link)

    assert (before, file.text()) == ("a", "b")


@pytest.mark.parametrize("content", [b"xyzzy\xffplugh", b"xyzzy\0plugh", b"xyzzy" * 14_000, b""])
def test_what_is_no_secret_is_refused_without_a_word_of_it(content: bytes, tmp_path: Path) -> None:
    """Neither in the error nor in what is told of the file."""
    path = tmp_path / "key"
    path.write_bytes(content)

    with pytest.raises(ValueError, match=r"UTF-8|NUL|65536|nothing") as refused:
        SecretFile(str(path))
    path.write_bytes(b"good")
    file = SecretFile(str(path))
    path.write_bytes(content)

    assert file.text() == "good" and file.problem
    told = f"{refused.value!r} {refused.value.__cause__} {file.problem} {file!r}"
    assert not any(part in told for part in ("xyzzy", "plugh", "xff", "good"))
