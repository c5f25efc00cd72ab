"""The audit log in a data folder: it survives kills, other writers, and a disk without room."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.engines.machine import MachineClock
from holdfast.observability.chain import RECOVERED, SHORTENED, Deed, Head, entry_of
from holdfast.observability.chain_check import ChainReader
from holdfast.runtime import audit_file
from holdfast.runtime.audit_file import HEADS_EVERY, NAME, PARTS, AuditFile, audit_files
from tests.auditing import entries_in

WRITES = """
import sys
from pathlib import Path
from holdfast.engines.machine import MachineClock
from holdfast.observability.chain import Deed
from holdfast.runtime.audit_file import AuditFile

file = AuditFile(Path(sys.argv[1]), MachineClock(), bytes_max=1 << 30, who="p", on="shop/all",
                 on_head=lambda head: None)
for n in range(int(sys.argv[2])):
    assert file.append(Deed("operator.drop", "x" * 200, on=f"id={n}"), durable=False)
"""


def writing(
    folder: Path, *, bytes_max: int = 1 << 20, heads: list[Head] | None = None
) -> AuditFile:
    """Return what writes to a folder."""
    kept = heads if heads is not None else []
    return AuditFile(
        folder, MachineClock(), bytes_max=bytes_max, who="p", on="shop/all", on_head=kept.append
    )


def child(folder: Path, count: int) -> subprocess.Popen[bytes]:
    """Start a process that writes so many entries."""
    return subprocess.Popen([sys.executable, "-c", WRITES, str(folder), str(count)])


def checked(folder: Path) -> ChainReader:
    """Return what is found of all files of a folder."""
    check = ChainReader({})
    for path in audit_files(folder):
        with path.open("rb") as file:
            check.look(((f"{path.name} {n}", line) for n, line in enumerate(file)), strict=True)
    return check


def test_a_chain_goes_on_after_a_restart(tmp_path: Path) -> None:
    """One chain for all lives of a process; the file is its user's alone."""
    folder = tmp_path / "data"
    for n in range(3):
        file = writing(folder)
        assert file.append(Deed("process.started", "p", on=f"{n}"), durable=True)
        assert file.entries == n + 2
        file.close()

    found = checked(folder)
    assert found.problems() == []
    assert [chain.entries for chain in found.chains.values()] == [4]
    assert (folder / NAME).stat().st_mode & 0o777 == 0o600 and folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("kept", range(0, 320, 40))
def test_whatever_part_of_a_line_is_left_the_chain_goes_on(tmp_path: Path, kept: int) -> None:
    """A process that dies while it writes leaves the beginning of a line, or all but its end."""
    file = writing(tmp_path)
    for n in range(3):
        file.append(Deed("operator.drop", "ada", on=f"id={n}"), durable=False)
    path = tmp_path / NAME
    content = path.read_bytes()
    *whole, last = content.splitlines(keepends=True)
    path.write_bytes(b"".join(whole) + last[: min(kept, len(last) - 1)])

    next_life = writing(tmp_path)
    assert next_life.append(Deed("operator.retry", "ada"), durable=True)

    found = checked(tmp_path)
    assert found.problems() == []
    said = [entry.what for entry in entries_in(path.read_bytes())]
    assert said[-1] == "operator.retry"
    assert (RECOVERED in said) == (0 < kept < len(last) - 1)


def test_a_death_within_the_recovery_is_recovered(tmp_path: Path) -> None:
    """The line was ended, and the entry that says why was not written, or in part."""
    file = writing(tmp_path)
    file.append(Deed("operator.drop", "ada"), durable=False)
    path = tmp_path / NAME
    for rest in (b'{"ts":"20\n', b'{"ts":"20\n{"t', b'{"ts":"20\n{"ts":"\n{"a'):
        whole = path.read_bytes()
        path.write_bytes(whole + rest)
        assert writing(tmp_path).append(Deed("operator.retry", "ada"), durable=False)
        assert checked(tmp_path).problems() == []
        path.write_bytes(whole)


def test_a_killed_process_loses_no_entry_and_breaks_no_chain(tmp_path: Path) -> None:
    """kill -9 at any moment, several times; what was written before is there."""
    path = tmp_path / NAME
    path.touch(mode=0o600)
    for _ in range(5):
        process, before = child(tmp_path, 1_000_000), path.stat().st_size
        while path.stat().st_size < before + 200_000:
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()

    assert writing(tmp_path).append(Deed("operator.retry", "ada"), durable=True)
    found = checked(tmp_path)
    assert found.problems() == []
    [chain] = found.chains.values()
    assert chain.head.seq + 1 == chain.entries > 1_000


def test_several_processes_write_one_chain(tmp_path: Path) -> None:
    """Each goes on from where the other is; no entry is lost, none is there twice."""
    file, path = writing(tmp_path), tmp_path / NAME
    assert file.append(Deed("operator.drop", "here"), durable=False)
    others = [child(tmp_path, 200) for _ in range(3)]
    for n in range(200):
        size = path.stat().st_size
        while path.stat().st_size == size and any(other.poll() is None for other in others):
            pass  # another one writes now
        assert file.append(Deed("operator.drop", "here", on=f"id={n}"), durable=False)
    assert [other.wait() for other in others] == [0, 0, 0]

    found = checked(tmp_path)
    assert found.problems() == []
    assert [chain.entries for chain in found.chains.values()] == [802]


