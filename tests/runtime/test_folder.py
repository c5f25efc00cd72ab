"""The data folder: what others may see of it, and who owns it."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.errors import DataFolderBusy, DataFolderUnfit
from holdfast.runtime.folder import DataFolder


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Whoever starts us lets everybody read and write what is made."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_the_umask_is_given_back_with_the_folder(tmp_path: Path) -> None:
    """What a program makes after it owned a folder is as it was before."""
    folder = DataFolder(tmp_path / "a" / "b")
    folder.take()
    (tmp_path / "a" / "during").touch()
    folder.give()
    (tmp_path / "after").touch()

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {"a": 0o700, "b": 0o700, "lock": 0o600, "during": 0o600, "after": 0o666}


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o770, 0o720])
def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path, mode: int) -> None:
    """With the command that closes it, after which it is taken."""
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(mode)

    with pytest.raises(DataFolderUnfit, match=f"mode {mode:04o}.*`chmod -R go= {data}`"):
        DataFolder(data).take()

    data.chmod(0o700)
    folder = DataFolder(data)
    folder.take()
    folder.give()


@pytest.mark.parametrize("name", ["users.db", "users.db-wal", "passwords.json", "desk-1.err"])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, name: str) -> None:
    """A copy that was put back by hand, such as of a back-up; other files are not ours."""
    for file in (tmp_path / "notes.txt", tmp_path / name):
        file.touch()
        file.chmod(0o644)  # whatever the umask is that an owner of a folder has left

    with pytest.raises(DataFolderUnfit, match=f"{name} is open to other users.*mode 0644"):
        DataFolder(tmp_path).take()

    assert not (tmp_path / "lock").exists()


@pytest.mark.parametrize("lost", ["removed", "made again"])
def test_there_is_no_second_owner_when_the_lock_file_goes(tmp_path: Path, lost: str) -> None:
    """What is locked is the folder, not only the file that says who owns it."""
    owner, second = DataFolder(tmp_path), DataFolder(tmp_path)
    owner.take()
    (tmp_path / "lock").unlink()
    if lost == "made again":
        (tmp_path / "lock").touch(0o600)

    with pytest.raises(DataFolderBusy, match="in use by process"):
        second.take()

    assert second.is_owned()
    owner.give()
    assert not second.is_owned()
    second.take()
    second.give()


@pytest.mark.parametrize(("place", "why"), [("/proc/no", "No such file"), ("file", "exists")])
def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path, place: str, why: str) -> None:
    """A file system that keeps nothing, a file in the way; commands that look say it, too."""
    (tmp_path / "file").touch()

    with pytest.raises(DataFolderUnfit, match=f"cannot be used: .*{why}.*--data"):
        DataFolder(tmp_path / place).take()
