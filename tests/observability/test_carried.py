"""Trace state and baggage: the grammars of W3C, as tables and as properties; linear in time."""

import re
import string
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.observability.carried import (
    BAGGAGE_BYTES_MAX,
    BAGGAGE_MEMBERS_MAX,
    TRACESTATE_BYTES_MAX,
    TRACESTATE_MEMBERS_MAX,
    baggage_of,
    tracestate_of,
)

LOWER, DIGIT = string.ascii_lowercase, string.digits
PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))


@pytest.mark.parametrize(
    "value",
    [
        "rojo=00f067aa0ba902b7",
        "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
        "vendorname1=opaqueValue1,vendorname2=opaqueValue2",
        "fw529a3039@dt=FfffffffZ",
        "0tenant@dt=1",
        "a-b_c*d/e=1",
        "a= spaces inside ! and at the front",
        "a=!\"#$%&'()*+-./0123456789:;<>?@[\\]^_`{|}~",
        f"{'k' * 256}=1",
        f"{'t' * 241}@{'s' * 14}=1",
        f"a={'v' * 256}",
        ",".join(f"k{n}={n}" for n in range(TRACESTATE_MEMBERS_MAX)),
        "a=" + "v" * 200 + ",b=" + "v" * 200 + ",c=" + "v" * (TRACESTATE_BYTES_MAX - 408),
    ],
)
def test_good_tracestates_pass_as_they_came(value: str) -> None:
    """W3C Trace Context, 3.3.1."""
    assert tracestate_of([value.encode()]) == value


@pytest.mark.parametrize(
    "value",
    [
        "a",
        "a=",
        "=1",
        "a=1=2",
        "A=1",
        "1a=1",
        "a b=1",
        "a =1",
        "aé=1",
        "a=é",
        "a=1\x7f",
        "a=1\x00",
        "a=\t1",
        "a=1,\x0bb=2",
        "a=1\n",
        "a=1,a=2",
        "a=1,b=2,a=1",
        "a@=1",
        "@b=1",
        "a@b@c=1",
        "a@1b=1",
        f"{'k' * 257}=1",
        f"{'t' * 242}@s=1",
        f"t@{'s' * 15}=1",
        f"a={'v' * 257}",
        ",".join(f"k{n}={n}" for n in range(TRACESTATE_MEMBERS_MAX + 1)),
        "a=" + "v" * 200 + ",b=" + "v" * 200 + ",c=" + "v" * (TRACESTATE_BYTES_MAX - 407),
    ],
)
def test_bad_tracestates_are_dropped_whole(value: str) -> None:
    """W3C Trace Context, 3.3.1 and 4.3: one bad member makes all of it unreadable."""
    assert tracestate_of([b"good=1", value.encode("latin-1")]) is None


@pytest.mark.parametrize(
    ("values", "joined"),
    [
        ([], ""),
        ([b""], ""),
        ([b"", b" ", b",, ,"], ""),
        ([b"a=1", b"b=2"], "a=1,b=2"),
        ([b"a=1 ,\t b=2 ", b"", b"c=3,"], "a=1,b=2,c=3"),
        ([b"b=2", b"a=1"], "b=2,a=1"),
    ],
)
def test_headers_of_one_name_are_one_list(values: list[bytes], joined: str) -> None:
    """In their order, without empty members and the blanks around commas."""
    assert tracestate_of(values) == baggage_of(values) == joined


@pytest.mark.parametrize(
    "value",
    [
        "key1=value1",
        "key1=value1;property1;property2, key2 = value2, key3=value3; propertyKey=propertyValue",
        "serverNode=DF%2028,isProduction=false",
        "userId=alice,serverNode=DF%2028,isProduction=false",
        "userId=Am%C3%A9lie",
        "k=",
        "k=;p",
        "k = v ; p = w ; q",
        "k=a=b=c",
        "k=v;p=a=b",
        "!#$%&'*+-.^_`|~Az9=v",
        "k=!#$%&'()*+-./09:<=>?@AZ[]^_`az{|}~",
        "k=1,k=2",  # what a name that is there twice means is for whoever reads it
        ",".join(f"k{n}={n}" for n in range(BAGGAGE_MEMBERS_MAX)),
        "k=" + "v" * (BAGGAGE_BYTES_MAX - 2),
    ],
)
def test_good_baggage_passes_as_it_came(value: str) -> None:
    """W3C Baggage, 3.2: up to the blanks around commas."""
    assert baggage_of([value.encode()]) == re.sub(r"\s*,\s*", ",", value)


