"""Requests as values."""

from holdfast.contract.http import Request, by_name


def test_headers_of_one_name_are_joined() -> None:
    """As RFC 9110 has it, so that no one of them can be taken for the only one."""
    headers = [(b"a", b"1"), (b"authorization", b"Bearer x"), (b"a", b"2"), (b"a", b"3")]

    assert by_name(headers) == {b"a": b"1, 2, 3", b"authorization": b"Bearer x"}
    assert by_name([]) == {}


def test_a_request_has_its_headers_by_name_also_when_it_is_made_by_hand() -> None:
    """Whoever has read them from the wire brings them along."""
    assert Request("GET", "/", "", [(b"a", b"1")]).sent == {b"a": b"1"}
    assert Request("GET", "/", "", [(b"a", b"1")], sent={b"b": b"2"}).sent == {b"b": b"2"}