def test_the_log_is_bounded_and_says_what_made_room(tmp_path: Path) -> None:
    """The oldest part goes; the chain of the rest is whole, also for whoever comes later."""
    bytes_max = 40_000
    file = writing(tmp_path, bytes_max=bytes_max)
    for n in range(1_000):
        assert file.append(Deed("request.refused", "x" * 100, on=f"id={n}"), durable=False)
    file.close()
    assert writing(tmp_path, bytes_max=bytes_max).append(Deed("a", "b"), durable=False)

    files = audit_files(tmp_path)
    assert len(files) == PARTS
    assert sum(path.stat().st_size for path in files) <= bytes_max + PARTS * 1_000
    found = checked(tmp_path)
    assert found.problems() == []
    [chain] = found.chains.values()
    assert chain.before is not None and chain.before.seq > 100
    what = [e.what for path in files for e in entries_in(path.read_bytes())]
    assert SHORTENED in what
    files[0].unlink()  # somebody else makes room
    assert "those before are missing" in checked(tmp_path).problems()[0]


def test_a_death_between_two_files_breaks_nothing(tmp_path: Path) -> None:
    """The newest one was renamed, and the next one is not there, or is empty."""
    file = writing(tmp_path)
    file.append(Deed("operator.drop", "ada"), durable=False)
    (tmp_path / NAME).rename(tmp_path / "audit.000000000001.jsonl")
    assert writing(tmp_path).append(Deed("operator.drop", "ada"), durable=False)
    assert file.append(
        Deed("operator.drop", "the first one, which has the other file open"), durable=False
    )

    found = checked(tmp_path)
    assert found.problems() == []
    assert [chain.entries for chain in found.chains.values()] == [4]


def test_a_death_in_the_first_line_of_a_part_begins_no_other_chain(tmp_path: Path) -> None:
    """Nothing whole is in the newest file, and the chain is that of the one before."""
    file = writing(tmp_path, bytes_max=PARTS * 2_000)
    while len(audit_files(tmp_path)) < 2:
        assert file.append(Deed("operator.drop", "ada"), durable=False)
    (tmp_path / NAME).write_bytes(b'{"ts":"20')

    assert writing(tmp_path, bytes_max=PARTS * 2_000).append(Deed("a", "ada"), durable=False)

    found = checked(tmp_path)
    assert found.problems() == []
    assert len(found.chains) == 1
    assert RECOVERED in {entry.what for entry in entries_in((tmp_path / NAME).read_bytes())}


def test_an_entry_counts_though_no_other_part_can_be_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is on the disk; the part is begun as soon as there is room."""
    file = writing(tmp_path, bytes_max=PARTS * 2_000)

    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(audit_file.os, "rename", full)
        assert all(file.append(Deed("a", "ada"), durable=True) for _ in range(20))
    assert len(audit_files(tmp_path)) == 1
    assert file.append(Deed("a", "ada"), durable=True)

    assert len(audit_files(tmp_path)) == 2
    assert checked(tmp_path).problems() == []


def test_without_room_an_entry_is_refused_and_the_chain_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full in the middle of a line is as a crash."""
    file = writing(tmp_path)
    assert file.append(Deed("operator.drop", "ada", on="id=1"), durable=True)
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if len(data) < 60:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[:50])

    with monkeypatch.context() as patched:
        patched.setattr(audit_file.os, "write", full)
        assert not file.append(Deed("operator.drop", "ada", on="id=2"), durable=True)
    assert file.append(Deed("operator.drop", "ada", on="id=3"), durable=True)

    found = checked(tmp_path)
    assert found.problems() == []
    said = [(entry.what, entry.on) for entry in entries_in((tmp_path / NAME).read_bytes())]
    assert said[-1] == ("operator.drop", "id=3") and ("operator.drop", "id=2") not in said


def test_a_file_that_is_none_begins_a_chain_anew_and_is_found(tmp_path: Path) -> None:
    """Somebody wrote over all of it: the system goes on, and who checks is told."""
    (tmp_path / NAME).write_bytes(b"nothing of this is an entry\n" * 10_000)
    file = writing(tmp_path)

    assert file.append(Deed("operator.drop", "ada"), durable=False)
    assert "is no entry" in checked(tmp_path).problems()[0]


def test_a_required_entry_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the wish is carried out; the others are left to the kernel."""
    synced = list[int]()
    file = writing(tmp_path)
    file.append(Deed("a", "b"), durable=False)
    monkeypatch.setattr(audit_file.os, "fsync", lambda descriptor: synced.append(descriptor))

    file.append(Deed("request.refused", "b"), durable=False)
    before = len(synced)
    file.append(Deed("operator.drop", "b"), durable=True)

    assert (before, len(synced)) == (0, 1)


def test_the_heads_are_told(tmp_path: Path) -> None:
    """When the chain is taken up, now and then, and at the end: each is an entry of the file."""
    heads = list[Head]()
    file = writing(tmp_path, heads=heads)
    for n in range(HEADS_EVERY + 5):
        file.append(Deed("operator.drop", "ada", on=f"id={n}"), durable=False)
    file.close()

    entries = [entry_of(line) for line in (tmp_path / NAME).read_bytes().splitlines()]
    assert [head.seq for head in heads] == [1, HEADS_EVERY + 1, HEADS_EVERY + 5]
    assert all(entry is not None and entry.head in (entry.head, *heads) for entry in entries)
    assert {head.hash for head in heads} <= {entry.hash for entry in entries if entry is not None}
