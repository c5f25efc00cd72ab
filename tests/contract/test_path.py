"""A path has one spelling, and one that is decoded is no way around it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.contract.path import loosest_reading, may_not_be_normal, normal_path


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("/", "/"),
        ("/orders", "/orders"),
        ("/orders/", "/orders/"),
        ("/%6frders", "/orders"),
        ("/o%72der%73", "/orders"),
        ("/%7Eada%2d%5F%2E", "/~ada-_."),
        ("/a%2fb%5c%00%25", "/a%2Fb%5C%00%25"),
        ("/%c3%a4", "/%C3%A4"),
        ("/%2541", "/%2541"),
        ("//orders", "//orders"),
        ("/a///b//", "/a///b//"),
        ("/a//../b", "/a/b"),
        ("/./orders/.", "/orders/"),
        ("/a/../orders", "/orders"),
        ("/a/%2e%2E/orders", "/orders"),
        ("/a/.%2e", "/"),
        ("/../../orders", "/orders"),
        ("/a/b/..", "/a/"),
        ("/.well-known/x", "/.well-known/x"),
        ("/...", "/..."),
        ("/a..b/.c", "/a..b/.c"),
    ],
)
def test_other_spellings_are_one(raw: str, normal: str) -> None:
    """Escapes that need not be, dots and the case of hex digits make no other path."""
    assert normal_path(raw) == normal


@pytest.mark.parametrize("raw", ["/%", "/%4", "/%zz", "/a%2", "/%u0041", "/a\\b", "/..\\orders"])
def test_what_has_no_one_reading_is_refused(raw: str) -> None:
    """Others would guess, and not alike."""
    with pytest.raises(ValueError, match="path"):
        normal_path(raw)


PIECES = st.sampled_from(["/", ".", "..", "a", "%2e", "%2F", "%61", "%25", "%5c", "%", "2e", "~"])


@given(st.lists(PIECES, max_size=12).map(lambda pieces: "/" + "".join(pieces)))
def test_the_normal_form_is_its_own(raw: str) -> None:
    """So that each process on the way sees the same path, however often it is brought to form."""
    try:
        normal = normal_path(raw)
    except ValueError:
        return

    assert normal_path(normal) == normal
    assert may_not_be_normal(raw) or normal == raw  # the server does not ask for the others
    assert normal.startswith("/")
    assert not {".", ".."} & set(normal.split("/"))


@pytest.mark.parametrize(
    ("path", "read"),
    [
        ("/a%2Fb", "/a/b"),
        ("/a%5Cb", "/a/b"),
        ("/a%2F%2Fb//c/", "/a/b/c/"),
        ("/x/..%2Forders", None),
        ("/x%2F..%5Corders", None),
        ("/x%2F%2Forders%2F.", None),
        ("/x%2F...", "/x/..."),
        ("/a%3Ab", "/a:b"),
        ("/%2541", "/%41"),
    ],
)
def test_the_loosest_reader_decodes_everything_once(path: str, read: str | None) -> None:
    """What an app could make of it; dots can be followed in several ways."""
    assert loosest_reading(path) == read
