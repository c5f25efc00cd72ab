"""The chain of an audit log: whatever somebody does to its lines is found, at the first of them."""

import json
import re
from collections.abc import Callable

import msgspec
import pytest

from holdfast.observability.chain import (
    AuditEntry,
    Deed,
    Head,
    begun,
    chained,
    hash_of,
    line_of,
    recovered,
    shortened,
)
from holdfast.observability.chain_check import ChainReader

Lines = list[bytes]


def chain(count: int = 6, name: str = "shop/all/1") -> list[AuditEntry]:
    """Return a chain of some entries."""
    head, found = Head(name), list[AuditEntry]()
    for n in range(count):
        deed = Deed("operator.drop", "unix user ada", on=f"id={n}") if n else begun("p", "shop")
        found.append(chained(head, deed, 1_764_532_800.0 + n))
        head = found[-1].head
    return found


def lines(entries: list[AuditEntry]) -> Lines:
    """Return them as a file has them."""
    return [line_of(entry) for entry in entries]


def looked(
    content: Lines, *, strict: bool = True, heads: dict[tuple[str, int], str] | None = None
) -> ChainReader:
    """Return what is found of one file."""
    check = ChainReader(heads or {})
    check.look(((f"line {n}", line) for n, line in enumerate(content, 1)), strict=strict)
    return check


def problems(content: Lines, *, strict: bool = True) -> list[str]:
    """Return what is wrong with one file."""
    return looked(content, strict=strict).problems()


def changed(line: bytes, **members: object) -> bytes:
    """Return a line with other values, and its old hash."""
    return json.dumps(json.loads(line) | members).encode() + b"\n"


def rehashed(line: bytes, **members: object) -> bytes:
    """Return a line with other values, and a hash that is right for them."""
    entry = msgspec.convert(json.loads(line) | members, AuditEntry)
    return line_of(msgspec.structs.replace(entry, hash=hash_of(entry)))


def test_what_was_written_is_whole() -> None:
    """Each entry follows the one before, and the head is the last one."""
    entries = chain()
    found = looked(lines(entries))

    assert found.problems() == []
    assert [(one.head, one.entries) for one in found.chains.values()] == [(entries[-1].head, 6)]


ATTACKS: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "a value": (
        lambda c: [*c[:3], changed(c[3], who="unix user eve"), *c[4:]],
        "line 4: .*changed",
    ),
    "a value and its hash": (
        lambda c: [*c[:3], rehashed(c[3], who="unix user eve"), *c[4:]],
        "line 5: .*follows another entry 3",
    ),
    "how often": (lambda c: [*c[:3], changed(c[3], times=0), *c[4:]], "line 4: .*changed"),
    "the time": (lambda c: [*c[:3], changed(c[3], ts="2020"), *c[4:]], "line 4: .*changed"),
    "one left out": (lambda c: [*c[:3], *c[4:]], "line 4: entry 4 stands after entry 2: 1 is"),
    "several left out": (lambda c: [*c[:2], *c[5:]], "line 3: entry 5 .* 3 are missing"),
    "one repeated": (lambda c: [*c[:3], c[2], *c[3:]], "line 4: entry 2 .*moved or repeated"),
    "two swapped": (lambda c: [*c[:2], c[3], c[2], *c[4:]], "line 3: entry 3 stands after entry 1"),
    "one put in": (
        lambda c: [*c[:3], rehashed(c[3], on="id=99"), *c[3:]],
        "line 5: entry 3 stands after entry 3",
    ),
    "one of another chain": (
        lambda c: [*c[:3], rehashed(c[3], chain="shop/all/2"), *c[4:]],
        "line 5: entry 4 stands after entry 2",
    ),
    "its beginning": (lambda c: c[2:], "begins with entry 2: those before are missing"),
    "its first entry": (lambda c: c[1:], "begins with entry 1"),
    "another beginning": (
        lambda c: [rehashed(c[0], what="operator.drop"), *c[1:]],
        "line 1: entry 0 does not begin a chain",
    ),
    "a beginning after another": (
        lambda c: [rehashed(c[0], prev="1" * 64), *c[1:]],
        "line 1: entry 0 does not begin a chain",
    ),
    "a line that is none": (lambda c: [*c[:3], b"hello\n", *c[3:]], "line 4: is no entry"),
    "a line cut": (lambda c: [*c[:3], c[3][:40] + b"\n", *c[4:]], "line 4: is no entry"),
    "a last line that is none": (lambda c: [*c, b"{}\n"], "line 7: is no entry"),
    "a member more": (lambda c: [*c[:3], changed(c[3], note="x"), *c[4:]], "line 4: is no entry"),
    "a member less": (
        lambda c: [*c[:3], c[3].replace(b'"times":1,', b""), *c[4:]],
        "line 4: is no entry",
    ),
    "a member twice": (
        lambda c: [*c[:3], c[3].replace(b'"who":', b'"who":"eve","who":'), *c[4:]],
        "",
    ),
    "zeros": (lambda c: [*c[:3], b"\0" * 300 + b"\n", *c[4:]], "line 4: is no entry"),
}
"""{what is done to the lines: (how, what is found)}; "": it says the same as before."""


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_done_to_lines_is_found(attack: str) -> None:
    """And the first line of it is named."""
    do, wanted = ATTACKS[attack]
    found = problems(do(lines(chain())))

    assert len(found) <= (1 if attack != "one of another chain" else 2)
    if wanted:
        assert any(_matches(wanted, one) for one in found), found
    else:
        assert found == []


