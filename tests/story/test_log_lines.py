"""What processes keep of their logs: bounded, in order, and read while it is written."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from holdfast.engines.machine import MachineClock
from holdfast.observability import Logger
from holdfast.runtime.kept_log import NAME, OLDER, KeptLog
from holdfast.story.log_lines import Matching, Tail, by_time, log_folders

ALL = Matching(())
Tails = Callable[[Path], Tail]


@pytest.fixture
def tail_of() -> Iterator[Tails]:
    """Reads a folder's log; files are closed at the end."""
    with ExitStack() as stack:
        yield lambda folder: stack.enter_context(closing(Tail(folder, ALL)))


def line(number: int) -> bytes:
    """Return a line of 10 bytes."""
    return f"{number:09}\n".encode()


def test_what_is_kept_is_bounded(tmp_path: Path, tail_of: Tails) -> None:
    """The newest lines, whole ones, in two files that take turns."""
    kept = KeptLog(tmp_path, 100)
    for number in range(57):
        kept.write(line(number))
    kept.close()
    again = KeptLog(tmp_path, 100)
    again.write(line(57))
    again.close()
    tail = tail_of(tmp_path)
    read = [*tail.kept(), *tail.new()]

    assert {path.name for path in tmp_path.iterdir()} == {NAME, OLDER}
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 100
    assert read == [line(number) for number in range(50, 58)]


def test_no_line_is_missed_or_doubled_while_files_take_turns(
    tmp_path: Path, tail_of: Tails
) -> None:
    """Whoever reads is somewhere in the newer file when it becomes the older one."""
    kept, read = KeptLog(tmp_path, 100), list[bytes]()
    kept.write(line(0))
    tail = tail_of(tmp_path)
    read += [*tail.kept(), *tail.new()]
    for number in range(1, 30):
        kept.write(line(number))
        if number % 4 == 0:
            read += tail.new()
    read += tail.new()
    kept.close()

    assert read == [line(number) for number in range(30)]


def test_a_file_that_takes_its_turn_between_two_looks_is_read_once(
    tmp_path: Path, tail_of: Tails
) -> None:
    """Opened as the newer one, it is the older one when that is read."""
    kept = KeptLog(tmp_path, 100)
    kept.write(line(1))
    tail = tail_of(tmp_path)
    for number in range(2, 8):
        kept.write(line(number))
    read = [*tail.kept(), *tail.new()]
    kept.close()

    assert read == [line(number) for number in range(1, 8)]


def test_half_a_line_waits_for_its_end(tmp_path: Path, tail_of: Tails) -> None:
    """A process may be read in the middle of a write."""
    path = tmp_path / NAME
    path.write_bytes(b"whole\nha")
    tail = tail_of(tmp_path)
    first = list(tail.new())
    with path.open("ab") as file:
        file.write(b"lf\n")

    assert (first, list(tail.new())) == ([b"whole\n"], [b"half\n"])


def test_a_log_that_begins_later_is_followed(tmp_path: Path, tail_of: Tails) -> None:
    """There is nothing to read, and then there is."""
    tail = tail_of(tmp_path)
    before = list(tail.new())
    (tmp_path / NAME).write_bytes(b"a\n")

    assert (before, list(tail.new())) == ([], [b"a\n"])


def test_a_short_id_is_a_value_and_a_long_one_may_be_a_part(tmp_path: Path) -> None:
    """`7` is not meant by `17`; the id of a saga stands in texts of errors."""
    saga = "01a22b05-6e93-7010-aca5-dde49d6be860"
    matching = Matching({"7", saga})

    assert matching(b'{"correlation_id":"7"}')
    assert not matching(b'{"correlation_id":"17","ms":7}')
    assert matching(f'{{"error":"saga {saga} is parked"}}'.encode())


def test_lines_of_several_processes_are_one_story() -> None:
    """By their times; those of one moment stay as they came."""
    times = [3, 1, 2, 1]
    lines = [f'{{"ts":"2026-11-30T05:54:24.88{t}Z","n":{n}}}'.encode() for n, t in enumerate(times)]

    assert [json.loads(one)["n"] for one in by_time(lines)] == [1, 3, 2, 0]


def test_logs_are_found_in_the_folder_and_its_members(tmp_path: Path) -> None:
    """Of `--split` each process has a folder; the servers' have no log of ours."""
    for name in ("orders-1", "gateway", "servers"):
        (tmp_path / name).mkdir()
    for name in ("orders-1", "gateway"):
        (tmp_path / name / NAME).touch()

    assert [path.name for path in log_folders(tmp_path)] == ["gateway", "orders-1"]
    assert log_folders(tmp_path / "none") == []


def test_a_terminal_and_the_folder_get_the_same_lines() -> None:
    """Each in its form; what is secret is in neither, and what is too long is cut in both."""
    shown, kept = io.BytesIO(), io.BytesIO()
    logger = Logger(shown, MachineClock(), "shop", form="console")
    logger.keep(kept)
    logger.warning("a.b", password="hunter22", n=1)
    logger.info("long", **{f"f{n}": "x" * 1000 for n in range(20)})
    logger.close()
    lines = [json.loads(one) for one in kept.getvalue().splitlines()]

    assert [(one["event"], one["service"]) for one in lines] == [("a.b", "shop"), ("long", "shop")]
    assert lines[1]["line_cut"] is True
    assert shown.getvalue().startswith(lines[0]["ts"][11:23].encode())
    assert b"line_cut" in shown.getvalue()
    assert b"hunter22" not in shown.getvalue() + kept.getvalue()
