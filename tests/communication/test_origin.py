"""Addresses as values: read, printed, reached; and what is written to one."""

import pytest

from holdfast.communication import Origin, origin_and_path
from holdfast.communication.origin import encode_request
from holdfast.contract.http import HeaderList, Request


@pytest.mark.parametrize(
    ("host", "url", "authority", "place"),
    [
        ("127.0.0.1", "http://127.0.0.1:81", "127.0.0.1:81", "127.0.0.1:81"),
        ("::1", "http://[::1]:81", "[::1]:81", "[::1]:81"),
        ("[::1]", "http://[::1]:81", "[::1]:81", "[::1]:81"),
        ("2001:db8::5", "http://[2001:db8::5]:81", "[2001:db8::5]:81", "[2001:db8::5]:81"),
        ("fe80::1%eth0", "http://[fe80::1%25eth0]:81", "[fe80::1]:81", "[fe80::1%eth0]:81"),
        ("shop.test", "http://shop.test:81", "shop.test:81", "shop.test:81"),
        ("unix:/run/a b.sock", "unix:/run/a b.sock", "localhost", "/run/a b.sock"),
    ],
)
def test_what_listens_is_printed_so_that_it_can_be_read_again(
    host: str, url: str, authority: str, place: str
) -> None:
    """With brackets where they belong; a zone is of this machine, so the Host header has none."""
    origin = Origin.of(host, 81)

    assert str(origin) == url
    assert Origin.parse(str(origin)) == (origin if origin.path is None else Origin.of(host, 0))
    assert (origin.authority, origin.place) == (authority, place)


@pytest.mark.parametrize(
    ("host", "reached"),
    [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("", "127.0.0.1"), ("10.0.0.7", "10.0.0.7")],
)
def test_every_address_is_reached_at_the_loopback_one(host: str, reached: str) -> None:
    """Of the same family."""
    assert Origin.of(host, 81).reachable == Origin(reached, 81)


@pytest.mark.parametrize(
    "url",
    [
        "http://::1:8000",
        "http://[::1:8000",
        "http://[shop]:1",
        "http://shop:0",
        "http://shop:65536",
        "http://shop:port",
        "http://user:pw@shop",
        "http://:pw@shop",
        "http://@shop",
        "unix:run/a.sock",
        "unix://run/a.sock",
        "shop:8000",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """Not read as another one: a port 0 is no port, a password is not thrown away."""
    with pytest.raises(ValueError, match=r"\S"):
        Origin.parse(url)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://[::1]:81", "/"),
        ("http://[::1]:81/", "/"),
        ("http://[::1]:81/a/b", "/a/b"),
    ],
)
def test_a_url_is_an_origin_and_a_path(url: str, path: str) -> None:
    """An IPv6 address is full of colons."""
    assert origin_and_path(url) == (Origin("::1", 81), path)


@pytest.mark.parametrize(
    ("headers", "lines"),
    [
        ([], [b"host: us"]),
        ([(b"x", b"1"), (b"y", b"")], [b"host: us", b"x: 1", b"y: "]),
        ([(b"x", b"1"), (b"host", b"them")], [b"host: them", b"x: 1"]),
        ([(b"te", b"x"), (b"content-length", b"7"), (b"x", b"1")], [b"host: us", b"x: 1"]),
        (
            [(b"x", b"1"), (b"connection", b"X, host"), (b"y", b"2"), (b"host", b"them")],
            [b"host: them", b"y: 2"],
        ),
    ],
)
def test_a_request_is_written_from_its_fields(headers: HeaderList, lines: list[bytes]) -> None:
    """One Host, nothing of the hop, nothing that Connection names, and the length of its body."""
    request = Request("POST", "/a", "b=c", headers, b"body")

    data = encode_request(request, b"host: us\r\n")

    expected = [b"POST /a?b=c HTTP/1.1", *lines, b"content-length: 4", b"", b"body"]
    assert data.split(b"\r\n") == expected


def test_a_request_without_headers_and_body_has_a_host() -> None:
    """The head ends with one empty line."""
    assert encode_request(Request("GET", "/"), b"host: us\r\n") == (
        b"GET / HTTP/1.1\r\nhost: us\r\n\r\n"
    )