def _matches(wanted: str, text: str) -> bool:
    return re.search(wanted, text) is not None


def test_a_cut_end_is_found_by_a_head_that_was_kept() -> None:
    """Without one it cannot be."""
    entries = chain()
    cut = lines(entries[:4])
    kept = {(entries[5].chain, 5): entries[5].hash}

    assert problems(cut) == []
    [said] = looked(cut, heads=kept).problems()
    assert said == "shop/all/1 ends with entry 3, and entry 5 was kept: its end was cut off"
    assert looked([], heads=kept).problems() == [
        "shop/all/1 is not there, and entry 5 was kept: its end was cut off"
    ]
    assert looked(lines(entries), heads=kept).problems() == []


def test_a_chain_that_was_written_anew_is_found_by_a_head_that_was_kept() -> None:
    """Whoever may write the file can make a chain that is whole."""
    kept, forged = chain(), chain()
    anew, head = list[AuditEntry](), Head("shop/all/1")
    for entry in forged:
        deed = Deed(entry.what, "nobody", on=entry.on)
        anew.append(chained(head, deed, 0.0))
        head = anew[-1].head

    assert problems(lines(anew)) == []
    [said] = looked(lines(anew), heads={("shop/all/1", 3): kept[3].hash}).problems()
    assert "entry 3 of shop/all/1 is another one than the head that was kept" in said


def test_what_made_room_is_said_by_an_entry() -> None:
    """So a beginning that was removed by the log itself is told from one that was cut off."""
    entries = chain(4)
    after = chained(entries[-1].head, shortened("p", entries[1].head), 0.0)

    assert problems(lines([*entries[2:], after])) == []
    assert "begins with entry 3" in problems(lines([*entries[3:], after]))[0]
    wrong = chained(entries[-1].head, shortened("p", Head("shop/all/1", 1, "0" * 64)), 0.0)
    assert "begins with entry 2" in problems(lines([*entries[2:], wrong]))[0]


def test_what_a_crash_left_is_no_problem_where_an_entry_says_so() -> None:
    """It is told with the line; a recovery of something else is none."""
    entries = chain(3)
    left = line_of(chained(entries[-1].head, Deed("a", "b"), 0.0))[:77] + b"\n"
    after = chained(entries[-1].head, recovered("p", left), 0.0)
    found = looked([*lines(entries), left, line_of(after)])

    assert found.problems() == []
    assert found.chains["shop/all/1"].notices == ["line 4: left by a crash, as entry 3 says"]
    other = [*lines(entries), left[:70] + b"\n", line_of(after)]
    assert problems(other) == ["line 4: is no entry, and none after it says that a crash left it"]


def test_a_recovery_does_not_cover_an_entry_that_was_changed() -> None:
    """A crash leaves a part of a line, never a whole one that says something else."""
    entries = chain(3)
    forged = changed(line_of(entries[2]), who="unix user eve")
    after = chained(entries[1].head, recovered("p", forged), 0.0)

    assert (
        "line 3: entry 2 was changed" in problems([*lines(entries[:2]), forged, line_of(after)])[0]
    )


def test_an_unfinished_last_line_is_told() -> None:
    """The process that wrote it may still be at it, or its next one will mend it."""
    content = [*lines(chain(3)), b'{"ts":"2026-11-30T']
    found = looked(content)

    assert found.problems() == []
    assert found.notices == ["line 4: an unfinished line, which its next writer will mend"]


def test_chains_among_the_lines_of_logs_are_found() -> None:
    """Several, mixed, behind what a collector writes, and with other spacing."""
    one, two = lines(chain()), lines(chain(3, "shop/gateway/2"))
    spaced = [json.dumps(json.loads(line), separators=(", ", ": ")).encode() for line in two]
    mixed = [b'{"ts":"2026","event":"request"}\n', b"[pod/orders-1] " + one[0], two[0], *one[1:3]]
    mixed += [b"not json\n", *two[1:], *one[3:]]

    found = looked(mixed, strict=False)
    assert found.problems() == []
    assert {name: c.entries for name, c in found.chains.items()} == {
        "shop/all/1": 6,
        "shop/gateway/2": 3,
    }
    assert problems([line + b"\n" for line in spaced]) == []
    mixed.remove(one[2])
    assert "entry 3 stands after entry 1" in problems(mixed, strict=False)[0]
