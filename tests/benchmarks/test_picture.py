"""The picture of where time goes: whom a stack belongs to, and how its bars are drawn."""

import dis
import signal
import sys
import time
from types import FrameType
from xml.etree import ElementTree

import pytest

from benchmarks.bars import Bar, picture
from benchmarks.picture import bars_of
from benchmarks.sampled import HANDLERS, LOOP, OTHER_THREADS, Sampler, room_of, was_in

LIB = "/home/ada/.venv/lib/python3.11"
RUNNER = f"{LIB}/asyncio/runners.py"
OURS = "/home/ada/src/holdfast"


@pytest.mark.parametrize(
    ("files", "room"),
    [
        ([f"{OURS}/gateway/door.py", RUNNER], "gateway"),
        ([f"{OURS}/pump.py", RUNNER], "pump"),
        ([f"{LIB}/json/decoder.py", f"{OURS}/dispatch/routes.py", RUNNER], "dispatch"),
        ([f"{LIB}/site-packages/sqlalchemy/sql/a.py", f"{OURS}/engines/b.py"], "SQLAlchemy"),
        ([f"{LIB}/site-packages/small/a.py", f"{OURS}/engines/b.py"], "engines"),
        (["/home/ada/shop/orders/service.py", f"{OURS}/dispatch/unit.py"], HANDLERS),
        ([RUNNER, "/home/ada/benchmarks/ours/route.py"], LOOP),
        ([f"{LIB}/asyncio/tasks.py", RUNNER], LOOP),
        ([f"{LIB}/threading.py"], OTHER_THREADS),
    ],
)
def test_a_stack_belongs_to_the_innermost_that_is_known(files: list[str], room: str) -> None:
    """The standard library and small libraries count for who called them."""
    assert room_of(files) == room


def test_a_frame_that_begins_has_taken_no_time() -> None:
    """It was who called it."""
    frames: list[FrameType] = []

    def begin() -> None: ...

    def look(frame: FrameType, event: str, arg: object) -> None:
        if event == "call" and frame.f_code is begin.__code__:
            frames.append(was_in(frame))

    sys.setprofile(look)
    try:
        begin()
    finally:
        sys.setprofile(None)

    assert begin.__code__.co_code[0] == dis.opmap["RESUME"]
    assert [frame.f_code.co_name for frame in frames] == [
        "test_a_frame_that_begins_has_taken_no_time"
    ]


def test_cpu_is_put_down_to_somebody() -> None:
    """All of it, within what the kernel's ticks miss at both ends."""
    sampler, before = Sampler(), signal.getsignal(signal.SIGPROF)
    try:
        sampler.begin()
        begun = time.thread_time()
        while sum(sampler.found.values()) < 0.05 and time.thread_time() - begun < 10:
            pass
        found = sampler.end()
        used_s = time.thread_time() - begun
    finally:
        signal.signal(signal.SIGPROF, before)

    assert 0.05 <= sum(found.values()) <= used_s + 0.01


def test_bars_are_sorted_and_the_smallest_are_one() -> None:
    """Shares are of the whole; what is of Holdfast is known by its folders."""
    found = {"engines": 1.0, "gateway": 2.92, "nothing": 0.02, LOOP: 0.06}

    bars = bars_of(found)

    assert [(bar.label, round(bar.share, 3), bar.kind) for bar in bars] == [
        ("gateway", 0.73, "ours"),
        ("engines", 0.25, "ours"),
        (LOOP, 0.015, "machine"),
        ("the rest", 0.005, "machine"),
    ]


def test_the_picture_is_xml_that_can_be_read_aloud() -> None:
    """Its description has every bar; what a label has in it is escaped."""
    drawn = picture("A & B", "of <all>", [Bar("engines", 0.75, "ours"), Bar("rest", 0.25, "user")])

    root = ElementTree.fromstring(drawn)
    found = {child.tag.rpartition("}")[2]: child.text for child in root[:2]}
    assert found == {"title": "A & B", "desc": "engines 75%, rest 25%"}
    rects = [child for child in root if child.tag.endswith("rect")]
    assert float(rects[1].attrib["width"]) == pytest.approx(
        3 * float(rects[2].attrib["width"]), 0.01
    )