@pytest.mark.parametrize(
    "value",
    [
        "k",
        "=v",
        "k v=1",
        "k=a b",
        'k="v"',
        "k=a\\b",
        "k=é",
        "ké=1",
        "k(=1",
        "k/=1",
        "k=v;",
        "k=v;;p",
        "k=v;=w",
        "k=v;p q",
        "k=v;p=a b",
        "k=v\x00",
        "k=v\x7f",
        "k=v\n",
        "k=v\x0b",
        ";p",
        ",".join(f"k{n}={n}" for n in range(BAGGAGE_MEMBERS_MAX + 1)),
        "k=" + "v" * (BAGGAGE_BYTES_MAX - 1),
    ],
)
def test_bad_baggage_is_dropped_whole(value: str) -> None:
    """W3C Baggage, 3.2 and 3.3."""
    assert baggage_of([value.encode("latin-1")]) is None


def one_of(characters: str, least: int, most: int) -> st.SearchStrategy[str]:
    """Return texts of these characters."""
    return st.text(st.sampled_from(characters), min_size=least, max_size=most)


SIMPLE = st.tuples(st.sampled_from(LOWER), one_of(LOWER + DIGIT + "_-*/", 0, 12)).map("".join)
TENANT = st.tuples(SIMPLE, st.sampled_from(["a", "dt", "a-1"])).map("@".join)
STATE_VALUE = st.tuples(
    one_of(PRINTABLE.replace(",", "").replace("=", ""), 0, 12), st.sampled_from("!az9~;")
).map("".join)
STATES = st.dictionaries(SIMPLE | TENANT, STATE_VALUE, max_size=8).map(
    lambda members: [f"{key}={value}" for key, value in members.items()]
)
TOKEN = one_of("!#$%&'*+-.^_`|~" + LOWER + string.ascii_uppercase + DIGIT, 1, 8)
OCTETS = one_of("".join(c for c in PRINTABLE if c not in ' ",;\\'), 0, 12)
PROPERTY = st.tuples(st.sampled_from([";", " ;", "; ", " \t; "]), TOKEN, st.just("") | OCTETS)
MEMBER = st.tuples(TOKEN, OCTETS, st.lists(PROPERTY, max_size=3)).map(
    lambda m: f"{m[0]}={m[1]}" + "".join(f"{a}{b}={c}" if c else f"{a}{b}" for a, b, c in m[2])
)
GLUE = st.sampled_from([",", " ,", ", ", "\t,\t", ",,", ", ,"])


def glued(members: list[str], glue: list[str]) -> bytes:
    """Return members as somebody may have written them."""
    return "".join(m + g for m, g in zip(members, glue, strict=False)).encode()


@given(STATES, st.lists(GLUE, min_size=8, max_size=8))
def test_a_tracestate_of_the_grammar_passes(members: list[str], glue: list[str]) -> None:
    """Unchanged up to blanks and empty members, if it is within the limits."""
    written = glued(members, glue)
    # a blank at the front of a member's value is of the value; at the end there is none
    wanted = ",".join(members) if len(written) <= TRACESTATE_BYTES_MAX else None
    assert tracestate_of([written]) == wanted


@given(st.lists(MEMBER, max_size=8), st.lists(GLUE, min_size=8, max_size=8))
def test_a_baggage_of_the_grammar_passes(members: list[str], glue: list[str]) -> None:
    """The same."""
    assert baggage_of([glued(members, glue)]) == ",".join(members)


@given(st.lists(st.binary(max_size=40), max_size=3))
def test_what_passes_can_be_a_header_and_passes_again(values: list[bytes]) -> None:
    """Of any bytes: what is handed on is what the next one accepts, byte for byte."""
    for read in (tracestate_of, baggage_of):
        found = read(values)
        if found:
            assert read([found.encode("ascii")]) == found
            assert found.isprintable() or "\t" in found
            assert "\n" not in found
            assert "\r" not in found


HARD = {
    "blanks after =": "k={}\x01",
    "blanks before =": "k{}\x01",
    "blanks before ;": "k=v{}\x01",
    "blanks in a property": "k=v;p={};\x01",
}
HARD_UNITS = {"blanks": " ", "tabs": "\t", "names": "a", "marks": ";a", "values": ";a=", "=": "="}


def took(read: Callable[[list[bytes]], str | None], text: bytes) -> float:
    """Return the processor seconds of one reading, the best of three."""
    best = float("inf")
    for _ in range(3):
        begun = time.process_time()
        assert read([text]) is None
        best = min(best, time.process_time() - begun)
    return best


@pytest.mark.parametrize("unit", HARD_UNITS)
@pytest.mark.parametrize("where", HARD)
def test_no_text_takes_more_than_linear_time(where: str, unit: str) -> None:
    """Of a text that fails at its last character, nothing is tried again.

    Beside what a pattern takes for a harmless text of this length, a quadratic one takes hundreds
    of times as long: the machine's speed does not matter.
    """
    filler = HARD_UNITS[unit] * (BAGGAGE_BYTES_MAX // len(HARD_UNITS[unit]))
    hard = HARD[where].format(filler).encode()[: BAGGAGE_BYTES_MAX - 1] + b"\x01"
    easy = b"k=" + b"v" * (BAGGAGE_BYTES_MAX - 3) + b"\x01"

    assert took(baggage_of, hard) < 50 * took(baggage_of, easy) + 0.001
